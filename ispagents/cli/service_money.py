"""`ispagents service plan` and `ispagents service topup`: what moves money and time of one service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from sql.customers import plan_by_name, service_by_username
from sql.models import Operator
from sql.money.plan_changes import PlanChange, change_plan_of, preview_change
from sql.money.renewing import top_up


def change_plan(
    username: str,
    plan: Annotated[str, typer.Argument(help="The new plan's name: an upgrade or a downgrade.")],
    now: Annotated[
        bool, typer.Option("--now", help="Unused days are given back, the new plan is charged by days.")
    ] = False,
    at_period_end: Annotated[
        bool, typer.Option("--at-period-end", help="With the next period; the present plan again calls it off.")
    ] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Show what it would cost and change nothing.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a service another plan; what that costs is shown, first alone with --preview."""
    if now == at_period_end:
        raise Problem("Say when the new plan begins, by --now or by --at-period-end.")
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        wanted = plan_by_name(session, operator_id, plan)
        if preview:
            change = preview_change(session, service, wanted, at_period_end=at_period_end)
        else:
            change = change_plan_of(session, service, wanted, at_period_end=at_period_end, actor=common.actor())
        row = _row(change, username, currency)
    common.show_one({**row, "state": "preview" if preview else "done"}, as_json=as_json)


def topup(
    username: str,
    periods: Annotated[int, typer.Option(min=1, max=1000, help="How many periods.")] = 1,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Buy time for a prepaid service from the customer's credit, from the later of now and its present end."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        invoice = top_up(session, service, periods, actor=common.actor())
        row = {
            "username": username,
            "periods": periods,
            "invoice": invoice.number if invoice is not None else None,
            "amount": money_text(invoice.amount_minor if invoice is not None else 0, currency),
            "amount_minor": invoice.amount_minor if invoice is not None else 0,
            "prepaid_until": service.prepaid_until,
        }
    common.show_one(row, as_json=as_json)


def _row(change: PlanChange, username: str, currency: str) -> dict[str, Any]:
    proration = change.proration
    return {
        "username": username,
        "plan": change.plan.name,
        "on": change.on.isoformat(),
        "given_back": money_text(proration.credit_minor, currency),
        "given_back_minor": proration.credit_minor,
        "charged": money_text(proration.charge_minor, currency),
        "charged_minor": proration.charge_minor,
        "to_pay": money_text(proration.to_pay_minor, currency),
        "to_pay_minor": proration.to_pay_minor,
        "next_period_on": _next_period(change),
    }


def _next_period(change: PlanChange) -> str | None:
    """The first day that is charged beyond what this change costs, where the cycle charges the service at all."""
    if change.standing is None or change.plan.billing == "prepaid":
        return None
    begins = (change.place.billed_until or change.place.starts_on) if change.place is not None else change.on
    return begins.isoformat()
