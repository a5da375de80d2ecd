"""`ispagents discount`: less for one service, for some periods, up to a day, or for ever."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import money_minor, typed_day
from ispagents.cli.output import money_text
from ispagents.cli.plan_terms import basis_points, percent_text
from ispagents.errors import Problem
from sql.customers import service_by_username
from sql.models import Discount, Operator
from sql.money.extras import add_discount, discounts, end_discount

app = typer.Typer(no_args_is_help=True, help="Less for one service: a share or an amount of each period.")

EMPTY = (
    "There is no discount; grant one with `ispagents discount add USERNAME --percent 50 --periods 3 --reason '...'`."
)


@app.command("add")
def add(
    username: str,
    reason: Annotated[str, typer.Option(help="Why; the customer reads it on the invoice.")],
    percent: Annotated[str | None, typer.Option(help="Percent of each period's price, such as 50.")] = None,
    amount: Annotated[
        str | None, typer.Option(help="Less of each period, such as 5.00, as the price is written.")
    ] = None,
    periods: Annotated[int | None, typer.Option(min=1, max=1200, help="For so many periods.")] = None,
    until: Annotated[
        str | None, typer.Option(help="For periods that begin up to this day, such as 2026-12-31.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask less of a service from its next period on."""
    share = basis_points(percent) if percent is not None else None
    if share == 0:
        raise Problem("A discount of 0 percent is none; write a percentage such as 50.")
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        found = add_discount(
            session,
            service,
            reason=reason,
            actor=common.actor(),
            percent_basis_points=share,
            amount_minor=money_minor(amount, currency) if amount is not None else None,
            periods=periods,
            until_on=typed_day(until) if until is not None else None,
        )
        session.refresh(found)
        row = _row(found, service.username, currency)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: Annotated[
        int | None, typer.Option("--after", min=1, max=common.ID_MAXIMUM, help="Go on after this one.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List discounts, the newest first."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = discounts(session, operator_id, after=after, limit=limit)
        rows = [_row(one.row, one.username, currency) for one in found]
    common.show(
        rows,
        as_json=as_json,
        title="Discounts",
        empty=EMPTY if after is None else common.NO_MORE,
        columns=("id", "username", "less", "periods_left", "until", "state", "reason"),
        more=common.more(rows, limit, "id"),
    )


@app.command("end")
def end(discount: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End a discount; what is invoiced already stays."""
    with common.acting(operator) as (session, operator_id):
        found = end_discount(session, operator_id, discount, actor=common.actor())
        session.refresh(found)
        row = {"id": found.id, "state": "ended", "ended_at": found.ended_at}
    common.show_one(row, as_json=as_json)


def _row(found: Discount, username: str, currency: str) -> dict[str, Any]:
    share = f"{percent_text(found.percent_basis_points)} %" if found.percent_basis_points else ""
    return {
        "id": found.id,
        "username": username,
        "less": share or money_text(found.amount_minor or 0, currency),
        "percent_basis_points": found.percent_basis_points,
        "amount_minor": found.amount_minor,
        "periods_left": found.periods_left,
        "until": found.until_on.isoformat() if found.until_on else None,
        "state": "ended" if found.ended_at is not None else "open",
        "reason": found.reason,
        "granted_by": found.granted_by,
    }
