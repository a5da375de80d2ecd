"""What is ours on a router and belongs to nobody any more."""

from __future__ import annotations

import re
from collections.abc import Collection

from policy.routeros.menus import menu_of, ours, touchable
from policy.routeros.objects import Item
from policy.routeros.reading import Observed

_SERVICE = re.compile(r"service-([0-9]{1,19})")


def leftovers(observed: Observed, known_service_ids: Collection[int]) -> tuple[Item, ...]:
    """Items of services that are not among the known ones, and profiles of ours that nobody uses.

    A profile counts as used unless every menu that may refer to it was read.
    """
    orphans = tuple(
        item
        for path, items in observed.items()
        if menu_of(path).comments
        for item in items
        if touchable(item) and _is_orphan(item, known_service_ids)
    )
    return orphans + _unused(observed, orphans)


def service_of(item: Item) -> int | None:
    """The id of the service that an item is for, or None."""
    match = _SERVICE.fullmatch(item.tag)
    return int(match[1]) if match else None


def _is_orphan(item: Item, known_service_ids: Collection[int]) -> bool:
    service_id = service_of(item)
    return service_id is not None and service_id not in known_service_ids


def _unused(observed: Observed, orphans: tuple[Item, ...]) -> tuple[Item, ...]:
    """Profiles that are used by what goes as well are free too: it goes first."""
    going = {(item.menu, item.id) for item in orphans}
    found: list[Item] = []
    for path, items in observed.items():
        menu = menu_of(path)
        if menu.comments or not menu.used_by or any(user not in observed for user, _ in menu.used_by):
            continue
        names = {
            item.fields.get(field, "")
            for user, field in menu.used_by
            for item in observed[user]
            if (item.menu, item.id) not in going
        }
        found += [item for item in items if ours(item) and item.fields.get("name", "") not in names]
    return tuple(found)
