"""`ispagents payment review`: payments that other systems told of, and whose customer is not sure."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption, OperatorOption
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from sql.customers import subscriber_by_reference
from sql.models import IncomingPayment
from sql.money import review
from sql.money.payments import payment_by_id

app = typer.Typer(no_args_is_help=True, help="Payments whose customer is not sure: they wait, and restore nobody.")

EMPTY = "No payment waits for a person."


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: Annotated[int, typer.Option(min=0, max=common.ID_MAXIMUM, help="Go on after this id.")] = 0,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what waits, the oldest first, with the likeliest customer."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in review.waiting(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Payments that wait for a person",
        empty=common.NO_MORE if after else EMPTY,
        columns=("id", "kind", "amount", "occurred_at", "reference", "payer", "likeliest", "explanation"),
        more=common.more(rows, limit, "id"),
    )


@app.command("show")
def show(incoming: Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show one: what was told, who it may be from and why, and what was decided by whom."""
    with common.acting(operator) as (session, operator_id):
        found = review.incoming_by_id(session, operator_id, incoming)
        row = {**_row(found.row), **_decision(found)}
    if not as_json:
        row["candidates"] = [
            f"{one['subscriber']} ({one['name']}): {', '.join(one['reasons'])}" for one in row["candidates"]
        ]
    common.show_one(row, as_json=as_json)


@app.command("assign")
def assign(
    incoming: Id,
    subscriber: Annotated[str, typer.Argument(help="The customer number; left out for a refund or chargeback.")] = "",
    payment: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="The payment that a refund or chargeback is about.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give a payment to a customer: it is booked, and restores. A refund or chargeback is given to its payment."""
    if bool(subscriber) == (payment is not None):
        raise Problem("Name the customer whose payment it is, or by --payment the payment that went back.")
    with common.acting(operator) as (session, operator_id):
        if payment is None:
            found = subscriber_by_reference(session, operator_id, subscriber)
            row = review.assign(session, operator_id, incoming, found, actor=common.actor())
        else:
            about = payment_by_id(session, operator_id, payment)
            row = review.assign_reversal(session, operator_id, incoming, about, actor=common.actor())
        shown = {"id": row.id, "state": row.state, "payment": row.payment_id or payment, "reversal": row.reversal_id}
    common.show_one(shown, as_json=as_json)


@app.command("drop")
def drop(
    incoming: Id,
    reason: Annotated[str, typer.Option(help="Why it is no customer's payment.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """It is no customer's payment: it is never booked, nor when it is told again."""
    with common.acting(operator) as (session, operator_id):
        row = review.drop(session, operator_id, incoming, reason=reason, actor=common.actor())
        shown = {"id": row.id, "state": row.state, "explanation": row.explanation}
    common.show_one(shown, as_json=as_json)


def _row(row: IncomingPayment) -> dict[str, Any]:
    first = row.candidates[0] if row.candidates else None
    return {
        "id": row.id,
        "kind": row.kind,
        "amount": money_text(row.amount_minor, row.currency),
        "amount_minor": row.amount_minor,
        "occurred_at": row.occurred_at,
        "source": row.source,
        "external_id": row.external_id,
        "reference": row.reference,
        "payer": row.payer,
        "phone": row.phone,
        "username": row.username,
        "likeliest": first["subscriber"] if first else None,
        "explanation": row.explanation,
        "candidates": row.candidates,
    }


def _decision(found: review.Reviewed) -> dict[str, Any]:
    row = found.row
    return {
        "state": row.state,
        "subscriber": found.reference,
        "payment": row.payment_id,
        "reversal": row.reversal_id,
        "received_at": row.received_at,
        "decided_by": row.decided_by,
        "decided_at": row.decided_at,
    }
