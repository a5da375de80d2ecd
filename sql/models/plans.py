"""Plans and their versions. A version never changes; an edit is a new version, and so a change for every service."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint, SmallInteger, Text, UniqueConstraint
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
    """What is sold: a name, a price in minor units a period, and the current version of its facts.

    `anchor_day`: the day of the month on which periods begin (None: the day the service began). Tax is in basis points
    of the net amount.
    """

    __tablename__ = "plans"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "name"),
        ForeignKeyConstraint(
            ["operator_id", "dunning_policy_id"], ["dunning_policies.operator_id", "dunning_policies.id"]
        ),
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
    current_version_id: Mapped[OptionalBig]
    created_at: Mapped[CreatedAt]
    billing: Mapped[str] = mapped_column(Text, server_default="recurring")
    period_count: Mapped[int] = mapped_column(server_default="1")
    period_unit: Mapped[str] = mapped_column(Text, server_default="month")
    anchor_day: Mapped[int | None] = mapped_column(SmallInteger)
    tax_basis_points: Mapped[int] = mapped_column(server_default="0")
    tax_included: Mapped[bool] = mapped_column(server_default="true")
    setup_minor: Mapped[Counter]
    trial_days: Mapped[int] = mapped_column(server_default="0")
    dunning_policy_id: Mapped[OptionalBig]


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
