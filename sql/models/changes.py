"""Changes (intent), steps (enforcement), evidence, and the accesses behind the stamps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    NOW,
    Base,
    Big,
    Document,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalBig,
    OptionalDocument,
    OptionalMoment,
    OptionalWord,
    TransactionId,
    Word,
)

_SERVICE = (["operator_id", "service_id"], ["services.operator_id", "services.id"])
_OPEN = text("state IN ('waiting', 'started', 'retrying')")


class KnownAccess(Base):
    """An access that was authorised once, by its stamp."""

    __tablename__ = "accesses"
    operator_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("operators.id"), primary_key=True)
    stamp: Mapped[str] = mapped_column(Text, primary_key=True)
    document: Mapped[Document]


class Change(Base):
    """Wanted becomes authorised for one service. `revision` is the transaction that authorised it."""

    __tablename__ = "changes"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_SERVICE),
        Index("changes_one_awaiting", "service_id", unique=True, postgresql_where=text("state = 'awaiting_approval'")),
        Index("changes_service", "operator_id", "service_id", "id"),
        Index("changes_state", "operator_id", "state", "id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    kind: Mapped[Word]
    state: Mapped[str] = mapped_column(Text, server_default="awaiting_approval")
    cause: Mapped[Word]
    from_facts: Mapped[OptionalDocument]
    to_facts: Mapped[Document]
    from_stamp: Mapped[OptionalWord]
    to_stamp: Mapped[Word]
    preview: Mapped[Document]
    preview_hash: Mapped[Word]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    decided_at: Mapped[OptionalMoment]
    decided_by: Mapped[OptionalWord]
    rule: Mapped[OptionalWord]
    note: Mapped[EmptyWord]
    revision: Mapped[str | None] = mapped_column(TransactionId)


class Step(Base):
    """Observed becomes authorised on one session; its moves are `policy.changes.enforcement.MOVES`."""

    __tablename__ = "steps"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "change_id"], ["changes.operator_id", "changes.id"]),
        ForeignKeyConstraint(["operator_id", "session_id"], ["sessions.operator_id", "sessions.id"]),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
        Index("steps_one_open", "session_id", unique=True, postgresql_where=_OPEN),
        Index("steps_due", "router_id", "due_at", postgresql_where=_OPEN),
        Index("steps_service", "operator_id", "service_id", "id"),
        Index("steps_session", "session_id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    change_id: Mapped[OptionalBig]
    session_id: Mapped[Big]
    router_id: Mapped[Big]
    route: Mapped[Word]
    why: Mapped[Word]
    state: Mapped[str] = mapped_column(Text, server_default="waiting")
    target_stamp: Mapped[Word]
    attributes: Mapped[list[list[str]]] = mapped_column(JSONB, server_default="[]")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    explanation: Mapped[EmptyWord]
    proof: Mapped[OptionalWord]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    started_at: Mapped[OptionalMoment]
    ended_at: Mapped[OptionalMoment]


class Evidence(Base):
    """One attempt of a step: what was sent, what came back, how long it took."""

    __tablename__ = "evidence"
    __table_args__ = (
        UniqueConstraint("step_id", "attempt"),
        ForeignKeyConstraint(["operator_id", "step_id"], ["steps.operator_id", "steps.id"]),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    step_id: Mapped[Big]
    attempt: Mapped[int]
    sent: Mapped[list[list[str]]] = mapped_column(JSONB)
    started_at: Mapped[Moment]
    ended_at: Mapped[OptionalMoment]
    outcome: Mapped[OptionalWord]
    cause: Mapped[EmptyWord]
    explanation: Mapped[EmptyWord]
    reply: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    packets: Mapped[int] = mapped_column(server_default="0")
    round_trip_ms: Mapped[float | None]
