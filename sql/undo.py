"""Undo: gives back the access before a change, for a while, as a new change with a preview of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from policy.changes.intent import Intent
from sql import audit
from sql.checks import checked_moment, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Change, Override, Service
from sql.sessions import database_time

REASON_MAXIMUM_BYTES = 500
NOT_FACTS = {"service_id"}


def undo(session: Session, change: Change, *, until: datetime, reason: str, by: str) -> Override:
    """Give back what this change took or gave, until a moment; then billing's word counts again.

    Only what the change altered is given back: a plan or an address that was changed since stays. Raises Refused where
    the change never ran or another one has run since.
    """
    if change.state != Intent.APPROVED:
        raise Refused(f"Change {change.id} is {change.state.replace('_', ' ')}, so there is nothing to undo.")
    if change.from_facts is None:
        raise Refused(f"Change {change.id} opened the service; close the service instead.")
    if checked_moment("end of the undo", until) <= database_time(session):
        raise Refused("An undo must end in the future.")
    if not checked_text("reason", reason, REASON_MAXIMUM_BYTES).strip():
        raise Refused("Say why, for whoever reads it later.")
    service = session.scalars(
        select(Service).where(Service.id == change.service_id).with_for_update(key_share=True)
    ).one()
    if service.authorised_change_id != change.id:
        raise Refused(
            f"Change {change.id} is not the last one of {service.username!r} any more (change "
            f"{service.authorised_change_id} is); undo that one, or correct the service."
        )
    session.execute(
        update(Override)
        .where(Override.service_id == service.id, Override.ended_at.is_(None))
        .values(ended_at=func.now())
    )
    override = Override(
        operator_id=change.operator_id,
        service_id=service.id,
        facts=_altered(change.from_facts, change.to_facts),
        until=until,
        reason=reason,
        granted_by=by,
        undoes_change_id=change.id,
    )
    session.add(override)
    session.flush()
    audit.record(
        session,
        change.operator_id,
        by,
        "service:override:grant",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        change=change.id,
        override=override.id,
        until=until.isoformat(),
        reason=reason,
    )
    defer_review(session, change.operator_id)
    return override


def end_override(session: Session, operator_id: int, override_id: int, *, by: str) -> Override:
    """End an override now; billing's word counts again. Raises NotFound."""
    found = session.scalar(select(Override).where(Override.operator_id == operator_id, Override.id == override_id))
    if found is None:
        raise NotFound(f"There is no override {override_id}; `ispagents override list` shows those there are.")
    if found.ended_at is None:
        found.ended_at = func.now()
        session.flush()
        audit.record(session, operator_id, by, "service:override:end", service_id=found.service_id, override=found.id)
        defer_review(session, operator_id)
    return found


def overrides(session: Session, operator_id: int, *, before: int, limit: int) -> list[tuple[Override, str]]:
    """Overrides with their service's user name, the newest first."""
    rows = session.execute(
        select(Override, Service.username)
        .join(Service, Service.id == Override.service_id)
        .where(Override.operator_id == operator_id, Override.id < before)
        .order_by(Override.id.desc())
        .limit(limit)
    )
    return [(override, username) for override, username in rows]


def _altered(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The facts that differ, as they were before; None where there was nothing."""
    names = (before.keys() | after.keys()) - NOT_FACTS
    return {name: before.get(name) for name in sorted(names) if before.get(name) != after.get(name)}
