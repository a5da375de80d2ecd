"""Attempts of steps: claimed with evidence before anything is sent, and stored with what came of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session as DatabaseSession

from policy.changes.breaker import Heard
from policy.changes.enforcement import MOVES, OPEN_STATES, PROOFS, Enforcement
from policy.changes.moves import move
from policy.changes.route import RouteKind
from policy.changes.settle import LATE_S, once_more
from sql.jobs import defer_enforce, driver_connection
from sql.live import known_accesses
from sql.models import Change, Evidence, Operator, Service, Session, Step
from sql.proof import verify_by
from sql.router_health import begin_probe, look_at, note
from sql.sessions import database_time
from sql.steps import Targets, finish, supersede

# A claimed step is looked at again after this long, in case the worker that claimed it vanished. It is longer than two
# windows of a router that never answers take: 2 x 17 s (network/coa/target.py), and the wait for the edges.
CLAIM_S = 45
# A node that has not reported for this long is taken for dead, and a Disconnect no longer waits for its replica.
NODE_SILENT_S = 60

SESSION_ENDED = "The session has ended, so nothing of the earlier access is left."


@dataclass(frozen=True, slots=True)
class Claimed:
    """A step that this worker has marked as started, with all that its packets need."""

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
    probe: bool = False
    """The router was given up, and this finds out whether it answers again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `state` is where the step goes; `retry_after_s` only for retrying.

    `heard` is what the attempt tells about the router itself.
    """

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
    heard: Heard = Heard.NOTHING


# CoAs of other accesses to these sessions that were not answered at once, and when their last packet was sent at most.
_MAY_STILL_ARRIVE = text("""
SELECT step.session_id, max(coalesce(proof.ended_at, proof.started_at)) AS at
FROM unnest(CAST(:sessions AS bigint[]), CAST(:stamps AS text[])) AS row (session_id, stamp)
JOIN steps AS step ON step.session_id = row.session_id AND step.target_stamp <> row.stamp AND step.route = 'coa'
JOIN evidence AS proof ON proof.step_id = step.id
WHERE coalesce(proof.ended_at, proof.started_at) > CAST(:since AS timestamptz)
    AND (proof.outcome IS NULL OR proof.packets > 1
        OR (proof.packets > 0 AND proof.outcome IN ('no_answer', 'unreachable', 'unknown')))
