"""Sessions and usage as the network reported them, refused logins, and how far the spool was taken in."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Big,
    Counter,
    CreatedAt,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalBig,
    OptionalMoment,
    OptionalWord,
    Word,
)

_SERVICE = (["operator_id", "service_id"], ["services.operator_id", "services.id"])
_ROUTER = (["operator_id", "router_id"], ["routers.operator_id", "routers.id"])
_IS_OPEN = text("ended_at IS NULL")


class Session(Base):
    """One login's life. `class_stamp` is what the login got; `applied_stamp` moves on when a CoA is acknowledged."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("router_id", "session_key"),
        ForeignKeyConstraint(*_ROUTER),
        ForeignKeyConstraint(*_SERVICE),
        Index("sessions_open", "service_id", postgresql_where=_IS_OPEN),
        Index("sessions_open_router", "router_id", "acct_session_id", postgresql_where=_IS_OPEN),
        Index("sessions_router", "router_id", "started_at"),
        Index("sessions_online", "operator_id", "id", postgresql_where=_IS_OPEN),
        Index("sessions_online_router", "operator_id", "router_id", "id", postgresql_where=_IS_OPEN),
        Index("sessions_service", "operator_id", "service_id", "started_at"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    router_id: Mapped[Big]
    service_id: Mapped[OptionalBig]
    session_key: Mapped[Word]
    username: Mapped[Word]
    acct_session_id: Mapped[Word]
    method: Mapped[OptionalWord]
    mac: Mapped[EmptyWord]
    port: Mapped[EmptyWord]
    framed_address: Mapped[IPv4Address | IPv6Address | None] = mapped_column(INET)
    class_stamp: Mapped[OptionalWord]
    applied_stamp: Mapped[OptionalWord]
    applied_at: Mapped[OptionalMoment]
    started_at: Mapped[Moment]
    last_seen_at: Mapped[Moment]
    ended_at: Mapped[OptionalMoment]
    ended_by: Mapped[OptionalWord]
    terminate_cause: Mapped[EmptyWord]
    session_time_s: Mapped[Counter]
    upload_bytes: Mapped[Counter]
    download_bytes: Mapped[Counter]
    interim_interval_s: Mapped[int] = mapped_column(server_default="300")
    quiet_at: Mapped[Moment] = mapped_column(server_default="9999-01-01 00:00:00+00")
    counted_at: Mapped[OptionalMoment]
    counted_upload_bytes: Mapped[Counter]
    counted_download_bytes: Mapped[Counter]


class UsageHour(Base):
    """Bytes of one service in one hour (UTC)."""

    __tablename__ = "usage_hours"
    __table_args__ = (ForeignKeyConstraint(*_SERVICE),)
    operator_id: Mapped[Big]
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    hour: Mapped[Moment] = mapped_column(primary_key=True)
    upload_bytes: Mapped[Big]
    download_bytes: Mapped[Big]
    counted_bytes: Mapped[Counter]


class RefusedLogin(Base):
    """Logins that were refused, one row an hour for each router, name, device and reason."""

    __tablename__ = "refused_logins"
    __table_args__ = (
        UniqueConstraint("operator_id", "router_id", "username", "mac", "reason", "hour"),
        ForeignKeyConstraint(*_ROUTER),
        ForeignKeyConstraint(*_SERVICE),
        Index("refused_logins_service", "operator_id", "service_id", "last_at"),
        Index("refused_logins_router", "router_id", "last_at"),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    router_id: Mapped[Big]
    service_id: Mapped[OptionalBig]
    username: Mapped[Word]
    mac: Mapped[EmptyWord]
    reason: Mapped[Word]
    hour: Mapped[Moment]
    last_at: Mapped[Moment]
    times: Mapped[int] = mapped_column(BigInteger, server_default="1")


class SpoolFile(Base):
    """How many bytes of a spool file are in the database; written in the transaction that took them in."""

    __tablename__ = "spool_files"
    node: Mapped[str] = mapped_column(Text, primary_key=True)
    file: Mapped[str] = mapped_column(Text, primary_key=True)
    taken_bytes: Mapped[Big]
    updated_at: Mapped[CreatedAt]


class SpoolReject(Base):
    """A spool record that could not be taken in, with the reason; kept so that nothing is lost."""

    __tablename__ = "spool_rejects"
    __table_args__ = (
        UniqueConstraint("node", "file", "at_bytes"),
        Index("spool_rejects_asked", "node", "id", postgresql_where=text("state = 'asked'")),
    )
    id: Mapped[Key]
    node: Mapped[Word]
    file: Mapped[Word]
    at_bytes: Mapped[Big]
    reason: Mapped[Word]
    record: Mapped[Word]
    created_at: Mapped[CreatedAt]
    state: Mapped[str] = mapped_column(Text, server_default="aside")
    asked_by: Mapped[EmptyWord]
    replayed_at: Mapped[OptionalMoment]
