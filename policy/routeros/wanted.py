"""What an access means on a router: the items that should be there for one service, and nothing else of it.

Everything for one service carries its tag. The items together are all that should be: what is tagged the same and not
among them goes. So restoring always *sets* the opposite of restricting, and our own entries of lists disappear.
"""

from __future__ import annotations

from typing import NamedTuple

from policy.access import Access, Kind
from policy.errors import PolicyError
from policy.facts import Method
from policy.rate_limit import Pair, parse
from policy.routeros import menus
from policy.routeros.objects import Fields, Wanted
from policy.routeros.profiles import hotspot_profile, ppp_profile
from policy.routeros.style import HotspotDenial, Style, Way
from policy.routeros.values import HIDDEN, duration_text
from policy.wording import short


class Line(NamedTuple):
    """What is known of a service beside its access. Texts are "" where nothing is known.

    `password` is HIDDEN where it is not to be told: such a value equals every password and is never sent. `mac` is the
    device that the service is bound to (a DHCP lease needs one), `server` the DHCP or hotspot server by name, `queue`
    the name of its queue where that was there before us. Addresses are the service's own fixed ones.
    """

    service_id: int
    username: str
    method: Method
    password: str = HIDDEN
    address: str = ""
    mac: str = ""
    ipv6_prefix: str = ""
    delegated_ipv6_prefix: str = ""
    routes: tuple[str, ...] = ()
    server: str = ""
    queue: str = ""

    @property
    def tag(self) -> str:
        """The mark of everything that a router has for this service."""
        return service_tag(self.service_id)

    def __repr__(self) -> str:
        return f"Line(service_id={self.service_id}, username={self.username!r}, method={self.method.value!r})"


class _Means(NamedTuple):
    """Which of an access's speed and lists goes where."""

    profile_rate: str = ""
    profile_lists: tuple[str, ...] = ()
    queue_rate: str = ""
    entries: tuple[str, ...] = ()


def service_tag(service_id: int) -> str:
    """The tag of a service's items."""
    return f"service-{service_id}"


def wanted_items(line: Line, access: Access, style: Style) -> tuple[Wanted, ...]:
    """The items for a service with this access, profiles first. Raises PolicyError where a router cannot do it."""
    if line.method == Method.PPPOE:
        items = _pppoe(line, access, style)
    elif line.method == Method.HOTSPOT:
        items = _hotspot(line, access, style)
    elif line.method == Method.DHCP:
        items = _dhcp(line, access, style)
    else:
        items = _static(line, access, style)
    return tuple(items)


def removal_items(line: Line) -> tuple[Wanted, ...]:
    """What is wanted of a service that leaves a router: nothing of its tag."""
    menu = _MENUS[line.method][0]
    return (Wanted(menu, (), (), line.tag, present=False),)


def known_addresses(line: Line, access: Access) -> tuple[str, ...]:
    """The addresses that the service certainly has with this access; none where they come from a pool."""
    if access.pool and not access.address and line.method != Method.STATIC:
        return ()
    found = (
        access.address or line.address,
        access.ipv6_prefix or line.ipv6_prefix,
        access.delegated_ipv6_prefix or line.delegated_ipv6_prefix,
    )
    return tuple(dict.fromkeys(text for text in found if text))


def menus_of(line: Line) -> tuple[str, ...]:
    """The menus that may hold something of this service's own."""
    found = _MENUS[line.method]
    v6 = line.ipv6_prefix or line.delegated_ipv6_prefix
    return (*found, menus.ADDRESS_LIST_V6) if v6 else found


_MENUS: dict[Method, tuple[str, ...]] = {
    Method.PPPOE: (menus.PPP_SECRET, menus.QUEUE, menus.ADDRESS_LIST),
    Method.HOTSPOT: (menus.HOTSPOT_USER, menus.HOTSPOT_BINDING, menus.QUEUE, menus.ADDRESS_LIST),
    Method.DHCP: (menus.LEASE, menus.QUEUE, menus.ADDRESS_LIST),
    Method.STATIC: (menus.QUEUE, menus.ADDRESS_LIST),
}


