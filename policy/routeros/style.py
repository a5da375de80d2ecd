"""How an ISP wants things done on one router: speeds by profile, queue or lease, and what restricting means there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from policy.documents import TEXT_MAXIMUM_BYTES, Document, address
from policy.errors import PolicyError

# RouterOS counts the timeout of a list entry in seconds; longer than a year is no timeout.
LIST_TIMEOUT_MAXIMUM_S = 366 * 86400
DNS_SERVERS_MAXIMUM = 4


class Way(StrEnum):
    """How a speed reaches a customer: in the profile, by a simple queue on the fixed address, in the DHCP lease."""

    PROFILE = "profile"
    QUEUE = "queue"
    LEASE = "lease"


class HotspotDenial(StrEnum):
    """How a hotspot customer is denied: the user is disabled, or the device's binding is blocked as well."""

    USER = "user"
    BINDING = "binding"


class Style(NamedTuple):
    """An operator's choices for one router. Texts are "" and numbers 0 where nothing is chosen.

    `ppp`, `hotspot`, `dhcp`: how the speed is set (a static customer always has a queue). `ppp_profile` and
    `hotspot_profile`: the ISP's own profile for customers who need none of ours. `ppp_service`: the service of a
    secret, "" leaves it. `local_address` (an address or a pool), `address_pool` (for customers without an address
    or a pool of their own) and `dns_servers` go into PPP profiles of ours.
    `parent_queue`, `queue_type` and `queue_before` (the name of the queue that ours stand before) are about queues.
    `denied_list` holds the addresses that get nothing, `list_timeout_s` ends our restricting entries by themselves.
    `cut_connections`: restricting ends the connections that are open.
    """

    ppp: Way = Way.PROFILE
    hotspot: Way = Way.PROFILE
    dhcp: Way = Way.LEASE
    ppp_profile: str = "default"
    ppp_service: str = "pppoe"
    local_address: str = ""
    address_pool: str = ""
    dns_servers: tuple[str, ...] = ()
    hotspot_profile: str = "default"
    hotspot_denial: HotspotDenial = HotspotDenial.USER
    parent_queue: str = ""
    queue_type: str = ""
    queue_before: str = ""
    denied_list: str = "ispagents-denied"
    list_timeout_s: int = 0
    cut_connections: bool = True


def style_document(style: Style) -> Document:
    """The document of a style, without what is as usual."""
    special = {name: value for name, value in style._asdict().items() if value != Style._field_defaults[name]}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in special.items()}


def read_style(document: Mapping[str, Any]) -> Style:
    """A style from its document. Raises PolicyError with the key that is wrong and what would be right."""
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name == "garden":  # `policy.routeros.garden` reads it
            continue
        if name not in _READERS:
            raise PolicyError(f"{name!r} is not known in a router's style; known are {', '.join(sorted(_READERS))}")
        try:
            values[name] = _READERS[name](value)
        except PolicyError as error:
            raise PolicyError(f"{name}: {error}") from error
    return Style(**values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise PolicyError(f"{value!r} should be text")
    if "\0" in value or len(value.encode("utf-8", "surrogatepass")) > TEXT_MAXIMUM_BYTES:
        raise PolicyError(f"a name is at most {TEXT_MAXIMUM_BYTES} bytes long and has no zero bytes")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise PolicyError("a name may not hold half a character")
    return value


def _name(value: Any) -> str:
    if not _text(value):
        raise PolicyError("a name is needed here; leave the key out for the usual one")
    return _text(value)


def _way(*allowed: Way) -> Callable[[Any], Way]:
    def read(value: Any) -> Way:
        if value not in allowed:
            raise PolicyError(f"{value!r} should be one of {', '.join(allowed)}")
        return Way(value)

    return read


def _denial(value: Any) -> HotspotDenial:
    if value not in list(HotspotDenial):
        raise PolicyError(f"{value!r} should be one of {', '.join(HotspotDenial)}")
    return HotspotDenial(value)


def _servers(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > DNS_SERVERS_MAXIMUM:
        raise PolicyError(f"{value!r} should be a list of at most {DNS_SERVERS_MAXIMUM} addresses")
    servers = tuple(address(part) for part in value)
    if "" in servers:
        raise PolicyError("a DNS server needs an address; leave the list empty for none")
    return servers


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise PolicyError(f"{value!r} should be true or false")
    return value


def _timeout(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LIST_TIMEOUT_MAXIMUM_S:
        raise PolicyError(f"{value!r} should be whole seconds, 0 (no end) to {LIST_TIMEOUT_MAXIMUM_S}")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "ppp": _way(Way.PROFILE, Way.QUEUE),
    "hotspot": _way(Way.PROFILE, Way.QUEUE),
    "dhcp": _way(Way.LEASE, Way.QUEUE),
    "hotspot_denial": _denial,
    "dns_servers": _servers,
    "list_timeout_s": _timeout,
    "cut_connections": _flag,
    **dict.fromkeys(("ppp_profile", "hotspot_profile", "denied_list"), _name),
    **dict.fromkeys(
        ("ppp_service", "local_address", "address_pool", "parent_queue", "queue_type", "queue_before"), _text
    ),
}
