"""Audit events: who did what, never changed or removed. Names are `subject:noun:verb`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Counter,
    EmptyWord,
    Key,
    OperatorId,
    OptionalBig,
    Revision,
    Snapshot,
    Word,
)


class AuditEvent(Base):
    """One event."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("audit_events_operator", "operator_id", "id"),
        Index("audit_events_service", "operator_id", "service_id", "id"),
        Index(
            "audit_events_subscriber",
            "operator_id",
            "subscriber_id",
            "id",
            postgresql_where=text("subscriber_id IS NOT NULL"),
        ),
        Index("audit_events_revision", "operator_id", "revision"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    actor: Mapped[Word]
    event: Mapped[Word]
    service_id: Mapped[OptionalBig]
    subscriber_id: Mapped[OptionalBig]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    revision: Mapped[Revision]


class AuditSeal(Base):
    """An event's place in its operator's chain; `hash` covers the event and the hash before it."""

    __tablename__ = "audit_seals"
    operator_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("operators.id"), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    event_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("audit_events.id"), unique=True)
    hash: Mapped[Word]
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)


class AuditHead(Base):
    """The end of an operator's chain. `snapshot`: every transaction that it shows was sealed."""

    __tablename__ = "audit_heads"
    operator_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("operators.id"), primary_key=True)
    number: Mapped[Counter]
    hash: Mapped[EmptyWord]
    snapshot: Mapped[str | None] = mapped_column(Snapshot)
    sealed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
