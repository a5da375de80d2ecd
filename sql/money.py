"""Invoices and payments, and which payment pays which invoice: the oldest due first, to the last minor unit."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sql import audit
from sql.checks import checked_moment, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Allocation, Invoice, Operator, Payment, Subscriber

AMOUNT_MAXIMUM_MINOR = 10**15
NOTE_MAXIMUM_BYTES = 1024
METHOD_MAXIMUM_BYTES = 64
EXTERNAL_ID_MAXIMUM_BYTES = 253


class OpenAmount(NamedTuple):
    """An invoice with what is left to pay of it."""

    invoice: Invoice
    open_minor: int


def issue_invoice(
    session: Session,
    subscriber: Subscriber,
    *,
    amount_minor: int,
    due_at: datetime,
    description: str,
    actor: str,
) -> Invoice:
    """A new invoice, numbered without gaps; money paid in advance pays it at once."""
    _check_amount(amount_minor)
    checked_moment("due date", due_at)
    checked_text("description", description, NOTE_MAXIMUM_BYTES)
    # The operator's row orders the numbers: two invoices at once wait for one another here.
    operator = session.get_one(Operator, subscriber.operator_id, with_for_update={"key_share": True})
    last = session.scalar(select(func.max(Invoice.number)).where(Invoice.operator_id == operator.id))
    invoice = Invoice(
        operator_id=operator.id,
        subscriber_id=subscriber.id,
        number=(last or 0) + 1,
        amount_minor=amount_minor,
        currency=operator.currency,
        description=description,
        due_at=due_at,
    )
    session.add(invoice)
    session.flush()
    audit.record(
        session,
        operator.id,
        actor,
        "invoice:document:issue",
        subscriber_id=subscriber.id,
        number=invoice.number,
        amount_minor=amount_minor,
    )
    _allocate(session, subscriber)
    defer_review(session, operator.id)
    return invoice


def receive_payment(
    session: Session,
    subscriber: Subscriber,
    *,
    amount_minor: int,
    method: str,
    actor: str,
    external_id: str | None = None,
    note: str = "",
) -> tuple[Payment, bool]:
    """Book a payment; the same `external_id` counts once. Returns the payment, and whether it was new.

    Raises Refused when that id was booked for something else.
    """
    _check_amount(amount_minor)
    checked_text("note", note, NOTE_MAXIMUM_BYTES)
    if not checked_text("payment method", method, METHOD_MAXIMUM_BYTES).strip():
        raise Refused("The payment method must not be empty; write cash, bank or the like.")
    if external_id is not None and not checked_text("external id", external_id, EXTERNAL_ID_MAXIMUM_BYTES).strip():
        raise Refused("The external id must not be empty; leave it out where the payment has none.")
    operator = session.get_one(Operator, subscriber.operator_id)
    if external_id is not None:
        # Two deliveries of one payment at the same moment: the second waits here and then finds the first.
        session.execute(select(func.pg_advisory_xact_lock(762394, func.hashtext(external_id))))
        known = session.scalar(
            select(Payment).where(Payment.operator_id == operator.id, Payment.external_id == external_id)
        )
        if known is not None:
            if (known.subscriber_id, known.amount_minor) != (subscriber.id, amount_minor):
                raise Refused(
                    f"The payment {external_id!r} is booked already, for another customer or amount; look at it first."
                )
            return known, False
    payment = Payment(
        operator_id=operator.id,
        subscriber_id=subscriber.id,
        amount_minor=amount_minor,
        currency=operator.currency,
        method=method,
        external_id=external_id,
        note=note,
    )
    session.add(payment)
    session.flush()
    audit.record(
        session,
        operator.id,
        actor,
        "payment:money:receive",
        subscriber_id=subscriber.id,
        payment=payment.id,
        amount_minor=amount_minor,
    )
    _allocate(session, subscriber)
    defer_review(session, operator.id)
    return payment, True


def void_invoice(session: Session, operator_id: int, number: int, *, actor: str) -> Invoice:
    """Take an invoice back. Raises Refused when something was paid on it."""
    invoice = invoice_by_number(session, operator_id, number)
    # A payment that arrives at this moment must not pay an invoice that is being taken back.
    _lock(session, invoice.subscriber_id)
    session.refresh(invoice)
    if session.scalar(select(func.count()).select_from(Allocation).where(Allocation.invoice_id == invoice.id)):
        raise Refused(f"Invoice {number} is paid in part or whole and cannot be taken back.")
    if invoice.voided_at is None:
        invoice.voided_at = func.now()
        session.flush()
        audit.record(
            session, operator_id, actor, "invoice:document:void", subscriber_id=invoice.subscriber_id, number=number
        )
        defer_review(session, operator_id)
    return invoice


def invoice_by_number(session: Session, operator_id: int, number: int) -> Invoice:
    """The invoice of this number. Raises NotFound."""
    invoice = session.scalar(select(Invoice).where(Invoice.operator_id == operator_id, Invoice.number == number))
    if invoice is None:
        raise NotFound(f"There is no invoice {number}; `ispagents invoice list` shows those there are.")
    return invoice


def open_invoices(session: Session, operator_id: int, subscriber_ids: list[int]) -> dict[int, list[OpenAmount]]:
    """The unpaid invoices of these subscribers, oldest due first."""
    paid = func.coalesce(func.sum(Allocation.amount_minor), 0)
    rows = session.execute(
        select(Invoice, Invoice.amount_minor - paid)
        .outerjoin(Allocation, Allocation.invoice_id == Invoice.id)
        .where(
            Invoice.operator_id == operator_id,
            Invoice.subscriber_id.in_(subscriber_ids),
            Invoice.voided_at.is_(None),
        )
        .group_by(Invoice.id)
        .having(Invoice.amount_minor > paid)
        .order_by(Invoice.due_at, Invoice.id)
    )
    result: dict[int, list[OpenAmount]] = {}
    for invoice, open_minor in rows:
        result.setdefault(invoice.subscriber_id, []).append(OpenAmount(invoice, int(open_minor)))
    return result


def paid_minor(session: Session, invoice: Invoice) -> int:
    """How much was paid on an invoice."""
    paid = select(func.coalesce(func.sum(Allocation.amount_minor), 0)).where(Allocation.invoice_id == invoice.id)
    return int(session.scalar(paid) or 0)


def credit_minor(session: Session, subscriber: Subscriber) -> int:
    """What a subscriber has paid that no invoice has used yet."""
    mine = (Payment.operator_id == subscriber.operator_id, Payment.subscriber_id == subscriber.id)
    received = session.scalar(select(func.coalesce(func.sum(Payment.amount_minor), 0)).where(*mine))
    used = session.scalar(
        select(func.coalesce(func.sum(Allocation.amount_minor), 0))
        .join(Payment, Payment.id == Allocation.payment_id)
        .where(*mine)
    )
    return int(received or 0) - int(used or 0)


def _allocate(session: Session, subscriber: Subscriber) -> None:
    """Let what is left of payments pay what is left of invoices, oldest first."""
    _lock(session, subscriber.id)
    spent = func.coalesce(func.sum(Allocation.amount_minor), 0)
    payments = session.execute(
        select(Payment, Payment.amount_minor - spent)
        .outerjoin(Allocation, Allocation.payment_id == Payment.id)
        .where(Payment.operator_id == subscriber.operator_id, Payment.subscriber_id == subscriber.id)
        .group_by(Payment.id)
        .having(Payment.amount_minor > spent)
        .order_by(Payment.received_at, Payment.id)
    ).all()
    unpaid = open_invoices(session, subscriber.operator_id, [subscriber.id]).get(subscriber.id, [])
    left = [(payment.id, int(rest)) for payment, rest in payments]
    for invoice, open_minor in unpaid:
        missing = open_minor
        while missing and left:
            payment_id, rest = left.pop(0)
            amount = min(missing, rest)
            session.add(
                Allocation(
                    operator_id=subscriber.operator_id,
                    subscriber_id=subscriber.id,
                    payment_id=payment_id,
                    invoice_id=invoice.id,
                    amount_minor=amount,
                )
            )
            missing -= amount
            if rest > amount:
                left.insert(0, (payment_id, rest - amount))
    session.flush()


def _lock(session: Session, subscriber_id: int) -> None:
    """One at a time for each subscriber.

    Weaker than FOR UPDATE, which two payments at once, each holding the key share of its foreign key, would wait for
    forever.
    """
    session.execute(select(Subscriber.id).where(Subscriber.id == subscriber_id).with_for_update(key_share=True))


def _check_amount(amount_minor: int) -> None:
    if not 1 <= amount_minor <= AMOUNT_MAXIMUM_MINOR:
        raise Refused("An amount is more than zero and at most ten trillion.")
