"""The order of items while a plan is made: where each stands after the commands so far, so that each can go back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from policy.routeros.menus import agrees, menu_of
from policy.routeros.objects import Fields, Item


class Places:
    """The order in menus where it counts. What the router made itself is left out: nothing is put before it."""

    def __init__(self, observed: Mapping[str, Sequence[Item]]) -> None:
        """As it was read."""
        kept = {path: [item for item in items if not item.dynamic] for path, items in observed.items()}
        self._order = {path: [item.id for item in items] for path, items in kept.items() if menu_of(path).ordered}
        self._items = {path: {item.id: item for item in kept[path]} for path in self._order}

    def found(self, path: str, fields: Fields) -> Item | None:
        """The first item with these fields, None where there is none or nothing is asked for."""
        if not fields:
            return None
        return next((item for item in self._items.get(path, {}).values() if agrees(item, fields)), None)

    def in_order(self, path: str, items: Sequence[Item | None]) -> bool:
        """Whether these stand one after the other; None is left out."""
        order = self._order.get(path, [])
        places = [order.index(item.id) for item in items if item is not None and item.id in order]
        return places == sorted(places)

    def following(self, item: Item) -> Item | None:
        """The next item that was there before the plan, None at the end."""
        order = self._order.get(item.menu, [])
        if item.id not in order:
            return None
        later = order[order.index(item.id) + 1 :]
        return next((self._items[item.menu][one] for one in later if one), None)

    def put(self, path: str, item_id: str, before: Item | None) -> None:
        """An item, new ("") or moved, now stands before another, or at the end."""
        order = self._order.get(path)
        if order is None:
            return
        if item_id in order and item_id:
            order.remove(item_id)
        place = order.index(before.id) if before is not None and before.id in order else len(order)
        order.insert(place, item_id)

    def gone(self, item: Item) -> None:
        """An item is removed."""
        order = self._order.get(item.menu, [])
        if item.id in order:
            order.remove(item.id)
