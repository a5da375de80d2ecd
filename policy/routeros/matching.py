"""Which item of a router is which wanted one; what is in the way, and what is ours and not wanted any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from policy.errors import PolicyError
from policy.routeros.menus import agrees, menu_of, ours, touchable, value
from policy.routeros.objects import Conflict, Fields, Item, Wanted
from policy.routeros.reading import Reading
from policy.routeros.values import address, words
from policy.wording import short


class Match(NamedTuple):
    """A wanted item with the one that becomes it; None: it has to be made."""

    wanted: Wanted
    item: Item | None


class Matched(NamedTuple):
    """What a plan is made of: what should be, what goes, and what stands in the way."""

    matches: list[Match]
    gone: list[Item]
    conflicts: list[Conflict]


def match(wanted: Iterable[Wanted], reading: Reading, *, adopt: bool) -> Matched:
    """Find each wanted item: by key, or as the item of the same tag whose key has changed."""
    return _Matching(reading, adopt=adopt).run(list(dict.fromkeys(wanted)))


def called(path: str, key: Fields) -> str:
    """An item in words, such as PPP secret 'anna'."""
    menu = menu_of(path)
    named = " ".join(repr(short(text)) for name, text in key if name != "comment" or len(key) == 1)
    return f"{menu.noun or path} {named}".rstrip()


def named_by(item: Item) -> Fields:
    """The fields that find an item in a terminal: its menu's key, with our tag where others may have the same key."""
    menu = menu_of(item.menu)
    names = menu.key or ("comment",)
    if menu.key and not menu.renamed and item.tag:
        names = (*names, "comment")
    return tuple((name, value(item.menu, item.fields, name)) for name in names if name in item.fields)


class _Matching:
    def __init__(self, reading: Reading, *, adopt: bool) -> None:
        self._reading = reading
        self._adopt = adopt
        self._claimed: set[tuple[str, str]] = set()
        self._found = Matched([], [], [])

    def run(self, wanted: list[Wanted]) -> Matched:
        missing = [one for one in wanted if not self._settled(one)]
        for one in missing:
            self._found.matches.append(Match(one, self._spare(one)))
        # Commands come in the order in which things were wanted.
        rank = {one: place for place, one in enumerate(wanted)}
        self._found.matches.sort(key=lambda match: rank[match.wanted])
        tags = {one.tag for one in wanted if one.tag}
        tagged = self._reading.of_tags(sorted(tags))
        self._found.gone.extend(item for item in tagged if (item.menu, item.id) not in self._claimed)
        return self._found

    def _settled(self, one: Wanted) -> bool:
        """Whether a wanted item was found, is in the way, or is absent as it should be."""
        items = self._items(one)
        mine = [item for item in items if touchable(item) and self._is_of(item, one)]
        if not one.present:
            self._without(one, mine, items)
            return True
        if mine:
            self._claim(one, min(mine, key=lambda item: (not agrees(item, one.fields), item.dynamic)))
            return True
        if not items:
            return False
        kept = [item for item in items if touchable(item)]
        if not kept:
            # The router made it itself. As an entry of a list it does what is wanted, and there can be no second one.
            return not menu_of(one.menu).renamed
        if self._adopt:
            self._claim(one, kept[0])
        elif not any(agrees(item, one.fields) for item in items):
            self._found.conflicts.append(Conflict(one, kept[0], _in_the_way(one, kept[0])))
        return True

    def _without(self, one: Wanted, mine: list[Item], items: list[Item]) -> None:
        foreign = [item for item in items if touchable(item) and item not in mine]
        if self._adopt:
            mine, foreign = mine + foreign, []
        for item in mine:
            if (item.menu, item.id) not in self._claimed:
                self._claimed.add((item.menu, item.id))
                self._found.gone.append(item)
        self._found.conflicts.extend(Conflict(one, item, _in_the_way(one, item)) for item in foreign)

    def _claim(self, one: Wanted, item: Item) -> None:
        self._claimed.add((item.menu, item.id))
        self._found.matches.append(Match(one, item))

    def _spare(self, one: Wanted) -> Item | None:
        """Another item of the same tag, whose key has changed: it is the same thing under a new name."""
        if not menu_of(one.menu).renamed or not one.key:
            return None
        for item in self._reading.tagged(one.menu, one.tag):
            if (item.menu, item.id) not in self._claimed:
                self._claimed.add((item.menu, item.id))
                return item
        return None

    def _is_of(self, item: Item, one: Wanted) -> bool:
        return item.tag == one.tag != "" if menu_of(one.menu).comments else ours(item)

    def _items(self, one: Wanted) -> list[Item]:
        if not one.key:
            return self._reading.tagged(one.menu, one.tag)
        return self._reading.keyed(one.menu, one.key) or self._rivals(one)

    def _rivals(self, one: Wanted) -> list[Item]:
        """What others made for the same customer under another key, such as a queue on the same address.

        What is ours is no rival: its own service sees to it.
        """
        rivals = menu_of(one.menu).rivals
        if not rivals or not one.present or self._reading.tagged(one.menu, one.tag):
            return []
        same = tuple((name, text) for name, text in one.fields if name in rivals and _are_addresses(text))
        found = self._reading.keyed(one.menu, same) if len(same) == len(rivals) else []
        return [item for item in found if touchable(item) and not ours(item)]


def _are_addresses(text: str) -> bool:
    """A pool's name stands where an address may; many may have it."""
    try:
        return bool([address(part) for part in words(text)])
    except PolicyError:
        return False


def _in_the_way(one: Wanted, item: Item) -> str:
    name = called(item.menu, named_by(item))
    whose = f"belongs to {item.tag}" if item.tag else "is not ours"
    if one.present:
        return f"The {name} is there already and {whose}; adopt it, or rename or remove it on the router."
    return f"The {name} should not be there, but {whose}; remove it on the router, or adopt it."