GROUP BY step.session_id
""")


def claim(session: DatabaseSession, operator_id: int, router_id: int, most: int) -> list[Claimed]:
    """Mark waiting steps of a router as started, with an evidence row each, before anything is sent.

    By priority, then by their time; nothing while the operator's network writes are stopped or the router is left
    alone, and one step where it is to be found out whether the router answers again. A step found started belongs to a
    worker that vanished: what it did is unknown, so the same is sent again. What has moved since is superseded, and
    planned anew.
    """
    operator = session.get_one(Operator, operator_id)
    if operator.writes_stopped_at is not None:
        return []
    health, now = look_at(session, router_id)
    if health.is_left_alone(now):
        return []
    steps = _due_steps(session, operator_id, router_id, 1 if health.is_open else most, probe=health.is_open)
    if not steps:
        return []
    live, wanted = _what_is_wanted(session, operator, steps, now)
    revisions = _revisions(session, steps)
    claimed: list[Claimed] = []
    moved: set[int] = set()
    for step in steps:
        one = live[step.session_id]
        if one.ended_at is not None:
            finish(step, Enforcement.VERIFIED, SESSION_ENDED)
            step.proof = "ended"
        elif wanted.get(one.id) != step.target_stamp:
            supersede(step, "something else is authorised by now, and that is sent instead")
            moved.add(step.service_id)
        else:
            revision = revisions.get(step.change_id or 0)
            claimed.append(_start(session, step, one, revision, probe=health.is_open))
    session.flush()
    if moved:
        defer_enforce(driver_connection(session), operator_id, sorted(moved))
    if claimed and health.is_open:
        begin_probe(session, router_id, now + timedelta(seconds=CLAIM_S))
    return claimed


def store_outcomes(session: DatabaseSession, operator_id: int, outcomes: list[Outcome]) -> None:
    """Store how attempts ended: evidence, the step's state, and what the session now has.

    They ended by the worker's clock, which may be wrong. By the database's they have ended now.
    """
    now = database_time(session)
    outcomes = sorted(outcomes, key=lambda one: one.ended_at)
    # Sessions before steps, as edge and `enforce` lock them: the other order could deadlock.
    applied = {
        row.id: row.applied_stamp
        for row in session.execute(
            select(Session.id, Session.applied_stamp)
            .where(Session.id.in_([one.claimed.session_id for one in outcomes]))
            .order_by(Session.id)
            .with_for_update()
        )
    }
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
        _store_evidence(session, one, now)
    due = _proofs_due(session, operator_id, outcomes, applied, now)
    again = _to_send_once_more(session, outcomes, now)
    for one in outcomes:
        step = steps[one.claimed.step_id]
        if step.state != Enforcement.STARTED or step.attempts != one.claimed.attempt:
            # Accounting proved it in the meantime, which outweighs what the router said; or a later attempt is out.
            continue
        _end_attempt(step, one, again.get(step.id), now)
        step.verify_by = due.get(step.id)
    session.flush()
    _move_sessions(session, outcomes)
    for router_id in sorted({step.router_id for step in steps.values()}):
        heard = [
            (one.heard, now, one.claimed.probe) for one in outcomes if steps[one.claimed.step_id].router_id == router_id
        ]
        note(session, operator_id, router_id, heard)


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


def _due_steps(session: DatabaseSession, operator_id: int, router_id: int, most: int, *, probe: bool) -> Sequence[Step]:
    """The steps whose turn it is. A probe takes the one that was tried most, so that one alone bears all of them."""
    order = (Step.attempts.desc(), Step.id) if probe else (Step.priority, Step.due_at, Step.id)
    return session.scalars(
        select(Step)
        .where(
            Step.operator_id == operator_id,
            Step.router_id == router_id,
            Step.state.in_(OPEN_STATES),
            Step.due_at <= func.now(),
        )
        .order_by(*order)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()


def _what_is_wanted(
    session: DatabaseSession, operator: Operator, steps: Sequence[Step], now: datetime
) -> tuple[dict[int, Session], dict[int, str | None]]:
    """The sessions of these steps, and the stamps that they should have now.

    What is authorised for everybody is read; only where a step has something else is it decided anew for the device.
    """
    rows = session.execute(
        select(Session, Service.authorised_stamp)
        .outerjoin(Service, Service.id == Session.service_id)
        .where(Session.id.in_({step.session_id for step in steps}))
    ).all()
    live = {one.id: one for one, _ in rows}
    wanted = {one.id: authorised for one, authorised in rows}
    asked = {step.session_id for step in steps if wanted[step.session_id] != step.target_stamp}
    if asked:
        for one in Targets(session, operator).find(Session.id.in_(asked), now, lock=False):
            wanted[one.session.id] = one.stamp
    return live, wanted


def _start(session: DatabaseSession, step: Step, live: Session, revision: str | None, *, probe: bool) -> Claimed:
    was_unknown = step.state == Enforcement.STARTED
    step.state = move(MOVES, Enforcement(step.state), Enforcement.STARTED).value
    step.attempts += 1
    step.started_at = func.clock_timestamp()
    step.due_at = func.now() + timedelta(seconds=CLAIM_S)
    session.add(
        Evidence(
            operator_id=step.operator_id,
            step_id=step.id,
            attempt=step.attempts,
            sent=step.attributes,
            started_at=func.clock_timestamp(),
        )
    )
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
        probe=probe,
    )


def _store_evidence(session: DatabaseSession, one: Outcome, now: datetime) -> None:
    took = max(one.ended_at - one.started_at, timedelta(0))
    session.execute(
        update(Evidence)
        .where(Evidence.step_id == one.claimed.step_id, Evidence.attempt == one.claimed.attempt)
        .values(
            sent=one.sent,
            # Never before the claim: nothing was sent then.
            started_at=func.greatest(Evidence.started_at, now - took),
            ended_at=now,
            outcome=one.outcome,
            cause=one.cause,
            explanation=one.explanation,
            reply=one.reply,
            packets=one.packets,
            round_trip_ms=one.round_trip_ms,
        )
    )


def _end_attempt(step: Step, one: Outcome, again_at: datetime | None, now: datetime) -> None:
    step.explanation = one.explanation
    if one.state == Enforcement.ACKNOWLEDGED:
        step.proof = "acknowledged"
    if one.state == Enforcement.VERIFIED:
        step.proof = "ended"
    if one.state == Enforcement.RETRYING or again_at is not None:
        step.state = move(MOVES, Enforcement.STARTED, Enforcement.RETRYING).value
        step.due_at = again_at or now + timedelta(seconds=one.retry_after_s)
        if again_at is not None:
            step.explanation += " " + once_more((again_at - now).total_seconds())
        return
    finish(step, one.state, one.explanation)


def _proofs_due(
    session: DatabaseSession, operator_id: int, outcomes: list[Outcome], applied: dict[int, str | None], now: datetime
) -> dict[int, datetime | None]:
    """By when the acknowledged steps must be proved, by step, for the routes on which a proof follows."""
    awaited = [one for one in outcomes if one.state == Enforcement.ACKNOWLEDGED and PROOFS[one.claimed.route].awaited]
    if not awaited:
        return {}
    stamps = {one.claimed.session_id: applied.get(one.claimed.session_id) or "" for one in awaited}
    known = known_accesses(session, operator_id, set(stamps.values()))
    return {
        one.claimed.step_id: verify_by(one.claimed.route, known.get(stamps[one.claimed.session_id]), now)
        for one in awaited
    }


def _to_send_once_more(session: DatabaseSession, outcomes: list[Outcome], now: datetime) -> dict[int, datetime]:
    """Acknowledged CoAs that an earlier one, still on its way, could undo; and when that is over."""
    coas = [one for one in outcomes if one.state == Enforcement.ACKNOWLEDGED and one.claimed.route == RouteKind.COA]
    if not coas:
        return {}
    rows = session.execute(
        _MAY_STILL_ARRIVE,
        {
            "sessions": [one.claimed.session_id for one in coas],
            "stamps": [one.claimed.target_stamp for one in coas],
            "since": now - timedelta(seconds=LATE_S),
        },
    )
    over = {row.session_id: row.at + timedelta(seconds=LATE_S) for row in rows}
    return {
        one.claimed.step_id: over[one.claimed.session_id]
        for one in coas
        if one.claimed.session_id in over and over[one.claimed.session_id] > now
    }


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
        session.execute(
            update(Step)
            .where(Step.session_id.in_(gone), Step.state.in_((Enforcement.ACKNOWLEDGED, Enforcement.UNVERIFIED)))
            .values(state=Enforcement.VERIFIED.value, proof="ended", ended_at=func.now(), explanation=SESSION_ENDED)
        )


def _revisions(session: DatabaseSession, steps: Sequence[Any]) -> dict[int, str]:
    rows = session.execute(
        select(Change.id, Change.revision).where(Change.id.in_({one.change_id for one in steps if one.change_id}))
    )
    return {row.id: row.revision for row in rows if row.revision is not None}
