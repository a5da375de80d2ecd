"""What a customer gets from the router now: online or not, how fast, and in which lists."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.routeros.store import Row, Table

if TYPE_CHECKING:
    from simulators.routeros.device import Device


@dataclass(frozen=True, slots=True)
class Standing:
    """A rate of 0 is no limit. `lists` are those whose enabled entries cover the address."""

    online: bool
    address: str
    upload_bps: int
    download_bps: int
    lists: frozenset[str]


def standing(device: Device, who: str) -> Standing:
    """Return the standing of a user name or an address; an address needs no session to have a rate and lists."""
    sessions = device.customers.named(who)
    online = sessions[-1] if sessions else device.customers.at(who)
    address = online.address if online is not None else who if _is_address(who) else ""
    if not address:
        return Standing(online=False, address="", upload_bps=0, download_bps=0, lists=frozenset())
    interface = online.interface if online is not None else ""
    up, down = _rate(list(device["/queue/simple"]), "none", address, interface)
    return Standing(online is not None, address, up, down, lists_of(device["/ip/firewall/address-list"], address))


def lists_of(table: Table, address: str) -> frozenset[str]:
    """Return the address lists that an address is in."""
    return frozenset(
        row.fields["list"]
        for row in table
        if row.fields["disabled"] != "true" and covers(row.fields["address"], address)
    )


def covers(text: str, address: str) -> bool:
    """Tell whether an address, network or range of the firewall means this address; a DNS name means none."""
    if text == address:
        return True
    if not text[:1].isdigit():
        return False
    host = ipaddress.IPv4Address(address)
    if "-" in text:
        first, _, last = text.partition("-")
        return ipaddress.IPv4Address(first) <= host <= ipaddress.IPv4Address(last)
    return "/" in text and host in ipaddress.IPv4Network(text)


def _rate(queues: list[Row], parent: str, address: str, interface: str) -> tuple[int, int]:
    """Return the limits of the first queue that is for this customer, and of those below it, the lowest of each."""
    for row in queues:
        fields = row.fields
        if (
            fields["parent"] == parent
            and fields["disabled"] != "true"
            and _is_for(fields["target"], address, interface)
        ):
            up, _, down = fields["max-limit"].partition("/")
            inner_up, inner_down = _rate(queues, fields["name"], address, interface)
            return _lower(int(up), inner_up), _lower(int(down), inner_down)
    return 0, 0


def _is_for(target: str, address: str, interface: str) -> bool:
    return any(part == interface or covers(part, address) for part in target.split(",") if part)


def _lower(one: int, other: int) -> int:
    return min(one, other) if one and other else one or other


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True
