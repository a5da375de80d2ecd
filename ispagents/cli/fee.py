"""`ispagents fee`: what is charged once, with the next invoice of a service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import money_minor
from ispagents.cli.output import money_text
from ispagents.cli.plan_terms import TaxIncluded, TaxOption, basis_points
from sql.customers import service_by_username
from sql.models import Fee, Operator
from sql.money.extras import add_fee, cancel_fee, fees

app = typer.Typer(no_args_is_help=True, help="What is charged once, with the next invoice of a service.")

EMPTY = "There is no fee; add one with `ispagents fee add USERNAME --amount 30.00 --description 'a visit'`."


@app.command("add")
def add(
    username: str,
    amount: Annotated[str, typer.Option(help="Such as 30.00.")],
    description: Annotated[str, typer.Option(help="What for; the customer reads it on the invoice.")],
    tax: TaxOption = None,
    tax_included: TaxIncluded = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Charge something once; taxed as the service's plan unless said otherwise."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        service = service_by_username(session, operator_id, username)
        found = add_fee(
            session,
            service,
            amount_minor=money_minor(amount, currency),
            description=description,
            actor=common.actor(),
            tax_basis_points=basis_points(tax) if tax is not None else None,
            tax_included=tax_included,
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
    """List fees, the newest first."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = fees(session, operator_id, after=after, limit=limit)
        rows = [_row(one.row, one.username, currency) for one in found]
    common.show(
        rows,
        as_json=as_json,
        title="Fees",
        empty=EMPTY if after is None else common.NO_MORE,
        columns=("id", "username", "amount", "state", "description", "added_by"),
        more=common.more(rows, limit, "id"),
    )


@app.command("cancel")
def cancel(fee: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Take a fee back that is not invoiced yet."""
    with common.acting(operator) as (session, operator_id):
        found = cancel_fee(session, operator_id, fee, actor=common.actor())
        row = {"id": found.id, "state": "cancelled"}
    common.show_one(row, as_json=as_json)


def _row(found: Fee, username: str, currency: str) -> dict[str, Any]:
    state = "waits for the next invoice"
    if found.invoice_id is not None:
        state = "invoiced"
    elif found.cancelled_at is not None:
        state = "cancelled"
    return {
        "id": found.id,
        "username": username,
        "amount": money_text(found.amount_minor, currency),
        "amount_minor": found.amount_minor,
        "tax_basis_points": found.tax_basis_points,
        "tax_included": found.tax_included,
        "state": state,
        "description": found.description,
        "added_by": found.added_by,
    }
