"""`ispagents payment`: money that came in."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, Id, JsonOption, LimitOption, OperatorOption, SubscriberOption
from ispagents.cli.inputs import moment, money_minor
from ispagents.cli.output import money_text
from sql.customers import subscriber_by_reference
from sql.listing import payments
from sql.models import Operator, Payment
from sql.money.payments import ReversalKind, payment_by_id, receive_payment, reverse_payment
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
    receipt_number: Annotated[
        str | None, typer.Option(help="Of your receipt book; each number is booked once.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="The day on which it came, such as 2026-11-20; today if not given.")
    ] = None,
    note: Annotated[str, typer.Option()] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Book a payment; it pays the oldest open invoice first, and restores a suspended service."""
    received_at = moment(on, common.time_zone(operator)) if on is not None else None
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = subscriber_by_reference(session, operator_id, subscriber)
        payment, new = receive_payment(
            session,
            found,
            amount_minor=money_minor(amount, currency),
            method=method,
            external_id=external_id,
            receipt_number=receipt_number,
            received_at=received_at,
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


Amount = Annotated[str | None, typer.Option(help="A part of it, such as 5.00; all that is left if not given.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]


@app.command("refund")
def refund(
    payment: Id, reason: Reason, amount: Amount = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Money was given back: what it paid is open again, the last paid first."""
    _reverse("refund", payment, amount, reason, operator, as_json)


@app.command("chargeback")
def chargeback(
    payment: Id, reason: Reason, amount: Amount = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """The payer's bank took money back: what it paid is open again."""
    _reverse("chargeback", payment, amount, reason, operator, as_json)


@app.command("correct")
def correct(
    payment: Id, reason: Reason, amount: Amount = None, operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Take back a booking that was wrong: a payment, a credit or a write-off."""
    _reverse("correction", payment, amount, reason, operator, as_json)


def _reverse(kind: ReversalKind, number: int, amount: str | None, reason: str, operator: str, as_json: bool) -> None:
    with common.acting(operator) as (session, operator_id):
        payment = payment_by_id(session, operator_id, number)
        amount_minor = money_minor(amount, payment.currency) if amount is not None else None
        reversal, _ = reverse_payment(
            session, payment, kind=kind, reason=reason, actor=common.actor(), amount_minor=amount_minor
        )
        left = payment.amount_minor - payment.reversed_minor
        row = {
            "id": reversal.id,
            "payment": payment.id,
            "kind": kind,
            "amount": money_text(reversal.amount_minor, payment.currency),
            "amount_minor": reversal.amount_minor,
            "left": money_text(left, payment.currency),
            "left_minor": left,
            "reason": reason,
        }
    common.show_one(row, as_json=as_json)


def _row(payment: Payment, reference: str) -> dict[str, Any]:
    return {
        "id": payment.id,
        "subscriber": reference,
        "amount": money_text(payment.amount_minor, payment.currency),
        "amount_minor": payment.amount_minor,
        "method": payment.method,
        "external_id": payment.external_id,
        "receipt_number": payment.receipt_number,
        "kind": payment.kind,
        "went_back_minor": payment.reversed_minor,
        "received_at": payment.received_at,
        "note": payment.note,
    }
