"""Attempts of steps: claimed with evidence before anything is sent, and stored with what came of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session as DatabaseSession

from policy.changes.breaker import Heard
from policy.changes.enforcement import (
    MOVES,
    PROOFS,
    Enforcement,
)
from policy.changes.moves import move
from policy.changes.route import RouteKind
from policy.changes.settle import LATE_S, once_more
from sql.among import among
from sql.evidence import store_evidence
from sql.jobs import defer_enforce, driver_connection
from sql.live import known_accesses
from sql.models import Change, Operator, Service, Session, Step
from sql.proof import verify_by
from sql.router_health import begin_probe, look_at, note
from sql.sessions import database_time
from sql.steps import Targets, due_steps, finish, supersede

# A claimed step is looked at again after this long, in case the worker that claimed it vanished. It is longer than two
# windows of a router that never answers take: 2 x 17 s (network/coa/target.py), and the wait for the edges.
CLAIM_S = 45
# A node that has not reported for this long is taken for dead, and a Disconnect no longer waits for its replica.
NODE_SILENT_S = 60

SESSION_ENDED = "The session has ended, so nothing of the earlier access is left."


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A step that this worker has marked as started.

    `was_unknown`: another worker had, and vanished. `probe`: the router was given up, and this finds out whether it
    answers again.
    """

    step_id: int
    operator_id: int
    service_id: int
    attempt: int
    target_stamp: str
    was_unknown: bool
    probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Attempt):
    """A step about a session, with all that its packets need."""

    session_id: int
    route: RouteKind
    attributes: tuple[tuple[str, str], ...]
    revision: str | None
    username: str
    acct_session_id: str
    framed_address: str


Tried_co = TypeVar("Tried_co", bound=Attempt, covariant=True)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Tried_co]):
    """How an attempt ended. `state` is where the step goes; `retry_after_s` only for retrying.

    `heard` is what the attempt tells about the router itself.
    """

    claimed: Tried_co
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


# One statement for all that is claimed: before anything is sent, with an evidence row each.
START = text("""
WITH started AS (
    UPDATE steps SET state = 'started', attempts = attempts + 1, started_at = clock_timestamp(),
        due_at = now() + make_interval(secs => :claim_s)
    WHERE id = ANY(CAST(:steps AS bigint[]))
    RETURNING id, operator_id, attempts, started_at,
        CASE WHEN placement_id IS NULL THEN attributes ELSE '[]' END AS sent)
INSERT INTO evidence (operator_id, step_id, attempt, sent, started_at)
SELECT operator_id, id, attempts, sent, started_at FROM started ORDER BY id
""")
END_ATTEMPTS = text("""
UPDATE steps SET state = row.state, explanation = row.explanation, proof = coalesce(row.proof, steps.proof),
    due_at = coalesce(row.due_at, steps.due_at), verify_by = row.verify_by,
    ended_at = CASE WHEN row.due_at IS NULL THEN clock_timestamp() ELSE steps.ended_at END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id bigint, state text, explanation text, proof text,
    due_at timestamptz, verify_by timestamptz)
WHERE steps.id = row.id
""")
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


def claim(
    session: DatabaseSession, operator_id: int, router_id: int, most: int, *, hurry: bool = False
) -> list[Claimed]:
    """Mark waiting steps of a router as started, with an evidence row each, before anything is sent.

    By priority, then by their time, with `hurry` only what is in one; nothing while the operator's network writes are
    stopped or the router is left alone, and one step where it is to be found out whether the router answers again. A
    step found started belongs to a worker that vanished: what it did is unknown, so the same is sent again. What has
    moved since is superseded, and planned anew.
    """
    operator = session.get_one(Operator, operator_id)
    if operator.writes_stopped_at is not None:
        return []
    health, now = look_at(session, router_id)
    if health.is_left_alone(now):
        return []
    most = 1 if health.is_open else most
    steps = due_steps(session, operator_id, router_id, most, probe=health.is_open, hurry=hurry)
    if not steps:
        return []
    live, wanted = _what_is_wanted(session, operator, steps, now)
    revisions = _revisions(session, steps)
    claimed: list[Claimed] = []
    moved: set[int] = set()
    for step in steps:
        one = live[step.session_id or 0]
        if one.ended_at is not None:
            finish(step, Enforcement.VERIFIED, SESSION_ENDED)
            step.proof = "ended"
        elif wanted.get(one.id) != step.target_stamp:
            supersede(step, "something else is authorised by now, and that is sent instead")
            moved.add(step.service_id)
        else:
            revision = revisions.get(step.change_id or 0)
            claimed.append(_claimed(step, one, revision, probe=health.is_open))
    session.flush()
    if claimed:
        session.execute(START, {"steps": [one.step_id for one in claimed], "claim_s": CLAIM_S})
    if moved:
        defer_enforce(driver_connection(session), operator_id, sorted(moved))
    if claimed and health.is_open:
        begin_probe(session, router_id, now + timedelta(seconds=CLAIM_S))
    return claimed


