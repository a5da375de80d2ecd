"""What was found on a router, as values: plans, services, settings, and what is unusual. No password is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from policy.facts import Method
from policy.routeros import menus
from policy.routeros.objects import Item

Observed = Mapping[str, Sequence[Item]]

# What is read, and what of it: never a secret but the customers' own passwords, and nothing that is slow to print.
SETTINGS: Final = {
    "/interface": ("name", "type", "running", "disabled", "comment"),
    "/interface/pppoe-server/server": ("service-name", "interface", "default-profile", "authentication", "disabled"),
    "/ip/dhcp-server": ("name", "interface", "address-pool", "use-radius", "disabled"),
    "/ip/hotspot": ("name", "interface", "profile", "address-pool", "disabled"),
    "/ip/hotspot/profile": ("name", "use-radius", "login-by"),
    "/ip/pool": ("name", "ranges"),
    "/ip/service": ("name", "port", "address", "disabled", "dynamic"),
    "/ppp/aaa": ("use-radius", "accounting", "interim-update"),
    "/radius": ("service", "address", "authentication-port", "accounting-port", "timeout", "src-address", "disabled"),
    "/radius/incoming": ("accept", "port"),
}
CONFIGURATION: Final = (
    menus.PPP_PROFILE,
    menus.PPP_SECRET,
    menus.HOTSPOT_PROFILE,
    menus.HOTSPOT_USER,
    menus.LEASE,
    menus.QUEUE,
    menus.ADDRESS_LIST,
)


class Device(NamedTuple):
    """What the router says of itself."""

    identity: str = ""
    version: str = ""
    board: str = ""
    architecture: str = ""


class FoundPlan(NamedTuple):
    """A speed that customers have: a profile's (`group` names it), or that of queues and leases.

    `rate_limit` is canonical, "" for none; `shown` is what the router wrote. With `by_group` the network is told the
    profile's name alone, so that it goes on meaning what it means there.
    """

    name: str
    group: str
    rate_limit: str
    lists: tuple[str, ...]
    shown: str
    by_group: bool
    services: int = 0
    problem: str = ""

    def facts(self) -> dict[str, Any]:
        """The plan as a document of `policy.documents.read_plan`."""
        said: dict[str, Any] = {"group": self.group} if self.group else {}
        if self.rate_limit and not self.by_group:
            said["rate_limit"] = self.rate_limit
        return said | ({"address_lists": list(self.lists)} if self.lists else {})


class FoundService(NamedTuple):
    """A customer's line as the router holds it. `menu` and `id` are of its main item; `queue` is the name of its own.

    `found_plan` is the name among the found plans. `problems` are sentences: each of them needs a person.
    """

    menu: str
    id: str
    username: str
    method: Method
    found_plan: str
    address: str = ""
    mac: str = ""
    server: str = ""
    queue: str = ""
    routes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    comment: str = ""
    tag: str = ""
    disabled: bool = False
    problems: tuple[str, ...] = ()


class Oddity(NamedTuple):
    """Something unusual: what it is in one sentence, and the items that it is about, by name."""

    kind: str
    said: str
    items: tuple[str, ...] = ()


class Picture(NamedTuple):
    """All that is known of a router after one look."""

    device: Device
    settings: dict[str, list[dict[str, str]]]
    plans: tuple[FoundPlan, ...]
    services: tuple[FoundService, ...]
    lists: dict[str, int]
    counts: dict[str, int]
    oddities: tuple[Oddity, ...]
    style: dict[str, Any]
