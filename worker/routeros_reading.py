"""What to read of a router: no more than some services need, and a whole menu only where that is cheaper."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from network.routeros.verbs import Query
from policy.routeros import menus
from policy.routeros.cuts import Cut
from policy.routeros.objects import Wanted, tagged
from policy.routeros.reading import asked_by
from policy.routeros.wanted import Line, menus_of

# A router looks at each value for each of its items: for more services than this the whole menu is read instead.
ASKED_FOR_MAXIMUM = 60
# What only some releases, or routers with some packages, have.
OPTIONAL = frozenset(
    {menus.ADDRESS_LIST_V6, menus.CONNECTION_V6, menus.HOTSPOT_USER, menus.HOTSPOT_ACTIVE, menus.HOTSPOT_COOKIE}
)
_CONNECTIONS = (menus.CONNECTION, menus.CONNECTION_V6)


def queries(services: Sequence[tuple[Line, tuple[Wanted, ...]]]) -> list[Query]:
    """What stands on a router under the names of these items, and what carries the tags of these services."""
    whole: set[str] = set()
    tags: dict[str, set[str]] = defaultdict(set)
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line, items in services:
        for menu in menus_of(line):
            tags[menu].add(tagged(line.tag))
        for item in items:
            if item.before:
                whole.add(item.menu)  # a part of a menu has no order that would tell where an item stands
            for name, text in asked_by(item):
                names[item.menu, name].add(text)
    asked = {*tags, *(menu for menu, _ in names)}
    whole = asked if len(services) > ASKED_FOR_MAXIMUM else whole
    found = [_query(menu) for menu in sorted(whole)]
    found += [_query(menu, "comment", texts) for menu, texts in sorted(tags.items()) if menu not in whole]
    return found + [_query(*place, texts) for place, texts in sorted(names.items()) if place[0] not in whole]


def cut_queries(wanted: Iterable[Cut]) -> list[Query]:
    """The live rows that these cuts may mean. Connections have a port in their address, so all are read."""
    names: dict[tuple[str, str], set[str]] = defaultdict(set)
    tracked = set()
    for cut in wanted:
        if cut.menu in _CONNECTIONS:
            tracked.add(cut.menu)
            continue
        for name, text in cut.fields:
            names[cut.menu, name].add(text)
    found = [
        _query(menu, name, texts) if len(texts) <= ASKED_FOR_MAXIMUM else _query(menu)
        for (menu, name), texts in sorted(names.items())
    ]
    addresses = ("src-address", "dst-address")
    return found + [Query(menu=menu, fields=addresses, optional=menu in OPTIONAL) for menu in sorted(tracked)]


def _query(menu: str, name: str = "", texts: Iterable[str] = ()) -> Query:
    where = ((name, tuple(sorted(texts))),) if name else ()
    return Query(menu=menu, where=where, optional=menu in OPTIONAL)
