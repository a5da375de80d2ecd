"""`ispagents dunning`: how reminders, suspension and closing follow an unpaid invoice."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import given
from ispagents.errors import Problem
from sql.models import DunningPolicy
from sql.money.policies import add_policy, change_policy, policies, policy_by_name

app = typer.Typer(no_args_is_help=True, help="How reminders, suspension and closing follow an unpaid invoice.")

NONE = "none"
EMPTY = (
    "There is no dunning policy; add one with `ispagents dunning add workdays --weekdays 1,2,3,4,5 --suspend-hour 9`."
)
WEEKDAYS_MOST, REMINDERS_MOST = 7, 64

Grace = Annotated[
    int | None, typer.Option(min=0, max=365, help="Days after the due day that are grace.", show_default=False)
]
Overdue = Annotated[
    int | None, typer.Option(min=0, max=365, help="Days after grace, before suspension.", show_default=False)
]
Close = Annotated[
    str | None, typer.Option(help="Days of suspension until the service is closed; none: never.", show_default=False)
]
Reminders = Annotated[
    str | None,
    typer.Option(help="Days from the due day, by commas: -3,1,7 is three before, one and seven after; none: none."),
]
Hour = Annotated[
    str | None, typer.Option(help="Nobody is suspended before this hour of the operator's clock; none: at any.")
]
Weekdays = Annotated[
    str | None, typer.Option(help="Days on which people are suspended, by commas; Monday is 1, Sunday is 7.")
]
Holidays = Annotated[
    bool | None,
    typer.Option("--skip-holidays/--ignore-holidays", help="Nobody is suspended on a holiday.", show_default=False),
]


@app.command("add")
def add(
    name: str,
    grace_days: Grace = None,
    overdue_days: Overdue = None,
    close_days: Close = None,
    reminders: Reminders = None,
    suspend_hour: Hour = None,
    weekdays: Weekdays = None,
    skip_holidays: Holidays = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a dunning policy; `operator set NAME --dunning` and `plan set NAME --dunning` put it to use."""
    options = _options(grace_days, overdue_days, close_days, reminders, suspend_hour, weekdays, skip_holidays)
    with common.acting(operator) as (session, operator_id):
        policy = add_policy(session, operator_id, name=name, actor=common.actor(), **options)
        session.refresh(policy)
        row = _row(policy)
    common.show_one(row, as_json=as_json)


@app.command("set")
def change(
    name: str,
    grace_days: Grace = None,
    overdue_days: Overdue = None,
    close_days: Close = None,
    reminders: Reminders = None,
    suspend_hour: Hour = None,
    weekdays: Weekdays = None,
    skip_holidays: Holidays = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change a dunning policy; whoever owes something is looked at again."""
    options = _options(grace_days, overdue_days, close_days, reminders, suspend_hour, weekdays, skip_holidays)
    with common.acting(operator) as (session, operator_id):
        policy = change_policy(session, operator_id, name=name, actor=common.actor(), **options)
        session.refresh(policy)
        row = _row(policy)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the dunning policies by name."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in policies(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Dunning policies",
        empty=EMPTY if not after else common.NO_MORE,
        more=common.more(rows, limit, "name"),
    )


@app.command("show")
def show(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a dunning policy."""
    with common.acting(operator) as (session, operator_id):
        row = _row(policy_by_name(session, operator_id, name))
    common.show_one(row, as_json=as_json)


def _options(
    grace_days: int | None,
    overdue_days: int | None,
    close_days: str | None,
    reminders: str | None,
    suspend_hour: str | None,
    weekdays: str | None,
    skip_holidays: bool | None,
) -> dict[str, Any]:
    options = given(grace_days=grace_days, overdue_days=overdue_days, skip_holidays=skip_holidays)
    if close_days is not None:
        options["close_days"] = _number(close_days, "--close-days")
    if suspend_hour is not None:
        options["suspend_hour"] = _number(suspend_hour, "--suspend-hour")
    if reminders is not None:
        options["reminder_days"] = _numbers(reminders, "--reminders", REMINDERS_MOST)
    if weekdays is not None:
        options["suspend_weekdays"] = _numbers(weekdays, "--weekdays", WEEKDAYS_MOST)
    return options


def _number(text: str, option: str) -> int | None:
    return None if text.strip() == NONE else _numbers(text, option, 1)[0]


def _numbers(text: str, option: str, most: int) -> list[int]:
    if text.strip() == NONE:
        return []
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > most or not all(part.removeprefix("-").isascii() and _is_small(part) for part in parts):
        example = "a whole number such as 9" if most == 1 else "whole numbers by commas, such as 1,2,3"
        raise Problem(f"{option} needs {example}, or none.")
    return [int(part) for part in parts]


def _is_small(part: str) -> bool:
    digits = part.removeprefix("-")
    return digits.isdigit() and len(digits) <= 4


def _row(policy: DunningPolicy) -> dict[str, Any]:
    return {
        "name": policy.name,
        "grace_days": policy.grace_days,
        "overdue_days": policy.overdue_days,
        "close_days": policy.close_days,
        "reminder_days": policy.reminder_days,
        "suspend_hour": policy.suspend_hour,
        "suspend_weekdays": policy.suspend_weekdays,
        "skip_holidays": policy.skip_holidays,
    }
