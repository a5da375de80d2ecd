"""The worker: its jobs and its clock, a transaction at a time. It may die between any two, and remembers nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any, cast

from network.coa.exchange import Exchange
from network.coa.packets import Request
from network.coa.target import Target
from network.coa.transport import Transport
from network.coa.turns import Turns
from network.coa.verbs import Session as OnWire
from network.coa.verbs import change_authorization, disconnect
from network.contract import Outcome as Answer
from network.contract import Result, Secret, nothing_sent
from policy.changes.route import RouteKind
from simulation.held_worker import HeldWorker
from simulation.line import Line
from simulation.routers import RouterModel
from simulation.world import DatabaseRestarted, Violation, World
from sql import attempts, audit_seal, proof, router_health
from sql.attempts import Claimed, Outcome
from sql.jobs import ENFORCE, REVIEW, WORK_ROUTER, defer_enforce, driver_connection
from sql.roles import Role
from worker import planning
from worker.enforce import EDGE_WAIT_S, LOOK_AGAIN_S
from worker.outcomes import judge

TICK_S = (2.0, 25.0)
# The shares of the clock's looks that look for drift, and that seal the audit.
DRIFT_LOOKS = 0.3
SEALS = 0.15
EDGE_LOOK_S = 1.0
WINDOW = 3
STORE_AGAIN_S = 0.2
DEATH_S = (1.0, 60.0)

_FETCH = """
DELETE FROM procrastinate_jobs WHERE status = 'todo' RETURNING id, task_name, args
"""
# What the worker's clock asks, in one look: reviews, renewals, proofs, routers with work, routers that spoke, drift,
# services that routers hold.
_DUE = """
SELECT EXISTS (SELECT FROM reviews WHERE due_at <= now()),
    EXISTS (SELECT FROM services WHERE authorised_until <= now()),
    EXISTS (SELECT FROM operators_to_verify()),
    ARRAY(SELECT router_id FROM routers_with_work() ORDER BY 1),
    ARRAY(SELECT router_id FROM routers_that_spoke() ORDER BY 1),
    ARRAY(SELECT service_id FROM look_for_drift(0, 2000) WHERE service_id IS NOT NULL ORDER BY 1),
    ARRAY(SELECT service_id FROM placed_services(0, 2000) ORDER BY 1)
"""


class _Waits:
    """What the simulated transport hands to the one who drives a verb: the request to send."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __await__(self) -> Generator[Request, Exchange, Exchange]:
        exchange = yield self._request
        return exchange


class _Transport:
    """As `Transport`, for verbs that are driven by hand."""

    def __init__(self) -> None:
        self.turns = Turns()

    async def exchange(self, _: Target, request: Request) -> Exchange:
        """Send it, and wait for what the line makes of it."""
        request.encode_attributes()
        return await _Waits(request)


@dataclass(eq=False)
class _Router:
    """A run of one router's job: what it has in hand, and the answers that are not stored yet."""

    router: RouterModel
    target: Target
    in_hand: int = 0
    answers: list[Outcome[Claimed]] = field(default_factory=list)
    storing: bool = False
    again: bool = False
    looks: bool = False


