"""Acknowledged is not verified: the alarm for steps whose proof did not come. Proof itself comes by accounting."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access, Kind
from policy.changes.enforcement import PROOFS, Enforcement, unproved, verify_within_s
from policy.changes.route import RouteKind
from policy.facts import INTERIM_INTERVAL_S
from sql import audit
from sql.live import known_accesses
from sql.models import Operator, Session, Step
from sql.steps import Target, Targets, finish, supersede

ALARMS_AT_ONCE = 500


def verify_by(route: RouteKind, applied: Access | None, acknowledged_at: datetime) -> datetime | None:
    """When the proof of an acknowledged step is due; None where none is to be expected (`PROOFS` says why)."""
    if not PROOFS[route].awaited:
        return None
    interim_s = applied.interim_interval_s if applied is not None else 0
    return acknowledged_at + timedelta(seconds=verify_within_s(interim_s or INTERIM_INTERVAL_S))


def raise_alarm(
    session: DatabaseSession, step: Step, one: Target, applied: Access | None, *, still_reports: bool
) -> None:
    """The proof did not come: unverified, in words, and in the audit."""
    # A session that is nowhere restricted, or of which nobody knows, counts as unrestricted: the worse of the two.
    restricting = one.access.kind != Kind.GRANT and (applied is None or applied.kind == Kind.GRANT)
    said = unproved(restricting=restricting, still_reports=still_reports)
    finish(step, Enforcement.UNVERIFIED, said)
    if still_reports:
        step.verify_by = func.clock_timestamp()  # nothing is awaited any more
    audit.record(
        session,
        step.operator_id,
        "worker",
        "step:proof:miss",
        service_id=step.service_id,
        step=step.id,
        change=step.change_id,
        router=one.router.name,
        why=said,
    )


def raise_alarms(session: DatabaseSession, operator_id: int, most: int = ALARMS_AT_ONCE) -> int:
    """Look at up to `most` acknowledged steps whose proof is overdue. Returns how many were looked at."""
    overdue = (
        Step.operator_id == operator_id,
        Step.state == Enforcement.ACKNOWLEDGED,
        Step.verify_by <= func.clock_timestamp(),
    )
    session_ids = set(session.scalars(select(Step.session_id).where(*overdue).order_by(Step.verify_by).limit(most)))
    if not session_ids:
        return 0
    # Sessions before steps, as edge and `enforce` lock them: the other order could deadlock.
    live = {
        row.id: row
        for row in session.scalars(
            select(Session).where(Session.id.in_(session_ids)).order_by(Session.id).with_for_update()
        )
    }
    steps = session.scalars(
        select(Step).where(*overdue, Step.session_id.in_(session_ids)).order_by(Step.id).with_for_update()
    ).all()
    now = session.execute(select(func.clock_timestamp())).scalar_one()
    targets = Targets(session, session.get_one(Operator, operator_id))
    wanted = {one.session.id: one for one in targets.find(Session.id.in_(session_ids), now, lock=False)}
    known = known_accesses(session, operator_id, {row.applied_stamp or "" for row in live.values()})
    for step in steps:
        session_id = step.session_id or 0
        row, one = live[session_id], wanted.get(session_id)
        if row.ended_at is not None:
            finish(step, Enforcement.VERIFIED, "The session has ended, so nothing of the earlier access is left.")
            step.proof = "ended"
        elif one is None or one.stamp != step.target_stamp:
            supersede(step, "something else is authorised by now")
        else:
            spoke = step.ended_at is not None and row.last_seen_at > step.ended_at
            raise_alarm(session, step, one, known.get(row.applied_stamp or ""), still_reports=spoke)
    session.flush()
    return len(steps)
