"""`ispagents compensation`: outages made good, for all services of a router or an area."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import money_minor
from ispagents.cli.output import money_text, print_lines
from ispagents.errors import Problem
from policy.wording import command
from sql.customers import router_by_name
from sql.models import Compensation, Operator
from sql.money import compensations
from sql.money.compensations import Wish

app = typer.Typer(no_args_is_help=True, help="Outages made good: more days or a credit for a router or an area.")

EMPTY = (
    "There is no compensation yet; plan one with `ispagents compensation plan NAME --router R --days 3 --reason ...`."
)
STUCK_SHOWN = 20


@app.command("plan")
def plan(
    name: Annotated[str, typer.Argument(help="How people will call it, such as 'storm in May'.")],
    reason: Annotated[str, typer.Option(help="Why; customers' credits carry it.")],
    router: Annotated[str, typer.Option(help="All whose latest session is on this router.")] = "",
    area: Annotated[str, typer.Option(help="All whose subscriber lives in this area.")] = "",
    days: Annotated[int | None, typer.Option(min=1, max=compensations.DAYS_MAXIMUM, help="So many days more.")] = None,
    amount: Annotated[str | None, typer.Option(help="A credit for each service, such as 5.00.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show and store what would be given, to whom, and what that costs; nothing is given before it is approved."""
    if bool(router) == bool(area):
        raise Problem("Say whom the outage hit: --router NAME or --area NAME.")
    if (days is None) == (amount is None):
        raise Problem("Say what to give: --days 3 or --amount 5.00.")
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        wish = Wish(
            name,
            reason,
            router_by_name(session, operator_id, router) if router else None,
            area,
            days,
            money_minor(amount, currency) if amount is not None else None,
        )
        made = compensations.plan(session, operator_id, wish, actor=common.actor())
        session.refresh(made)
        row = _row(session, made)
    _show(row, as_json=as_json)


@app.command("show")
def show(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a compensation with its preview, and what became of it."""
    with common.acting(operator) as (session, operator_id):
        row = _row(session, compensations.by_name(session, operator_id, name))
    _show(row, as_json=as_json)


@app.command("list")
def list_all(
    before: Annotated[int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Go on before this id.")] = None,
    limit: LimitOption = common.ROWS,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List compensations, the newest first."""
    with common.acting(operator) as (session, operator_id):
        found = compensations.compensations(session, operator_id, before=before, limit=limit)
        rows = [_short(one) for one in found]
    common.show(
        rows,
        as_json=as_json,
        title="Compensations",
        empty=common.NO_MORE if before else EMPTY,
        columns=("id", "name", "gives", "services", "money", "state", "requested_by", "decided_by"),
        more=f"There may be more: go on with --before {rows[-1]['id']}" if len(rows) == limit else "",
    )


@app.command("approve")
def approve(
    name: str,
    seen_hash: Annotated[str, typer.Option("--hash", help="The hash of the preview that you saw.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give what the preview says, to whom nothing else was done since. If it was interrupted, approve it again."""
    with common.acting(operator) as (session, operator_id):
        compensations.approve(session, operator_id, name, seen_hash=seen_hash, actor=common.actor())
    _carry_out(name, operator, as_json=as_json)


@app.command("undo")
def undo(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Take back what was given, where it still stands. If it was interrupted, undo it again."""
    with common.acting(operator) as (session, operator_id):
        compensations.undo(session, operator_id, name, actor=common.actor())
    _carry_out(name, operator, as_json=as_json)


@app.command("drop")
def drop(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Say no to a plan."""
    with common.acting(operator) as (session, operator_id):
        made = compensations.drop(session, operator_id, name, actor=common.actor())
        session.refresh(made)
        row = _row(session, made)
    _show(row, as_json=as_json)


def _carry_out(name: str, operator: str, *, as_json: bool) -> None:
    """A transaction a portion, so that no payment waits for the whole of it."""
    after: int | None = 0
    while after is not None:
        with common.acting(operator) as (session, operator_id):
            after = compensations.go_on(session, operator_id, name, after, actor=common.actor())
    with common.acting(operator) as (session, operator_id):
        row = _row(session, compensations.by_name(session, operator_id, name))
    _show(row, as_json=as_json)


def _short(made: Compensation) -> dict[str, Any]:
    preview = made.preview
    about = "about " if preview["money_is_estimated"] else ""
    gives = f"{made.days} days" if made.days else money_text(made.amount_minor or 0, preview["currency"])
    return {
        "id": made.id,
        "name": made.name,
        "gives": gives,
        "services": preview["services"],
        "money": about + money_text(preview["money_minor"], preview["currency"]),
        "money_minor": preview["money_minor"],
        "state": made.state,
        "reason": made.reason,
        "requested_by": made.requested_by,
        "created_at": made.created_at,
        "decided_by": made.decided_by,
        "decided_at": made.decided_at,
        "undone_by": made.undone_by,
        "undone_at": made.undone_at,
    }


def _row(session: Session, made: Compensation) -> dict[str, Any]:
    found = compensations.stuck(session, made, STUCK_SHOWN)
    stuck = [{"username": one.username, "said": one.explanation} for one in found]
    return {
        **_short(made),
        "preview": made.preview,
        "preview_hash": made.preview_hash,
        "now": compensations.counts(session, made),
        "stuck": stuck,
    }


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        common.print_json(row)
        return
    preview = row["preview"]
    common.show_one(
        {name: row[name] for name in ("name", "gives", "services", "money", "state", "reason")}, as_json=False
    )
    print_lines(
        f"Customers: {preview['subscribers']}. Services: {preview['prepaid']} prepaid, "
        f"{preview['suspended']} suspended, "
        f"{preview['compensated_in_30_days']} given something in the last 30 days, {preview['left_out']} left out."
    )
    odd = [{**one, "a_day": money_text(one["day_minor"], preview["currency"])} for one in preview["oddest"]]
    columns = ("username", "plan", "standing", "compensated_before", "a_day")
    common.show(odd, as_json=False, title="The most unusual of them", empty="", columns=columns)
    if row["state"] == "planned":
        words = command("compensation approve", row["name"], f"--hash {row['preview_hash']}")
        print_lines(f"Give it with `{words}`.")
        return
    print_lines("Now: " + (", ".join(f"{number} {state}" for state, number in row["now"].items()) or "nothing"))
    if row["stuck"]:
        common.show(row["stuck"], as_json=False, title="Stuck", empty="")
