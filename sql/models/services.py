"""Subscribers and their services, with what was last authorised for each."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Network

from sqlalchemy import BigInteger, Computed, ForeignKeyConstraint, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, INET
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import (
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
    Revision,
    SortedWord,
    Word,
)


class Subscriber(Base):
    """The customer; `reference` is the customer number."""

    __tablename__ = "subscribers"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "reference"),
        Index("subscribers_search", "operator_id", "search_name", "reference"),
        Index("subscribers_area", "operator_id", "area", "id", postgresql_where=text("area <> ''")),
        Index("subscribers_phone", "operator_id", "phone_end", postgresql_where=text("phone_end <> ''")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    reference: Mapped[SortedWord]
    name: Mapped[Word]
    search_name: Mapped[str | None] = mapped_column(Text(collation="C"), Computed("lower(name)", persisted=True))
    email: Mapped[EmptyWord]
    phone: Mapped[EmptyWord]
    language: Mapped[str] = mapped_column(Text, server_default="en")
    time_zone: Mapped[str] = mapped_column(Text, server_default="UTC")
    created_at: Mapped[CreatedAt]
    area: Mapped[str] = mapped_column(Text(collation="C"), server_default="")
    address: Mapped[EmptyWord]
    tax_number: Mapped[EmptyWord]
    phone_end: Mapped[str | None] = mapped_column(
        Text, Computed("right(regexp_replace(phone, '[^0-9]', '', 'g'), 8)", persisted=True)
    )


class Service(Base):
    """One line of a subscriber. `plan_id` and the addresses are wanted; `authorised*` is what the network is given.

    `password` is sealed by `sql.secrets`. `standing` is billing's full word, for people.
    """

    __tablename__ = "services"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        UniqueConstraint("operator_id", "username"),
        ForeignKeyConstraint(["operator_id", "subscriber_id"], ["subscribers.operator_id", "subscribers.id"]),
        ForeignKeyConstraint(["operator_id", "plan_id"], ["plans.operator_id", "plans.id"]),
        ForeignKeyConstraint(["operator_id", "router_id"], ["routers.operator_id", "routers.id"]),
        ForeignKeyConstraint(["operator_id", "control_router_id"], ["routers.operator_id", "routers.id"]),
        Index("services_placed", "id", postgresql_where=text("control_router_id IS NOT NULL")),
        Index(
            "services_control",
            "operator_id",
            "control_router_id",
            "id",
            postgresql_where=text("control_router_id IS NOT NULL"),
        ),
        ForeignKeyConstraint(
            ["operator_id", "authorised_change_id"],
            ["changes.operator_id", "changes.id"],
            name="services_authorised_change_fkey",
            use_alter=True,
        ),
        Index(
            "services_address_key",
            "operator_id",
            "address",
            unique=True,
            postgresql_where=text("address IS NOT NULL AND closed_at IS NULL"),
        ),
        Index("services_subscriber", "operator_id", "subscriber_id"),
        Index("services_plan", "operator_id", "plan_id"),
        Index(
            "services_authorised_until",
            "authorised_until",
            postgresql_where=text("authorised_until IS NOT NULL"),
        ),
        Index("services_revision", "revision"),
        Index("services_suspended", "operator_id", "id", postgresql_where=text("standing = 'suspended'")),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    subscriber_id: Mapped[Big]
    plan_id: Mapped[Big]
    method: Mapped[Word]
    username: Mapped[SortedWord]
    password: Mapped[bytes | None] = mapped_column(LargeBinary)
    address: Mapped[IPv4Address | None] = mapped_column(INET)
    ipv6_prefix: Mapped[IPv6Network | None] = mapped_column(CIDR)
    delegated_ipv6_prefix: Mapped[IPv6Network | None] = mapped_column(CIDR)
    routes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    prepaid_until: Mapped[OptionalMoment]
    bind_mac: Mapped[bool] = mapped_column(server_default="false")
    mac: Mapped[EmptyWord]
    bind_router: Mapped[bool] = mapped_column(server_default="false")
    router_id: Mapped[OptionalBig]
    bind_port: Mapped[bool] = mapped_column(server_default="false")
    port: Mapped[EmptyWord]
    standing: Mapped[str] = mapped_column(Text, server_default="current")
    created_at: Mapped[CreatedAt]
    closed_at: Mapped[OptionalMoment]
    control_router_id: Mapped[OptionalBig]
    device: Mapped[EmptyDocument]
    authorised: Mapped[OptionalDocument]
    authorised_stamp: Mapped[OptionalWord]
    authorised_until: Mapped[OptionalMoment]
    authorised_at: Mapped[OptionalMoment]
    authorised_change_id: Mapped[OptionalBig]
    revision: Mapped[Revision]


class Hold(Base):
    """Do not suspend this service before `until` (None: for good). `kind` says what was promised, and to whom."""

    __tablename__ = "holds"
    __table_args__ = (
        UniqueConstraint("operator_id", "id"),
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        ForeignKeyConstraint(["operator_id", "invoice_id"], ["invoices.operator_id", "invoices.id"]),
        Index("holds_service", "operator_id", "service_id"),
        Index("holds_open", "service_id", postgresql_where=text("ended_at IS NULL")),
        Index("holds_disputes", "invoice_id", postgresql_where=text("invoice_id IS NOT NULL")),
        Index(
            "holds_promises",
            "operator_id",
            "until",
            postgresql_where=text("kind = 'promise' AND settled IS NULL"),
        ),
    )
    id: Mapped[Key]
    operator_id: Mapped[OperatorId]
    service_id: Mapped[Big]
    until: Mapped[OptionalMoment]
    reason: Mapped[Word]
    granted_by: Mapped[Word]
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[OptionalMoment]
    kind: Mapped[str] = mapped_column(Text, server_default="grace")
    amount_minor: Mapped[OptionalBig]
    invoice_id: Mapped[OptionalBig]
    settled: Mapped[OptionalWord]
    settled_at: Mapped[OptionalMoment]


class Review(Base):
    """Look at this service again at `due_at`; an identity, never the news."""

    __tablename__ = "reviews"
    __table_args__ = (
        ForeignKeyConstraint(["operator_id", "service_id"], ["services.operator_id", "services.id"]),
        Index("reviews_due", "operator_id", "due_at"),
    )
    service_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    operator_id: Mapped[Big]
    due_at: Mapped[Moment]
