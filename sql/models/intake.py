"""What other systems say: payments and standings, the files and programs they come by."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Big,
    CreatedAt,
    EmptyDocument,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalBig,
    OptionalDocument,
    OptionalMoment,
    OptionalWord,
    SortedWord,
    Word,
)


class PaymentProvider(Base):
    """A payment provider: who signs how (`kind`), its sealed secret, and the token in its webhook's address."""

    __tablename__ = "payment_providers"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("token"),
        Index("payment_providers_name", "operator_id", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    kind: Mapped[Word]
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    token: Mapped[Word]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[OptionalMoment]


class ApiToken(Base):
    """A program that may ask the API; only the hash of its token is kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        UniqueConstraint("hash"),
        Index("api_tokens_name", "operator_id", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    last_used_at: Mapped[OptionalMoment]
    ended_at: Mapped[OptionalMoment]


class Import(Base):
    """A file that was read: a preview first, then applied, once."""

    __tablename__ = "imports"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
        Index(
            "imports_once",
            "operator_id",
            "kind",
            "content_hash",
            unique=True,
            postgresql_where=text("state = 'applied'"),
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    kind: Mapped[Word]
    file_name: Mapped[Word]
    content_hash: Mapped[Word]
    settings: Mapped[EmptyDocument]
    state: Mapped[str] = mapped_column(Text, server_default="previewed")
    created_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    applied_by: Mapped[OptionalWord]
    applied_at: Mapped[OptionalMoment]
    router_id: Mapped[OptionalBig]
    undone_by: Mapped[OptionalWord]
    undone_at: Mapped[OptionalMoment]


class ImportRow(Base):
    """One line of a file: what was read from it, or why it could not be."""

    __tablename__ = "import_rows"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "import_id"], ["imports.operator_id", "imports.id"]),
        Index("import_rows_bad", "import_id", "line", postgresql_where=text("problem <> ''")),
    )
    import_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    operator_id: Mapped[OperatorId]
    fields: Mapped[list[str]] = mapped_column(ARRAY(Text))
    reading: Mapped[OptionalDocument]
    problem: Mapped[EmptyWord]
    outcome: Mapped[OptionalDocument]


class IncomingPayment(Base):
    """What was reported, once for each source and its own id: booked, dropped, or waiting for a person."""

    __tablename__ = "incoming_payments"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "source", "external_id"),
        ForeignKeyConstraint(["operator_id", "import_id"], ["imports.operator_id", "imports.id"]),
        ForeignKeyConstraint(["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"]),
        ForeignKeyConstraint(["operator_id", "payment_id"], ["payments.operator_id", "payments.id"]),
        ForeignKeyConstraint(["operator_id", "reversal_id"], ["payment_reversals.operator_id", "payment_reversals.id"]),
        Index("incoming_payments_review", "operator_id", "id", postgresql_where=text("state = 'review'")),
        Index(
            "incoming_payments_subscriber",
            "operator_id",
            "subscriber_id",
            "id",
            postgresql_where=text("subscriber_id IS NOT NULL"),
        ),
        Index(
            "incoming_payments_original",
            "operator_id",
            "source",
            "original_external_id",
            postgresql_where=text("state = 'review' AND original_external_id IS NOT NULL"),
        ),
        Index(
            "incoming_payments_payer",
            "operator_id",
            "payer",
            postgresql_where=text("state = 'booked' AND payer <> ''"),
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    source: Mapped[SortedWord]
    external_id: Mapped[SortedWord]
    kind: Mapped[str] = mapped_column(Text, server_default="payment")
    amount_minor: Mapped[Big]
    currency: Mapped[Word]
    occurred_at: Mapped[Moment]
    method: Mapped[Word]
    reference: Mapped[EmptyWord]
    payer: Mapped[EmptyWord]
    phone: Mapped[EmptyWord]
    username: Mapped[EmptyWord]
    original_external_id: Mapped[OptionalWord]
    import_id: Mapped[OptionalBig]
    state: Mapped[Word]
    explanation: Mapped[Word]
    candidates: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default="[]")
    subscriber_id: Mapped[OptionalBig]
    payment_id: Mapped[OptionalBig]
    reversal_id: Mapped[OptionalBig]
    received_at: Mapped[Moment] = mapped_column(server_default=CLOCK)
    decided_by: Mapped[OptionalWord]
    decided_at: Mapped[OptionalMoment]


class AssertedStanding(Base):
    """What another billing system says of a service, and as of when. Older never beats newer."""

    __tablename__ = "asserted_standings"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),)
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    operator_id: Mapped[Big]
    standing: Mapped[Word]
    as_of: Mapped[Moment]
    source: Mapped[Word]
    received_at: Mapped[Moment] = mapped_column(server_default=CLOCK)


class Feed(Base):
    """When a source last spoke at all; a silent one suspends nobody."""

    __tablename__ = "feeds"
    operator_id: Mapped[OperatorId] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    source: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    last_at: Mapped[Moment]
