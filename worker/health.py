"""Looks at every router once a minute, a bounded number at once, and never at one twice at the same time.

RADIUS and CoA are judged by what comes from routers anyway; the API is asked. Nothing waits for a router here: looks
are tasks of their own, and what they saw is stored together, a transaction for each operator.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from network.routeros.errors import RouterosError
from network.routeros.health import RouterFacts, health
from network.routeros.keeper import Keeper
from policy.health import Counters, Seen, State, Told, how_it_is
from sql.router_checks import (
    PRUNED_AT_ONCE,
    Due,
    Looked,
    check_signs,
    claim_checks,
    prune_hours,
    routers_to_check,
    store_looks,
)
from sql.secrets import SecretBox
from sql.sessions import acting_for, database_time, operator_names
from worker.configure import Reached, reach
from worker.threads import Lane, in_lane

log = structlog.get_logger("worker.health")

EVERY_S = 60.0
LOOK_S = 1.0
# Dead routers hold theirs for as long as patience lasts: with 32, a hundred of them delay the others by no minute.
SLOTS = 32
# Routers begun in one look: after a start 200 are spread over half the minute, and stay so.
AT_ONCE = 8
PATIENCE_S = 15.0
# Routers of another node whose worker is down stay due, and must not hide ours.
LOOKED_THROUGH = 1000
SIGNS_EVERY_LOOKS = 10
PRUNE_EVERY_LOOKS = 3600


class _Saw(NamedTuple):
    operator_id: int
    router_id: int
    name: str
    facts: RouterFacts | None
    error: str = ""


class HealthWatch:
    """The clock of routers' health; `engine` is the worker role's, `keeper` must be open while it runs."""

    def __init__(self, engine: Engine, keeper: Keeper, box: SecretBox, node: str) -> None:
        """`node` is this worker's: routers of another node are asked from there."""
        self._engine = engine
        self._keeper = keeper
        self._box = box
        self._node = node
        self._running: dict[int, asyncio.Task[_Saw]] = {}
        self._looks = 0

    async def keep(self) -> None:
        """Look again and again until it is cancelled. What goes wrong is logged and tried again."""
        try:
            while True:
                try:
                    await self.look()
                except (DBAPIError, PoolTimeoutError) as error:
                    said = str(getattr(error, "orig", None) or error)
                    log.warning("routers could not be looked at; trying again", error=" ".join(said.split()))
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._running.values():
                task.cancel()

    async def look(self) -> None:
        """Store what was seen since the last look, and begin what is due by now."""
        done = [task for task in self._running.values() if task.done()]
        self._running = {router_id: task for router_id, task in self._running.items() if not task.done()}
        await self._store([task.result() for task in done])
        if self._looks % SIGNS_EVERY_LOOKS == 0:
            await in_lane(Lane.ROUTERS, self._check_signs)
        if self._looks % PRUNE_EVERY_LOOKS == 0:
            await in_lane(Lane.ROUTERS, self._prune)
        self._looks += 1
        for operator_id, router_id, reached in await in_lane(Lane.ROUTERS, self._begin, SLOTS - len(self._running)):
            self._running[router_id] = asyncio.create_task(self._ask(operator_id, router_id, reached))

    async def finish(self) -> None:
        """Wait for the looks that are under way, and store them."""
        await asyncio.gather(*self._running.values())
        done = [task.result() for task in self._running.values()]
        self._running = {}
        await self._store(done)

    def _begin(self, free: int) -> list[tuple[int, int, Reached]]:
        if free <= 0:
            return []
        with Session(self._engine) as session:
            found = routers_to_check(session, EVERY_S, LOOKED_THROUGH)
        due: dict[int, list[Due]] = defaultdict(list)
        ours = [one for one in found if one.router_id not in self._running and self._is_ours(one)]
        for one in ours[: min(free, AT_ONCE)]:
            due[one.operator_id].append(one)
        begun = []
        for operator_id, some in due.items():
            with acting_for(self._engine, operator_id) as session:
                routers = claim_checks(session, operator_id, [one.router_id for one in some], EVERY_S)
                begun += [(operator_id, router.id, reach(router, self._box)) for router in routers]
        return begun

    def _is_ours(self, due: Due) -> bool:
        return due.node in ("", self._node)

    async def _ask(self, operator_id: int, router_id: int, reached: Reached) -> _Saw:
        saw = _Saw(operator_id, router_id, reached.name, None)
        if reached.target is None:
            return saw._replace(error=reached.problem)
        try:
            async with asyncio.timeout(PATIENCE_S), self._keeper.connection(reached.target) as connection:
                return saw._replace(facts=await health(connection))
        except TimeoutError:
            where = reached.target.where
            return saw._replace(error=f"{where} did not answer within {PATIENCE_S:g} s: look at its load and the way.")
        except RouterosError as error:
            return saw._replace(error=str(error))
        except Exception as error:  # noqa: BLE001 - whatever one router says, the others are looked at
            log.error("a look at a router failed", router=reached.name, error=repr(error))
            return saw._replace(error="It answered what cannot be understood; see the worker's log.")

    async def _store(self, saw: Sequence[_Saw]) -> None:
        of_operator: dict[int, list[_Saw]] = defaultdict(list)
        for one in saw:
            of_operator[one.operator_id].append(one)
        for operator_id, some in of_operator.items():
            names = {one.router_id: one.name for one in some}
            for router_id, was, now in await in_lane(Lane.ROUTERS, self._store_some, operator_id, some):
                if now != State.ONLINE or was != State.UNKNOWN:
                    log.warning("a router's state has changed", router=names[router_id], was=was.value, now=now.value)

    def _store_some(self, operator_id: int, saw: Sequence[_Saw]) -> list[tuple[int, State, State]]:
        with acting_for(self._engine, operator_id) as session:
            now = database_time(session)
            ahead_s = (datetime.now(UTC) - now).total_seconds()  # of this machine's clock
            return store_looks(session, operator_id, [_looked(one, ahead_s) for one in saw], now)

    def _check_signs(self) -> None:
        for operator_id in operator_names(self._engine).values():
            with acting_for(self._engine, operator_id) as session:
                check_signs(session, operator_id, EVERY_S)

    def _prune(self) -> None:
        for operator_id in operator_names(self._engine).values():
            pruned = PRUNED_AT_ONCE
            while pruned == PRUNED_AT_ONCE:
                with acting_for(self._engine, operator_id) as session:
                    pruned = prune_hours(session, operator_id)


def _looked(saw: _Saw, ahead_s: float) -> Looked:
    facts = saw.facts
    if facts is None:
        return Looked(saw.router_id, Seen.FAILED, error=saw.error)
    told = Told(
        version=facts.version,
        board=facts.board,
        uptime_s=facts.uptime_s,
        cpu_percent=facts.cpu_percent,
        free_memory_bytes=facts.free_memory_bytes,
        total_memory_bytes=facts.total_memory_bytes,
        # The router tells whole seconds; on average half a second more have gone by.
        skew_s=(facts.clock - facts.read_at).total_seconds() + 0.5 + ahead_s if facts.clock is not None else None,
        certificate_ends_at=facts.certificate_ends_at,
        radius=tuple(Counters(one.address, one.requests, one.timeouts, one.bad_replies) for one in facts.radius),
    )
    return Looked(saw.router_id, how_it_is(told, facts.round_trip_ms), facts.round_trip_ms, told=told)
