"""`ispagents report`: what is late, sold, collected, suspended and restored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.inputs import typed_day
from ispagents.cli.output import money_text
from sql.models import Operator
from sql.money import reports

app = typer.Typer(no_args_is_help=True, help="What is late, sold, collected, suspended and restored.")

FromOption = Annotated[
    str | None, typer.Option("--from", help="The first day, such as 2026-11-01.", show_default=False)
]
UntilOption = Annotated[
    str | None, typer.Option("--until", help="The last day; today if not given.", show_default=False)
]
NOTHING = "There is nothing in these days."
YEAR_DAYS, MONTH_DAYS = 365, 31
Found = TypeVar("Found")


@app.command("ageing")
def ageing(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """What is still to be paid, by days since it was due."""
    with common.acting(operator) as (session, operator_id):
        rows = [_with_money(row) for row in reports.ageing(session, session.get_one(Operator, operator_id))]
    columns = ("days_overdue", "invoices", "subscribers", "open")
    common.show(rows, as_json=as_json, title="Ageing", empty="Nothing is left to pay.", columns=columns)


@app.command("revenue")
def revenue(
    start: FromOption = None, until: UntilOption = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """What was sold, without tax, by month and plan; the last year if no day is given."""
    about, found = _report(reports.revenue, start, until, operator, usual=YEAR_DAYS)
    rows = [_with_money(row) for row in found]
    for row in rows:
        row["month"] = f"{row['month']:%Y-%m}"
    columns = ("month", "plan", "revenue", "discount", "net")
    common.show(rows, as_json=as_json, title=_title("Revenue", about), empty=NOTHING, columns=columns)


@app.command("collected")
def collected(
    start: FromOption = None, until: UntilOption = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Money that came in and went back, by day and method; the last 31 days if no day is given."""
    about, found = _report(reports.collected, start, until, operator, usual=MONTH_DAYS)
    rows = [_with_money(row) for row in found]
    columns = ("day", "method", "payments", "in", "back", "net")
    common.show(rows, as_json=as_json, title=_title("Collected", about), empty=NOTHING, columns=columns)


@app.command("suspensions")
def suspensions(
    start: FromOption = None, until: UntilOption = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """How many services were suspended, restored and closed, by day; the last 31 days if no day is given."""
    about, rows = _report(reports.suspensions, start, until, operator, usual=MONTH_DAYS)
    common.show(rows, as_json=as_json, title=_title("Suspended and restored", about), empty=NOTHING)


@app.command("restoration")
def restoration(
    start: FromOption = None, until: UntilOption = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """How long it took from a payment to the access restored; the last 31 days if no day is given."""
    about, row = _report(reports.restoration, start, until, operator, usual=MONTH_DAYS)
    if as_json:
        common.print_json({"from": about.start, "until": about.end, **row})
        return
    shown = {
        name: _seconds(value) if name.endswith("_s") else value for name, value in row.items() if name != "slowest"
    }
    common.show_one({"days": f"{about.start} to {about.end}", **shown}, as_json=False)
    slowest = [{**one, "took_s": _seconds(one["took_s"])} for one in row["slowest"]]
    common.show(slowest, as_json=False, title="The slowest", empty="Nobody was restored after a payment.")


def _report(
    ask: Callable[[Session, Operator, reports.Days], Found],
    start: str | None,
    until: str | None,
    operator: str,
    *,
    usual: int,
) -> tuple[reports.Days, Found]:
    """What a report says, and about which days; `usual`: about so many, where no beginning is typed."""
    first, last = (typed_day(start) if start else None), (typed_day(until) if until else None)
    with common.acting(operator) as (session, operator_id):
        mine = session.get_one(Operator, operator_id)
        about = reports.days(session, mine, first, last, usual=usual)
        return about, ask(session, mine, about)


def _title(what: str, about: reports.Days) -> str:
    return f"{what}, {about.start} to {about.end}"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"


def _with_money(row: dict[str, Any]) -> dict[str, Any]:
    """Beside each amount of minor units the same for people."""
    words = {
        name.removesuffix("_minor"): money_text(value, row["currency"])
        for name, value in row.items()
        if name.endswith("_minor")
    }
    return {**row, **words}
