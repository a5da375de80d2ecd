"""What customers are told, through which channels, and how that went."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY
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
    OptionalMoment,
    SortedWord,
    Word,
)


class NoticeChannel(Base):
    """A way to customers: a sealed Apprise address, and the events that go through it."""

    __tablename__ = "notice_channels"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        Index("notice_channels_name", "operator_id", "name", unique=True, postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    url: Mapped[bytes] = mapped_column(LargeBinary)
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[OptionalMoment]


class NoticeTemplate(Base):
    """The operator's own words for an event in a language, instead of ours."""

    __tablename__ = "notice_templates"
    operator_id: Mapped[OperatorId] = mapped_column(primary_key=True, autoincrement=False)
    event: Mapped[str] = mapped_column(Text, primary_key=True)
    language: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[Word]
    body: Mapped[Word]
    updated_at: Mapped[CreatedAt]


class Notice(Base):
    """What a customer is to be told; `key` makes one event be told once. `taken_at`: when its deliveries were made."""

    __tablename__ = "notices"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "key"),
        ForeignKeyConstraint(["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"]),
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        ForeignKeyConstraint(["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"]),
        ForeignKeyConstraint(["operator_id", "payment_id"], ["payments.operator_id", "payments.id"]),
        Index("notices_waiting", "operator_id", "id", postgresql_where=text("taken_at IS NULL")),
        Index("notices_subscriber", "operator_id", "subscriber_id", "id"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    event: Mapped[Word]
    key: Mapped[SortedWord]
    subscriber_id: Mapped[Big]
    service_id: Mapped[OptionalBig]
    invoice_id: Mapped[OptionalBig]
    payment_id: Mapped[OptionalBig]
    data: Mapped[EmptyDocument]
    created_at: Mapped[Moment] = mapped_column(server_default=CLOCK)
    taken_at: Mapped[OptionalMoment]


class NoticeDelivery(Base):
    """One notice through one channel. `sending` is stored before the gateway is asked."""

    __tablename__ = "notice_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "notice_id"], ["notices.operator_id", "notices.id"]),
        ForeignKeyConstraint(["operator_id", "channel_id"], ["notice_channels.operator_id", "notice_channels.id"]),
        Index(
            "notice_deliveries_due",
            "operator_id",
            "state",
            "due_at",
            postgresql_where=text("state IN ('waiting', 'sending')"),
        ),
        Index(
            "notice_deliveries_failed",
            "operator_id",
            "notice_id",
            postgresql_where=text("state IN ('failed', 'unknown')"),
        ),
    )
    notice_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    channel_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    operator_id: Mapped[OperatorId]
    state: Mapped[str] = mapped_column(Text, server_default="waiting")
    attempts: Mapped[int] = mapped_column(server_default="0")
    due_at: Mapped[Moment]
    sent_at: Mapped[OptionalMoment]
    explanation: Mapped[EmptyWord]
