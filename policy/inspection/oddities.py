"""What is unusual on a router that is in use: shown to a person, never dropped."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from policy.errors import PolicyError
from policy.inspection.found import FoundPlan, FoundService, Observed, Oddity
from policy.inspection.services import is_off, one_host
from policy.inspection.speeds import speed_of
from policy.routeros import menus
from policy.routeros.matching import called
from policy.routeros.menus import value
from policy.routeros.objects import Item
from policy.routeros.values import boolean, words

_SPEEDS = (menus.PPP_PROFILE, menus.HOTSPOT_PROFILE, menus.LEASE, menus.QUEUE)
_NAMED = (menus.PPP_SECRET, menus.HOTSPOT_USER, menus.QUEUE)


def oddities(
    observed: Observed, plans: Sequence[FoundPlan], services: Sequence[FoundService], missing: Iterable[str]
) -> tuple[Oddity, ...]:
    """Everything unusual, the most weighty first. `missing` are menus that this router or our user does not have."""
    found = [
        *_open_api(observed),
        *_radius(observed, services),
        *_names(observed),
        *_doubles(services),
        *_speeds(observed),
        *_queues(observed, services),
        *_addresses(observed, services),
        *_comments(services),
        *_off(observed),
        *_unused(plans),
    ]
    if absent := tuple(sorted(missing)):
        found.append(Oddity("not_readable", "These menus are not there, or our user may not read them.", absent))
    return tuple(found)


def is_on(items: Sequence[Item], field: str) -> bool:
    """Whether a setting of a menu's first row is switched on."""
    try:
        return bool(items) and boolean(items[0].fields.get(field, "no"))
    except PolicyError:
        return False


def name_of(item: Item) -> str:
    """An item in words, such as PPP secret 'anna'."""
    menu = menus.menu_of(item.menu)
    key = tuple((name, value(item.menu, item.fields, name)) for name in menu.key if name in item.fields)
    return called(item.menu, key)


def _open_api(observed: Observed) -> Iterator[Oddity]:
    # What is connected is listed there too, by newer releases.
    kept = {item.fields.get("name", ""): item for item in reversed(observed.get("/ip/service", ())) if not item.dynamic}
    for name, item in kept.items():
        if name not in ("api", "api-ssl") or is_off(item) or item.fields.get("address"):
            continue
        said = f"The service {name} takes connections from every address; give it those that may."
        yield Oddity(f"open_{name.replace('-', '_')}", said, (f"port {item.fields.get('port', '?')}",))


def _radius(observed: Observed, services: Sequence[FoundService]) -> Iterator[Oddity]:
    servers = [one for one in observed.get("/radius", ()) if not is_off(one)]
    ppp = is_on(observed.get("/ppp/aaa", ()), "use-radius")
    hotspot = any(is_on([one], "use-radius") for one in observed.get("/ip/hotspot/profile", ()))
    for uses, menu, what in ((ppp, menus.PPP_SECRET, "PPP secrets"), (hotspot, menus.HOTSPOT_USER, "hotspot users")):
        names = tuple(one.username for one in services if one.menu == menu)
        if uses and names:
            yield Oddity("local_beside_radius", f"RADIUS is on, and these {what} are asked before it.", names)
    if (ppp or hotspot) and not servers:
        yield Oddity("radius_without_server", "RADIUS is on, but no server is set in /radius.")
    if servers and not is_on(observed.get("/radius/incoming", ()), "accept"):
        yield Oddity("no_incoming_coa", "A RADIUS server is set, but /radius incoming does not accept CoA.")


def _names(observed: Observed) -> Iterator[Oddity]:
    broken = tuple(
        name_of(item)
        for path in _NAMED
        for item in observed.get(path, ())
        if any("\ud800" <= letter <= "\udfff" for letter in item.fields.get("name", ""))
    )
    if broken:
        yield Oddity("not_utf8", "These names are not valid UTF-8; rename them on the router.", broken)


