"""Observed becomes authorised: which live sessions differ, the steps that bring them into line, and their evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import MOVES, OPEN_STATES, Enforcement
from policy.changes.moves import move
from policy.changes.route import Route, RouteKind, choose
from policy.documents import read_service
from policy.facts import Login, Method
from policy.stamp import same_format, stamp
from sql.intent import remember
from sql.jobs import defer_work
from sql.live import abilities, known_accesses
from sql.models import Change, Evidence, Node, Operator, Router, Service, Session, Step
from sql.wanted import Decider

# PostgreSQL's infinity does not fit into Python; nobody will wait this long.
NEVER = datetime(9999, 1, 1, tzinfo=UTC)
# A claimed step is looked at again after this long, in case the worker that claimed it vanished. It is longer than two
# windows of a router that never answers take: 2 x 17 s (network/coa/target.py), and the wait for the edges.
CLAIM_S = 45
# A node that has not reported for this long is taken for dead, and a Disconnect no longer waits for its replica.
NODE_SILENT_S = 60


class Target(NamedTuple):
    """A live session with what it should have."""

    session: Session
    router: Router
    access: Access
    stamp: str
    change_id: int | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A step that this worker has marked as started, with all that its packets need. `secret` is still sealed."""

    step_id: int
    operator_id: int
    service_id: int
    session_id: int
    attempt: int
    route: RouteKind
    attributes: tuple[tuple[str, str], ...]
    target_stamp: str
    revision: str | None
    username: str
    acct_session_id: str
    framed_address: str
    was_unknown: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `state` is where the step goes; `retry_after_s` only for retrying."""

    claimed: Claimed
    state: Enforcement
    outcome: str
    cause: str
    explanation: str
    sent: list[list[str]]
    reply: list[list[str]]
    packets: int
    round_trip_ms: float | None
    started_at: datetime
    ended_at: datetime
    retry_after_s: float = 0.0
    session_gone: bool = False


def enforce(session: DatabaseSession, operator_id: int, service_ids: list[int], now: datetime) -> int:
    """Plan the steps that these services' live sessions need. Returns how many are new.

    Level-triggered: asked twice it does nothing the second time; a newer truth supersedes what has not started.
    """
    operator = session.get_one(Operator, operator_id)
    targets = _targets(session, operator, service_ids, now)
    if not targets:
        return 0
    remember(session, operator_id, [one.access for one in targets])
    applied = known_accesses(session, operator_id, {one.session.applied_stamp or "" for one in targets})
    steps = _latest_steps(session, [one.session.id for one in targets])
    routers: dict[int, Router] = {}
    for one in targets:
        if _plan_step(session, one, applied.get(one.session.applied_stamp or ""), steps.get(one.session.id)):
            routers[one.router.id] = one.router
    session.flush()
    nodes = _node_names(session, routers.values())
    for router_id in sorted(routers):
        defer_work(session, operator_id, router_id, nodes.get(routers[router_id].node_id or 0, ""))
    return len(routers)


def claim(session: DatabaseSession, operator_id: int, router_id: int, most: int) -> list[Claimed]:
    """Mark waiting steps of a router as started, with an evidence row each, before anything is sent.

    A step found started belongs to a worker that vanished: what it did is unknown, so the same is sent again.
    """
    steps = session.scalars(
        select(Step)
        .where(
            Step.operator_id == operator_id,
            Step.router_id == router_id,
            Step.state.in_(OPEN_STATES),
            Step.due_at <= func.now(),
        )
        .order_by(Step.due_at, Step.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    if not steps:
        return []
    sessions = {
        row.id: row for row in session.scalars(select(Session).where(Session.id.in_({one.session_id for one in steps})))
    }
    revisions = _revisions(session, steps)
    claimed = []
    for step in steps:
        live = sessions[step.session_id]
        if live.ended_at is not None:
            _finish(step, Enforcement.VERIFIED, "The session has ended, so nothing of the earlier access is left.")
            step.proof = "ended"
            continue
        was_unknown = step.state == Enforcement.STARTED
        step.state = move(MOVES, Enforcement(step.state), Enforcement.STARTED).value
        step.attempts += 1
        step.started_at = func.clock_timestamp()
        step.due_at = func.now() + timedelta(seconds=CLAIM_S)
        session.add(
            Evidence(
                operator_id=operator_id,
                step_id=step.id,
                attempt=step.attempts,
                sent=step.attributes,
                started_at=func.clock_timestamp(),
            )
        )
        claimed.append(_claimed(step, live, revisions.get(step.change_id or 0), was_unknown=was_unknown))
    session.flush()
    return claimed


def store_outcomes(session: DatabaseSession, operator_id: int, outcomes: list[Outcome]) -> None:
    """Store how attempts ended: evidence, the step's state, and what the session now has."""
    # Sessions before steps, as edge and `enforce` lock them: the other order could deadlock.
    session.execute(
        select(Session.id)
        .where(Session.id.in_([one.claimed.session_id for one in outcomes]))
        .order_by(Session.id)
        .with_for_update()
    )
    steps = {
        step.id: step
        for step in session.scalars(
            select(Step)
            .where(Step.operator_id == operator_id, Step.id.in_([one.claimed.step_id for one in outcomes]))
            .order_by(Step.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    for one in outcomes:
        session.execute(
            update(Evidence)
            .where(Evidence.step_id == one.claimed.step_id, Evidence.attempt == one.claimed.attempt)
            .values(
                sent=one.sent,
                started_at=one.started_at,
                ended_at=one.ended_at,
                outcome=one.outcome,
                cause=one.cause,
                explanation=one.explanation,
                reply=one.reply,
                packets=one.packets,
                round_trip_ms=one.round_trip_ms,
            )
        )
        step = steps[one.claimed.step_id]
        if step.state != Enforcement.STARTED or step.attempts != one.claimed.attempt:
            # Accounting proved it in the meantime, which outweighs what the router said; or a later attempt is out.
            continue
        step.explanation = one.explanation
        if one.state == Enforcement.RETRYING:
            step.state = move(MOVES, Enforcement.STARTED, one.state).value
            step.due_at = one.ended_at + timedelta(seconds=one.retry_after_s)
            continue
        _finish(step, one.state, one.explanation)
        if one.state == Enforcement.ACKNOWLEDGED:
            step.proof = "acknowledged"
        if one.state == Enforcement.VERIFIED:
            step.proof = "ended"
    session.flush()
    _move_sessions(session, outcomes)


def edges_have(session: DatabaseSession, revisions: set[str]) -> bool:
    """Whether every live edge's replica includes the transactions of these revisions."""
    if not revisions:
        return True
    behind = session.execute(
        text("""
        SELECT count(*) FROM nodes, unnest(CAST(:revisions AS text[])) AS revision
        WHERE reported_at > clock_timestamp() - make_interval(secs => :silent)
            AND NOT coalesce(pg_visible_in_snapshot(revision::xid8, snapshot), false)
        """),
        {"revisions": sorted(revisions), "silent": NODE_SILENT_S},
    ).scalar_one()
    return int(behind) == 0


def _targets(session: DatabaseSession, operator: Operator, service_ids: list[int], now: datetime) -> list[Target]:
    rows = session.execute(
        select(Session, Router, Service)
        .join(Router, Router.id == Session.router_id)
        .join(Service, Service.id == Session.service_id)
        .where(
            Session.operator_id == operator.id,
            Session.service_id.in_(service_ids),
            Session.ended_at.is_(None),
            Service.authorised.is_not(None),
        )
        .order_by(Session.id)
        .with_for_update(of=Session)
        .execution_options(populate_existing=True)
    ).all()
    decider = Decider(session, operator)
    facts = {service.id: read_service(service.authorised or {}) for _, _, service in rows}
    decider.load({one.plan_version_id for one in facts.values()})
    targets = []
    for live, router, service in rows:
        login = Login(Method(live.method) if live.method else None, live.mac, live.router_id, live.port)
        access = decider.access_of_session(service, facts[service.id], login, now)
        targets.append(Target(live, router, access, stamp(access), service.authorised_change_id))
    return targets


def _plan_step(session: DatabaseSession, one: Target, applied: Access | None, last: Step | None) -> bool:
    """Store the step that a session needs; says whether the router has new work."""
    live = one.session
    open_step = last if last is not None and last.state in OPEN_STATES else None
    if live.applied_stamp == one.stamp or _only_reformatted(live, one, applied):
        _supersede(open_step, "the session has what is authorised")
        return False
    if open_step is not None and open_step.target_stamp == one.stamp:
        return False
    if open_step is not None and open_step.state == Enforcement.STARTED:
        return False  # one in flight per session; its outcome brings us back here
    if _was_just_tried(live, last, one.stamp):
        return False
    _supersede(open_step, "a newer truth asks for something else")
    if last is not None and last.state == Enforcement.STUCK:
        _finish(last, Enforcement.SUPERSEDED, f"Tried again, since the session is still there. {last.explanation}")
    route = choose(applied, one.access, abilities(one.router))
    if route.kind == RouteKind.NOTHING:
        live.applied_stamp, live.applied_at = one.stamp, func.now()
        return False
    if _coa_was_refused(last, one.stamp):
        route = Route(
            RouteKind.DISCONNECT,
            "The router refused the CoA, so the session is disconnected; the client redials with the new access.",
        )
    session.flush()
    session.add(
        Step(
            operator_id=live.operator_id,
            service_id=live.service_id,
            change_id=one.change_id,
            session_id=live.id,
            router_id=live.router_id,
            route=route.kind.value,
            why=route.why,
            target_stamp=one.stamp,
            attributes=[list(pair) for pair in route.attributes],
            due_at=NEVER if route.kind == RouteKind.NEXT_LOGIN else func.now(),
        )
    )
    return route.kind != RouteKind.NEXT_LOGIN


def _only_reformatted(live: Session, one: Target, applied: Access | None) -> bool:
    """A stamp of another format is compared by what it stands for; the format alone is never drift."""
    if live.applied_stamp is None or same_format(live.applied_stamp, one.stamp):
        return False
    return applied is None or stamp(applied) == one.stamp


def _was_just_tried(live: Session, last: Step | None, target_stamp: str) -> bool:
    """The same came to its end and the session has not spoken since, so that nothing new is known.

    After an acknowledged Disconnect the Stop is on the way; after one that was refused, and after a stuck step,
    nothing is left to try: sending it at once again would never end.
    """
    if last is None or last.target_stamp != target_stamp or last.ended_at is None:
        return False
    if live.last_seen_at > last.ended_at:
        return False
    if last.route == RouteKind.DISCONNECT and last.state in (Enforcement.ACKNOWLEDGED, Enforcement.REFUSED):
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
    newest = select(func.max(Step.id)).where(Step.session_id.in_(session_ids)).group_by(Step.session_id)
    rows = session.scalars(
        select(Step).where(Step.id.in_(newest)).with_for_update().execution_options(populate_existing=True)
    )
    return {step.session_id: step for step in rows}


def _supersede(step: Step | None, why: str) -> None:
    if step is None or step.state not in (Enforcement.WAITING, Enforcement.RETRYING):
        return
    _finish(step, Enforcement.SUPERSEDED, f"Not needed any more: {why}.")


def _finish(step: Step, state: Enforcement, explanation: str) -> None:
    step.state = move(MOVES, Enforcement(step.state), state).value
    step.ended_at = func.clock_timestamp()
    step.explanation = explanation


def _move_sessions(session: DatabaseSession, outcomes: list[Outcome]) -> None:
    changed = [
        (one.claimed.session_id, one.claimed.target_stamp)
        for one in outcomes
        if one.state == Enforcement.ACKNOWLEDGED and one.claimed.route == RouteKind.COA
    ]
    if changed:
        session.execute(
            text("""
            UPDATE sessions SET applied_stamp = row.stamp, applied_at = clock_timestamp()
            FROM unnest(CAST(:ids AS bigint[]), CAST(:stamps AS text[])) AS row (id, stamp)
            WHERE sessions.id = row.id
            """),
            {"ids": [row[0] for row in changed], "stamps": [row[1] for row in changed]},
        )
    gone = [one.claimed.session_id for one in outcomes if one.session_gone]
    if gone:
        session.execute(
            update(Session)
            .where(Session.id.in_(gone), Session.ended_at.is_(None))
            .values(ended_at=func.now(), ended_by="unknown_to_router")
        )


def _claimed(step: Step, live: Session, revision: str | None, *, was_unknown: bool) -> Claimed:
    return Claimed(
        step_id=step.id,
        operator_id=step.operator_id,
        service_id=step.service_id,
        session_id=step.session_id,
        attempt=step.attempts,
        route=RouteKind(step.route),
        attributes=tuple((name, value) for name, value in step.attributes),
        target_stamp=step.target_stamp,
        revision=revision,
        username=live.username,
        acct_session_id=live.acct_session_id,
        framed_address=str(live.framed_address) if live.framed_address else "",
        was_unknown=was_unknown,
    )


def _revisions(session: DatabaseSession, steps: Any) -> dict[int, str]:
    rows = session.execute(
        select(Change.id, Change.revision).where(Change.id.in_({one.change_id for one in steps if one.change_id}))
    )
    return {row.id: row.revision for row in rows if row.revision is not None}


def _node_names(session: DatabaseSession, routers: Any) -> dict[int, str]:
    ids = {router.node_id for router in routers if router.node_id is not None}
    if not ids:
        return {}
    return {row.id: row.name for row in session.execute(select(Node.id, Node.name).where(Node.id.in_(ids)))}
