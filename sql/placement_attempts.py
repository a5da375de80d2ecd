"""Attempts to bring what routers hold into line: claimed with evidence before anything is sent, then stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import MOVES, Enforcement
from policy.changes.moves import move
from policy.routeros.style import Style
from policy.routeros.wanted import Line
from policy.stamp import stamp
from sql.among import among
from sql.attempts import END_ATTEMPTS, START, Attempt, Outcome
from sql.evidence import store_evidence
from sql.jobs import defer_enforce, driver_connection
from sql.live import known_accesses
from sql.models import Operator, Placement, Step
from sql.placing import NOTHING_LEFT, Placed, Placements
from sql.router_health import API, begin_probe, look_at, note
from sql.sessions import database_time
from sql.steps import due_steps, supersede

# A claimed step is looked at again after this long, in case the worker vanished: longer than a slow router takes to be
# read, written and read back, each within its time (worker/configure.py).
CONFIGURE_S = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedPlacement(Attempt):
    """A step about a placement, with all that its commands need, but for the password.

    `before`: the access that sessions there were given, None where nobody knows: then either there never was one
    (`in_doubt` False), or an attempt was cut short. `leaves`: nothing of ours shall be left.
    `sealed_password` opens in the worker alone. `adopt`: what stands there under the same names becomes ours.
    """

    placement_id: int
    access: Access
    before: Access | None
    in_doubt: bool
    line: Line
    style: Style
    sealed_password: bytes | None
    leaves: bool
    adopt: bool


# What goes to a router is known only when it was looked at: written down before the first command.
_SENDING = text("""
UPDATE evidence SET sent = row.sent, undo = row.undo
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (step_id bigint, attempt integer, sent jsonb, undo jsonb)
WHERE evidence.step_id = row.step_id AND evidence.attempt = row.attempt
""")
_APPLIED = text("""
UPDATE placements SET applied_stamp = row.stamp, access_stamp = row.access, observed_at = clock_timestamp(),
    applied_at = clock_timestamp(), ended_at = CASE WHEN row.stamp = '' THEN clock_timestamp() END
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (id bigint, stamp text, access text)
WHERE placements.id = row.id
""")
# From the first command on, and after an attempt that was cut short, nobody knows what stands there.
_UNKNOWN = text("""
UPDATE placements SET applied_stamp = NULL,
    access_stamp = CASE WHEN id = ANY(CAST(:given AS bigint[])) THEN '' ELSE access_stamp END
