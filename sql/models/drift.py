"""What looks at routers and at the accounting found that billing does not agree with."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Big,
    EmptyDocument,
    EmptyWord,
    Key,
    OperatorId,
    OptionalBig,
    OptionalMoment,
    OptionalWord,
    Word,
)

_ROUTER = (["operator_id", "router_id"], ["routers.operator_id", "routers.id"])


class DriftRun(Base):
    """One look at one router."""

    __tablename__ = "drift_runs"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_ROUTER),
        Index("drift_runs_router", "operator_id", "router_id", "id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    router_id: Mapped[Big]
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    ended_at: Mapped[OptionalMoment]
    looked_at: Mapped[int] = mapped_column(server_default="0")
    found: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[EmptyWord]


class DriftFinding(Base):
    """Something that is not as it should be; `proposal` would mend it. It is open until it is gone or left alone."""

    __tablename__ = "drift_findings"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_ROUTER),
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        Index("drift_findings_one", "router_id", "kind", "key", unique=True, postgresql_where=text("gone_at IS NULL")),
        Index(
            "drift_findings_open",
            "operator_id",
            "id",
            postgresql_where=text("gone_at IS NULL AND left_at IS NULL"),
        ),
        Index(
            "drift_findings_service",
            "operator_id",
            "service_id",
            "id",
            postgresql_where=text("service_id IS NOT NULL"),
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    router_id: Mapped[Big]
    service_id: Mapped[OptionalBig]
    kind: Mapped[Word]
    key: Mapped[str] = mapped_column(Text(collation="C"))
    cause: Mapped[Word]
    proposal: Mapped[EmptyDocument]
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    gone_at: Mapped[OptionalMoment]
    left_at: Mapped[OptionalMoment]
    left_by: Mapped[OptionalWord]
    left_reason: Mapped[OptionalWord]
