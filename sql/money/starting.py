"""Services that begin to be charged: new ones by themselves, those from before when somebody starts the billing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, TextClause, text
from sqlalchemy.orm import Session

from policy.money.charging import first_place
from sql import audit
from sql.checks import checked_moment
from sql.errors import Refused
from sql.models import Operator, Plan, Service, ServiceBilling
from sql.money.invoices import check_amount, start_of_day
from sql.money.ledger import local_day
from sql.money.places import terms_of
from sql.sessions import acting_for, database_time

AT_ONCE = 5000

# A service from before begins on the day that was chosen, or after its trial; a prepaid one on the day its time ends.
_BEGIN = text("""
WITH beginner AS (
    SELECT service.id, service.subscriber_id, plan.anchor_day, plan.billing, service.prepaid_until,
           greatest(CAST(:charges_from AS date), (service.created_at AT TIME ZONE :zone)::date + plan.trial_days)
               AS starts_on
    FROM services AS service JOIN plans AS plan ON plan.id = service.plan_id
    WHERE service.operator_id = :operator AND service.id > :after AND service.closed_at IS NULL
      AND NOT EXISTS (SELECT FROM service_billing WHERE service_id = service.id)
    ORDER BY service.id LIMIT :most)
INSERT INTO service_billing (service_id, operator_id, subscriber_id, starts_on, anchor_day, next_on)
SELECT id, :operator, subscriber_id, starts_on, coalesce(anchor_day, extract(day FROM starts_on)::smallint),
       CASE WHEN billing = 'prepaid' THEN coalesce((prepaid_until AT TIME ZONE :zone)::date, starts_on)
            ELSE starts_on - CAST(:days_before AS integer) END
FROM beginner ORDER BY id
ON CONFLICT (service_id) DO NOTHING
RETURNING service_id
""")


# Whose next period would begin before the chosen day: it begins on that day, and what lies before is never asked for.
_SKIP = text("""
WITH late AS (
    SELECT place.service_id FROM service_billing AS place
    JOIN services AS service ON service.id = place.service_id JOIN plans AS plan ON plan.id = service.plan_id
    WHERE place.operator_id = :operator AND place.service_id > :after AND place.next_on IS NOT NULL
      AND plan.billing = 'recurring' AND coalesce(place.billed_until, place.starts_on) < CAST(:charges_from AS date)
    ORDER BY place.service_id LIMIT :most)
UPDATE service_billing AS place SET
    starts_on = CASE WHEN place.billed_until IS NULL THEN CAST(:charges_from AS date) ELSE place.starts_on END,
    billed_until = CASE WHEN place.billed_until IS NOT NULL THEN CAST(:charges_from AS date) END,
    next_on = CAST(:charges_from AS date) - CAST(:days_before AS integer), updated_at = now()
FROM late WHERE place.service_id = late.service_id
RETURNING place.service_id
""")


def start_billing(engine: Engine, operator_id: int, charges_from: date | None, *, actor: str) -> tuple[date, int]:
    """Let the cycle charge an operator's services from a day on (None: today, or the day that was said before).

    Returns that day, and how many services begin now. Begun services stay as they are, so it may be said twice; but
    after a stop, a day that is said is the first one that anybody is charged for. Raises Refused where another system
    says the standings.
    """
    with acting_for(engine, operator_id) as session:
        operator = session.get_one(Operator, operator_id)
        if operator.standings_from == "outside":
            raise Refused("Another system bills this operator's services; its standings come from outside.")
        day = charges_from or operator.charges_from or local_day(session, operator)
        checked_moment("first day", start_of_day(day, operator))
        known = {
            "operator": operator_id,
            "charges_from": day,
            "zone": operator.time_zone,
            "days_before": operator.invoice_days_before,
            "most": AT_ONCE,
        }
        skips = operator.charges_from is None and charges_from is not None
    # While the cycle still charges nobody: it must not ask for what is to be skipped.
    if skips:
        _all(engine, operator_id, _SKIP, known)
    with acting_for(engine, operator_id) as session:
        operator = session.get_one(Operator, operator_id)
        if operator.charges_from != day:
            operator.charges_from = day
            audit.record(session, operator_id, actor, "billing:cycle:start", charges_from=day.isoformat())
    return day, _all(engine, operator_id, _BEGIN, known)


def _all(engine: Engine, operator_id: int, statement: TextClause, values: dict[str, Any]) -> int:
    """Do this for all services, a portion a transaction. Returns for how many."""
    count, after = 0, 0
    while True:
        with acting_for(engine, operator_id) as session:
            found = session.scalars(statement, {**values, "after": after}).all()
        if not found:
            return count
        count, after = count + len(found), max(found)


def stop_billing(session: Session, operator_id: int, *, actor: str) -> None:
    """Let the cycle charge nobody; what services owe up to now stays. A later start goes on where they stand."""
    operator = session.get_one(Operator, operator_id)
    operator.charges_from = None
    audit.record(session, operator_id, actor, "billing:cycle:stop")


def begin_service(
    session: Session, service: Service, plan: Plan, *, starts_on: date | None = None, price_minor: int | None = None
) -> None:
    """Let a new service be charged from a day on (None: after the plan's trial), where its operator charges at all.

    A prepaid one has time up to that day, and further time when it is paid. Raises Refused.
    """
    operator = session.get_one(Operator, service.operator_id)
    if price_minor:
        check_amount(price_minor)
    if starts_on is not None:
        checked_moment("first charged day", start_of_day(starts_on, operator))
    if plan.billing == "prepaid" and service.prepaid_until is None:
        now = database_time(session)
        trial = (now.astimezone(ZoneInfo(operator.time_zone)) + timedelta(days=plan.trial_days)).astimezone(now.tzinfo)
        service.prepaid_until = trial if starts_on is None else start_of_day(starts_on, operator)
    if operator.charges_from is None:
        if starts_on is not None or price_minor is not None:
            raise Refused("The billing cycle charges nobody yet; begin with `ispagents billing start`.")
        return
    first = starts_on or max(operator.charges_from, local_day(session, operator) + timedelta(days=plan.trial_days))
    place = first_place(terms_of(plan), first, operator.invoice_days_before, price_minor=price_minor)
    next_on = place.next_on
    if plan.billing == "prepaid" and service.prepaid_until is not None:
        next_on = service.prepaid_until.astimezone(ZoneInfo(operator.time_zone)).date()
    session.add(
        ServiceBilling(
            service_id=service.id,
            operator_id=service.operator_id,
            subscriber_id=service.subscriber_id,
            starts_on=place.starts_on,
            anchor_day=place.anchor_day,
            next_on=next_on,
            price_minor=price_minor,
        )
    )
