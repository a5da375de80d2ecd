"""Raw accounting, usage by day and by span, and what quotas make of it."""

from __future__ import annotations

from datetime import date, datetime
from ipaddress import IPv4Address, IPv6Address

from sqlalchemy import BigInteger, DateTime, ForeignKeyConstraint, Index, SmallInteger, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Big,
    Counter,
    EmptyDocument,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalBig,
    OptionalMoment,
    Revision,
    Word,
)

_SERVICE = (["operator_id", "service_id"], ["services.operator_id", "services.id"])


class RouterBoot(Base):
    """A router began to run, as far as it was noticed."""

    __tablename__ = "router_boots"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    operator_id: Mapped[OperatorId]
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    booted_at: Mapped[Moment] = mapped_column(primary_key=True)
    noticed_by: Mapped[Word]
    closed_sessions: Mapped[int] = mapped_column(server_default="0")


class AccountingRecord(Base):
    """A record as it was taken in; a partition a month. It has no key: nothing is looked up here."""

    __tablename__ = "accounting_records"
    __table_args__ = (
        Index("accounting_records_session", "session_id", "at"),
        {"postgresql_partition_by": "RANGE (at)"},
    )
    # The database has no key here; the mapper only wants to tell rows apart.
    __mapper_args__ = {"primary_key": ["session_id", "at", "taken_in_at"]}  # noqa: RUF012 - as SQLAlchemy declares it
    operator_id: Mapped[Big]
    router_id: Mapped[Big]
    session_id: Mapped[Big]
    service_id: Mapped[OptionalBig]
    at: Mapped[Moment]
    taken_in_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    node: Mapped[EmptyWord]
    kind: Mapped[Word]
    username: Mapped[Word]
    acct_session_id: Mapped[Word]
    framed_address: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    session_time_s: Mapped[Big]
    upload_bytes: Mapped[Big]
    download_bytes: Mapped[Big]
    terminate_cause: Mapped[EmptyWord]


class UsageDay(Base):
    """Bytes of one service in one day of its operator. `counted_bytes`: what counts towards quotas."""

    __tablename__ = "usage_days"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        Index("usage_days_top", "operator_id", "day"),
    )
    operator_id: Mapped[Big]
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    upload_bytes: Mapped[Counter]
    download_bytes: Mapped[Counter]
    counted_bytes: Mapped[Counter]


class UsageSpan(Base):
    """What a service has used in one span that its plan has tiers for. `reached`: how many of them are reached."""

    __tablename__ = "usage_spans"
    __table_args__ = (ForeignKeyConstraint(*_SERVICE),)
    operator_id: Mapped[Big]
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    span: Mapped[str] = mapped_column(Text, primary_key=True)
    starts_at: Mapped[Moment] = mapped_column(primary_key=True)
    ends_at: Mapped[Moment]
    upload_bytes: Mapped[Counter]
    download_bytes: Mapped[Counter]
    counted_bytes: Mapped[Counter]
    carried_bytes: Mapped[Counter]
    reached: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    warned_percent: Mapped[int] = mapped_column(SmallInteger, server_default="0")


class UsageTopup(Base):
    """More bytes, bought or given, for a span."""

    __tablename__ = "usage_topups"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(*_SERVICE),
        ForeignKeyConstraint(["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"]),
        Index("usage_topups_open", "operator_id", "service_id", "id", postgresql_where=text("ended_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    span: Mapped[Word]
    bytes: Mapped[Big]
    used_bytes: Mapped[Counter]
    until: Mapped[OptionalMoment]
    reason: Mapped[Word]
    granted_by: Mapped[Word]
    invoice_id: Mapped[OptionalBig]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    ended_at: Mapped[OptionalMoment]


class UsageState(Base):
    """What logins must know of a service's usage; it changes only where a decision would."""

    __tablename__ = "usage_states"
    __table_args__ = (
        ForeignKeyConstraint(*_SERVICE),
        Index("usage_states_due", "valid_until", postgresql_where=text("valid_until IS NOT NULL")),
        Index("usage_states_revision", "revision"),
    )
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    operator_id: Mapped[Big]
    document: Mapped[EmptyDocument]
    valid_until: Mapped[OptionalMoment]
    revision: Mapped[Revision]
