"""More bytes for a service: given by a person, or sold with an invoice. The worker brings its sessions into line."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.money.periods import Period, Unit
from policy.quota import spans
from policy.usage import Bounds, Place, SpanKind, bounds, local_day
from sql import audit
from sql.errors import Refused
from sql.jobs import defer_enforce, driver_connection
from sql.models import Operator, Plan, Service, ServiceBilling, Subscriber, UsageTopup
from sql.models import Session as Live
from sql.money.invoices import issue_invoice
from sql.quota import Account, accounts
from sql.sessions import database_time

BYTES_MAXIMUM = 10**16
PAY_WITHIN = timedelta(days=14)


class Sold(NamedTuple):
    """What a top-up costs, in minor units; the invoice is due after `pay_within`."""

    amount_minor: int
    pay_within: timedelta = PAY_WITHIN


def account(session: Session, service: Service, now: datetime) -> Account:
    """A service with limits, and its usage. Raises Refused where its plan has none."""
    found = accounts(driver_connection(session), [service.id], now).found
    if not found or not spans(found[0].plan):
        raise Refused(
            f"The plan of {service.username} limits no bytes; `ispagents plan change NAME --tier month:100G:2M/2M` "
            "gives it a limit."
        )
    return found[0]


def told_s(session: Session, service: Service) -> int:
    """How often the slowest of a service's open sessions was told to report, in seconds; 0 without any."""
    mine = (Live.operator_id == service.operator_id, Live.service_id == service.id, Live.ended_at.is_(None))
    return session.scalar(select(func.max(Live.interim_interval_s)).where(*mine)) or 0


def running(session: Session, service: Service, span: SpanKind, now: datetime) -> Bounds:
    """The span of this kind that runs for a service."""
    zone = session.get_one(Operator, service.operator_id).time_zone
    row = session.execute(
        select(ServiceBilling, Plan)
        .join(Plan, Plan.id == service.plan_id)
        .where(ServiceBilling.service_id == service.id)
    ).one_or_none()
    place = None
    if row is not None:
        billing, plan = row
        period = Period(plan.period_count, Unit(plan.period_unit))
        place = Place(billing.billed_until or billing.starts_on, period, billing.anchor_day)
    return bounds(span, local_day(now, zone), zone, place)


def top_up(
    session: Session,
    service: Service,
    *,
    span: SpanKind | None,
    more_bytes: int,
    keeps: bool,
    reason: str,
    sold: Sold | None,
    actor: str,
) -> UsageTopup:
    """More bytes in the span that runs, or with `keeps` until they are used. Raises Refused."""
    now = database_time(session)
    known = sorted(spans(account(session, service, now).plan))
    if span is None and len(known) > 1:
        raise Refused(f"The plan has limits by {' and '.join(known)}; say with --span which of them is topped up.")
    chosen = span or known[0]
    if chosen not in known:
        raise Refused(f"The plan of {service.username} has no limit by {chosen}, only by {' and '.join(known)}.")
    if not 0 < more_bytes <= BYTES_MAXIMUM:
        raise Refused("A top-up has at least one byte, and ten million gigabytes at most.")
    invoice = None
    if sold is not None:
        subscriber = session.get_one(Subscriber, service.subscriber_id)
        words = f"{more_bytes / 10**9:g} GB more for {service.username}"
        due_at = now + sold.pay_within
        invoice = issue_invoice(
            session, subscriber, amount_minor=sold.amount_minor, due_at=due_at, description=words, actor=actor
        )
    topup = UsageTopup(
        operator_id=service.operator_id,
        service_id=service.id,
        span=chosen.value,
        bytes=more_bytes,
        until=None if keeps else running(session, service, chosen, now).ends_at,
        reason=reason,
        granted_by=actor,
        invoice_id=invoice.id if invoice is not None else None,
    )
    session.add(topup)
    session.flush()
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:quota:topup",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        span=chosen.value,
        bytes=more_bytes,
        reason=reason,
    )
    defer_enforce(driver_connection(session), service.operator_id, [service.id])
    return topup
