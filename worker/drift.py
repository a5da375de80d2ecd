"""Compares routers with billing and accounting, read only: each router once an hour, a few at once; and mends on order.

A run reads whole menus once, a few columns of each, and compares in memory. What a person takes is done by whoever
answers for it: the engine for services and sessions, this file for what is ours beside them (orphans, the walled
garden) and for sessions that accounting does not know, with evidence in the audit before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from network.contract import Outcome, Result, nothing_sent
from network.routeros.connection import Connection
from network.routeros.errors import RouterosError, while_reading
from network.routeros.keeper import Keeper
from network.routeros.undoing import settle, undo
from network.routeros.verbs import Applied, Query, Step, apply, observe
from policy.drift.finding import Finding, Kind, Mender, key_of
from policy.drift.held import held_findings, orphan_findings
from policy.drift.kept import DONE, Done, holds_secret, kept, read_kept
from policy.drift.online import local_user_findings, names_online, online_findings
from policy.drift.settings import (
    HOTSPOT_SERVER_PROFILE,
    PPP_AAA,
    RADIUS,
    RADIUS_INCOMING,
    garden_findings,
    radius_findings,
)
from policy.errors import PolicyError
from policy.routeros import menus
from policy.routeros.leftovers import leftovers, service_of
from policy.routeros.menus import columns
from policy.routeros.objects import Change, Item, Plan
from policy.routeros.reading import Reading
from policy.routeros.terminal import plan_rows
from policy.routeros.values import Version, version
from sql import drift
from sql.drift_expected import expected
from sql.errors import Refused
from sql.models import DriftFinding, DriftRun, Operator, Router
from sql.secrets import SecretBox
from sql.sessions import acting_for, operator_names
from worker.configure import Reached, reach
from worker.threads import Lane, in_lane

log = structlog.get_logger("worker.drift")

EVERY_S = 3600.0
LOOK_S = 5.0
# A run reads whole menus and compares thousands of items: more at once would only make each slower.
AT_ONCE = 4
# Routers of another node whose worker is down stay due, and must not hide ours.
LOOKED_THROUGH = 1000
PRUNE_EVERY_LOOKS = 720
_SETTINGS = {
    RADIUS: ("address", "service", "disabled", "comment"),
    RADIUS_INCOMING: ("accept", "port"),
    PPP_AAA: ("use-radius", "accounting"),
    HOTSPOT_SERVER_PROFILE: ("name", "use-radius"),
}
_LIVE = {
    menus.PPP_ACTIVE: ("name", "address", "caller-id", "uptime", "radius"),
    menus.HOTSPOT_ACTIVE: ("user", "address", "mac-address", "login-by", "uptime", "radius"),
}
_CONFIGURATION = (
    menus.PPP_PROFILE,
    menus.PPP_SECRET,
    menus.HOTSPOT_PROFILE,
    menus.HOTSPOT_USER,
    menus.HOTSPOT_BINDING,
    menus.LEASE,
    menus.QUEUE,
    menus.ADDRESS_LIST,
    menus.ADDRESS_LIST_V6,
    menus.FILTER,
    menus.NAT,
)
_OLDEST = Version(6, 0)


class Ran(NamedTuple):
    """What came of a run: how much was looked at and found; `error` where the router could not be read."""

    router: str
    looked_at: int = 0
    found: int = 0
    new: int = 0
    error: str = ""


class _Begun(NamedTuple):
    run: DriftRun
    router: Router
    reached: Reached


class Drift:
    """Compares and mends; `engine` is the worker role's, `keeper` must be open while this works."""

    def __init__(self, engine: Engine, keeper: Keeper, box: SecretBox, node: str = "") -> None:
        """`node` is this worker's: routers of another node are compared from there."""
        self._engine = engine
        self._keeper = keeper
        self._box = box
        self._node = node
        self._running: dict[int, asyncio.Task[None]] = {}
        self._looks = 0

    async def keep(self) -> None:
        """Compare each router once an hour, until it is cancelled. What goes wrong is logged and tried again."""
        try:
            while True:
                try:
                    await self._look()
                except (DBAPIError, PoolTimeoutError) as error:
                    said = str(getattr(error, "orig", None) or error)
                    log.warning("drift could not be looked for; trying again", error=" ".join(said.split()))
                await asyncio.sleep(LOOK_S)
        finally:
            for task in self._running.values():
                task.cancel()

    async def run(self, operator_id: int, router_id: int, *, older_than_s: float = 0.0) -> Ran | None:
        """Compare one router; None where that was done less than so long ago."""
        begun = await in_lane(Lane.DRIFT, self._begin, operator_id, router_id, older_than_s)
        if begun is None:
            return None
        try:
            reading = await self._read(begun.reached)
        except (RouterosError, Refused) as error:
            said = while_reading(error) if isinstance(error, RouterosError) else str(error)
            return await in_lane(Lane.DRIFT, self._failed, begun, said)
        return await in_lane(Lane.DRIFT, self._compare, begun, reading)

    async def fix(self, operator_id: int, number: int, *, actor: str) -> str:
        """Take what a finding proposes; a sentence about what was done. Raises Refused and NotFound."""
        finding = (await in_lane(Lane.DRIFT, self._listed, operator_id, number)).finding
        if finding.gone_at is not None:
            raise Refused(f"Finding {number} is gone already, so there is nothing to mend.")
        mender = Mender(finding.proposal["mender"])
        if mender == Mender.PERSON:
            action = finding.proposal["action"]
            raise Refused(f"Finding {number} is about something that is not ours, so nothing is sent: {action}")
        if mender == Mender.ROUTER:
            return await self._mend(finding, actor)
        await in_lane(Lane.DRIFT, self._hand_over, finding, mender, actor)
        if mender == Mender.ACCOUNTING:
            return "The session is closed in the accounting."
        return "The change engine takes it up now; the next run closes the finding once it is mended."

    async def undo(self, operator_id: int, number: int, *, actor: str) -> str:
        """Take back what `fix` sent for a finding, where the router still shows it. Raises Refused and NotFound."""
        finding = (await in_lane(Lane.DRIFT, self._listed, operator_id, number)).finding
        document = finding.proposal.get(DONE, [])
        if not document:
            raise Refused(f"Nothing was sent for finding {number} that could be taken back.")
        if holds_secret(document):
            raise Refused(
                f"What was removed held a password, and that is kept nowhere: `ispagents drift show {number}` has the "
                "commands; type them on the router with a new one."
            )
        begun = await in_lane(Lane.DRIFT, self._begin, operator_id, finding.router_id, 0.0)
        if begun is None or begun.reached.target is None:
            raise Refused(begun.reached.problem if begun is not None else "The router is being compared; try again.")
        done = Applied(tuple([Step(one.change, _was_done(one.change), one.item_id) for one in read_kept(document)]))
        await in_lane(Lane.DRIFT, self._note, finding, undo_plan(done), actor, "drift:finding:undo")
        try:
            async with self._keeper.connection(begun.reached.target) as connection:
                undone = await settle(connection, await undo(connection, done))
        except RouterosError as error:
            await in_lane(Lane.DRIFT, self._failed, begun, str(error))
            raise Refused(f"Nothing was sent: {error}") from error
        failed = _failure(undone)
        await in_lane(Lane.DRIFT, self._told, finding, undone, actor, document if failed else [])
        await self.run(operator_id, finding.router_id)
        if failed:
            raise Refused(f"It was not taken back, or not wholly: {failed}")
        return "It was taken back, and the router compared anew."

    # -- the clock -----------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        self._running = {router_id: task for router_id, task in self._running.items() if not task.done()}
        if self._looks % PRUNE_EVERY_LOOKS == 0:
            await in_lane(Lane.DRIFT, self._prune)
        self._looks += 1
        free = AT_ONCE - len(self._running)
        for operator_id, router_id in await in_lane(Lane.DRIFT, self._due, free) if free else []:
            self._running[router_id] = asyncio.create_task(self._run_due(operator_id, router_id))

    async def _run_due(self, operator_id: int, router_id: int) -> None:
        try:
            ran = await self.run(operator_id, router_id, older_than_s=EVERY_S)
        except Exception as error:  # noqa: BLE001 - whatever one router holds, the others are compared
            log.error("a router could not be compared", router_id=router_id, error=repr(error))
            return
        if ran is not None and ran.new:
            log.warning("a router is not as billing says", router=ran.router, found=ran.found, new=ran.new)

    def _due(self, free: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        for operator_id in operator_names(self._engine).values():
            with acting_for(self._engine, operator_id) as session:
                due = drift.routers_due(session, operator_id, EVERY_S, LOOKED_THROUGH)
            found += [
                (operator_id, router_id)
                for router_id, node in due
                if node in ("", self._node) and router_id not in self._running
            ]
        return found[:free]

    def _prune(self) -> None:
        for operator_id in operator_names(self._engine).values():
            pruned = drift.PRUNED_AT_ONCE
            while pruned == drift.PRUNED_AT_ONCE:
                with acting_for(self._engine, operator_id) as session:
                    pruned = drift.prune(session, operator_id)

    # -- one run -------------------------------------------------------------------------------------------------------

    def _begin(self, operator_id: int, router_id: int, older_than_s: float) -> _Begun | None:
        with acting_for(self._engine, operator_id) as session:
            run = drift.begin_run(session, operator_id, router_id, older_than_s)
            router = session.get_one(Router, router_id)
            return None if run is None else _Begun(run, router, reach(router, self._box))

    async def _read(self, reached: Reached) -> Reading:
        if reached.target is None:
            raise Refused(reached.problem)
        async with self._keeper.connection(reached.target) as connection:
            return await read(connection)

    def _failed(self, begun: _Begun, error: str) -> Ran:
        with acting_for(self._engine, begun.router.operator_id) as session:
            drift.fail_run(session, begun.run, error)
        return Ran(begun.router.name, error=error)

    def _compare(self, begun: _Begun, reading: Reading) -> Ran:
        with acting_for(self._engine, begun.router.operator_id) as session:
            found = self._judged(session, begun.router, reading, begun.run.started_at)
            looked_at = sum(len(items) for items in reading.values())
            count, new = drift.end_run(session, begun.run, found, looked_at)
        return Ran(begun.router.name, looked_at, count, new)

    def _judged(self, session: Session, router: Router, reading: Reading, began: datetime) -> list[Finding]:
        try:
            said = expected(session, router, names_online(reading), self._box, began)
        except PolicyError as error:
            action = "Correct it with `ispagents router api set --style`."
            cause = f"The router's style cannot be read: {error}."
            return [Finding(Kind.CANNOT_HOLD, key_of("style", str(error)), cause, Mender.PERSON, action)]
        orphans = {service_of(item) or 0 for item in leftovers(reading, said.held_ids)}
        names = drift.service_names(session, router.operator_id, orphans) if orphans else {}
        return [
            *held_findings(said.held, reading),
            *orphan_findings(reading, said.held_ids, names),
            *online_findings(reading, said.known),
            *(local_user_findings(reading, said.known) if said.known.is_radius else []),
            *garden_findings(router.style, reading),
            *(radius_findings(said.asked, reading) if said.asked is not None else []),
        ]

    # -- mending -------------------------------------------------------------------------------------------------------

    def _listed(self, operator_id: int, number: int) -> drift.Listed:
        with acting_for(self._engine, operator_id) as session:
            listed = drift.finding_by_number(session, operator_id, number)
            if session.get_one(Operator, operator_id).writes_stopped_at is not None:
                raise Refused("All network writes are stopped; `ispagents network start` lets them go on.")
            return listed

    def _hand_over(self, finding: DriftFinding, mender: Mender, actor: str) -> None:
        with acting_for(self._engine, finding.operator_id) as session:
            if mender == Mender.ENGINE:
                drift.heal_placement(session, finding, actor=actor)
            elif mender == Mender.SESSION:
                drift.heal_session(session, finding, actor=actor)
            else:
                drift.close_session(session, finding, actor=actor)

    async def _mend(self, finding: DriftFinding, actor: str) -> str:
        """Look again, send what was proposed only if it still is what would be proposed, and read back."""
        begun = await in_lane(Lane.DRIFT, self._begin, finding.operator_id, finding.router_id, 0.0)
        if begun is None or begun.reached.target is None:
            raise Refused(begun.reached.problem if begun is not None else "The router is being compared; try again.")
        try:
            async with self._keeper.connection(begun.reached.target) as connection:
                now = await in_lane(Lane.DRIFT, self._same, begun, await read(connection), finding)
                await in_lane(Lane.DRIFT, self._note, finding, now.plan, actor, "drift:finding:fix")
                applied = await settle(connection, await apply(connection, now.plan))
        except RouterosError as error:
            await in_lane(Lane.DRIFT, self._failed, begun, str(error))
            raise Refused(f"Nothing was sent: {error}") from error
        failed = _failure(applied)
        done = [Done(step.change, step.item_id) for step in applied.steps if step.result.outcome == "applied"]
        await in_lane(Lane.DRIFT, self._told, finding, applied, actor, kept(done))
        ran = await self.run(finding.operator_id, finding.router_id)
        after = await in_lane(Lane.DRIFT, self._again, finding)
        if failed or after.gone_at is None:
            why = failed or (ran.error if ran is not None else "") or "Reading back shows it as it was."
            raise Refused(f"It was not done, or not wholly: {why}")
        return f"Done and read back; `ispagents drift show {finding.id}` has what takes it back."

    def _again(self, finding: DriftFinding) -> DriftFinding:
        with acting_for(self._engine, finding.operator_id) as session:
            return session.get_one(DriftFinding, finding.id)

    def _same(self, begun: _Begun, reading: Reading, finding: DriftFinding) -> Finding:
        with acting_for(self._engine, finding.operator_id) as session:
            found = self._judged(session, begun.router, reading, begun.run.started_at)
            drift.end_run(session, begun.run, found, sum(len(items) for items in reading.values()))
        for one in found:
            if (one.kind, one.key) == (finding.kind, finding.key):
                return one
        raise Refused("It is not as it was when it was found: nothing was sent; see `ispagents drift list`.")

    def _note(self, finding: DriftFinding, plan: Plan, actor: str, what: str) -> None:
        commands = [[row.command, row.undo] for row in plan_rows(plan)]
        with acting_for(self._engine, finding.operator_id) as session:
            drift.note_commands(session, finding, commands, actor=actor, event=what)

    def _told(self, finding: DriftFinding, applied: Applied, actor: str, document: list[dict[str, Any]]) -> None:
        outcomes = [[*pair, step.result.outcome.value] for step in applied.steps for pair in step.result.sent]
        with acting_for(self._engine, finding.operator_id) as session:
            drift.note_commands(session, finding, outcomes, actor=actor, event="drift:finding:outcome")
            drift.keep_done(session, finding, document)


async def read(connection: Connection) -> Reading:
    """Everything of a router that drift is told by, in a few columns each. Raises RouterosError."""
    resource = await observe(connection, [Query(menu="/system/resource", fields=("version",))])
    release = _release(resource["/system/resource"])
    asked = [Query(menu=path, fields=columns(path, release)[1:], optional=True) for path in _CONFIGURATION]
    asked += [Query(menu=path, fields=fields, optional=True) for path, fields in (_LIVE | _SETTINGS).items()]
    found: Mapping[str, tuple[Item, ...] | None] = await observe(connection, asked)
    return Reading({path: items for path, items in found.items() if items is not None})


def _release(resource: tuple[Item, ...] | None) -> Version:
    try:
        return version(resource[0].fields.get("version", "")) if resource else _OLDEST
    except PolicyError:
        return _OLDEST


def undo_plan(done: Applied) -> Plan:
    """What takes it back, as a plan to be read."""
    undone = [(step.change.undo, step.change) for step in reversed(done.steps)]
    return Plan(tuple([Change(undo, one.command, f"undo: {one.why}") for undo, one in undone if undo is not None]))


def _was_done(change: Change) -> Result:
    now = datetime.now(UTC)
    said = nothing_sent(Outcome.APPLIED, cause="kept", explanation=change.why, now=now, may_retry=False)
    return replace(said, attempts=1)


def _failure(applied: Applied) -> str:
    """What went wrong first, or ""."""
    for step in applied.steps:
        if step.result.outcome not in ("applied", "already_so"):
            return step.result.explanation
    return ""