def _means(line: Line, access: Access, way: Way) -> _Means:
    """A queue and entries of lists need an address; a profile (or a lease) does without, but takes hold at the login.

    Restricting goes by address wherever one is known: that takes hold at once.
    """
    fixed = bool(known_addresses(line, access))
    by_entry = fixed and (way == Way.QUEUE or access.kind == Kind.RESTRICT)
    if fixed and way == Way.PROFILE and len(access.address_lists) > 1:
        by_entry = True  # a profile holds one list
    by_queue = fixed and way == Way.QUEUE
    return _Means(
        profile_rate="" if by_queue else access.rate_limit,
        profile_lists=() if by_entry else access.address_lists,
        queue_rate=access.rate_limit if by_queue else "",
        entries=access.address_lists if by_entry else (),
    )


def _one_list(line: Line, lists: tuple[str, ...]) -> str:
    if len(lists) > 1:
        raise PolicyError(
            f"a profile of RouterOS holds one address list, and {short(line.username)!r} should be in {len(lists)}; "
            "give the service a fixed address, or its plan one list"
        )
    return lists[0] if lists else ""


def _pppoe(line: Line, access: Access, style: Style) -> list[Wanted]:
    key = (("name", line.username),)
    service = (("service", style.ppp_service),) if style.ppp_service else ()
    if access.kind == Kind.DENY:
        fields: Fields = (("password", line.password), *service, ("disabled", "yes"))
        return [Wanted(menus.PPP_SECRET, key, fields, line.tag)]
    means = _means(line, access, style.ppp)
    profile, ours = ppp_profile(access, style, means.profile_rate, _one_list(line, means.profile_lists))
    fields = (
        ("password", line.password),
        *service,
        ("profile", profile),
        ("caller-id", line.mac),
        ("remote-address", _given(line, access)),
        ("routes", ",".join(access.routes or line.routes)),
        *_ipv6(line, access),
        ("disabled", "no"),
    )
    items = [ours] if ours is not None else []
    return [*items, Wanted(menus.PPP_SECRET, key, fields, line.tag), *_by_address(line, access, style, means)]


def _hotspot(line: Line, access: Access, style: Style) -> list[Wanted]:
    key = (("name", line.username),)
    server = ("server", line.server or "all")
    blocked = style.hotspot_denial == HotspotDenial.BINDING and line.mac
    if access.kind == Kind.DENY:
        fields: Fields = (("password", line.password), server, ("disabled", "yes"))
        items = [Wanted(menus.HOTSPOT_USER, key, fields, line.tag)]
        if blocked:
            binding: Fields = (("type", "blocked"), ("disabled", "no"))
            items.append(Wanted(menus.HOTSPOT_BINDING, (("mac-address", line.mac),), binding, line.tag))
        return items
    means = _means(line, access, style.hotspot)
    profile, ours = hotspot_profile(access, style, means.profile_rate, _one_list(line, means.profile_lists))
    fields = (
        ("password", line.password),
        server,
        ("profile", profile),
        ("mac-address", line.mac or menus.ANY_DEVICE),
        ("address", _given(line, access) or menus.ANY_ADDRESS),
        ("disabled", "no"),
    )
    items = [ours] if ours is not None else []
    return [*items, Wanted(menus.HOTSPOT_USER, key, fields, line.tag), *_by_address(line, access, style, means)]


