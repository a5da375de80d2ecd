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
from sqlalchemy.dialects.postgresql import INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    CLOCK,
    Base,
    Counter,
    CreatedAt,
    Key,
    OperatorId,
    OptionalMoment,
    Revision,
    Snapshot,
    SortedWord,
    Word,
)

Address = IPv4Address | IPv6Address


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
    reported_at: Mapped[OptionalMoment]


class RouterHealth(Base):
    """What the worker sees of a router: answers missed in a row, and until when it is left alone."""

    __tablename__ = "router_health"
    __table_args__ = (ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),)
    router_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
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
    """A NAS. Its three addresses may differ: RADIUS packets' source, NAS-IP-Address value, target of CoA."""

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
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    require_message_authenticator: Mapped[bool] = mapped_column(server_default="false")
    coa_message_authenticator: Mapped[bool] = mapped_column(server_default="true")
    dynamic_authorization: Mapped[bool] = mapped_column(server_default="true")
    coa_address_list: Mapped[bool] = mapped_column(server_default="false")
    coa_window: Mapped[int] = mapped_column(server_default="32")
    node_id: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("nodes.id"))
    created_at: Mapped[CreatedAt]
    removed_at: Mapped[OptionalMoment]
    revision: Mapped[Revision]
