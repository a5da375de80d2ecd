"""Audit events: who did what, never changed or removed. Names are `subject:noun:verb`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import CLOCK, Base, Key, OperatorId, OptionalBig, Word


class AuditEvent(Base):
    """One event."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_events_operator", "operator_id", "id"),
        Index("audit_events_service", "operator_id", "service_id", "id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    actor: Mapped[Word]
    event: Mapped[Word]
    service_id: Mapped[OptionalBig]
    subscriber_id: Mapped[OptionalBig]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
