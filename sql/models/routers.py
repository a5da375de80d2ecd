"""Routers, and the RADIUS nodes that serve them."""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB, REAL
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Big,
    Counter,
    CreatedAt,
    EmptyDocument,
    EmptyWord,
    Key,
    Moment,
    OperatorId,
    OptionalMoment,
    OptionalWord,
    Revision,
    Snapshot,
    SortedWord,
    Word,
)

Address = IPv4Address | IPv6Address

_IS_OPEN = text("ended_at IS NULL")


class Node(Base):
    """A machine with FreeRADIUS and edge. `snapshot` says exactly which transactions its replica holds."""

    __tablename__ = "nodes"
    id: Mapped[Key]
    name: Mapped[str] = mapped_column(Text, unique=True)
    address: Mapped[Address] = mapped_column(INET)
    generation: Mapped[Counter]
    snapshot: Mapped[str | None] = mapped_column(Snapshot)
    services: Mapped[Counter]
    lag_s: Mapped[float] = mapped_column(server_default="0")
    clock_skew_s: Mapped[float] = mapped_column(server_default="0")
    spool_waiting: Mapped[Counter]
    spool_free_bytes: Mapped[int | None] = mapped_column(BigInteger)
    spool_oldest_s: Mapped[float] = mapped_column(server_default="0")
    spool_refuses: Mapped[bool] = mapped_column(server_default="false")
    reported_at: Mapped[OptionalMoment]


class RouterHealth(Base):
    """What the worker sees of a way to a router: answers missed in a row, and until when it is left alone."""

    __tablename__ = "router_health"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    path: Mapped[str] = mapped_column(Text, primary_key=True, server_default="coa")
    operator_id: Mapped[OperatorId]
    misses: Mapped[int] = mapped_column(server_default="0")
    down_since: Mapped[OptionalMoment]
    left_alone_until: Mapped[OptionalMoment]
    answered_at: Mapped[OptionalMoment]


class RouterAbility(Base):
    """What a self-test found out about a router, with what it saw."""

    __tablename__ = "router_abilities"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    operator_id: Mapped[OperatorId]
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    ability: Mapped[str] = mapped_column(Text, primary_key=True)
    able: Mapped[bool]
    learnt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    learnt_by: Mapped[Word]
    evidence: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")


class Router(Base):
    """A NAS. Its three addresses may differ: RADIUS packets' source, NAS-IP-Address value, target of CoA.

    Without `secret` it is no RADIUS client; without `api_username` nothing asks its API.
    """

    __tablename__ = "routers"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        Index("routers_name_key", "operator_id", "name", unique=True, postgresql_where=text("removed_at IS NULL")),
        Index("routers_address_key", "address", unique=True, postgresql_where=text("removed_at IS NULL")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    name: Mapped[SortedWord]
    address: Mapped[Address] = mapped_column(INET)
    nas_address: Mapped[Address | None] = mapped_column(INET)
    coa_address: Mapped[Address] = mapped_column(INET)
    coa_port: Mapped[int] = mapped_column(server_default="3799")
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    require_message_authenticator: Mapped[bool] = mapped_column(server_default="false")
    coa_message_authenticator: Mapped[bool] = mapped_column(server_default="true")
    dynamic_authorization: Mapped[bool] = mapped_column(server_default="true")
    coa_address_list: Mapped[bool] = mapped_column(server_default="false")
    coa_window: Mapped[int] = mapped_column(server_default="32")
    node_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("nodes.id"))
    api_address: Mapped[Address | None] = mapped_column(INET)
    api_port: Mapped[int | None]
    api_security: Mapped[str] = mapped_column(Text, server_default="verified")
    api_server_name: Mapped[EmptyWord]
    api_fingerprint: Mapped[OptionalWord]
    api_old_login: Mapped[bool] = mapped_column(server_default="false")
    api_username: Mapped[OptionalWord]
    api_password: Mapped[bytes | None] = mapped_column(LargeBinary)
    style: Mapped[EmptyDocument]
    created_at: Mapped[CreatedAt]
    removed_at: Mapped[OptionalMoment]
    revision: Mapped[Revision]


class Placement(Base):
    """What one router's configuration holds for one service. `applied_stamp`: what was proved there last.

    None: nobody knows; "": nothing of it is left. `access_stamp` is the access that it stands for.
    """

    __tablename__ = "placements"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
        Index("placements_one", "service_id", "router_id", unique=True, postgresql_where=_IS_OPEN),
        Index("placements_router", "operator_id", "router_id", "service_id", postgresql_where=_IS_OPEN),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    router_id: Mapped[Big]
    applied_stamp: Mapped[OptionalWord]
    access_stamp: Mapped[OptionalWord]
    applied_at: Mapped[OptionalMoment]
    observed_at: Mapped[OptionalMoment]
    adopt: Mapped[bool] = mapped_column(server_default="false")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    ended_at: Mapped[OptionalMoment]


class RouterCheck(Base):
    """What was seen of one way to a router the last time; `facts` as they were read."""

    __tablename__ = "router_checks"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    operator_id: Mapped[OperatorId]
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    state: Mapped[str] = mapped_column(Text, server_default="unknown")
    since: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=CLOCK)
    failures: Mapped[int] = mapped_column(server_default="0")
    successes: Mapped[int] = mapped_column(server_default="0")
    checked_at: Mapped[OptionalMoment]
    succeeded_at: Mapped[OptionalMoment]
    failed_at: Mapped[OptionalMoment]
    latency_ms: Mapped[float | None] = mapped_column(REAL)
    error: Mapped[EmptyWord]
    facts: Mapped[EmptyDocument]


class RouterCheckHour(Base):
    """The checks of one hour (UTC) of one way to a router."""

    __tablename__ = "router_check_hours"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    operator_id: Mapped[OperatorId]
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    path: Mapped[str] = mapped_column(Text, primary_key=True)
    hour: Mapped[Moment] = mapped_column(primary_key=True)
    checks: Mapped[int] = mapped_column(server_default="0")
    failures: Mapped[int] = mapped_column(server_default="0")
    latency_sum_ms: Mapped[float] = mapped_column(server_default="0")
    latency_max_ms: Mapped[float] = mapped_column(REAL, server_default="0")
    cpu_sum_percent: Mapped[float] = mapped_column(server_default="0")
    cpu_max_percent: Mapped[float] = mapped_column(REAL, server_default="0")
