"""Where services stand in their periods, what changes their price, and the runs of the billing cycle."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Numeric, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Big,
    Counter,
    CreatedAt,
    Document,
    EmptyWord,
    Key,
    OperatorId,
    OptionalBig,
    OptionalMoment,
    OptionalWord,
    SortedWord,
    Word,
)

_SERVICE = (["operator_id", "service_id"], ["services.operator_id", "services.id"])
_INVOICE = (["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"])


class DunningPolicy(Base):
    """How reminders, suspension and closing follow an unpaid invoice, in days of the operator's calendar."""

    __tablename__ = "dunning_policies"
    __table_args__ = (UniqueConstraint("operator_id", "id"), UniqueConstraint("operator_id", "name"))
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    grace_days: Mapped[int] = mapped_column(server_default="3")
    overdue_days: Mapped[int] = mapped_column(server_default="0")
    close_days: Mapped[int | None]
    reminder_days: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default="{-3,1,7}")
    suspend_hour: Mapped[int | None] = mapped_column(SmallInteger)
    suspend_weekdays: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger), server_default="{1,2,3,4,5,6,7}")
    skip_holidays: Mapped[bool] = mapped_column(server_default="true")
    created_at: Mapped[CreatedAt]


class Holiday(Base):
    """A day of the operator on which nobody is suspended, where the dunning policy says so."""

    __tablename__ = "holidays"
    operator_id: Mapped[OperatorId] = mapped_column(primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(primary_key=True)
    name: Mapped[Word]


class ServiceBilling(Base):
    """Where a service stands in its periods: all before `billed_until` is invoiced; the cycle looks again `next_on`."""

    __tablename__ = "service_billing"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"]),
        ForeignKeyConstraint(["operator_id", "next_plan_id"], ["plans.operator_id", "plans.id"]),
        Index(
            "service_billing_due",
            "operator_id",
            "next_on",
            "subscriber_id",
            "service_id",
            postgresql_where=text("next_on IS NOT NULL"),
        ),
    )
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    operator_id: Mapped[Big]
    subscriber_id: Mapped[Big]
    starts_on: Mapped[date]
    anchor_day: Mapped[int] = mapped_column(SmallInteger)
    billed_until: Mapped[date | None]
    next_on: Mapped[date | None]
    setup_charged: Mapped[bool] = mapped_column(server_default="false")
    price_minor: Mapped[OptionalBig]
    next_plan_id: Mapped[OptionalBig]
    next_plan_by: Mapped[OptionalWord]
    next_plan_on: Mapped[date | None]
    updated_at: Mapped[CreatedAt]


class Discount(Base):
    """Less for one service: a share or an amount of each period, for so many periods, up to a day, or for ever."""

    __tablename__ = "discounts"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        Index("discounts_service", "operator_id", "service_id", "id"),
        Index("discounts_open", "service_id", postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    percent_basis_points: Mapped[int | None]
    amount_minor: Mapped[OptionalBig]
    periods_left: Mapped[int | None]
    until_on: Mapped[date | None]
    reason: Mapped[Word]
    granted_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[OptionalMoment]


class Fee(Base):
    """A one-off fee, charged with the next invoice of its service."""

    __tablename__ = "fees"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(*_INVOICE),
        Index("fees_service", "operator_id", "service_id", "id"),
        Index("fees_open", "service_id", postgresql_where=text("invoice_id IS NULL AND cancelled_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    amount_minor: Mapped[Big]
    tax_basis_points: Mapped[int] = mapped_column(server_default="0")
    tax_included: Mapped[bool] = mapped_column(server_default="true")
    description: Mapped[Word]
    added_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    invoice_id: Mapped[OptionalBig]
    cancelled_at: Mapped[OptionalMoment]


class CreditLine(Base):
    """What a credit is made of where it gives back days that were invoiced; shaped as the line of an invoice."""

    __tablename__ = "credit_lines"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "payment_id"], ["payments.operator_id", "payments.id"]),
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "plan_id"], ["plans.operator_id", "plans.id"]),
        Index("credit_lines_service", "operator_id", "service_id", "period_start"),
    )
    operator_id: Mapped[OperatorId]
    payment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    kind: Mapped[Word]
    description: Mapped[Word]
    service_id: Mapped[Big]
    plan_id: Mapped[OptionalBig]
    period_start: Mapped[date | None]
    period_end: Mapped[date | None]
    net_minor: Mapped[Big]
    tax_basis_points: Mapped[int] = mapped_column(server_default="0")
    tax_minor: Mapped[Counter]


class BillingRun(Base):
    """The cycle of one operator on one of its days, and what it did."""

    __tablename__ = "billing_runs"
    __table_args__ = (UniqueConstraint("operator_id", "id"), UniqueConstraint("operator_id", "day"))
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    day: Mapped[date]
    started_at: Mapped[CreatedAt]
    finished_at: Mapped[OptionalMoment]
    invoices: Mapped[Counter]
    amount_minor: Mapped[Decimal] = mapped_column(Numeric, server_default="0")
    reminders: Mapped[Counter]
    reminded_through: Mapped[OptionalBig]
    closed: Mapped[Counter]
    problems: Mapped[Counter]


class BillingProblem(Base):
    """What could not be billed on a day, and why; the rest went on."""

    __tablename__ = "billing_problems"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        Index(
            "billing_problems_open", "operator_id", "day", "service_id", postgresql_where=text("resolved_at IS NULL")
        ),
    )
    operator_id: Mapped[OperatorId]
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    explanation: Mapped[Word]
    created_at: Mapped[CreatedAt]
    resolved_at: Mapped[OptionalMoment]


class Compensation(Base):
    """More days or a credit for all services of a router or an area, approved by its preview's hash."""

    __tablename__ = "compensations"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "name"),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    router_id: Mapped[OptionalBig]
    area: Mapped[OptionalWord]
    days: Mapped[int | None]
    amount_minor: Mapped[OptionalBig]
    reason: Mapped[Word]
    state: Mapped[str] = mapped_column(Text, server_default="planned")
    preview: Mapped[Document]
    preview_hash: Mapped[Word]
    requested_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    decided_by: Mapped[OptionalWord]
    decided_at: Mapped[OptionalMoment]
    undone_by: Mapped[OptionalWord]
    undone_at: Mapped[OptionalMoment]


class CompensationRow(Base):
    """What a compensation does to one service: before-image, after-image, and how it went."""

    __tablename__ = "compensation_rows"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "compensation_id"], ["compensations.operator_id", "compensations.id"]),
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "payment_id"], ["payments.operator_id", "payments.id"]),
        Index("compensation_rows_service", "operator_id", "service_id"),
    )
    compensation_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    operator_id: Mapped[OperatorId]
    state: Mapped[str] = mapped_column(Text, server_default="planned")
    billed_before: Mapped[date | None]
    billed_after: Mapped[date | None]
    starts_before: Mapped[date | None]
    starts_after: Mapped[date | None]
    prepaid_before: Mapped[OptionalMoment]
    prepaid_after: Mapped[OptionalMoment]
    payment_id: Mapped[OptionalBig]
    explanation: Mapped[EmptyWord]