def store_outcomes(
    session: DatabaseSession, operator_id: int, outcomes: list[Outcome[Claimed]], worker_now: datetime | None = None
) -> list[int]:
    """Store how attempts ended: evidence, the step's state, and what the session now has.

    They ended by the worker's clock, which may be wrong; `worker_now` is what it says at this moment. By the
    database's they have ended now.
    Returns the services to be looked at again: the attempt did not reach what is authorised by now.
    """
    now = database_time(session)
    outcomes = sorted(outcomes, key=lambda one: one.ended_at)
    # Sessions before steps, as edge and `enforce` lock them: the other order could deadlock.
    live = {
        row.id: row
        for row in session.execute(
            select(Session.id, Session.applied_stamp, Service.authorised_stamp)
            .outerjoin(Service, Service.id == Session.service_id)
            .where(among(Session.id, [one.claimed.session_id for one in outcomes]))
            .order_by(Session.id)
            .with_for_update(of=Session)
        )
    }
    steps = {
        step.id: step
        for step in session.scalars(
            select(Step)
            .where(Step.operator_id == operator_id, among(Step.id, [one.claimed.step_id for one in outcomes]))
            .order_by(Step.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    }
    store_evidence(session, outcomes, now, worker_now)
    due = _proofs_due(session, operator_id, outcomes, {row.id: row.applied_stamp for row in live.values()}, now)
    again = _to_send_once_more(session, outcomes, now)
    ended = []
    for one in outcomes:
        step = steps[one.claimed.step_id]
        # Else accounting proved it in the meantime, which outweighs what the router said; or a later attempt is out.
        if step.state == Enforcement.STARTED and step.attempts == one.claimed.attempt:
            ended.append(_end(one, now, again.get(step.id), due.get(step.id)))
    if ended:
        session.execute(END_ATTEMPTS, {"rows": json.dumps(ended, default=str)})
    _move_sessions(session, outcomes)
    for router_id in sorted({step.router_id for step in steps.values()}):
        heard = [
            (one.heard, now, one.claimed.probe) for one in outcomes if steps[one.claimed.step_id].router_id == router_id
        ]
        note(session, operator_id, router_id, heard)
    reached = {
        one.claimed.service_id
        for one in outcomes
        if one.state == Enforcement.ACKNOWLEDGED
        and live[one.claimed.session_id].authorised_stamp == one.claimed.target_stamp
    }
    return sorted({one.claimed.service_id for one in outcomes} - reached)


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


def _what_is_wanted(
    session: DatabaseSession, operator: Operator, steps: Sequence[Step], now: datetime
) -> tuple[dict[int, Session], dict[int, str | None]]:
    """The sessions of these steps, and the stamps that they should have now.

    What is authorised for everybody is read; only where a step has something else is it decided anew for the device.
    """
    rows = session.execute(
        select(Session, Service.authorised_stamp)
        .outerjoin(Service, Service.id == Session.service_id)
        .where(among(Session.id, {step.session_id for step in steps}))
    ).all()
    live = {one.id: one for one, _ in rows}
    wanted = {one.id: authorised for one, authorised in rows}
    asked = {key for step in steps if wanted[key := step.session_id or 0] != step.target_stamp}
    if asked:
        for one in Targets(session, operator).find(among(Session.id, asked), now, lock=False):
            wanted[one.session.id] = one.stamp
    return live, wanted


def _claimed(step: Step, live: Session, revision: str | None, *, probe: bool) -> Claimed:
    """The step as `_START` is about to leave it."""
    move(MOVES, Enforcement(step.state), Enforcement.STARTED)
    return Claimed(
        step_id=step.id,
        operator_id=step.operator_id,
        service_id=step.service_id,
        session_id=live.id,
        attempt=step.attempts + 1,
        route=RouteKind(step.route),
        attributes=tuple((name, value) for name, value in step.attributes),
        target_stamp=step.target_stamp,
        revision=revision,
        username=live.username,
        acct_session_id=live.acct_session_id,
        framed_address=str(live.framed_address) if live.framed_address else "",
        was_unknown=step.state == Enforcement.STARTED,
        probe=probe,
    )


def _end(one: Outcome[Claimed], now: datetime, again_at: datetime | None, verify_by: datetime | None) -> dict[str, Any]:
    """How the attempt leaves its step. Raises MoveNotAllowed."""
    explanation, due_at, state = one.explanation, None, one.state
    if one.state == Enforcement.RETRYING or again_at is not None:
        state, due_at = Enforcement.RETRYING, again_at or now + timedelta(seconds=one.retry_after_s)
    if again_at is not None:
        explanation += " " + once_more((again_at - now).total_seconds())
    return {
        "id": one.claimed.step_id,
        "state": move(MOVES, Enforcement.STARTED, state).value,
        "explanation": explanation,
        "proof": {Enforcement.ACKNOWLEDGED: "acknowledged", Enforcement.VERIFIED: "ended"}.get(one.state),
        "due_at": due_at,
        "verify_by": verify_by,
    }


def _proofs_due(
    session: DatabaseSession,
    operator_id: int,
    outcomes: list[Outcome[Claimed]],
    applied: dict[int, str | None],
    now: datetime,
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


def _to_send_once_more(
    session: DatabaseSession, outcomes: list[Outcome[Claimed]], now: datetime
) -> dict[int, datetime]:
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


def _move_sessions(session: DatabaseSession, outcomes: list[Outcome[Claimed]]) -> None:
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
        now = database_time(session)  # as the evidence that tells it: the packet comes before what it did
        session.execute(
            update(Session)
            .where(Session.id.in_(gone), Session.ended_at.is_(None))
            .values(ended_at=now, ended_by="unknown_to_router")
        )
        session.execute(
            update(Step)
            .where(Step.session_id.in_(gone), Step.state.in_((Enforcement.ACKNOWLEDGED, Enforcement.UNVERIFIED)))
            .values(state=Enforcement.VERIFIED.value, proof="ended", ended_at=now, explanation=SESSION_ENDED)
        )


def _revisions(session: DatabaseSession, steps: Sequence[Any]) -> dict[int, str]:
    rows = session.execute(
        select(Change.id, Change.revision).where(among(Change.id, {one.change_id for one in steps if one.change_id}))
    )
    return {row.id: row.revision for row in rows if row.revision is not None}
