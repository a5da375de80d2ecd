"""What was read of a router, with what finds an item in it: made once for the many services of one reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

from policy.errors import PolicyError
from policy.routeros.menus import agrees, canonical_key, field_of, menu_of, touchable, value
from policy.routeros.objects import Fields, Item, Wanted
from policy.routeros.values import Kind, address, words

Observed = Mapping[str, Sequence[Item]]


class Reading(Observed):
    """Items by menu, as they were read; what finds them is made when it is first asked for. Not to be changed."""

    def __init__(self, observed: Observed) -> None:
        """Of every item of each menu that was read, in the router's order."""
        self._observed = observed
        self._keyed: dict[tuple[str, tuple[str, ...]], dict[Hashable, list[Item]]] = {}
        self._firsts: dict[tuple[str, Fields], Item | None] = {}
        self._orders: dict[str, dict[str, Item]] = {}
        self._ids: dict[str, dict[str, Item]] = {}
        self._ranks: dict[str, dict[str, int]] = {}
        self._tagged: dict[str, dict[str, list[Item]]] = defaultdict(lambda: defaultdict(list))
        for path, items in observed.items():
            if menu_of(path).comments:
                for item in items:
                    if item.tag and touchable(item):
                        self._tagged[item.tag][path].append(item)

    def __getitem__(self, path: str) -> Sequence[Item]:
        return self._observed[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._observed)

    def __len__(self) -> int:
        return len(self._observed)

    def item(self, path: str, item_id: str) -> Item | None:
        """An item by its id."""
        if path not in self._ids:
            self._ids[path] = {item.id: item for item in self._observed.get(path, ())}
        return self._ids[path].get(item_id)

    def of_tags(self, tags: Iterable[str]) -> Iterator[Item]:
        """Everything that carries one of these tags."""
        for tag in tags:
            for items in self._tagged.get(tag, {}).values():
                yield from items

    def tagged(self, path: str, tag: str) -> list[Item]:
        """The items of a menu that carry a tag; none for no tag."""
        return self._tagged.get(tag, {}).get(path, []) if tag else []

    def keyed(self, path: str, key: Fields) -> list[Item]:
        """The items of a menu with these fields, as values."""
        names = tuple(name for name, _ in key)
        index = self._keyed.get((path, names))
        if index is None:
            index = self._keyed[path, names] = defaultdict(list)
            for item in self._observed.get(path, ()):
                own = tuple((name, value(path, item.fields, name)) for name in names)
                index[canonical_key(path, own)].append(item)
        return index.get(canonical_key(path, key), [])

    def order(self, path: str) -> dict[str, Item]:
        """The items that stand in order, by id; what the router made itself is left out, nothing is put before it."""
        if path not in self._orders:
            self._orders[path] = {item.id: item for item in self._observed.get(path, ()) if not item.dynamic}
        return self._orders[path]

    def ranks(self, path: str) -> dict[str, int]:
        """How many stand before each of them."""
        if path not in self._ranks:
            self._ranks[path] = {item_id: place for place, item_id in enumerate(self.order(path))}
        return self._ranks[path]

    def first(self, path: str, fields: Fields) -> Item | None:
        """The first item in order with these fields, None where there is none or nothing is asked for."""
        if fields and (path, fields) not in self._firsts:
            found = (item for item in self.order(path).values() if agrees(item, fields))
            self._firsts[path, fields] = next(found, None)
        return self._firsts.get((path, fields))


def asked_by(wanted: Wanted) -> Fields:
    """Fields for a reading of only a part of a menu: each finds what may be this item, or be in its way.

    Texts are as a router prints them. An item with `before` needs the whole menu: order is seen there alone.
    """
    rivals = [pair for pair in wanted.fields if pair[0] in menu_of(wanted.menu).rivals]
    return (*wanted.key[-1:], *((name, _printed(wanted.menu, name, text)) for name, text in rivals))


def reading_of(observed: Observed) -> Reading:
    """The same as a reading; one that is a reading already stays it."""
    return observed if isinstance(observed, Reading) else Reading(observed)


def _printed(path: str, name: str, text: str) -> str:
    """Targets of a queue are networks, a single address too."""
    if field_of(path, name).kind != Kind.ADDRESSES:
        return text
    try:
        return ",".join(address(part) for part in words(text))
    except PolicyError:
        return text
