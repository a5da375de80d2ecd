"""`ispagents holiday`: days on which nobody is suspended, where the dunning policy says so."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.files import file_bytes
from ispagents.cli.inputs import typed_day
from ispagents.errors import Problem
from policy.money.calendar_file import SIZE_MAXIMUM_BYTES, read_calendar
from sql.models import Operator
from sql.money.ledger import local_day
from sql.money.policies import add_holiday, add_holidays, holidays, remove_holiday

app = typer.Typer(no_args_is_help=True, help="Days on which nobody is suspended, where the dunning policy says so.")

EMPTY = "There is no holiday from that day on; add one with `ispagents holiday add 2026-12-25 Christmas`."
DAYS_MAXIMUM = 1096  # three years; nobody is suspended for longer anyway
Day = Annotated[str, typer.Argument(help="Such as 2026-12-25.")]


@app.command("add")
def add(day: Day, name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Add a holiday, or give it another name; whoever owes something is looked at again."""
    wanted = typed_day(day)
    with common.acting(operator) as (session, operator_id):
        found = add_holiday(session, operator_id, day=wanted, name=name, actor=common.actor())
        row = {"day": found.day, "name": found.name}
    common.show_one(row, as_json=as_json)


@app.command("import")
def read(
    file: Annotated[
        Path, typer.Argument(help="A calendar file (.ics), as governments and calendar programs write it.")
    ],
    since: Annotated[str, typer.Option("--from", help="From this day on; today if not given.")] = "",
    until: Annotated[str, typer.Option("--until", help="Up to this day; a year later if not given.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Show the days and store nothing.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add the days of a calendar; those that are there already get its names."""
    with common.acting(operator) as (session, operator_id):
        first = typed_day(since) if since else local_day(session, session.get_one(Operator, operator_id))
        last = typed_day(until) if until else first + timedelta(days=365)
        if not timedelta() <= last - first < timedelta(days=DAYS_MAXIMUM):
            raise Problem(f"Days are taken in from one day up to another, at most {DAYS_MAXIMUM} of them.")
        days = read_calendar(file_bytes(file, SIZE_MAXIMUM_BYTES), first, last)
        news = 0 if preview else add_holidays(session, operator_id, days=days, actor=common.actor())
    if as_json:
        common.print_json({"added": news, "days": [one._asdict() for one in days]})
        return
    title = f"Holidays from {first} to {last}"
    common.show([one._asdict() for one in days], as_json=False, title=title, empty=f"{title}: there is none.")
    common.show_one({"added": "nothing yet; leave --preview out" if preview else news}, as_json=False)


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
