"""Audit events, named `subject:noun:verb`, written in the transaction of what they tell."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from sql.models import AuditEvent


def record(
    session: Session,
    operator_id: int,
    actor: str,
    event: str,
    *,
    service_id: int | None = None,
    subscriber_id: int | None = None,
    **data: Any,
) -> None:
    """Add an event. `data` is JSON and never holds a secret."""
    session.add(
        AuditEvent(
            operator_id=operator_id,
            actor=actor,
            event=event,
            service_id=service_id,
            subscriber_id=subscriber_id,
            data=data,
        )
    )