def _dhcp(line: Line, access: Access, style: Style) -> list[Wanted]:
    if not line.mac:
        raise PolicyError(f"the lease of {short(line.username)!r} needs a MAC address; bind the service to its device")
    key: Fields = (("mac-address", line.mac),)
    key += (("server", line.server),) if line.server else ()
    address = _given(line, access) or access.pool
    own: Fields = (("address", address),) if address else ()
    if access.kind == Kind.DENY:
        lease = Wanted(menus.LEASE, key, (*own, ("block-access", "yes"), ("disabled", "no")), line.tag)
        return [lease, *_denied(line, access, style)]
    means = _means(line, access, style.dhcp)
    own += (("rate-limit", means.profile_rate), ("address-lists", ",".join(means.profile_lists)))
    routes = ",".join(access.routes or line.routes)
    own += (("routes", routes),) if routes else ()
    lease = Wanted(menus.LEASE, key, (*own, ("block-access", "no"), ("disabled", "no")), line.tag)
    return [lease, *_by_address(line, access, style, means), *_denied(line, access, style)]


def _static(line: Line, access: Access, style: Style) -> list[Wanted]:
    if not known_addresses(line, access):
        raise PolicyError(f"the static service {short(line.username)!r} needs an address; give it one")
    if access.kind == Kind.DENY:
        return _denied(line, access, style)
    means = _Means(queue_rate=access.rate_limit, entries=access.address_lists)
    return [*_by_address(line, access, style, means), *_denied(line, access, style)]


def _given(line: Line, access: Access) -> str:
    """The one IPv4 address that the router itself gives to the customer, or ""."""
    if access.address or access.pool:
        return access.address
    return line.address


def _ipv6(line: Line, access: Access) -> Fields:
    """Named only where a prefix is known: a router without the package knows no such field."""
    return (("remote-ipv6-prefix", access.ipv6_prefix),) if line.ipv6_prefix or access.ipv6_prefix else ()


def _by_address(line: Line, access: Access, style: Style, means: _Means) -> list[Wanted]:
    addresses = known_addresses(line, access)
    items = [_queue(line, addresses, means.queue_rate, style)] if means.queue_rate else []
    timeout_s = style.list_timeout_s if access.kind == Kind.RESTRICT else 0
    return items + [_entry(line, name, address, timeout_s) for name in means.entries for address in addresses]


def _denied(line: Line, access: Access, style: Style) -> list[Wanted]:
    """Entries of the list of dropped addresses, there or certainly not there."""
    present = access.kind == Kind.DENY
    addresses = known_addresses(line, access)
    return [_entry(line, style.denied_list, one)._replace(present=present) for one in addresses]


def _entry(line: Line, name: str, address: str, timeout_s: int = 0) -> Wanted:
    menu = menus.ADDRESS_LIST_V6 if ":" in address else menus.ADDRESS_LIST
    fields: Fields = (("disabled", "no"), ("timeout", duration_text(timeout_s))) if timeout_s else (("disabled", "no"),)
    return Wanted(menu, (("list", name), ("address", address)), fields, line.tag)


def _queue(line: Line, addresses: tuple[str, ...], rate_limit: str, style: Style) -> Wanted:
    limit = parse(rate_limit)
    none = Pair(0, 0)
    burst_time = limit.burst_time_s or none
    fields: Fields = (
        ("target", ",".join(addresses)),
        ("max-limit", _pair(limit.rate_bps)),
        ("limit-at", _pair(limit.minimum_bps or none)),
        ("burst-limit", _pair(limit.burst_bps or none)),
        ("burst-threshold", _pair(limit.threshold_bps or none)),
        ("burst-time", f"{burst_time.up}s/{burst_time.down}s"),
        ("priority", f"{limit.priority}/{limit.priority}"),
        ("parent", style.parent_queue or "none"),
        ("disabled", "no"),
    )
    if style.queue_type:
        fields += (("queue", f"{style.queue_type}/{style.queue_type}"),)
    name = line.queue or f"{menus.OWN_NAME}{line.service_id}-{line.username}"
    before: Fields = (("name", style.queue_before),) if style.queue_before else ()
    return Wanted(menus.QUEUE, (("name", name),), fields, line.tag, before=before)


def _pair(rates: Pair) -> str:
    return f"{_rate(rates.up)}/{_rate(rates.down)}"


def _rate(bps: int) -> str:
    if bps and bps % 10**6 == 0:
        return f"{bps // 10**6}M"
    return f"{bps // 1000}k" if bps else "0"
