"""`ispagents payment`: money that came in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption, SubscriberOption
from ispagents.cli.inputs import money_minor
from ispagents.cli.output import money_text
from sql.customers import subscriber_by_reference
from sql.listing import payments
from sql.models import Operator, Payment
from sql.money.payments import receive_payment
from sql.money.settling import credit_minor, open_invoices

app = typer.Typer(no_args_is_help=True, help="Money that came in; it pays the oldest invoice first.")

EMPTY = "There is no payment yet; book one with `ispagents payment add NUMBER --amount 15.00`."


@app.command("add")
def add(
    subscriber: Annotated[str, typer.Argument(help="The customer number.")],
    amount: Annotated[str, typer.Option(help="Such as 15.00.")],
    method: Annotated[str, typer.Option(help="cash, bank, card ...")] = "cash",
    external_id: Annotated[
        str | None, typer.Option(help="The bank's or provider's own id; the same one is booked once.")
    ] = None,
    note: Annotated[str, typer.Option()] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Book a payment; it pays the oldest open invoice first, and restores a suspended service."""
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = subscriber_by_reference(session, operator_id, subscriber)
        payment, new = receive_payment(
            session,
            found,
            amount_minor=money_minor(amount, currency),
            method=method,
            external_id=external_id,
            note=note,
            actor=common.actor(),
        )
        unpaid = sum(one.open_minor for one in open_invoices(session, operator_id, [found.id]).get(found.id, []))
        balance = credit_minor(session, found) - unpaid
        row = {
            **_row(payment, found.reference),
            "new": new,
            "said": "Booked." if new else "This payment was known already and was not booked twice.",
            "balance": money_text(balance, currency),
            "balance_minor": balance,
        }
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    subscriber: SubscriberOption = "",
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List payments, the newest first."""
    with common.acting(operator) as (session, operator_id):
        found = subscriber_by_reference(session, operator_id, subscriber) if subscriber else None
        page = payments(session, operator_id, subscriber=found, after=after, limit=limit)
        rows = [_row(payment, reference) for payment, reference in page]
    common.show(
        rows,
        as_json=as_json,
        title="Payments",
        empty=common.nothing(
            f"Subscriber {subscriber!r} has no payment yet." if subscriber else EMPTY, search="", after=after
        ),
        columns=("id", "subscriber", "amount", "method", "external_id", "received_at", "note"),
        more=common.more(rows, limit, "id"),
    )


def _row(payment: Payment, reference: str) -> dict[str, Any]:
    return {
        "id": payment.id,
        "subscriber": reference,
        "amount": money_text(payment.amount_minor, payment.currency),
        "amount_minor": payment.amount_minor,
        "method": payment.method,
        "external_id": payment.external_id,
        "received_at": payment.received_at,
        "note": payment.note,
    }
