"""`ispagents holiday`: days on which nobody is suspended, where the dunning policy says so."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import typed_day
from sql.money.policies import add_holiday, holidays, remove_holiday

app = typer.Typer(no_args_is_help=True, help="Days on which nobody is suspended, where the dunning policy says so.")

EMPTY = "There is no holiday from that day on; add one with `ispagents holiday add 2026-12-25 Christmas`."
Day = Annotated[str, typer.Argument(help="Such as 2026-12-25.")]


@app.command("add")
def add(day: Day, name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Add a holiday, or give it another name; whoever owes something is looked at again."""
    wanted = typed_day(day)
    with common.acting(operator) as (session, operator_id):
        found = add_holiday(session, operator_id, day=wanted, name=name, actor=common.actor())
        row = {"day": found.day, "name": found.name}
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    since: Annotated[str, typer.Option(help="From this day on; today if not given.")] = "",
    limit: LimitOption = common.ROWS,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the holidays in order."""
    first: date = typed_day(since) if since else datetime.now(UTC).date()
    with common.acting(operator) as (session, operator_id):
        found = holidays(session, operator_id, since=first, limit=limit)
        rows = [{"day": one.day, "name": one.name} for one in found]
    more = f"There may be more: go on with --since {rows[-1]['day']}" if len(rows) == limit else ""
    common.show(rows, as_json=as_json, title="Holidays", empty=EMPTY, more=more)


@app.command("remove")
def remove(day: Day, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Take a holiday off the list."""
    wanted = typed_day(day)
    with common.acting(operator) as (session, operator_id):
        remove_holiday(session, operator_id, day=wanted, actor=common.actor())
    common.show_one({"day": wanted, "state": "removed"}, as_json=as_json)
