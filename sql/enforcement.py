"""Observed becomes authorised: which live sessions and placements differ, and the steps that bring them into line.

What becomes of the steps is in `sql.attempts`, their proof in `sql.proof`, the brake on healing in `sql.healing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import (
    BY_ITSELF_PRIORITY,
    ECHO_S,
    HEALING_PRIORITY,
    HURRY_PRIORITY,
    MAKES_ROOM,
    OPEN_STATES,
    PRIORITIES,
    Enforcement,
)
from policy.changes.intent import ChangeKind
from policy.changes.route import Route, RouteKind, choose
from policy.changes.settle import choose_unsettled
from policy.reasons import Reason
from policy.stamp import same_format, stamp
from sql.among import among
from sql.authorising import remember
from sql.healing import Healing
from sql.jobs import defer_work
from sql.live import abilities, known_accesses
from sql.models import Change, Node, Operator, Router, Session, Step
from sql.placing import place
from sql.proof import raise_alarm
from sql.steps import Target, Targets, by_id, finish, supersede

# PostgreSQL's infinity does not fit into Python; nobody will wait this long.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
# A session's start is computed from what the router says later, and a login may be answered while a change is stored:
# within this time of the change, the session that has the earlier access has it because of that.
START_SLACK = timedelta(seconds=60)

# Alarms about an access that is not wanted any more tell nothing.
_FORGET_ALARMS = text("""
UPDATE steps SET state = 'superseded', explanation = 'Not needed any more: something else is authorised by now.'
FROM unnest(CAST(:sessions AS bigint[]), CAST(:stamps AS text[])) AS row (session_id, stamp)
WHERE steps.session_id = row.session_id AND steps.state = 'unverified' AND steps.target_stamp <> row.stamp
""")
# CoAs since the last one whose end is known that were sent and never answered: what such a session has is not known.
_UNSETTLED = text("""
SELECT DISTINCT step.session_id, step.target_stamp FROM steps AS step
WHERE step.session_id = ANY(:sessions) AND step.route = 'coa' AND step.attempts > 0
    AND step.state IN ('retrying', 'stuck', 'superseded')
    AND step.id > coalesce((SELECT max(settled.id) FROM steps AS settled WHERE settled.session_id = step.session_id
        AND settled.state IN ('acknowledged', 'verified', 'unverified')), 0)
