"""Takes our marks off a router's items, and nothing else: what stands there stays, and is not ours any more."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from network.routeros.connection import Connection
from network.routeros.keeper import Keeper
from network.routeros.target import RouterTarget
from network.routeros.verbs import Query, apply_all, observe
from policy.routeros import menus
from policy.routeros.matching import called, named_by
from policy.routeros.objects import Change, Command, Item, Plan, Verb, untagged

_MENUS: Final = (
    menus.PPP_SECRET,
    menus.HOTSPOT_USER,
    menus.HOTSPOT_BINDING,
    menus.LEASE,
    menus.QUEUE,
    menus.ADDRESS_LIST,
    menus.ADDRESS_LIST_V6,
)


async def release(target: RouterTarget, tags: Collection[str]) -> tuple[int, list[str]]:
    """Take these marks away. Returns how many items had one, and which still have, after reading them back.

    Raises RouterosError; done again it goes on where it stood.
    """
    async with Keeper() as keeper, keeper.connection(target) as connection:
        found = await _marked(connection, tags)
        await apply_all(connection, [Plan((_released(item),)) for item in found])
        left = await _marked(connection, tags)
        return len(found), [called(item.menu, named_by(item)) for item in left]


async def _marked(connection: Connection, tags: Collection[str]) -> list[Item]:
    known = frozenset(tags)
    queries = [
        Query(menu=path, fields=(*menus.menu_of(path).key, "comment", "dynamic"), present=("comment",), optional=True)
        for path in _MENUS
    ]
    observed = await observe(connection, queries)
    return [item for items in observed.values() for item in items or () if item.tag in known]


def _released(item: Item) -> Change:
    key = named_by(item)
    comment = item.fields.get("comment", "")
    command = Command(Verb.SET, item.menu, key, (("comment", untagged(comment)),), item.id)
    undo = Command(Verb.SET, item.menu, key, (("comment", comment),), item.id)
    return Change(command, undo, f"the {called(item.menu, key)} is not ours any more")
