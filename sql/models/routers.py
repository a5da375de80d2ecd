"""Routers, and the RADIUS nodes that serve them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
    Base,
    Counter,
    CreatedAt,
    Key,
    OperatorId,
    OptionalMoment,
    Revision,
    Snapshot,
    SortedWord,
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