""")
_SETTLED = (Enforcement.ACKNOWLEDGED, Enforcement.VERIFIED, Enforcement.UNVERIFIED)


class _Cause(NamedTuple):
    """Why a session needs a step, and its place in the queue."""

    priority: int
    why: str = ""

    @property
    def heals(self) -> bool:
        return self.priority == HEALING_PRIORITY


_BY_ITSELF = _Cause(BY_ITSELF_PRIORITY, "The plan gives another access from this time on. ")
_BY_USAGE = _Cause(BY_ITSELF_PRIORITY, "By what was used the plan gives another access now. ")
_OLDEST = _Cause(BY_ITSELF_PRIORITY, f"{MAKES_ROOM} ")
_DRIFT = _Cause(
    HEALING_PRIORITY,
    "No change is under way, but the session has another access than the authorised one: it is healed. ",
)


# Else the first day beside an existing network would drop all of its customers at once.
_FOREIGN = _Cause(
    HEALING_PRIORITY, "The session was opened before this system answered for it, so it is brought into line. "
)


def enforce(
    session: DatabaseSession, operator_id: int, service_ids: list[int], now: datetime, *, asked: bool = False
) -> int:
    """Plan the steps that these services' live sessions and placements need. Returns how many routers got new work.

    Level-triggered: asked twice it does nothing the second time; a newer truth supersedes what has not started.
    `asked`: a person asked for these, so neither the brake on healing nor an end without success holds them back.
    """
    operator = session.get_one(Operator, operator_id)
    planned = [
        *_enforce_sessions(session, operator, service_ids, now, asked=asked),
        *place(session, operator, service_ids, now, asked=asked),
    ]
    routers = {router.id: router for router, _ in planned}
    nodes = _node_names(session, routers.values())
    for hurry in (True, False):
        busy = sorted({router.id for router, priority in planned if (priority <= HURRY_PRIORITY) == hurry})
        work = [(router_id, nodes.get(routers[router_id].node_id or 0, "")) for router_id in busy]
        defer_work(session, operator_id, work, hurry=hurry)
    return len(routers)


def _enforce_sessions(
    session: DatabaseSession, operator: Operator, service_ids: list[int], now: datetime, *, asked: bool
) -> list[tuple[Router, int]]:
    """The routers whose sessions got a step, and its priority."""
    targets = Targets(session, operator)
    found = targets.find(among(Session.service_id, service_ids), now, lock=True)
    if not found:
        return []
    remember(session, operator.id, [one.access for one in found])
    planner = _Planner(session, operator, targets, found, asked=asked)
    planned = [(one.router, priority) for one in found if (priority := planner.plan(one))]
    planner.end()
    return planned


class _Planner:
    """Plans the steps of some sessions; all that it looks at is read before, a query each for all of them."""

    def __init__(
        self, session: DatabaseSession, operator: Operator, targets: Targets, found: list[Target], *, asked: bool
    ) -> None:
        self._session = session
        self._asked = asked
        self._targets = targets
        self._healing = Healing(session, operator)
        self._last = _latest_steps(session, [one.session.id for one in found])
        attempted = _unsettled(session, self._last)
        stamps = {one.session.applied_stamp or "" for one in found} | {
            one for many in attempted.values() for one in many
        }
        self._known = known_accesses(session, operator.id, stamps)
        self._attempted = {key: tuple(self._known.get(one) for one in many) for key, many in attempted.items()}
        self._changes: dict[int, Change] = by_id(
            session, Change, {one.service.authorised_change_id for one in found if one.service.authorised_change_id}
        )
        session.execute(
            _FORGET_ALARMS, {"sessions": [one.session.id for one in found], "stamps": [one.stamp for one in found]}
        )

    def end(self) -> None:
        """Store what was planned, and say once what the brake holds back."""
        self._session.flush()
        self._healing.end()

    def plan(self, one: Target) -> int:
        """Store the step that a session needs; its priority where the router has new work, else 0."""
        live, last = one.session, self._last.get(one.session.id)
        applied = self._known.get(live.applied_stamp or "")
        open_step = last if last is not None and last.state in OPEN_STATES else None
        if open_step is not None and (open_step.target_stamp == one.stamp or open_step.state == Enforcement.STARTED):
            return 0  # one in flight per session; its outcome brings us back here
        unsettled = self._attempted.get(live.id, ())
        if not unsettled and (live.applied_stamp == one.stamp or _only_reformatted(live, one, applied)):
            if open_step is not None:
                supersede(open_step, "the session has what is authorised")
            return 0
        if last is not None and _goes_on(live, last, one.stamp):
            raise_alarm(self._session, last, one, applied, still_reports=True)
        elif _was_just_tried(live, last, one.stamp, asked=self._asked):
            return 0
        route = self._route(one, applied, unsettled, last)
        if route.kind == RouteKind.NOTHING:
            live.applied_stamp, live.applied_at = one.stamp, func.now()
            return 0
        cause = self._cause(one)
        if cause.heals and not self._asked and not self._healing.take():
            return 0
        if last is not None:
            self._make_room(last)
        self._add(one, route, cause)
        return 0 if route.kind == RouteKind.NEXT_LOGIN else cause.priority

    def _make_room(self, last: Step) -> None:
        """The newer step takes the place of the last one, of which a session has one open at most."""
        if last.state in (Enforcement.WAITING, Enforcement.RETRYING):
            supersede(last, "a newer truth asks for something else")
        elif last.state == Enforcement.STUCK:
            finish(last, Enforcement.SUPERSEDED, f"Tried again, since the session is still there. {last.explanation}")
        else:
            return
        self._session.flush()  # before the newer one is there, or there would be two for a moment

    def _route(
        self, one: Target, applied: Access | None, unsettled: tuple[Access | None, ...], last: Step | None
    ) -> Route:
        if _coa_was_refused(last, one.stamp):
            return Route(
                RouteKind.DISCONNECT,
                "The router refused the CoA, so the session is disconnected; the client redials with the new access.",
            )
        if unsettled:
            return choose_unsettled(applied, unsettled, one.access, abilities(one.router))
        return choose(applied, one.access, abilities(one.router))

    def _cause(self, one: Target) -> _Cause:
        """A change that has not reached the session yet, the plan's own clock, or drift."""
        live, service = one.session, one.service
        if one.access.reason == Reason.TOO_MANY_SESSIONS:
            return _OLDEST
        given_at = live.applied_at or live.started_at
        change = self._changes.get(service.authorised_change_id or 0)
        if live.applied_stamp is None and (change is None or change.kind == ChangeKind.OPEN):
            return _FOREIGN
        if change is not None and service.authorised_at is not None:
            before = live.applied_stamp is not None and live.applied_stamp == change.from_stamp
            if before or service.authorised_at > given_at - START_SLACK:
                return _Cause(PRIORITIES[ChangeKind(change.kind)])
        applied = self._known.get(live.applied_stamp or "")
        if live.applied_stamp == stamp(self._targets.at(one, given_at)):
            return _BY_ITSELF
        if applied is not None and self._targets.could_have_given(one, applied, given_at):
            return _BY_USAGE
        return _DRIFT

    def _add(self, one: Target, route: Route, cause: _Cause) -> None:
        live = one.session
        # Left to the table: a value that the database computes would take a statement for each step.
        due = {"due_at": NEVER} if route.kind == RouteKind.NEXT_LOGIN else {}
        self._session.add(
            Step(
                operator_id=live.operator_id,
                service_id=live.service_id,
                change_id=one.service.authorised_change_id,
                session_id=live.id,
                router_id=live.router_id,
                route=route.kind.value,
                why=cause.why + route.why,
                target_stamp=one.stamp,
                attributes=[list(pair) for pair in route.attributes],
                priority=cause.priority,
                **due,
            )
        )


