"""Changes (intent), steps (enforcement), evidence, and the accesses behind the stamps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    NOW,
    Base,
    Big,
    CreatedAt,
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
        Index("changes_batch", "operator_id", "batch_id", "id", postgresql_where=text("batch_id IS NOT NULL")),
        Index("changes_decided", "operator_id", "kind", "decided_at", postgresql_where=text("rule IS NOT NULL")),
        Index("changes_approved", "operator_id", "kind", "decided_at", postgresql_where=text("state = 'approved'")),
        ForeignKeyConstraint(["operator_id", "batch_id"], ["batches.operator_id", "batches.id"]),
        ForeignKeyConstraint(["operator_id", "undoes_change_id"], ["changes.operator_id", "changes.id"]),
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
    batch_id: Mapped[OptionalBig]
    requested_by: Mapped[str] = mapped_column(Text, server_default="billing")
    undoes_change_id: Mapped[OptionalBig]
    needs_approvals: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    held_back: Mapped[EmptyWord]


class Batch(Base):
    """Changes of one kind and day that wait for people, looked at and approved together."""

    __tablename__ = "batches"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(["operator_id", "undoes_batch_id"], ["batches.operator_id", "batches.id"]),
        Index("batches_name", "operator_id", "name", unique=True),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[Word]
    requested_by: Mapped[Word]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    undoes_batch_id: Mapped[OptionalBig]


class Approval(Base):
    """A person's yes to one preview of a change."""

    __tablename__ = "approvals"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "change_id"], ["changes.operator_id", "changes.id"]),)
    operator_id: Mapped[OperatorId]
    change_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    person: Mapped[str] = mapped_column(Text, primary_key=True)
    preview_hash: Mapped[Word]
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)


class Override(Base):
    """An earlier access that a person gave back for a while, whatever billing says."""

    __tablename__ = "overrides"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "undoes_change_id"], ["changes.operator_id", "changes.id"]),
        Index("overrides_service", "operator_id", "service_id", "id"),
        Index("overrides_one_open", "service_id", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    facts: Mapped[Document]
    until: Mapped[Moment]
    reason: Mapped[Word]
    granted_by: Mapped[Word]
    undoes_change_id: Mapped[OptionalBig]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[OptionalMoment]


class Step(Base):
    """Observed becomes authorised, on one session or one placement; its moves: `policy.changes.enforcement.MOVES`."""

    __tablename__ = "steps"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "change_id"], ["changes.operator_id", "changes.id"]),
        ForeignKeyConstraint(["operator_id", "session_id"], ["sessions.operator_id", "sessions.id"]),
        ForeignKeyConstraint(["operator_id", "placement_id"], ["placements.operator_id", "placements.id"]),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
        Index("steps_one_open_placement", "placement_id", unique=True, postgresql_where=_OPEN),
        Index("steps_placement", "placement_id", "id", postgresql_where=text("placement_id IS NOT NULL")),
        Index("steps_one_open", "session_id", unique=True, postgresql_where=_OPEN),
        Index("steps_due", "router_id", "priority", "due_at", "id", postgresql_where=_OPEN),
        Index("steps_service", "operator_id", "service_id", "id"),
        Index("steps_session", "session_id"),
        Index("steps_unproved", "verify_by", postgresql_where=text("state = 'acknowledged'")),
        Index("steps_stuck", "session_id", postgresql_where=text("state = 'stuck'")),
        Index("steps_unverified", "session_id", postgresql_where=text("state = 'unverified'")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    change_id: Mapped[OptionalBig]
    session_id: Mapped[OptionalBig]
    placement_id: Mapped[OptionalBig]
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
    verify_by: Mapped[OptionalMoment]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="5")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    started_at: Mapped[OptionalMoment]
    ended_at: Mapped[OptionalMoment]


class HealingRun(Base):
    """The healing of drift in this hour: how many steps were planned, and how many sessions the brake holds back."""

    __tablename__ = "healing_runs"
    operator_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("operators.id"), primary_key=True)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    steps: Mapped[int] = mapped_column(server_default="0")
    held: Mapped[int] = mapped_column(server_default="0")


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
    undo: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
