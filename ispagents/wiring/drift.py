"""Comparing and mending by whoever asks: the worker's part for one router, with the worker's rights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ispagents.database import Databases
from network.routeros.keeper import Keeper
from sql.drift_healing import Healable, heal_all
from sql.models import Router
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for
from worker.drift import AT_ONCE, Drift, Ran


def run(databases: Databases, box: SecretBox, operator_id: int, router_ids: Sequence[int]) -> list[Ran]:
    """Compare these routers, a few at once; in their order."""

    async def ran() -> list[Ran]:
        async with _drift(databases, box) as drift:
            slots = asyncio.Semaphore(AT_ONCE)

            async def one(router_id: int) -> Ran | None:
                async with slots:
                    return await drift.run(operator_id, router_id)

            found = await asyncio.gather(*[one(router_id) for router_id in router_ids])
            return [each for each in found if each is not None]

    return asyncio.run(ran())


def fix(databases: Databases, box: SecretBox, operator_id: int, number: int, *, actor: str) -> str:
    """Take what a finding proposes; a sentence about what was done. Raises Refused and NotFound."""

    async def fixed() -> str:
        async with _drift(databases, box) as drift:
            return await drift.fix(operator_id, number, actor=actor)

    return asyncio.run(fixed())


def heal(
    databases: Databases,
    box: SecretBox,
    operator_id: int,
    router_id: int,
    seen: Healable,
    *,
    actor: str,
) -> list[str]:
    """Heal what a person saw of a router: the walled garden first, then the services. Sentences about what was done.

    Raises Refused; what was done before that stays done, and finds nothing to do another time.
    """
    said = [f"Finding {number}: {fix(databases, box, operator_id, number, actor=actor)}" for number in seen.garden]
    engine = databases.engine(Role.WORKER, pool=1)
    try:
        with acting_for(engine, operator_id) as session:
            count = heal_all(session, session.get_one(Router, router_id), seen.services, actor=actor)
    finally:
        engine.dispose()
    if seen.services:
        said.append(f"The change engine writes {count} services anew now; the next run closes what is mended.")
    return said


def undo(databases: Databases, box: SecretBox, operator_id: int, number: int, *, actor: str) -> str:
    """Take back what `fix` sent for a finding; a sentence about it. Raises Refused and NotFound."""

    async def undone() -> str:
        async with _drift(databases, box) as drift:
            return await drift.undo(operator_id, number, actor=actor)

    return asyncio.run(undone())


@asynccontextmanager
async def _drift(databases: Databases, box: SecretBox) -> AsyncIterator[Drift]:
    engine = databases.engine(Role.WORKER, pool=1)
    try:
        async with Keeper() as keeper:
            yield Drift(engine, keeper, box)
    finally:
        engine.dispose()