class Worker:
    """One worker process. `life` counts its deaths; what belongs to an earlier life does nothing any more."""

    def __init__(self, world: World, line: Line, routers: list[RouterModel]) -> None:
        """Running, with nothing to do."""
        self._world = world
        self._line = line
        self._routers = {router.router_id: router for router in routers}
        self.life = 1
        self.running = True
        self.dies_at_next_claim = False
        self._busy: dict[int, _Router] = {}
        self._fetching = False
        self._transport = _Transport()
        self.reviewed: Callable[[], None] = lambda: None
        self._held: HeldWorker | None = None
        self._held_routers: set[int] = set()
        world.on_job.append(self._hear)
        self._in_life(world.between(*TICK_S), self._tick)

    @property
    def idle(self) -> bool:
        """Whether nothing is in hand."""
        return not self._busy and not self._fetching and (self._held is None or self._held.idle)

    @property
    def holds_claims(self) -> bool:
        """Whether a step is claimed that is not answered yet; it may wait for an edge, with no packet on its way."""
        return any(busy.in_hand for busy in self._busy.values())

    def hold(self, held: HeldWorker, routers: set[int]) -> None:
        """These routers are worked by their configuration."""
        self._held, self._held_routers = held, routers
        held.die = self.die

    def dies_after_write(self) -> None:
        """The next time that a router's configuration is changed, this ends before anything is stored of it."""
        if self._held is not None:
            self._held.dies_after_write = True

    def die(self) -> None:
        """kill -9: nothing that it remembers is left, and it is started again after a while."""
        self._world.say("the worker dies")
        self._world.counts["worker deaths"] += 1
        self.running = False
        self.life += 1
        self._busy.clear()
        self._fetching = False
        if self._held is not None:
            self._held.kill()
        self._line.kill_all()
        self._transport = _Transport()
        self._world.after(self._world.between(*DEATH_S), self.start)

    def start(self) -> None:
        """Begin anew, with nothing but what the database holds."""
        if not self.running:
            self.running = True
            self._world.say("the worker runs again")
            self._in_life(0.1, self._tick)
            self._hear()

    def look(self) -> None:
        """What the clock finds, whatever triggers were lost. Each is a transaction that may fail by itself."""
        world = self._world
        row = world.on(world.database.watcher).execute(_DUE.encode()).fetchone()
        if row is None:
            return
        review, renew, prove, routers, spoke, drift, placed = row
        if renew:
            self._try(self._renew)
        if review:
            self._try(self._review)
        for router_id in routers:
            self._work(router_id)
        if prove:
            self._try(lambda: world.transact(Role.WORKER, lambda s: proof.raise_alarms(s, world.operator_id)))
        for router_id in spoke:
            self._try(lambda at=router_id: world.transact(Role.WORKER, lambda s: router_health.note_accounting(s, at)))  # type: ignore[misc] # binds the loop's variable
        if drift and world.chance(DRIFT_LOOKS):
            self._try(lambda: world.transact(Role.WORKER, lambda s: self._defer(s, drift)))
        if placed and world.chance(DRIFT_LOOKS):
            self._try(lambda: world.transact(Role.WORKER, lambda s: self._defer(s, placed)))
        if world.chance(SEALS):
            audit_seal.seal_batch(world.database.worker, world.operator_id)

    def _defer(self, session: Any, services: list[int]) -> None:
        defer_enforce(driver_connection(session), self._world.operator_id, services)

    def _tick(self) -> None:
        self.look()
        self._in_life(self._world.between(*TICK_S), self._tick)

    def _in_life(self, delay_s: float, action: Callable[[], None]) -> None:
        life = self.life
        self._world.after(delay_s, lambda: action() if self.life == life and self.running else None)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except DatabaseRestarted:
            self._world.counts["steps cut by a restart"] += 1  # the clock looks again

    # Jobs -------------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """A job was stored: fetched in a moment."""
        if self.running and not self._fetching:
            self._fetching = True
            self._in_life(self._world.between(0.005, 1.0), self._fetch)

    def _fetch(self) -> None:
        """Take all jobs. Some are lost with their worker, some are done twice, and the same ones are merged."""
        self._fetching = False
        world = self._world
        jobs = sorted(world.look(_FETCH))
        merged: dict[tuple[str, str], dict[str, Any]] = {}
        for _, task, arguments in jobs:
            merged[task, str(sorted(arguments.items()))] = arguments
        for (task, _), arguments in merged.items():
            if world.chance(world.weather.job_lost):
                world.counts["jobs lost"] += 1
                continue
            for _ in range(2 if world.chance(world.weather.job_doubled) else 1):
                self._in_life(world.between(0.001, 0.5), self._job(task, arguments))

    def _job(self, task: str, arguments: dict[str, Any]) -> Callable[[], None]:
        if task == REVIEW:
            return lambda: self._try(self._review)
        if task == ENFORCE:
            return lambda: self._try(lambda: self._enforce(arguments["service_ids"]))
        if task == WORK_ROUTER:
            return lambda: self._work(arguments["router_id"], hurry=arguments["hurry"])
        raise AssertionError(f"the simulation does not know the job {task}")

    def _review(self) -> None:
        world = self._world
        taken = world.stored(Role.WORKER, lambda s: planning.review_some(s, world.operator_id))
        if taken is not None:
            world.say(f"the worker reviews {taken} services")
            self.reviewed()

    def _renew(self) -> None:
        world = self._world
        renewed = world.transact(Role.WORKER, lambda s: planning.renew_some(s, world.operator_id))
        world.say(f"the access of {renewed} services changes by itself")

    def _enforce(self, services: list[int]) -> None:
        world = self._world
        planned = world.transact(Role.WORKER, lambda s: planning.enforce_some(s, world.operator_id, services))
        world.say(f"the worker plans the steps of services {services}: {planned} routers get work")

    # Routers ----------------------------------------------------------------------------------------------------

    def _work(self, router_id: int, *, hurry: bool = False) -> None:
        """The job of a router; jobs of one router run one after the other. One that runs looks for more by itself."""
        if self._held is not None and router_id in self._held_routers:
            self._held.work(router_id, hurry=hurry)
            return
        busy = self._busy.get(router_id)
        if busy is not None:
            busy.again = True
            if not busy.looks:
                busy.looks = True
                self._in_life(self._world.between(0.0, LOOK_AGAIN_S), lambda: self._look_again(busy))
            return
        router = self._routers[router_id]
        target = Target(address=router.address, port=3799, secret=Secret("simulated"), window=WINDOW)
        self._busy[router_id] = _Router(router, target)
        self._claim(self._busy[router_id])

    def _look_again(self, busy: _Router) -> None:
        """While packets are on the way: steps that were planned meanwhile, or whose time has come."""
        busy.looks = False
        if self._busy.get(busy.router.router_id) is busy:
            self._claim(busy)

    def _claim(self, busy: _Router) -> None:
        world = self._world
        busy.again = False
        room = 2 * WINDOW - busy.in_hand - len(busy.answers)
        claimed: list[Claimed] = []
        if room > 0:
            try:
                claimed = world.transact(
                    Role.WORKER, lambda s: attempts.claim(s, world.operator_id, busy.router.router_id, room)
                )
            except DatabaseRestarted:
                # Where the commit was stored after all, these steps are started and nobody knows of it.
                world.counts["steps cut by a restart"] += 1
        for one in claimed:
            busy.in_hand += 1
            world.say(f"step {one.step_id} attempt {one.attempt} is claimed: {one.route.value} at {busy.router.name}")
        if claimed:
            if self.dies_at_next_claim or world.chance(world.weather.dies_after_claim):
                self.dies_at_next_claim = False
                self._in_life(world.between(0.0, 20.0) if world.chance(0.5) else 0.0, self.die)
            self._in_life(0.001, lambda: self._attempt_all(busy, claimed, 0.0))
        elif not (busy.in_hand or busy.answers or busy.storing):
            del self._busy[busy.router.router_id]
            if busy.again:
                self._work(busy.router.router_id)

    def _attempt_all(self, busy: _Router, claimed: list[Claimed], waited_s: float) -> None:
        """Send what may be sent; Disconnects wait together until the replicas hold their changes."""
        if not waited_s:
            for one in claimed:
                if one.route == RouteKind.COA:
                    self._send(busy, one, "")
        waiting = [one for one in claimed if one.route != RouteKind.COA]
        if not waiting:
            return
        if self._edges_have({one.revision for one in waiting if one.revision}):
            for one in waiting:
                self._send(busy, one, f"Waited {waited_s:.0f} s for the RADIUS servers." if waited_s else "")
        elif waited_s > EDGE_WAIT_S:
            for one in waiting:
                self._world.counts["waits for edges that ended"] += 1
                self._answered(busy, judge(one, self._not_sent()))
        else:
            self._in_life(EDGE_LOOK_S, lambda: self._attempt_all(busy, waiting, waited_s + EDGE_LOOK_S))

    def _edges_have(self, revisions: set[str]) -> bool:
        try:
            return self._world.transact(Role.WORKER, lambda s: attempts.edges_have(s, revisions))
        except DatabaseRestarted:
            return False

    def _send(self, busy: _Router, one: Claimed, waited: str) -> None:
        if self._line.waits_for(busy.router, one.acct_session_id):
            raise Violation(f"step {one.step_id} is claimed while a request for its session is in flight")
        on_wire = OnWire(one.username, one.acct_session_id, one.framed_address)
        transport = cast("Transport", self._transport)
        if one.route == RouteKind.COA:
            verb = change_authorization(transport, busy.target, on_wire, one.attributes)
        else:
            verb = disconnect(transport, busy.target, on_wire)

        def done(exchange: Exchange) -> None:
            try:
                verb.send(exchange)
            except StopIteration as end:
                self._answered(busy, judge(one, end.value, waited))

        try:
            request: Any = verb.send(None)
        except StopIteration as end:
            self._answered(busy, judge(one, end.value, waited))
            return
        self._line.begin(busy.router, busy.target, request, (one.step_id, one.attempt), done)

    def _not_sent(self) -> Result:
        said = "Nothing was sent: a RADIUS server still had the earlier access."
        now = self._world.worker_now.astimezone(UTC)
        return nothing_sent(Answer.UNKNOWN, cause="edge_behind", explanation=said, now=now, may_retry=True)

    def _answered(self, busy: _Router, outcome: Outcome[Claimed]) -> None:
        busy.in_hand -= 1
        busy.answers.append(outcome)
        if not busy.storing:
            busy.storing = True
            self._in_life(self._world.between(0.0, 0.02), lambda: self._store(busy))

    def _store(self, busy: _Router) -> None:
        """Store answers, then look what these services need now: two transactions, each until it holds."""
        world = self._world
        outcomes, busy.answers = busy.answers, []
        for one in outcomes:
            which = f"step {one.claimed.step_id} attempt {one.claimed.attempt}"
            world.say(f"{which}: {one.outcome} {one.cause} -> {one.state}")
        try:
            services = world.transact(Role.WORKER, lambda s: attempts.store_outcomes(s, world.operator_id, outcomes))
        except DatabaseRestarted:
            busy.answers = [*outcomes, *busy.answers]
            self._in_life(STORE_AGAIN_S, lambda: self._store(busy))
            return
        self._in_life(0.001, lambda: self._then(busy, services))

    def _then(self, busy: _Router, services: list[int]) -> None:
        try:
            self._enforce(services)
        except DatabaseRestarted:
            self._in_life(STORE_AGAIN_S, lambda: self._then(busy, services))
            return
        busy.storing = False
        if busy.answers:
            busy.storing = True
            self._in_life(0.0, lambda: self._store(busy))
        self._claim(busy)
