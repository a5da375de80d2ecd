"""Profiles of our own: one for each access that needs one, named by what it says, shared by everybody who has it.

A profile is never removed while its services come and go, since RouterOS would leave those that use it with a profile
that is no more; `policy.routeros.leftovers` names those that nobody uses.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from policy.access import Access
from policy.routeros import menus
from policy.routeros.objects import Fields, Wanted
from policy.routeros.style import Style
from policy.routeros.values import duration_text

_PLAIN_RATE = re.compile(r"[0-9]+[kM]?/[0-9]+[kM]?")
_PLAIN_LIST = re.compile(r"[A-Za-z0-9_-]{0,40}")


def ppp_profile(access: Access, style: Style, rate_limit: str, address_list: str) -> tuple[str, Wanted | None]:
    """The profile for a PPP secret: its name, and the profile as it should be, or None where it is the ISP's own.

    `rate_limit` and `address_list` are what the profile has to bring, "" where something else does. The group of a plan
    names a profile of the ISP's own, for accesses that bring nothing that needs one of ours.
    """
    incoming, outgoing = _filters(access)
    special = (
        ("rate-limit", rate_limit),
        ("address-list", address_list),
        ("remote-address", "" if access.address else access.pool),
        ("remote-ipv6-prefix-pool", access.ipv6_pool),
        ("dhcpv6-pd-pool", access.delegated_ipv6_pool),
        ("session-timeout", _time(access.plan_session_timeout_s)),
        ("idle-timeout", _time(access.idle_timeout_s)),
        ("only-one", "yes" if access.port_limit == 1 else ""),
        ("incoming-filter", incoming),
        ("outgoing-filter", outgoing),
    )
    if not any(text for _, text in special):
        return access.group or style.ppp_profile, None
    usual = {"only-one": "default", "session-timeout": "0s", "idle-timeout": "0s", "remote-address": style.address_pool}
    fields = _filled(special, usual)
    chosen = (("local-address", style.local_address), ("dns-server", ",".join(style.dns_servers)))
    fields += tuple((name, text) for name, text in chosen if text)
    # A field that older releases do not have is named only where it says something.
    fields = tuple(pair for pair in fields if pair[1] or pair[0] not in ("remote-ipv6-prefix-pool", "dhcpv6-pd-pool"))
    name = _name(special)
    return name, Wanted(menus.PPP_PROFILE, (("name", name),), fields)


def hotspot_profile(access: Access, style: Style, rate_limit: str, address_list: str) -> tuple[str, Wanted | None]:
    """The profile for a hotspot user, as `ppp_profile`."""
    incoming, outgoing = _filters(access)
    special = (
        ("rate-limit", rate_limit),
        ("address-list", address_list),
        ("address-pool", "" if access.address else access.pool),
        ("session-timeout", _time(access.plan_session_timeout_s)),
        ("idle-timeout", _time(access.idle_timeout_s)),
        ("shared-users", str(access.port_limit) if access.port_limit else ""),
        ("incoming-filter", incoming),
        ("outgoing-filter", outgoing),
    )
    if not any(text for _, text in special):
        return access.group or style.hotspot_profile, None
    usual = {"address-pool": "none", "session-timeout": "0s", "idle-timeout": "none", "shared-users": "1"}
    name = _name(special)
    return name, Wanted(menus.HOTSPOT_PROFILE, (("name", name),), _filled(special, usual))


def _time(seconds: int) -> str:
    return duration_text(seconds) if seconds else ""


def _filled(special: Fields, usual: dict[str, str]) -> Fields:
    """Every field, with what is usual where nothing special is wanted: a profile is exactly what its name says."""
    return tuple((name, text or usual.get(name, "")) for name, text in special)


def _filters(access: Access) -> tuple[str, str]:
    """The firewall chains of a Filter-Id: a suffix `.in` or `.out` says which way (RADIUS page, Filter-Id)."""
    if access.filter_id.endswith(".out"):
        return "", access.filter_id.removesuffix(".out")
    return access.filter_id.removesuffix(".in"), ""


def _name(special: Fields) -> str:
    """A name that says what the profile does, and is never that of two that differ."""
    texts = dict(special)
    rate, address_list = texts["rate-limit"], texts["address-list"]
    plain = (not rate or _PLAIN_RATE.fullmatch(rate)) and _PLAIN_LIST.fullmatch(address_list)
    speed = rate.partition(" ")[0].replace("/", "-") or "open"
    name = menus.OWN_NAME + speed
    if _PLAIN_LIST.fullmatch(address_list) and address_list:
        name += f"-{address_list}"
    if plain and not any(text for field, text in special if field not in ("rate-limit", "address-list")):
        return name
    said = "\0".join(f"{field}={text}" for field, text in special if text)
    return f"{name}.{blake2b(said.encode('utf-8', 'surrogatepass'), digest_size=4).hexdigest()}"
