"""Another plan for a service: now, with the unused days given back and the new ones charged, or with the next period.

What it costs is shown first, and what was shown is what is booked: the customer is locked in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from policy.money.charging import Place
from policy.money.proration import NO_MONEY, Proration, change_now
from sql import audit
from sql.errors import Refused
from sql.jobs import defer_review
from sql.models import Operator, Plan, Service, ServiceBilling, Subscriber
from sql.money.giving_back import give_back, invoiced_ahead
from sql.money.invoices import InvoiceDraft, issue, start_of_day
from sql.money.ledger import local_day
from sql.money.places import Moved, Standing, line_drafts, standings, store_places, terms_of
from sql.money.renewing import renew_ended
from sql.money.settling import lock_subscribers
from sql.sessions import database_time

_MARK_FIRST = text("SELECT review_service(:operator, :service)")


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What a change of plan does: from which day on, what it costs at once, and where the service stands then.

    `standing` None: the billing cycle does not charge this service.
    """

    plan: Plan
    on: date
    proration: Proration
    standing: Standing | None
    place: Place | None = None


def preview_change(session: Session, service: Service, plan: Plan, *, at_period_end: bool) -> PlanChange:
    """What another plan would cost, and when it would begin. The customer is locked, so that it can be done as shown.

    Raises Refused where the service has the plan already, is closed, or has prepaid time left, which has no price in
    days.
    """
    lock_subscribers(session, [service.subscriber_id])
    session.refresh(service)  # somebody else may have changed it, or closed it, while we waited
    if service.closed_at is not None:
        raise Refused(f"The service {service.username!r} is closed; add a new one instead.")
    operator = session.get_one(Operator, service.operator_id)
    today = local_day(session, operator)
    found = standings(session, operator, [service.id])
    one = found[0] if found else None
    waits = one is not None and one.next_plan is not None
    if plan.id == service.plan_id and not (waits and at_period_end):
        raise Refused(f"The service {service.username!r} has the plan {plan.name!r} already.")
    if one is None:
        return PlanChange(plan, today, NO_MONEY, None)
    if at_period_end:
        return PlanChange(plan, _period_end(one, operator, today), NO_MONEY, one)
    if one.plan.prepaid and one.prepaid_until is not None and one.prepaid_until > database_time(session):
        raise Refused(
            f"{service.username!r} has prepaid time until {one.prepaid_until.isoformat(timespec='minutes')}; "
            "let the new plan begin then, with --at-period-end."
        )
    proration, place = change_now(
        one.place,
        one.plan,
        terms_of(plan),
        invoiced_ahead(session, operator.id, service.id, today),
        one.discounts,
        today,
        days_before=operator.invoice_days_before,
    )
    return PlanChange(plan, today, proration, one, place)


def change_plan_of(session: Session, service: Service, plan: Plan, *, at_period_end: bool, actor: str) -> PlanChange:
    """Do what `preview_change` shows; the network's part becomes a change that is approved as any other."""
    change = preview_change(session, service, plan, at_period_end=at_period_end)
    operator = session.get_one(Operator, service.operator_id)
    if change.standing is None:
        session.execute(_MARK_FIRST, {"operator": operator.id, "service": service.id})
        service.plan_id = plan.id
        session.flush()
    elif change.place is None:
        _wait(session, service, change, change.standing, actor)
    else:
        _begin(session, operator, change, change.standing, change.place, actor)
    audit.record(
        session,
        operator.id,
        actor,
        "service:plan:change",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        plan=plan.name,
        on=change.on.isoformat(),
        credit_minor=change.proration.credit_minor,
        charge_minor=change.proration.charge_minor,
    )
    defer_review(session, operator.id)
    session.refresh(service)
    return change


def _period_end(one: Standing, operator: Operator, today: date) -> date:
    if one.plan.prepaid:
        until = one.prepaid_until
        return max(today, until.astimezone(ZoneInfo(operator.time_zone)).date()) if until is not None else today
    return max(today, one.place.billed_until or one.place.starts_on)


def _wait(session: Session, service: Service, change: PlanChange, one: Standing, actor: str) -> None:
    """Let the cycle begin the plan on its day; the present plan again means that none waits any more."""
    stays = change.plan.id == service.plan_id
    next_on = one.place.next_on
    session.execute(
        update(ServiceBilling)
        .where(ServiceBilling.service_id == service.id)
        .values(
            next_plan_id=None if stays else change.plan.id,
            next_plan_by=None if stays else actor,
            next_plan_on=None if stays else change.on,
            next_on=change.on if next_on is None else min(next_on, change.on),
        )
    )


def _begin(session: Session, operator: Operator, change: PlanChange, one: Standing, place: Place, actor: str) -> None:
    subscriber = session.get_one(Subscriber, one.subscriber_id)
    lines = [*change.proration.given_back, *change.proration.charged.lines]
    drafts = line_drafts(one.service_id, lines)
    prepaid_until = one.prepaid_until
    if change.plan.billing == "prepaid" and not one.plan.prepaid:
        prepaid_until = database_time(session)
    elif change.plan.billing != "prepaid" and one.plan.prepaid:
        prepaid_until = None
    store_places(session, operator.id, [Moved(one, place, change.plan.id, prepaid_until)])
    if change.proration.to_pay_minor > 0:
        due_at = start_of_day(change.on + timedelta(days=operator.due_days), operator)
        issue(session, operator, [InvoiceDraft(subscriber, due_at, drafts, change.plan.name)], actor=actor)
    elif change.proration.to_pay_minor < 0:
        give_back(session, operator, subscriber.id, drafts, f"unused days before {change.plan.name}", actor=actor)
    renew_ended(session, operator, [subscriber.id], actor=actor)
