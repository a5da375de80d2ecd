"""How plans are charged: checked before they are stored, and changed for the periods to come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from policy.money.periods import Unit
from sql import audit
from sql.errors import Refused
from sql.models import Plan, Service


def check_terms(plan: Plan) -> None:
    """Raises Refused for terms that cannot be charged."""
    unit = plan.period_unit or Unit.MONTH
    if unit == Unit.HOUR and plan.billing != "prepaid":
        raise Refused("Only a prepaid plan can have a period of hours; choose days, weeks or months.")
    if plan.anchor_day is not None and unit != Unit.MONTH:
        raise Refused("Only periods of months begin on a day of the month; leave the anchor day out.")
    if not 0 <= (plan.setup_minor or 0) <= AMOUNT_MAXIMUM_MINOR:
        raise Refused("A setup fee is zero or more, and below ten trillion.")


def change_terms(session: Session, plan: Plan, terms: dict[str, Any], *, actor: str) -> None:
    """Charge a plan differently from the next period of each service on. Raises Refused.

    A plan that has services stays prepaid or not: their time and their periods cannot be turned into one another.
    """
    kind = terms.get("billing", plan.billing)
    if kind != plan.billing and session.scalar(select(Service.id).where(Service.plan_id == plan.id).limit(1)):
        raise Refused(f"The plan {plan.name!r} has services, so it stays {plan.billing}; add another plan for them.")
    moved = {key: value for key, value in terms.items() if getattr(plan, key) != value}
    for key, value in moved.items():
        setattr(plan, key, value)
    if plan.period_unit != Unit.MONTH and "anchor_day" not in terms:
        plan.anchor_day = None
    check_terms(plan)
    session.flush()
    if moved:
        said: dict[str, Any] = {key: str(value) for key, value in moved.items()}
        audit.record(session, plan.operator_id, actor, "plan:terms:change", plan=plan.name, **said)
