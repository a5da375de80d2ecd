"""Works a router: claims its waiting steps, sends them, and stores what came back, until none is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from network.coa.errors import TransportClosedError
from network.coa.target import Target
from network.coa.transport import Transport
from network.coa.verbs import Session, change_authorization, disconnect
from network.contract import NetworkError, Result, Secret, nothing_sent
from network.contract import Outcome as Answer
from policy.changes.route import RouteKind
from sql.attempts import Claimed, Outcome, claim, edges_have, store_outcomes
from sql.jobs import router_lock, take_over_waiting
from sql.models import Router
from sql.secrets import SecretBox, SecretsError, router_secret_place
from sql.sessions import acting_for
from worker.outcomes import judge
from worker.patience import patiently
from worker.planning import enforce_some
from worker.threads import Lane, in_lane

log = structlog.get_logger("worker.enforce")

# While packets are on the way, look this often for steps that were planned meanwhile: a payment must not wait for the
# timeouts of the batch before it.
LOOK_AGAIN_S = 0.2
# Answers that come within this time are stored together.
GATHER_S = 0.01
# Steps are claimed for two windows: one on the wire, one ready. More would outlive their claim at a dead router.
IN_HAND_WINDOWS = 2
EDGE_WAIT_S = 5.0
EDGE_LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Worked:
    """A router as the network connector wants it; without `target` nothing can be sent, and `problem` says why."""

    target: Target | None
    operator_id: int
    router_id: int
    lane: Lane
    problem: str = ""

    @property
    def in_hand(self) -> int:
        """How many steps to hold at once."""
        return IN_HAND_WINDOWS * (self.target.window if self.target is not None else 1)


class RouterWorker:
    """Sends from one node's address; `engine` is the worker role's."""

    def __init__(self, engine: Engine, transport: Transport, box: SecretBox, stopping: Callable[[], bool]) -> None:
        """Opens nothing by itself."""
        self._engine = engine
        self._transport = transport
        self._box = box
        self._stopping = stopping

    async def work(self, operator_id: int, router_id: int, *, hurry: bool = False) -> int:
        """Drain the router's due steps, with `hurry` only those that are in one. Returns how many attempts were made.

        Both may run at once: a step is claimed by one of them.
        """
        lane = Lane.HURRY if hurry else Lane.ROUTERS
        worked = await in_lane(lane, self._load, operator_id, router_id, lane)
        flights: set[asyncio.Task[Outcome[Claimed]]] = set()
        count = 0
        while True:
            claimed = await self._more(worked, len(flights))
            count += len(claimed)
            if claimed:
                edges = asyncio.ensure_future(self._await_edges(worked, claimed))
                flights |= {asyncio.ensure_future(self._attempt(worked, one, edges)) for one in claimed}
            if not flights:
                return count
            done, flights = await asyncio.wait(flights, timeout=LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
            if done and flights:
                more, flights = await asyncio.wait(flights, timeout=GATHER_S)
                done |= more
            if done:
                await in_lane(lane, self._store, worked, [task.result() for task in done])

    def _load(self, operator_id: int, router_id: int, lane: Lane) -> Worked:
        with acting_for(self._engine, operator_id) as session:
            take_over_waiting(session, router_lock(router_id, hurry=lane == Lane.HURRY))
            router = session.get_one(Router, router_id)
            if router.secret is None:
                problem = f"Nothing was sent, because {router.name} has no RADIUS secret; set one to use CoA there."
                return Worked(None, operator_id, router_id, lane, problem)
            try:
                secret = self._box.open(router.secret, router_secret_place(operator_id, router.name))
            except SecretsError as error:
                log.error("a router's secret cannot be opened", router=router.name, error=str(error))
                problem = f"Nothing was sent, because the RADIUS secret of {router.name} cannot be used: {error}."
                return Worked(None, operator_id, router_id, lane, problem)
            target = Target(
                address=str(router.coa_address),
                port=router.coa_port,
                secret=Secret(secret),
                window=router.coa_window,
                message_authenticator=router.coa_message_authenticator,
            )
        return Worked(target, operator_id, router_id, lane)

    async def _more(self, worked: Worked, in_flight: int) -> list[Claimed]:
        room = worked.in_hand - in_flight
        if room <= 0 or self._stopping():
            return []
        try:
            return await in_lane(worked.lane, self._claim, worked, room)
        except OperationalError:
            if not in_flight:
                raise
            return []  # what is on the way must still be waited for and stored

    def _claim(self, worked: Worked, most: int) -> list[Claimed]:
        with acting_for(self._engine, worked.operator_id) as session:
            return claim(session, worked.operator_id, worked.router_id, most, hurry=worked.lane == Lane.HURRY)

    def _store(self, worked: Worked, outcomes: list[Outcome[Claimed]]) -> None:
        """Store what routers answered. Raises OperationalError when patience ends."""
        patiently(lambda: self._store_once(worked, outcomes))

    def _store_once(self, worked: Worked, outcomes: list[Outcome[Claimed]]) -> None:
        with acting_for(self._engine, worked.operator_id) as session:
            services = store_outcomes(session, worked.operator_id, outcomes, datetime.now(UTC))
        if not services:
            return
        # A refused CoA leads to a Disconnect, and a newer truth may have come while the packets were on the way.
        with acting_for(self._engine, worked.operator_id) as session:
            enforce_some(session, worked.operator_id, services)

    async def _attempt(
        self, worked: Worked, one: Claimed, edges: asyncio.Future[tuple[bool, float]]
    ) -> Outcome[Claimed]:
        """One attempt. A step that cannot be sent must not take the others of its router with it."""
        if worked.target is None:
            return judge(one, _not_sent(Answer.UNREACHABLE, "secret_unusable", worked.problem, may_retry=False))
        try:
            return await self._send(worked.target, one, edges)
        except NetworkError as error:
            may_retry = error.may_retry or isinstance(error, TransportClosedError)
            answer = Answer.UNKNOWN if may_retry else Answer.REFUSED
            return judge(one, _not_sent(answer, "not_sent", f"Nothing was sent. {error}", may_retry=may_retry))

    async def _send(self, target: Target, one: Claimed, edges: asyncio.Future[tuple[bool, float]]) -> Outcome[Claimed]:
        session = Session(
            user_name=one.username, acct_session_id=one.acct_session_id, framed_ip_address=one.framed_address
        )
        if one.route == RouteKind.COA:
            return judge(one, await change_authorization(self._transport, target, session, one.attributes))
        ready, waited_s = await edges
        if not ready:
            return _edge_behind(one, waited_s)
        waited = f"Waited {waited_s:.2f} s until the RADIUS servers had the change." if waited_s >= EDGE_LOOK_S else ""
        return judge(one, await disconnect(self._transport, target, session), waited)

    async def _await_edges(self, worked: Worked, claimed: list[Claimed]) -> tuple[bool, float]:
        """Wait until the replicas hold the changes behind these Disconnects, or the redial would get the old access."""
        revisions = {one.revision for one in claimed if one.route == RouteKind.DISCONNECT and one.revision}
        began = time.monotonic()
        while revisions and not await in_lane(worked.lane, self._edges_have, worked.operator_id, revisions):
            if time.monotonic() - began > EDGE_WAIT_S:
                return False, time.monotonic() - began
            await asyncio.sleep(EDGE_LOOK_S)
        return True, time.monotonic() - began

    def _edges_have(self, operator_id: int, revisions: set[str]) -> bool:
        try:
            with acting_for(self._engine, operator_id) as session:
                return edges_have(session, revisions)
        except OperationalError:
            return False  # nobody can know without the database


def _edge_behind(one: Claimed, waited_s: float) -> Outcome[Claimed]:
    explanation = (
        f"Nothing was sent: after {waited_s:.1f} s a RADIUS server still had the earlier access, and the customer "
        "would have redialled into it. It is tried again; look at `ispagents status` if it stays so."
    )
    return judge(one, _not_sent(Answer.UNKNOWN, "edge_behind", explanation, may_retry=True))


def _not_sent(outcome: Answer, cause: str, explanation: str, *, may_retry: bool) -> Result:
    return nothing_sent(outcome, cause=cause, explanation=explanation, now=datetime.now(UTC), may_retry=may_retry)
