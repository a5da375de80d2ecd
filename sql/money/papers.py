"""What an invoice or a receipt says, read for its document; each in a fixed number of queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.money.papers import Buyer, InvoicePaper, Line, Paid, ReceiptPaper, Seller, Settlement
from policy.windows import zone
from sql.errors import Refused
from sql.models import Allocation, Invoice, InvoiceLine, Operator, Payment, Subscriber
from sql.money.invoices import party

LINES_MAXIMUM = 2000


def invoice_paper(session: Session, invoice: Invoice) -> InvoicePaper:
    """An invoice with its lines and what has paid it. Raises Refused for one that is too long to print."""
    mine = (InvoiceLine.operator_id == invoice.operator_id, InvoiceLine.invoice_id == invoice.id)
    lines = session.scalars(select(InvoiceLine).where(*mine).order_by(InvoiceLine.line).limit(LINES_MAXIMUM + 1)).all()
    if len(lines) > LINES_MAXIMUM:
        raise Refused(f"Invoice {invoice.number} has more than {LINES_MAXIMUM} lines, which no document is made for.")
    operator = session.get_one(Operator, invoice.operator_id)
    subscriber = session.get_one(Subscriber, invoice.subscriber_id)
    written = {**party(operator, subscriber), **invoice.party}  # invoices of long ago have none of their own
    local = zone(operator.time_zone)
    return InvoicePaper(
        number=invoice.number,
        currency=invoice.currency,
        issued_on=invoice.issued_on,
        due_on=invoice.due_on,
        seller=_seller(written["seller"]),
        buyer=_buyer(written["buyer"]),
        lines=tuple(_line(line) for line in lines) or _one_line(invoice),
        amount_minor=invoice.amount_minor,
        tax_minor=invoice.tax_minor,
        open_minor=invoice.open_minor,
        settlements=_settlements(session, operator, invoice),
        voided_on=invoice.voided_at.astimezone(local).date() if invoice.voided_at is not None else None,
    )


def receipt_paper(session: Session, payment: Payment) -> ReceiptPaper:
    """A payment of money with the invoices that it paid. Raises Refused for credits and claims given up."""
    if payment.kind != "money":
        said = payment.kind.replace("_", "-")
        raise Refused(f"Payment {payment.id} is a {said}; only money that came in has a receipt.")
    operator = session.get_one(Operator, payment.operator_id)
    written = party(operator, session.get_one(Subscriber, payment.subscriber_id))
    paid = session.execute(
        select(Invoice.number, func.sum(Allocation.amount_minor))
        .join(Invoice, Invoice.id == Allocation.invoice_id)
        .where(Allocation.payment_id == payment.id)
        .group_by(Invoice.id, Invoice.number)
        .having(func.sum(Allocation.amount_minor) > 0)
        .order_by(func.min(Allocation.id))
        .limit(LINES_MAXIMUM)
    )
    return ReceiptPaper(
        number=payment.receipt_number or str(payment.id),
        currency=payment.currency,
        received_on=payment.received_at.astimezone(zone(operator.time_zone)).date(),
        method=payment.method,
        seller=_seller(written["seller"]),
        buyer=_buyer(written["buyer"]),
        amount_minor=payment.amount_minor,
        paid=tuple(Paid(number, int(amount)) for number, amount in paid),
        unspent_minor=payment.unspent_minor,
        reversed_minor=payment.reversed_minor,
    )


def languages_of(session: Session, operator_id: int, language: str) -> tuple[str, ...]:
    """The languages in which somebody reads, the best first."""
    return language, session.get_one(Operator, operator_id).language


def _settlements(session: Session, operator: Operator, invoice: Invoice) -> tuple[Settlement, ...]:
    rows = session.execute(
        select(Payment, func.sum(Allocation.amount_minor))
        .join(Payment, Payment.id == Allocation.payment_id)
        .where(Allocation.invoice_id == invoice.id)
        .group_by(Payment.id)
        .having(func.sum(Allocation.amount_minor) > 0)
        .order_by(Payment.received_at, Payment.id)
        .limit(LINES_MAXIMUM)
    )
    local = zone(operator.time_zone)
    return tuple(
        Settlement(
            payment.received_at.astimezone(local).date(),
            payment.kind,
            payment.method,
            payment.receipt_number or str(payment.id),
            int(amount),
        )
        for payment, amount in rows
    )


def _line(line: InvoiceLine) -> Line:
    return Line(
        line.description, line.net_minor, line.tax_minor, line.tax_basis_points, line.period_start, line.period_end
    )


def _one_line(invoice: Invoice) -> tuple[Line, ...]:
    """Invoices from before there were lines."""
    return (Line(invoice.description, invoice.amount_minor - invoice.tax_minor, invoice.tax_minor),)


def _seller(written: dict[str, Any]) -> Seller:
    return Seller(**{name: str(written.get(name, "")) for name in Seller.__slots__})


def _buyer(written: dict[str, Any]) -> Buyer:
    return Buyer(**{name: str(written.get(name, "")) for name in Buyer.__slots__})
