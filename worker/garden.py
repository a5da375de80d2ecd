"""The walled garden of a router: its rules looked at, written in order, and read back."""

from __future__ import annotations

from typing import NamedTuple

from network.routeros.connection import Connection
from network.routeros.verbs import Applied, Query, apply, observe
from policy.routeros import menus
from policy.routeros.difference import difference, proved
from policy.routeros.garden import Garden, garden_items, misplaced, placed, removal_items
from policy.routeros.objects import Item, Plan, Wanted

MENUS = (menus.FILTER, menus.NAT, menus.ADDRESS_LIST)


class Tended(NamedTuple):
    """What came of writing: the commands with their outcomes, and what is still not as it should be, in sentences."""

    applied: Applied
    wrong: tuple[str, ...]


async def plan_garden(connection: Connection, garden: Garden | None) -> Plan:
    """What leads to the garden's rules standing where they help; None: to none of ours. Raises RouterosError."""
    observed = await _observe(connection)
    return difference(_items(garden, observed), observed)


async def write_garden(connection: Connection, garden: Garden | None, plan: Plan) -> Tended:
    """Carry out what `plan_garden` said, and read back. Raises RouterosError where it cannot be read."""
    applied = await apply(connection, plan)
    observed = await _observe(connection)
    return Tended(applied, (*proved(_items(garden, observed), observed), *misplaced(observed)))


def _items(garden: Garden | None, observed: dict[str, tuple[Item, ...]]) -> tuple[Wanted, ...]:
    return removal_items() if garden is None else placed(garden_items(garden), observed)


async def _observe(connection: Connection) -> dict[str, tuple[Item, ...]]:
    """Rules whole, for their order counts; of lists what is ours alone."""
    queries = [Query(menu=menu, present=("comment",) if menu == menus.ADDRESS_LIST else ()) for menu in MENUS]
    return {menu: items or () for menu, items in (await observe(connection, queries)).items()}
