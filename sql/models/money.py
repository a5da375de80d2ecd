"""Invoices, payments and what paid what. Integer minor units beside their currency."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Big,
    CreatedAt,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalMoment,
    OptionalWord,
    Word,
)

_SUBSCRIBER = (["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"])


class Invoice(Base):
    """What a subscriber owes, and until when."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "number"),
        UniqueConstraint("operator_id", "subscriber_id", "id"),
        ForeignKeyConstraint(*_SUBSCRIBER),
        Index("invoices_subscriber", "operator_id", "subscriber_id", "due_at"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    subscriber_id: Mapped[Big]
    number: Mapped[Big]
    amount_minor: Mapped[Big]
    currency: Mapped[Word]
    description: Mapped[EmptyWord]
    issued_at: Mapped[CreatedAt]
    due_at: Mapped[Moment]
    voided_at: Mapped[OptionalMoment]


class Payment(Base):
    """Money that came in. `external_id` makes the same payment count once, however often it is reported."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "external_id"),
        UniqueConstraint("operator_id", "subscriber_id", "id"),
        ForeignKeyConstraint(*_SUBSCRIBER),
        Index("payments_subscriber", "operator_id", "subscriber_id", "received_at"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    subscriber_id: Mapped[Big]
    amount_minor: Mapped[Big]
    currency: Mapped[Word]
    method: Mapped[str] = mapped_column(Text, server_default="cash")
    external_id: Mapped[OptionalWord]
    note: Mapped[EmptyWord]
    received_at: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]


class Allocation(Base):
    """Which part of a payment pays which invoice."""

    __tablename__ = "allocations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["operator_id", "subscriber_id", "payment_id"],
            ["payments.operator_id", "payments.subscriber_id", "payments.id"],
        ),
        ForeignKeyConstraint(
            ["operator_id", "subscriber_id", "invoice_id"],
            ["invoices.operator_id", "invoices.subscriber_id", "invoices.id"],
        ),
        Index("allocations_invoice", "invoice_id"),
    )
    operator_id: Mapped[Big]
    subscriber_id: Mapped[Big]
    payment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    invoice_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    amount_minor: Mapped[Big]
    created_at: Mapped[CreatedAt]
