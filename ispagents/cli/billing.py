"""`ispagents billing`: the cycle that charges services by itself, its runs, and what it could not bill."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import typed_day
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from sql.models import BillingRun, Operator
from sql.money.ledger import local_day
from sql.money.preview import preview_run
from sql.money.runs import Left, problems, runs
from sql.money.starting import start_billing, stop_billing
from sql.roles import Role
from worker.billing_cycle import bill_operator

app = typer.Typer(no_args_is_help=True, help="The cycle that charges services by itself, once a day.")

EMPTY = "The billing cycle has not run yet; `ispagents up` runs it every day, `ispagents billing run` at once."
NO_PROBLEM = "Everything that was due could be billed."
NOBODY = "The billing cycle charges nobody yet; begin with `ispagents billing start`."

DayOption = Annotated[
    str | None, typer.Option("--day", help="Such as 2026-12-01; today by the operator's clock if not given.")
]


@app.command("start")
def start(
    first_day: Annotated[
        str | None, typer.Option("--from", help="First day that is charged, such as 2026-12-01; today if not given.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let the cycle charge services from a day on: those there are now, and new ones as they are added."""
    wanted = typed_day(first_day) if first_day is not None else None
    with common.acting(operator) as (_, operator_id):
        pass
    engine = common.databases().engine(Role.WEB, pool=1)
    try:
        day, begun = start_billing(engine, operator_id, wanted, actor=common.actor())
    finally:
        engine.dispose()
    common.show_one({"charges_from": day.isoformat(), "services_begun": begun}, as_json=as_json)


@app.command("stop")
def stop(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Let the cycle charge nobody; reminders and suspensions go on.

    A later start goes on where services stand, or, with --from, charges nobody for the time before that day.
    """
    with common.acting(operator) as (session, operator_id):
        stop_billing(session, operator_id, actor=common.actor())
    common.show_one({"said": "The billing cycle charges nobody any more."}, as_json=as_json)


@app.command("run")
def run(day: DayOption = None, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Run the cycle now, beside the worker or without it; run twice it finds nothing the second time."""
    chosen, operator_id, currency = _day(day, operator)
    with common.acting(operator) as (session, _):
        if chosen > local_day(session, session.get_one(Operator, operator_id)):
            raise Problem("The cycle cannot run for a day that has not come; see `ispagents billing preview --day`.")
    engine = common.databases().engine(Role.WORKER, pool=2)
    try:
        row = _row(bill_operator(engine, operator_id, chosen), currency)
    finally:
        engine.dispose()
    common.show_one(row, as_json=as_json)


@app.command("preview")
def preview(day: DayOption = None, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """What the next run would issue: how many, how much, and the oddest services. Nothing is stored."""
    chosen, _, currency = _day(day, operator)
    with common.acting(operator) as (session, operator_id):
        operator_row = session.get_one(Operator, operator_id)
        charges = operator_row.charges_from is not None
        found = preview_run(session, operator_row, chosen)
    odd = [
        {
            "username": one.username,
            "amount": money_text(one.amount_minor, currency),
            "amount_minor": one.amount_minor,
            "why": one.why,
        }
        for one in found.odd
    ]
    row = {
        "day": chosen.isoformat(),
        "services": found.services,
        "invoices": found.invoices,
        "periods": found.periods,
        "amount": money_text(found.amount_minor, currency),
        "amount_minor": found.amount_minor,
        "prepaid_that_end": found.prepaid,
        "problems": found.problems,
    }
    if as_json:
        common.print_json({**row, "odd": odd})
        return
    common.show_one(row, as_json=False)
    empty = "Nothing is due." if charges else NOBODY
    common.show(odd, as_json=False, title="Worth a look", empty=empty, columns=("username", "amount", "why"))


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: Annotated[str, typer.Option("--after", help="Go on before this day, the last one of the page before.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the runs of the cycle, the newest day first."""
    before = typed_day(after) if after else None
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        rows = [_row(one, currency) for one in runs(session, operator_id, before=before, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Billing runs",
        empty=common.nothing(EMPTY, search="", after=after),
        columns=("day", "state", "invoices", "amount", "reminders", "closed", "problems", "finished_at"),
        more=common.more(rows, limit, "day"),
    )


@app.command("problems")
def list_problems(
    limit: LimitOption = common.ROWS,
    after: Annotated[int, typer.Option("--after", min=0, max=common.ID_MAXIMUM, help="Go on after this service.")] = 0,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the services that could not be billed, and why; the next run tries them again."""
    with common.acting(operator) as (session, operator_id):
        rows = [_problem(one) for one in problems(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Could not be billed",
        empty=NO_PROBLEM if not after else common.NO_MORE,
        columns=("service", "username", "day", "explanation"),
        more=common.more(rows, limit, "service"),
    )


def _day(day: str | None, operator: str) -> tuple[date, int, str]:
    chosen = typed_day(day) if day is not None else None
    with common.acting(operator) as (session, operator_id):
        row = session.get_one(Operator, operator_id)
        return chosen or local_day(session, row), operator_id, row.currency


def _problem(one: Left) -> dict[str, Any]:
    return {
        "service": one.problem.service_id,
        "username": one.username,
        "day": one.problem.day.isoformat(),
        "explanation": one.problem.explanation,
        "created_at": one.problem.created_at,
    }


def _row(one: BillingRun, currency: str) -> dict[str, Any]:
    amount = int(Decimal(one.amount_minor))
    return {
        "day": one.day.isoformat(),
        "state": "finished" if one.finished_at is not None else "running",
        "invoices": one.invoices,
        "amount": money_text(amount, currency),
        "amount_minor": amount,
        "reminders": one.reminders,
        "closed": one.closed,
        "problems": one.problems,
        "started_at": one.started_at,
        "finished_at": one.finished_at,
    }
