"""Invoices, payments, what settles what, and the ledger. Integer minor units beside their currency."""

from __future__ import annotations

from datetime import date

from sqlalchemy import (
    BigInteger,
    Computed,
    FetchedValue,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Big,
    Counter,
    CreatedAt,
    EmptyDocument,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalBig,
    OptionalMoment,
    OptionalWord,
    Word,
)

_SUBSCRIBER = (["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"])
_PAYMENT = (
    ["operator_id", "subscriber_id", "payment_id"],
    ["payments.operator_id", "payments.subscriber_id", "payments.id"],
)
_INVOICE = (
    ["operator_id", "subscriber_id", "invoice_id"],
    ["invoices.operator_id", "invoices.subscriber_id", "invoices.id"],
)


class Invoice(Base):
    """What a subscriber owes, and until when.

    Numbered without gaps for each operator and year. `open_minor`, what is left to pay, is kept by the database.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "year", "serial", name="invoices_number_key"),
        UniqueConstraint("operator_id", "subscriber_id", "id"),
        ForeignKeyConstraint(*_SUBSCRIBER),
        Index("invoices_subscriber", "operator_id", "subscriber_id", "due_at"),
        Index("invoices_open", "operator_id", "due_on", "id", postgresql_where=text("open_minor > 0")),
        Index(
            "invoices_open_subscriber",
            "operator_id",
            "subscriber_id",
            "due_at",
            postgresql_where=text("open_minor > 0"),
        ),
        Index("invoices_issued", "operator_id", "issued_on", "id"),
        Index(
            "invoices_open_amount",
            "operator_id",
            "open_minor",
            "due_on",
            postgresql_where=text("open_minor > 0"),
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    subscriber_id: Mapped[Big]
    amount_minor: Mapped[Big]
    currency: Mapped[Word]
    description: Mapped[EmptyWord]
    issued_at: Mapped[CreatedAt]
    due_at: Mapped[Moment]
    voided_at: Mapped[OptionalMoment]
    year: Mapped[int]
    serial: Mapped[int]
    open_minor: Mapped[int] = mapped_column(BigInteger, server_default="0", server_onupdate=FetchedValue())
    tax_minor: Mapped[Counter]
    issued_on: Mapped[date]
    due_on: Mapped[date]
    language: Mapped[str] = mapped_column(Text, server_default="en")
    party: Mapped[EmptyDocument]
    void_reason: Mapped[EmptyWord]
    number: Mapped[str] = mapped_column(Text(collation="C"), Computed("year || '-' || serial", persisted=True))


class InvoiceSeries(Base):
    """The last number given to an invoice of an operator in a year."""

    __tablename__ = "invoice_series"
    operator_id: Mapped[OperatorId] = mapped_column(primary_key=True, autoincrement=False)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int]


class InvoiceLine(Base):
    """What an invoice is made of; `period_end` is the first day after the period, discounts are negative."""

    __tablename__ = "invoice_lines"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"]),
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        ForeignKeyConstraint(["operator_id", "plan_id"], ["plans.operator_id", "plans.id"]),
        Index(
            "invoice_lines_service",
            "operator_id",
            "service_id",
            "period_start",
            postgresql_where=text("service_id IS NOT NULL"),
        ),
    )
    operator_id: Mapped[OperatorId]
    invoice_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    kind: Mapped[Word]
    description: Mapped[Word]
    service_id: Mapped[OptionalBig]
    plan_id: Mapped[OptionalBig]
    period_start: Mapped[date | None]
    period_end: Mapped[date | None]
    net_minor: Mapped[Big]
    tax_basis_points: Mapped[int] = mapped_column(server_default="0")
    tax_minor: Mapped[Counter]


class Payment(Base):
    """What settles invoices: money that came in, a credit, or a claim given up (`kind`).

    `external_id` makes the same payment count once. `invoice_id`: the only invoice it may settle (None: the oldest due
    first). `unspent_minor` and `reversed_minor` are kept by the database.
    """

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "external_id"),
        UniqueConstraint("operator_id", "subscriber_id", "id"),
        ForeignKeyConstraint(*_SUBSCRIBER),
        ForeignKeyConstraint(*_INVOICE),
        Index("payments_subscriber", "operator_id", "subscriber_id", "received_at"),
        Index(
            "payments_unspent",
            "operator_id",
            "subscriber_id",
            "received_at",
            postgresql_where=text("unspent_minor > 0"),
        ),
        Index("payments_received", "operator_id", "received_at", "id"),
        Index(
            "payments_receipt",
            "operator_id",
            "receipt_number",
            unique=True,
            postgresql_where=text("receipt_number IS NOT NULL"),
        ),
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
    kind: Mapped[str] = mapped_column(Text, server_default="money")
    unspent_minor: Mapped[int] = mapped_column(BigInteger, server_default="0", server_onupdate=FetchedValue())
    reversed_minor: Mapped[int] = mapped_column(BigInteger, server_default="0", server_onupdate=FetchedValue())
    receipt_number: Mapped[OptionalWord]
    invoice_id: Mapped[OptionalBig]
    booked_by: Mapped[Word]


class PaymentReversal(Base):
    """Money that went back: a refund, a chargeback, or the correction of a booking."""

    __tablename__ = "payment_reversals"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_PAYMENT),
        Index(
            "payment_reversals_external",
            "operator_id",
            "external_id",
            unique=True,
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        Index("payment_reversals_payment", "payment_id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    subscriber_id: Mapped[Big]
    payment_id: Mapped[Big]
    kind: Mapped[Word]
    amount_minor: Mapped[Big]
    external_id: Mapped[OptionalWord]
    reason: Mapped[Word]
    booked_by: Mapped[Word]
    created_at: Mapped[CreatedAt]


class Allocation(Base):
    """Which part of a payment pays which invoice; what is taken back again is a negative row."""

    __tablename__ = "allocations"
    __table_args__ = (
        ForeignKeyConstraint(*_PAYMENT),
        ForeignKeyConstraint(*_INVOICE),
        Index("allocations_invoice", "invoice_id"),
        Index("allocations_payment", "payment_id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[Big]
    subscriber_id: Mapped[Big]
    payment_id: Mapped[Big]
    invoice_id: Mapped[Big]
    amount_minor: Mapped[Big]
    created_at: Mapped[CreatedAt]


class LedgerEntry(Base):
    """An entry of the journal; its postings add up to nothing. `reverses_entry_id`: the entry that it takes back."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("reverses_entry_id"),
        ForeignKeyConstraint(*_SUBSCRIBER),
        ForeignKeyConstraint(["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"]),
        ForeignKeyConstraint(["operator_id", "payment_id"], ["payments.operator_id", "payments.id"]),
        ForeignKeyConstraint(["operator_id", "reversal_id"], ["payment_reversals.operator_id", "payment_reversals.id"]),
        ForeignKeyConstraint(["operator_id", "reverses_entry_id"], ["ledger_entries.operator_id", "ledger_entries.id"]),
        Index("ledger_entries_subscriber", "operator_id", "subscriber_id", "id"),
        Index("ledger_entries_day", "operator_id", "booked_on", "id"),
        Index("ledger_entries_invoice", "invoice_id", postgresql_where=text("invoice_id IS NOT NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    kind: Mapped[Word]
    booked_on: Mapped[date]
    subscriber_id: Mapped[Big]
    invoice_id: Mapped[OptionalBig]
    payment_id: Mapped[OptionalBig]
    reversal_id: Mapped[OptionalBig]
    reverses_entry_id: Mapped[OptionalBig]
    booked_by: Mapped[Word]
    created_at: Mapped[CreatedAt]


class LedgerPosting(Base):
    """One line of an entry: debits are positive, credits negative. `method` says which till or bank for `cash`."""

    __tablename__ = "ledger_postings"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "entry_id"], ["ledger_entries.operator_id", "ledger_entries.id"]),
        Index(
            "ledger_postings_account",
            "operator_id",
            "booked_on",
            "account",
            postgresql_include=["method", "plan_id", "currency", "amount_minor"],
        ),
        Index(
            "ledger_postings_subscriber",
            "operator_id",
            "subscriber_id",
            "account",
            postgresql_include=["currency", "amount_minor"],
        ),
    )
    entry_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    operator_id: Mapped[OperatorId]
    booked_on: Mapped[date]
    account: Mapped[Word]
    method: Mapped[EmptyWord]
    subscriber_id: Mapped[Big]
    plan_id: Mapped[OptionalBig]
    currency: Mapped[Word]
    amount_minor: Mapped[Big]
