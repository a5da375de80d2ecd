"""`ispagents invoice`: what subscribers owe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption, SubscriberOption
from ispagents.cli.inputs import moment, money_minor
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from sql.customers import subscriber_by_reference
from sql.listing import Billed, invoices
from sql.models import Invoice, InvoiceLine, Operator, Subscriber
from sql.money.invoices import invoice_by_number, issue_invoice, void_invoice
from sql.money.payments import write_off
from sql.money.reading import PaidBy, lines, paid_by

app = typer.Typer(no_args_is_help=True, help="What subscribers owe, and until when.")

EMPTY = "There is no invoice yet; add one with `ispagents invoice add NUMBER --amount 15.00 --due-in-days 14`."


@app.command("add")
def add(
    subscriber: Annotated[str, typer.Argument(help="The customer number.")],
    amount: Annotated[str, typer.Option(help="Such as 15.00.")],
    due: Annotated[str | None, typer.Option(help="2026-12-01, or ISO 8601 with an offset.")] = None,
    due_in_days: Annotated[int | None, typer.Option(min=-3650, max=3650, help="Negative lies in the past.")] = None,
    description: Annotated[str, typer.Option()] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add an invoice; money paid in advance pays it at once."""
    if due is not None and due_in_days is not None:
        raise Problem("Say when the invoice is due by --due or by --due-in-days, not by both.")
    if due is None and due_in_days is None:
        raise Problem("Say when the invoice is due, by --due 2026-12-01 or by --due-in-days 14.")
    if due is not None:
        due_at = moment(due, common.time_zone(operator))
    else:
        due_at = datetime.now(UTC) + timedelta(days=due_in_days or 0)
    with common.acting(operator) as (session, operator_id):
        currency = session.get_one(Operator, operator_id).currency
        found = subscriber_by_reference(session, operator_id, subscriber)
        invoice = issue_invoice(
            session,
            found,
            amount_minor=money_minor(amount, currency),
            due_at=due_at,
            description=description,
            actor=common.actor(),
        )
        row = _row(Billed(invoice, found.reference))
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    subscriber: SubscriberOption = "",
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List invoices, the newest first."""
    with common.acting(operator) as (session, operator_id):
        found = subscriber_by_reference(session, operator_id, subscriber) if subscriber else None
        rows = [_row(one) for one in invoices(session, operator_id, subscriber=found, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Invoices",
        empty=common.nothing(
            f"Subscriber {subscriber!r} has no invoice yet." if subscriber else EMPTY, search="", after=after
        ),
        columns=("number", "subscriber", "amount", "open", "due_on", "state", "description"),
        more=common.more(rows, limit, "number"),
    )


@app.command("void")
def void(
    number: Annotated[str, typer.Argument(help="The invoice's number, such as 2026-17.")],
    reason: Annotated[str, typer.Option(help="Why; it stays with the invoice.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take an invoice back; what was paid on it pays what else is open, or the next one."""
    with common.acting(operator) as (session, operator_id):
        invoice = void_invoice(session, operator_id, number, actor=common.actor(), reason=reason)
        row = {"number": invoice.number, "state": "void", "voided_at": invoice.voided_at}
    common.show_one(row, as_json=as_json)


@app.command("write-off")
def give_up(
    number: Annotated[str, typer.Argument(help="The invoice's number, such as 2026-17.")],
    reason: Annotated[str, typer.Option(help="Why nothing more is asked for.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give up what is left of an invoice. `payment correct` takes it back."""
    with common.acting(operator) as (session, operator_id):
        invoice = invoice_by_number(session, operator_id, number)
        loss = write_off(session, invoice, reason=reason, actor=common.actor())
        row = {
            "number": number,
            "payment": loss.id,
            "amount": money_text(loss.amount_minor, loss.currency),
            "amount_minor": loss.amount_minor,
            "reason": reason,
        }
    common.show_one(row, as_json=as_json)


@app.command("show")
def show(
    number: Annotated[str, typer.Argument(help="The invoice's number, such as 2026-17.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show an invoice with its lines, and what paid it."""
    with common.acting(operator) as (session, operator_id):
        invoice = invoice_by_number(session, operator_id, number)
        reference = session.get_one(Subscriber, invoice.subscriber_id).reference
        row = {
            **_row(Billed(invoice, reference)),
            "issued_on": str(invoice.issued_on),
            "tax": money_text(invoice.tax_minor, invoice.currency),
            "tax_minor": invoice.tax_minor,
            "void_reason": invoice.void_reason,
            "lines": [_line(line, invoice.currency) for line in lines(session, invoice)],
            "paid_by": [_paid(one, invoice.currency) for one in paid_by(session, invoice)],
        }
    if not as_json:
        row["lines"] = [f"{line['description'] or line['kind']} {line['net']}" for line in row["lines"]]
        row["paid_by"] = [f"{one['kind']} {one['payment']} ({one['method']}) {one['amount']}" for one in row["paid_by"]]
    common.show_one(row, as_json=as_json)


def _line(line: InvoiceLine, currency: str) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "description": line.description,
        "period_start": str(line.period_start) if line.period_start else None,
        "period_end": str(line.period_end) if line.period_end else None,
        "net": money_text(line.net_minor, currency),
        "net_minor": line.net_minor,
        "tax_minor": line.tax_minor,
    }


def _paid(one: PaidBy, currency: str) -> dict[str, Any]:
    return {
        "payment": one.payment_id,
        "kind": one.kind.replace("_", " "),
        "method": one.method,
        "amount": money_text(one.amount_minor, currency),
        "amount_minor": one.amount_minor,
        "received_at": one.received_at,
    }


def _row(one: Billed) -> dict[str, Any]:
    invoice = one.invoice
    return {
        "number": invoice.number,
        "subscriber": one.reference,
        "amount": money_text(invoice.amount_minor, invoice.currency),
        "amount_minor": invoice.amount_minor,
        "open": money_text(invoice.open_minor, invoice.currency),
        "open_minor": invoice.open_minor,
        "due_on": str(invoice.due_on),
        "due_at": invoice.due_at,
        "state": _state(invoice),
        "description": invoice.description,
    }


def _state(invoice: Invoice) -> str:
    if invoice.voided_at is not None:
        return "void"
    if invoice.open_minor == 0:
        return "paid"
    return "overdue" if invoice.due_at < datetime.now(UTC) else "open"
