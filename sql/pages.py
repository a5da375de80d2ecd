"""What the pages ask: each a query or two whose cost does not grow with the ISP."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from policy.changes.intent import Intent
from sql.errors import NotFound
from sql.listing import NUMBER_MAXIMUM, begins
from sql.models import (
    Approval,
    AuditEvent,
    Change,
    Operator,
    Plan,
    Router,
    RouterHealth,
    Service,
    Subscriber,
)
from sql.models import Session as Online
from sql.router_health import COA

COUNTED_MAXIMUM = 1000  # "1000 or more" says enough
AUDIT_LOOKED_AT = 20_000  # events that one page of a filtered audit looks through, some 50 ms
AUDIT_PAGE = 50
ONLINE_SHOWN = 20
DOWN_SHOWN = 10


class Line(NamedTuple):
    """A service with whose it is and what its plan is called."""

    service: Service
    subscriber: Subscriber
    plan: Plan


class AuditPage(NamedTuple):
    """Events, the newest first, with their lines' user names. `after` goes on; None when all was looked through."""

    events: list[tuple[AuditEvent, str | None]]
    after: int | None


class AuditFilter(NamedTuple):
    """What to show of the audit; empty words mean everything. `event` is the beginning of a name."""

    event: str = ""
    actor: str = ""
    username: str = ""
    before: datetime | None = None


class Beginnings(NamedTuple):
    """What there is at all, for a home page that says what to do first."""

    plan: bool
    router: bool
    service: bool
    change: bool


def waiting_by_kind(session: Session, operator_id: int, person: str) -> dict[str, int]:
    """How many changes wait for this person, by kind: those that they have not approved already."""
    mine = exists().where(
        Approval.change_id == Change.id,
        Approval.person == person,
        Approval.preview_hash == Change.preview_hash,
    )
    some = (
        select(Change.kind)
        .where(
            Change.operator_id == operator_id,
            Change.state == Intent.AWAITING_APPROVAL.value,
            ~mine,
        )
        .limit(COUNTED_MAXIMUM)
        .subquery()
    )
    rows = session.execute(select(some.c.kind, func.count()).group_by(some.c.kind).order_by(some.c.kind))
    return {row[0]: row[1] for row in rows}


def beginnings(session: Session, operator_id: int) -> Beginnings:
    """Whether there is a plan, a router, a service, a change."""
    models = (Plan, Router, Service, Change)
    asked = [exists().where(model.operator_id == operator_id) for model in models]
    return Beginnings(*(bool(found) for found in session.execute(select(*asked)).one()))


def routers_down(session: Session, operator_id: int) -> list[tuple[str, datetime]]:
    """Routers that have not answered for a while, the longest first."""
    rows = session.execute(
        select(Router.name, RouterHealth.down_since)
        .join(Router, Router.id == RouterHealth.router_id)
        .where(RouterHealth.operator_id == operator_id, RouterHealth.path == COA, RouterHealth.down_since.is_not(None))
        .order_by(RouterHealth.down_since)
        .limit(DOWN_SHOWN)
    )
    return [(name, since) for name, since in rows if since is not None]


def writes_stopped(session: Session, operator_id: int) -> tuple[datetime, str] | None:
    """Since when, and by whom, nothing is sent to the network; None as a rule."""
    operator = session.get_one(Operator, operator_id)
    if operator.writes_stopped_at is None:
        return None
    return operator.writes_stopped_at, operator.writes_stopped_by


def currency(session: Session, operator_id: int) -> str:
    """The operator's currency."""
    return session.get_one(Operator, operator_id).currency


def change_by_number(session: Session, operator_id: int, change_id: int) -> tuple[Change, str]:
    """A change with its line's user name. Raises NotFound."""
    row = session.execute(
        select(Change, Service.username)
        .join(Service, Service.id == Change.service_id)
        .where(Change.operator_id == operator_id, Change.id == change_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no change {change_id}; the list of changes shows those there are.")
    return row[0], row[1]


def approvals_of(session: Session, change: Change) -> list[Approval]:
    """Who has said yes to a change so far, to whichever preview."""
    return list(
        session.scalars(
            select(Approval)
            .where(Approval.operator_id == change.operator_id, Approval.change_id == change.id)
            .order_by(Approval.at)
        )
    )


def line_by_number(session: Session, operator_id: int, service_id: int) -> Line:
    """A service with its subscriber and plan. Raises NotFound."""
    row = session.execute(
        select(Service, Subscriber, Plan)
        .join(Subscriber, Subscriber.id == Service.subscriber_id)
        .join(Plan, Plan.id == Service.plan_id)
        .where(Service.operator_id == operator_id, Service.id == service_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no customer line {service_id}; search for the user name instead.")
    return Line(*row)


def online(session: Session, service: Service) -> list[tuple[Online, str]]:
    """The open sessions of a service with their routers' names."""
    rows = session.execute(
        select(Online, Router.name)
        .join(Router, Router.id == Online.router_id)
        .where(
            Online.operator_id == service.operator_id,
            Online.service_id == service.id,
            Online.ended_at.is_(None),
        )
        .order_by(Online.id)
        .limit(ONLINE_SHOWN)
    )
    return [(one, name) for one, name in rows]


def audit_page(
    session: Session, operator_id: int, wanted: AuditFilter, *, after: int = NUMBER_MAXIMUM, limit: int = AUDIT_PAGE
) -> AuditPage:
    """Events that match, the newest first. Looks through `AUDIT_LOOKED_AT` at most, and says where to go on.

    A name that no line has matches nothing.
    """
    looked_at = (
        select(AuditEvent)
        .where(AuditEvent.operator_id == operator_id, AuditEvent.id < after)
        .order_by(AuditEvent.id.desc())
        .limit(AUDIT_LOOKED_AT)
    )
    if wanted.username:
        service_id = session.scalar(
            select(Service.id).where(Service.operator_id == operator_id, Service.username == wanted.username)
        )
        looked_at = looked_at.where(AuditEvent.service_id == (service_id or 0))
    window = looked_at.cte("window")
    matching = (
        select(AuditEvent, Service.username)
        .join(window, window.c.id == AuditEvent.id)
        .outerjoin(Service, Service.id == AuditEvent.service_id)
        .order_by(AuditEvent.id.desc())
        .limit(limit)
    )
    if wanted.event:
        matching = matching.where(begins(AuditEvent.event, wanted.event))
    if wanted.actor:
        matching = matching.where(AuditEvent.actor == wanted.actor)
    if wanted.before is not None:
        matching = matching.where(AuditEvent.at < wanted.before)
    events: list[tuple[AuditEvent, str | None]] = [(event, username) for event, username in session.execute(matching)]
    if len(events) == limit:
        return AuditPage(events, events[-1][0].id)
    number, lowest = session.execute(select(func.count(), func.min(window.c.id))).one()
    return AuditPage(events, lowest if number == AUDIT_LOOKED_AT else None)
