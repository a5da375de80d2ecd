"""Looks at a whole router, read only: what it says of itself, its settings, and everything that customers have."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from network.routeros.connection import Connection
from network.routeros.errors import NotPermittedError
from network.routeros.health import health
from network.routeros.keeper import Keeper
from network.routeros.target import RouterTarget
from network.routeros.verbs import Query, observe
from policy.errors import PolicyError
from policy.inspection.found import CONFIGURATION, SETTINGS, Device
from policy.routeros.menus import columns
from policy.routeros.objects import Item
from policy.routeros.values import Version, version


class Look(NamedTuple):
    """What one look at a router saw. Items may hold customers' passwords, so nobody prints them."""

    device: Device
    observed: dict[str, tuple[Item, ...] | None]

    def __repr__(self) -> str:
        """Never shows an item."""
        return f"Look({self.device!r}, {len(self.observed)} menus)"


async def look(target: RouterTarget) -> Look:
    """Read a router. Raises RouterosError; nothing is changed in any case."""
    async with Keeper() as keeper, keeper.connection(target) as connection:
        facts = await health(connection)
        release = _release(facts.version)
        asked = [Query(menu=path, fields=fields, optional=True) for path, fields in SETTINGS.items()]
        # By name: what else these menus have are counters, which take a router long.
        asked += [Query(menu=path, fields=columns(path, release)[1:], optional=True) for path in CONFIGURATION]
        found = await asyncio.gather(*[_read(connection, query) for query in asked])
        device = Device(facts.identity, facts.version, facts.board, facts.architecture)
        return Look(device, {query.menu: items for query, items in zip(asked, found, strict=True)})


async def _read(connection: Connection, query: Query) -> tuple[Item, ...] | None:
    try:
        return (await observe(connection, [query]))[query.menu]
    except NotPermittedError:
        return None


def _release(text: str) -> Version:
    try:
        return version(text)
    except PolicyError:
        return Version(6, 0)
