"""The order of items while a plan is made: where each stands after the commands so far, so that each can go back."""

from __future__ import annotations

from collections.abc import Sequence

from policy.routeros.menus import menu_of
from policy.routeros.objects import Item
from policy.routeros.reading import Reading


class Places:
    """The order in menus where it counts."""

    def __init__(self, reading: Reading) -> None:
        """As it was read."""
        self._reading = reading
        self._orders: dict[str, list[str]] = {}

    def in_order(self, path: str, items: Sequence[Item | None]) -> bool:
        """Whether these stand one after the other; None, and what is not there, is left out."""
        known = [item.id for item in items if item is not None]
        if len(known) < 2 or not menu_of(path).ordered:
            return True
        if path in self._orders:
            order = self._orders[path]
            places = [order.index(one) for one in known if one in order]
        else:
            ranks = self._reading.ranks(path)
            places = [ranks[one] for one in known if one in ranks]
        return places == sorted(places)

    def following(self, item: Item) -> Item | None:
        """The next item that was there before the plan, None at the end and where order means nothing."""
        if not menu_of(item.menu).ordered:
            return None
        order, items = self._order(item.menu), self._reading.order(item.menu)
        if item.id not in order:
            return None
        return next((items[one] for one in order[order.index(item.id) + 1 :] if one), None)

    def put(self, path: str, item_id: str, before: Item | None) -> None:
        """An item, new ("") or moved, now stands before another, or at the end."""
        if not menu_of(path).ordered:
            return
        order = self._order(path)
        if item_id and item_id in order:
            order.remove(item_id)
        place = order.index(before.id) if before is not None and before.id in order else len(order)
        order.insert(place, item_id)

    def gone(self, item: Item) -> None:
        """An item is removed."""
        if menu_of(item.menu).ordered and item.id in self._order(item.menu):
            self._order(item.menu).remove(item.id)

    def _order(self, path: str) -> list[str]:
        if path not in self._orders:
            self._orders[path] = list(self._reading.order(path))
        return self._orders[path]
