"""Plans and their versions. A version never changes; an edit is a new version, and so a change for every service."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Big,
    Counter,
    CreatedAt,
    Document,
    Key,
    OperatorId,
    OptionalBig,
    Revision,
    SortedWord,
    Word,
)


class Plan(Base):
    """What is sold: a name, a price in minor units a period, and the current version of its facts."""

    __tablename__ = "plans"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "name"),
        ForeignKeyConstraint(
            ["operator_id", "id", "current_version_id"],
            ["plan_versions.operator_id", "plan_versions.plan_id", "plan_versions.id"],
            name="plans_current_version_fkey",
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    price_minor: Mapped[Counter]
    period_months: Mapped[int] = mapped_column(server_default="1")
    current_version_id: Mapped[OptionalBig]
    created_at: Mapped[CreatedAt]


class PlanVersion(Base):
    """One version of a plan's facts (`policy.facts.PlanFacts` as a document)."""

    __tablename__ = "plan_versions"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("plan_id", "number"),
        UniqueConstraint("operator_id", "plan_id", "id"),
        ForeignKeyConstraint(["operator_id", "plan_id"], ["plans.operator_id", "plans.id"]),
    )
    id: Mapped[Key]
    operator_id: Mapped[Big]
    plan_id: Mapped[Big]
    number: Mapped[int]
    name: Mapped[Word]
    facts: Mapped[Document]
    created_at: Mapped[CreatedAt]
    revision: Mapped[Revision]
