"""What a router is connected with by `policy.routeros.script`."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from policy.errors import PolicyError
from policy.facts import INTERIM_INTERVAL_S
from policy.routeros.garden import Garden
from policy.windows import zone
from policy.wording import short

GROUP = "ispagents"  # of the API's user, and the user's name unless another is known
SERVICES = ("ppp", "hotspot", "dhcp")
RELEASES = (6, 7)
NTP_MAXIMUM = 2


class Bootstrap(NamedTuple):
    """What a router is connected with. Texts are "" where nothing is known; secrets None where they were not made now.

    `name` is what we call the router, `release` 6 or 7. `server` is our address, as the router sees it: of its RADIUS
    server, and of who logs in to its API. `address` is where its own packets come from. `services`: some of SERVICES;
    none leaves RADIUS alone. `api_user` "" leaves its API alone; `api_plain`: without TLS. `read_passwords`: the user
    may read passwords back (policy `sensitive`), which taking in a router that is in use needs, and control does not.
    """

    name: str
    release: int
    server: str
    address: str = ""
    services: tuple[str, ...] = ("ppp", "hotspot")
    secret: str | None = None
    auth_port: int = 1812
    acct_port: int = 1813
    coa_port: int = 3799
    interim_s: int = INTERIM_INTERVAL_S
    api_user: str = ""
    password: str | None = None
    api_port: int = 8729
    api_plain: bool = False
    read_passwords: bool = False
    garden: Garden = Garden()
    ntp: tuple[str, ...] = ()
    time_zone: str = ""

    def __repr__(self) -> str:
        """Never shows a secret."""
        return f"Bootstrap(name={self.name!r}, release={self.release})"


def check(wanted: Bootstrap) -> None:
    """Raises PolicyError for what cannot be meant."""
    if wanted.release not in RELEASES:
        raise PolicyError(f"RouterOS {wanted.release} is not known; known are 6 and 7")
    for text in (wanted.server, *((wanted.address,) if wanted.address else ())):
        try:
            ipaddress.ip_address(text)
        except ValueError as error:
            raise PolicyError(f"{short(repr(text))} is not an address") from error
    if strange := [one for one in wanted.services if one not in SERVICES]:
        raise PolicyError(f"{short(repr(strange[0]))} is no service; known are {', '.join(SERVICES)}")
    if len(wanted.ntp) > NTP_MAXIMUM:
        raise PolicyError(f"a router is given at most {NTP_MAXIMUM} time servers")
    for text in wanted.ntp:
        _check_time_server(text, wanted.release)
    if wanted.time_zone:
        zone(wanted.time_zone)


def _check_time_server(text: str, release: int) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        if release > 6 and re.fullmatch(r"(?=.{1,253}\Z)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
            return
        raise PolicyError(
            f"{short(repr(text))} is not the address of a time server; RouterOS 6 takes no names"
        ) from error