def _doubles(services: Sequence[FoundService]) -> Iterator[Oddity]:
    names: dict[str, set[str]] = defaultdict(set)
    addresses: dict[str, list[str]] = defaultdict(list)
    for one in services:
        names[one.username].add(one.menu)
        if one.address:
            addresses[one.address].append(one.username)
    twice = tuple(f"{name} ({', '.join(sorted(found))})" for name, found in names.items() if len(found) > 1)
    if twice:
        yield Oddity("same_name", "These names are in more than one menu.", twice)
    shared = tuple(f"{address} ({', '.join(found)})" for address, found in addresses.items() if len(found) > 1)
    if shared:
        yield Oddity("same_address", "These addresses belong to more than one customer.", shared)


def _speeds(observed: Observed) -> Iterator[Oddity]:
    found = []
    for path in _SPEEDS:
        for item in observed.get(path, ()):
            _, shown, wrong = speed_of(item) if not item.dynamic else ("", "", "")
            if wrong:
                found.append(f"{name_of(item)}: {shown}")
    if found:
        yield Oddity("unreadable_rate", "These rate limits cannot be read; they are left as they are.", tuple(found))


def _queues(observed: Observed, services: Sequence[FoundService]) -> Iterator[Oddity]:
    used = {one.queue for one in services if one.queue}
    lonely, wide = [], []
    known = {one.address for one in services if one.menu != menus.QUEUE and one.address}
    for item in observed.get(menus.QUEUE, ()):
        if item.dynamic:
            continue
        targets = words(value(item.menu, item.fields, "target"))
        address = one_host(targets[0]) if len(targets) == 1 else ""
        if not address and item.fields.get("name", "") not in used:
            wide.append(f"{item.fields.get('name', '')} ({', '.join(targets) or 'no target'})")
        elif address not in known:
            lonely.append(f"{item.fields.get('name', '')} ({address})")
    if lonely:
        said = "These queues are for an address that no secret, user or lease has: static customers, or left over."
        yield Oddity("queue_without_secret", said, tuple(lonely))
    if wide:
        yield Oddity("queue_of_many", "These queues are for no single address, so for no one customer.", tuple(wide))


def _addresses(observed: Observed, services: Sequence[FoundService]) -> Iterator[Oddity]:
    ranges = [one for item in observed.get("/ip/pool", ()) for one in _ranges(item.fields.get("ranges", ""))]
    if not ranges:
        return
    inside: list[str] = []
    outside: list[str] = []
    for one in services:
        if one.address and ":" not in one.address:
            number = int(ipaddress.IPv4Address(one.address))
            is_inside = any(first <= number <= last for first, last in ranges)
            (inside if is_inside else outside).append(f"{one.username} ({one.address})")
    if outside:
        yield Oddity("outside_pools", "These fixed addresses are in no pool.", tuple(outside))
    if inside:
        yield Oddity("inside_pools", "These fixed addresses are in a pool, which may give them away.", tuple(inside))


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    for part in words(text):
        first, _, last = part.partition("-")
        try:
            if "/" in first:
                network = ipaddress.IPv4Network(first, strict=False)
                yield int(network.network_address), int(network.broadcast_address)
            else:
                yield int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last or first))
        except ValueError:
            continue


def _comments(services: Sequence[FoundService]) -> Iterator[Oddity]:
    bare = tuple(one.username for one in services if not one.comment and not one.tag)
    if bare:
        yield Oddity("no_comment", "These have no comment, so nothing says whose they are.", bare)


def _off(observed: Observed) -> Iterator[Oddity]:
    found = tuple(
        name_of(item)
        for path in (*_NAMED, menus.LEASE)
        for item in observed.get(path, ())
        if not item.dynamic and is_off(item)
    )
    if found:
        yield Oddity("disabled", "These are disabled.", found)


def _unused(plans: Sequence[FoundPlan]) -> Iterator[Oddity]:
    found = tuple(one.name for one in plans if not one.services and not one.name.startswith("default"))
    if found:
        yield Oddity("unused_profile", "Nobody has these profiles.", found)
