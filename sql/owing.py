"""What an explanation must know of a service's money: what is owed, what was promised, and when it is suspended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from policy.money.dunning import obstacles
from policy.situation import Asserted, Coming, Promise, Unpaid
from policy.standing import HoldKind, Standing
from sql.among import among
from sql.models import AssertedStanding, Hold, Invoice, Operator, Service
from sql.money.dunning import Standings
from sql.money.feeds import standings_silent

HOLDS_MOST = 5


def oldest_unpaid(billing: Standings, service: Service, now: datetime) -> Unpaid | None:
    """The oldest unpaid invoice that counts, or the oldest of all; and what ends a suspension."""
    invoices = billing.unpaid(service.id)
    if not invoices:
        return None
    coming = {one.invoice.id: billing.suspension(service.id, one) for one in invoices}
    oldest = next((one.invoice for one in invoices if not billing.is_disputed(one)), invoices[0].invoice)
    pressing = [one.open_minor for one in invoices if (found := coming[one.invoice.id]) and found.ready_at <= now]
    return Unpaid(oldest.number, oldest.due_at, oldest.open_minor, sum(pressing), oldest.currency)


def coming(billing: Standings, service: Service) -> Coming | None:
    """The suspension that comes unless something is paid, and what holds it up."""
    found = billing.suspension(service.id)
    if found is None:
        return None
    return Coming(found.ready_at, found.at, obstacles(found.ready_at, billing.terms(service.id)))


def asserted(session: Session, operator: Operator, service: Service, now: datetime) -> Asserted | None:
    """What another billing system said last."""
    found = session.get(AssertedStanding, service.id)
    if found is None:
        return None
    silent = service.id in standings_silent(session, operator, [service.id], now)
    return Asserted(Standing(found.standing), found.as_of, found.source, silent)


def holds(session: Session, billing: Standings, service: Service, now: datetime) -> tuple[Promise, ...]:
    """The holds that stand, and disputes by another service of the customer, those that last longest first."""
    owed = [one.invoice.id for one in billing.unpaid(service.id)]
    found = session.execute(
        select(Hold, Invoice.number)
        .outerjoin(Invoice, Invoice.id == Hold.invoice_id)
        .where(
            Hold.operator_id == service.operator_id,
            or_(Hold.service_id == service.id, among(Hold.invoice_id, owed)),
            Hold.until.is_(None) | (Hold.until > now),
            or_(Hold.ended_at.is_(None), Hold.ended_at > now),
        )
        .order_by(Hold.until.desc())
        .limit(HOLDS_MOST)
    )
    return tuple(
        Promise(
            one.id,
            one.until,
            one.reason,
            one.granted_by,
            one.created_at,
            HoldKind(one.kind),
            one.amount_minor,
            number or "",
        )
        for one, number in found
    )