def _only_reformatted(live: Session, one: Target, applied: Access | None) -> bool:
    """A stamp of another format is compared by what it stands for; the format alone is never drift."""
    if live.applied_stamp is None or same_format(live.applied_stamp, one.stamp):
        return False
    return applied is None or stamp(applied) == one.stamp


def _goes_on(live: Session, last: Step, target_stamp: str) -> bool:
    """The router acknowledged the disconnect, and the session reports all the same: the answer was worth nothing."""
    return (
        last.target_stamp == target_stamp
        and last.route == RouteKind.DISCONNECT
        and last.state == Enforcement.ACKNOWLEDGED
        and last.ended_at is not None
        and live.last_seen_at > last.ended_at + timedelta(seconds=ECHO_S)
    )


def _was_just_tried(live: Session, last: Step | None, target_stamp: str, *, asked: bool) -> bool:
    """The same came to its end and the session has not spoken since, so that nothing new is known.

    After an acknowledged Disconnect the Stop is on the way; after one that was refused, and after a stuck step,
    nothing is left to try: sending it at once again would never end, but where a person asks for it once.
    """
    if last is None or last.target_stamp != target_stamp or last.ended_at is None:
        return False
    if asked and last.state in (Enforcement.REFUSED, Enforcement.STUCK):
        return False
    if last.route == RouteKind.DISCONNECT and last.state == Enforcement.ACKNOWLEDGED:
        return True
    if live.last_seen_at > last.ended_at:
        return False
    if last.route == RouteKind.DISCONNECT and last.state in (*_SETTLED, Enforcement.REFUSED):
        return True
    return last.state == Enforcement.STUCK


def _coa_was_refused(last: Step | None, target_stamp: str) -> bool:
    return (
        last is not None
        and last.target_stamp == target_stamp
        and last.route == RouteKind.COA
        and last.state == Enforcement.REFUSED
    )


def _latest_steps(session: DatabaseSession, session_ids: list[int]) -> dict[int, Step]:
    newest = select(func.max(Step.id)).where(among(Step.session_id, session_ids)).group_by(Step.session_id)
    rows = session.scalars(
        select(Step).where(Step.id.in_(newest)).with_for_update().execution_options(populate_existing=True)
    )
    return {step.session_id or 0: step for step in rows}


def _unsettled(session: DatabaseSession, last: dict[int, Step]) -> dict[int, list[str]]:
    """The stamps that sessions may have been given by a CoA without an answer. Asked only where it can be so."""
    asked = [session_id for session_id, step in last.items() if step.state not in _SETTLED]
    found: dict[int, list[str]] = {}
    if asked:
        for row in session.execute(_UNSETTLED, {"sessions": asked}):
            found.setdefault(row.session_id, []).append(row.target_stamp)
    return found


def _node_names(session: DatabaseSession, routers: Iterable[Router]) -> dict[int, str]:
    ids = {router.node_id for router in routers if router.node_id is not None}
    if not ids:
        return {}
    return {row.id: row.name for row in session.execute(select(Node.id, Node.name).where(Node.id.in_(ids)))}
