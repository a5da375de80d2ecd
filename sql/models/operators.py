"""Operators: the ISPs. Every other business row belongs to one."""

from __future__ import annotations

from datetime import date, time
from typing import Any

from sqlalchemy import BigInteger, Double, ForeignKeyConstraint, Identity, SmallInteger, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import Base, CreatedAt, EmptyWord, OptionalBig, OptionalMoment, Revision, Word


class Operator(Base):
    """An ISP, with its money, its dunning, its approval rules and brakes, and its choices for refused logins."""

    __tablename__ = "operators"
    __table_args__ = (
        ForeignKeyConstraint(
            ["id", "dunning_policy_id"], ["dunning_policies.operator_id", "dunning_policies.id"], use_alter=True
        ),
    )
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(Text, unique=True)
    currency: Mapped[Word]
    time_zone: Mapped[str] = mapped_column(Text, server_default="UTC")
    language: Mapped[str] = mapped_column(Text, server_default="en")
    grace_days: Mapped[int] = mapped_column(server_default="3")
    overdue_days: Mapped[int] = mapped_column(server_default="0")
    automatic_changes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{open,restore,plan,address}")
    refusals: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    brake_percent: Mapped[float] = mapped_column(Double, server_default="5")
    brake_number: Mapped[int] = mapped_column(server_default="500")
    brake_free: Mapped[int] = mapped_column(server_default="20")
    writes_stopped_at: Mapped[OptionalMoment]
    writes_stopped_by: Mapped[EmptyWord]
    payment_feed_hours: Mapped[int | None]
    approval_rules: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    change_days: Mapped[int] = mapped_column(server_default="14")
    standings_from: Mapped[str] = mapped_column(Text, server_default="invoices")
    standing_feed_hours: Mapped[int | None]
    dunning_policy_id: Mapped[OptionalBig]
    charges_from: Mapped[date | None]
    billing_hour: Mapped[int] = mapped_column(SmallInteger, server_default="2")
    invoice_days_before: Mapped[int] = mapped_column(server_default="0")
    due_days: Mapped[int] = mapped_column(server_default="14")
    quiet_from: Mapped[time | None]
    quiet_until: Mapped[time | None]
    legal_name: Mapped[EmptyWord]
    address: Mapped[EmptyWord]
    tax_name: Mapped[str] = mapped_column(Text, server_default="VAT")
    tax_number: Mapped[EmptyWord]
    payment_details: Mapped[EmptyWord]
    created_at: Mapped[CreatedAt]
    revision: Mapped[Revision]
