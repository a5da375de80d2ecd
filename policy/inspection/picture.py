"""One look at a router, put together; and the style in which its things are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from policy.facts import Method
from policy.inspection.found import CONFIGURATION, SETTINGS, Device, FoundService, Observed, Picture
from policy.inspection.oddities import oddities
from policy.inspection.services import found, is_storable
from policy.routeros import menus
from policy.routeros.menus import value
from policy.routeros.objects import Item
from policy.routeros.style import Style, Way, style_document


def picture(device: Device, observed: Mapping[str, Sequence[Item] | None], plan_lists: Collection[str] = ()) -> Picture:
    """What a router holds. A menu of None is not there. `plan_lists`: the address lists that belong to what is sold."""
    known = {path: items for path, items in observed.items() if items is not None}
    plans, services = found(known, plan_lists)
    return Picture(
        device=device,
        settings={path: [dict(item.fields) for item in known.get(path, ())] for path in SETTINGS},
        plans=plans,
        services=services,
        lists=dict(Counter(item.fields.get("list", "") for item in known.get(menus.ADDRESS_LIST, ()))),
        counts=_counts(known),
        oddities=oddities(known, plans, services, [path for path, items in observed.items() if items is None]),
        style=style_document(found_style(known, services)),
    )


def found_style(observed: Observed, services: Sequence[FoundService]) -> Style:
    """The style that writes what stands there already."""
    secrets = {value(item.menu, item.fields, "service") for item in observed.get(menus.PPP_SECRET, ())}
    queues = {one.queue for one in services if one.queue}
    parents = Counter(
        value(item.menu, item.fields, "parent")
        for item in observed.get(menus.QUEUE, ())
        if not item.dynamic and item.fields.get("name", "") in queues
    )
    parent = parents.most_common(1)[0][0] if parents else "none"
    return Style(
        ppp=_way(services, Method.PPPOE, Way.PROFILE),
        hotspot=_way(services, Method.HOTSPOT, Way.PROFILE),
        dhcp=_way(services, Method.DHCP, Way.LEASE),
        ppp_service="pppoe" if secrets <= {"pppoe"} else "",
        parent_queue=parent if parent != "none" and is_storable(parent) else "",
    )


def _way(services: Sequence[FoundService], method: Method, usual: Way) -> Way:
    """By queue, where somebody has one or is in a list by address: both need the address and no profile of ours."""
    own = any(one.method == method and (one.queue or (one.lists and usual != Way.LEASE)) for one in services)
    return Way.QUEUE if own else usual


def _counts(observed: Observed) -> dict[str, int]:
    """How many items there are, and how many of them the router made itself."""
    counts: dict[str, Any] = {}
    for path in CONFIGURATION:
        items = observed.get(path, ())
        counts[path] = sum(not item.dynamic for item in items)
        if made := sum(item.dynamic for item in items):
            counts[f"{path} dynamic"] = made
    return counts