WHERE id = ANY(CAST(:ids AS bigint[])) AND ended_at IS NULL
""")
# What sessions were given there since is not known; NULL: nothing ever was.
_IN_DOUBT = ""


def claim_placements(
    session: DatabaseSession, operator_id: int, router_id: int, most: int, *, hurry: bool = False
) -> list[ClaimedPlacement]:
    """Mark waiting steps about placements on a router as started, with an evidence row each.

    By priority, then by their time; nothing while the operator's network writes are stopped or the router's API is
    left alone. A step found started belongs to a worker that vanished: the router is looked at again. What has moved
    since is superseded, and planned anew. Raises PolicyError where the router's style cannot be read.
    """
    operator = session.get_one(Operator, operator_id)
    if operator.writes_stopped_at is not None:
        return []
    health, now = look_at(session, router_id, API)
    if health.is_left_alone(now):
        return []
    most = 1 if health.is_open else most
    steps = due_steps(session, operator_id, router_id, most, probe=health.is_open, hurry=hurry, configure=True)
    if not steps:
        return []
    found = Placements(session, operator).find(
        among(Placement.id, {step.placement_id for step in steps}), now, lock=False
    )
    wanted = {one.placement.id: one for one in found}
    before = known_accesses(session, operator_id, {one.placement.access_stamp or "" for one in found})
    claimed, moved = [], set()
    for step in steps:
        one = wanted.get(step.placement_id or 0)
        if one is None or one.problem or one.target_stamp != step.target_stamp:
            supersede(step, "something else is authorised by now, and that is sent instead")
            moved.add(step.service_id)
        else:
            claimed.append(_claimed(step, one, before.get(one.placement.access_stamp or ""), probe=health.is_open))
    session.flush()
    if claimed:
        session.execute(START, {"steps": [one.step_id for one in claimed], "claim_s": CONFIGURE_S})
    if moved:
        defer_enforce(driver_connection(session), operator_id, sorted(moved))
    if claimed and health.is_open:
        begin_probe(session, router_id, now + timedelta(seconds=CONFIGURE_S), API)
    return claimed


def note_commands(
    session: DatabaseSession, sending: Sequence[tuple[ClaimedPlacement, list[list[str]], list[list[str]], bool]]
) -> None:
    """Write down what is about to be sent, and what takes it back.

    `sending`: (attempt, commands, their reverse, whether logins are given something else from then on).

    Until it is read back nobody knows what stands there: whoever vanishes now may have sent all of it, or nothing, and
    what was proved before would be believed if that is wanted again.
    """
    rows = [
        {"step_id": one.step_id, "attempt": one.attempt, "sent": sent, "undo": undo} for one, sent, undo, _ in sending
    ]
    session.execute(_SENDING, {"rows": json.dumps(rows)})
    given = [one.placement_id for one, _, _, gives_other in sending if gives_other]
    session.execute(_UNKNOWN, {"ids": [one.placement_id for one, *_ in sending], "given": given})


def store_placements(
    session: DatabaseSession,
    operator_id: int,
    router_id: int,
    outcomes: list[Outcome[ClaimedPlacement]],
    worker_now: datetime | None = None,
) -> list[int]:
    """Store how attempts ended: evidence, the step's state, and what the router now holds.

    Returns the services to be looked at again: the attempt did not reach what is authorised by now.
    """
    now = database_time(session)
    steps = {
        step.id: step
        for step in session.query(Step)
        .filter(Step.operator_id == operator_id, among(Step.id, [one.claimed.step_id for one in outcomes]))
        .order_by(Step.id)
        .with_for_update()
        .populate_existing()
    }
    store_evidence(session, outcomes, now, worker_now)
    mine = [
        one
        for one in outcomes
        if (step := steps[one.claimed.step_id]).state == Enforcement.STARTED and step.attempts == one.claimed.attempt
    ]
    session.execute(END_ATTEMPTS, {"rows": json.dumps([_end(one, now) for one in mine], default=str)})
    proved = [one.claimed for one in mine if one.state == Enforcement.VERIFIED]
    rows = [{"id": one.placement_id, "stamp": one.target_stamp, "access": stamp(one.access)} for one in proved]
    session.execute(_APPLIED, {"rows": json.dumps(rows)})
    # An attempt that another has overtaken may have had the last word at the router.
    settled = {(one.step_id, one.attempt) for one in proved}
    touched = [
        one.claimed.placement_id
        for one in outcomes
        if one.packets and (one.claimed.step_id, one.claimed.attempt) not in settled
    ]
    session.execute(_UNKNOWN, {"ids": touched, "given": []})
    note(session, operator_id, router_id, [(one.heard, now, one.claimed.probe) for one in outcomes], API)
    return sorted({one.claimed.service_id for one in outcomes})


def _claimed(step: Step, one: Placed, before: Access | None, *, probe: bool) -> ClaimedPlacement:
    move(MOVES, Enforcement(step.state), Enforcement.STARTED)
    return ClaimedPlacement(
        step_id=step.id,
        operator_id=step.operator_id,
        service_id=step.service_id,
        attempt=step.attempts + 1,
        target_stamp=step.target_stamp,
        was_unknown=step.state == Enforcement.STARTED,
        probe=probe,
        placement_id=one.placement.id,
        access=one.access,
        before=before,
        in_doubt=one.placement.access_stamp == _IN_DOUBT,
        line=one.line,
        style=one.style,
        sealed_password=one.service.password,
        leaves=one.target_stamp == NOTHING_LEFT,
        adopt=one.placement.adopt,
    )


def _end(one: Outcome[ClaimedPlacement], now: datetime) -> dict[str, Any]:
    """How the attempt leaves its step. Raises MoveNotAllowed."""
    retrying = one.state == Enforcement.RETRYING
    return {
        "id": one.claimed.step_id,
        "state": move(MOVES, Enforcement.STARTED, one.state).value,
        "explanation": one.explanation,
        "proof": "observed" if one.state == Enforcement.VERIFIED else None,
        "due_at": now + timedelta(seconds=one.retry_after_s) if retrying else None,
        "verify_by": None,
    }
