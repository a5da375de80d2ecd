"""What settles invoices: payments, credits and claims given up, and what takes them back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sql import audit, notices
from sql.checks import checked_moment, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import CreditLine, Invoice, LedgerEntry, Operator, Payment, PaymentReversal, Subscriber
from sql.money.invoices import NOTE_MAXIMUM_BYTES, check_amount
from sql.money.ledger import Entry, Posting, local_day, post, reversal_of
from sql.money.renewing import renew_ended
from sql.money.settling import allocate, lock_subscribers, take_back
from sql.sessions import database_time

METHOD_MAXIMUM_BYTES = 64
EXTERNAL_ID_MAXIMUM_BYTES = 253
# Two deliveries of one payment at the same moment queue here by their id.
_EXTERNAL_ID_LOCK = 762394


class Received(NamedTuple):
    """A payment of another system that is booked for a customer."""

    subscriber_id: int
    amount_minor: int
    method: str
    external_id: str
    received_at: datetime
    note: str = ""


ReversalKind = Literal["refund", "chargeback", "correction"]


def receive_payment(
    session: Session,
    subscriber: Subscriber,
    *,
    amount_minor: int,
    method: str,
    actor: str,
    external_id: str | None = None,
    receipt_number: str | None = None,
    received_at: datetime | None = None,
    note: str = "",
) -> tuple[Payment, bool]:
    """Book a payment; the same `external_id` counts once. Returns the payment, and whether it was new.

    Raises Refused when that id was booked for something else, or when the moment lies in the future.
    """
    check_amount(amount_minor)
    _check_texts(method, external_id, receipt_number, note)
    operator = session.get_one(Operator, subscriber.operator_id)
    if received_at is not None:
        _check_past(session, received_at)
    if external_id is not None:
        known = _booked(session, operator.id, external_id)
        if known is not None:
            if (known.subscriber_id, known.amount_minor) != (subscriber.id, amount_minor):
                raise Refused(
                    f"The payment {external_id!r} is booked already, for another customer or amount; look at it first."
                )
            return known, False
    payment = _book(
        session,
        operator,
        subscriber,
        Payment(
            kind="money",
            amount_minor=amount_minor,
            method=method,
            external_id=external_id,
            receipt_number=receipt_number,
            note=note,
            received_at=received_at,
        ),
        Posting("cash", amount_minor, method),
        actor=actor,
    )
    return payment, True


def give_credit(
    session: Session,
    subscriber: Subscriber,
    *,
    amount_minor: int,
    reason: str,
    actor: str,
    external_id: str | None = None,
) -> Payment:
    """Owe a customer something: it pays open invoices, or the next one. Raises Refused."""
    check_amount(amount_minor)
    _check_texts("credit", external_id, None, _checked_reason(reason))
    operator = session.get_one(Operator, subscriber.operator_id)
    credit = Payment(kind="credit", amount_minor=amount_minor, method="credit", external_id=external_id, note=reason)
    return _book(session, operator, subscriber, credit, Posting("discount", amount_minor), actor=actor)


class Given(NamedTuple):
    """A credit to be given. The caller sees to it that `external_id` is new."""

    subscriber_id: int
    amount_minor: int
    external_id: str
    reason: str


def give_credits(session: Session, operator: Operator, given: Sequence[Given], *, actor: str) -> list[Payment]:
    """Give many credits in a fixed number of statements; each was looked at by its caller."""
    new = [
        Payment(
            kind="credit",
            subscriber_id=one.subscriber_id,
            amount_minor=one.amount_minor,
            method="credit",
            external_id=one.external_id,
            note=one.reason,
        )
        for one in given
    ]
    return _book_all(session, operator, [(one, Posting("discount", one.amount_minor)) for one in new], actor)


def write_off(session: Session, invoice: Invoice, *, reason: str, actor: str) -> Payment:
    """Give up what is left of an invoice. Raises Refused when nothing is."""
    operator = session.get_one(Operator, invoice.operator_id)
    subscriber = session.get_one(Subscriber, invoice.subscriber_id)
    lock_subscribers(session, [subscriber.id])
    session.refresh(invoice)
    if invoice.open_minor == 0:
        raise Refused(f"Nothing is left to pay of invoice {invoice.number}.")
    loss = Payment(
        kind="write_off",
        amount_minor=invoice.open_minor,
        method="write-off",
        note=_checked_reason(reason),
        invoice_id=invoice.id,
    )
    return _book(session, operator, subscriber, loss, Posting("write_off", invoice.open_minor), actor=actor)


def reverse_payment(
    session: Session,
    payment: Payment,
    *,
    kind: ReversalKind,
    reason: str,
    actor: str,
    amount_minor: int | None = None,
    external_id: str | None = None,
) -> tuple[PaymentReversal, bool]:
    """Money that goes back: what it paid is open again, the last paid first. The same `external_id` counts once.

    `amount_minor` None means all that is left of it. Returns the reversal, and whether it was new. Raises Refused when
    the payment does not hold so much any more, and for a refund or chargeback of what was never money.
    """
    _check_texts("reversal", external_id, None, _checked_reason(reason))
    if kind != "correction" and payment.kind != "money":
        said = payment.kind.replace("_", "-")
        raise Refused(f"Payment {payment.id} is a {said}, not money; `ispagents payment correct` takes it back.")
    operator = session.get_one(Operator, payment.operator_id)
    lock_subscribers(session, [payment.subscriber_id])
    session.refresh(payment)
    if external_id is not None:
        known = session.scalar(
            select(PaymentReversal).where(
                PaymentReversal.operator_id == operator.id, PaymentReversal.external_id == external_id
            )
        )
        if known is not None:
            if (known.payment_id, known.amount_minor) != (payment.id, amount_minor or known.amount_minor):
                raise Refused(f"The reversal {external_id!r} is booked already, for another payment or amount.")
            return known, False
    left = payment.amount_minor - payment.reversed_minor
    amount = left if amount_minor is None else amount_minor
    if not 1 <= amount <= left:
        raise Refused(
            "Nothing is left of this payment that could go back."
            if left == 0
            else "More than is left of this payment cannot go back, and nothing at all needs no booking."
        )
    postings = _taken_back(session, payment, amount)
    if amount > payment.unspent_minor:
        take_back(session, operator, payment, amount - payment.unspent_minor, actor=actor)
    reversal = PaymentReversal(
        operator_id=operator.id,
        subscriber_id=payment.subscriber_id,
        payment_id=payment.id,
        kind=kind,
        amount_minor=amount,
        external_id=external_id,
        reason=reason,
        booked_by=actor,
    )
    session.add(reversal)
    session.flush()
    session.expire(payment, ["unspent_minor", "reversed_minor"])
    entry = Entry(kind, payment.subscriber_id, postings, payment_id=payment.id, reversal_id=reversal.id)
    post(session, operator, local_day(session, operator), [entry], actor=actor)
    audit.record(
        session,
        operator.id,
        actor,
        f"payment:money:{kind}",
        subscriber_id=payment.subscriber_id,
        payment=payment.id,
        amount_minor=amount,
        reason=reason,
    )
    allocate(session, operator, [payment.subscriber_id], actor=actor)
    defer_review(session, operator.id)
    return reversal, True


_SOURCE = {"money": "cash", "credit": "discount", "write_off": "write_off"}
_ENTRY_KIND = {"money": "payment", "credit": "credit", "write_off": "write_off"}
_EVENT = {"money": "payment:money:receive", "credit": "payment:credit:give", "write_off": "invoice:debt:write_off"}


def payment_by_id(session: Session, operator_id: int, payment_id: int) -> Payment:
    """The payment of this number. Raises NotFound."""
    found = session.scalar(select(Payment).where(Payment.operator_id == operator_id, Payment.id == payment_id))
    if found is None:
        raise NotFound(f"There is no payment {payment_id}; `ispagents payment list` shows those there are.")
    return found


def receive_payments(
    session: Session, operator: Operator, received: Sequence[Received], *, actor: str
) -> list[Payment]:
    """Book many payments in a fixed number of statements; each of them was looked at, and is new, by its caller."""
    new = [
        Payment(
            kind="money",
            subscriber_id=one.subscriber_id,
            amount_minor=one.amount_minor,
            method=one.method,
            external_id=one.external_id,
            note=one.note,
            received_at=one.received_at,
        )
        for one in received
    ]
    return _book_all(session, operator, [(one, Posting("cash", one.amount_minor, one.method)) for one in new], actor)


def _book(
    session: Session, operator: Operator, subscriber: Subscriber, payment: Payment, source: Posting, *, actor: str
) -> Payment:
    payment.subscriber_id = subscriber.id
    return _book_all(session, operator, [(payment, source)], actor)[0]


def _book_all(
    session: Session, operator: Operator, booked: Sequence[tuple[Payment, Posting]], actor: str
) -> list[Payment]:
    if not booked:
        return []
    subscriber_ids = sorted({payment.subscriber_id for payment, _ in booked})
    lock_subscribers(session, subscriber_ids)
    for payment, _ in booked:
        payment.operator_id, payment.currency, payment.booked_by = operator.id, operator.currency, actor
        session.add(payment)
    session.flush()
    entries = [
        Entry(
            _ENTRY_KIND[payment.kind],
            payment.subscriber_id,
            (source, Posting("credit", -payment.amount_minor)),
            payment_id=payment.id,
        )
        for payment, source in booked
    ]
    post(session, operator, local_day(session, operator), entries, actor=actor)
    for payment, _ in booked:
        audit.record(
            session,
            operator.id,
            actor,
            _EVENT[payment.kind],
            subscriber_id=payment.subscriber_id,
            payment=payment.id,
            amount_minor=payment.amount_minor,
        )
    allocate(session, operator, subscriber_ids, actor=actor)
    renew_ended(session, operator, subscriber_ids, actor=actor)
    money = [payment for payment, _ in booked if payment.kind == "money"]
    notices.put(session, operator.id, [notices.of_payment(payment.id, payment.subscriber_id) for payment in money])
    defer_review(session, operator.id)
    return [payment for payment, _ in booked]


def _taken_back(session: Session, payment: Payment, amount_minor: int) -> Sequence[Posting]:
    """How so much of a booking is taken back: by the accounts by which it was booked.

    A credit made of lines gives revenue and tax back line by line, so it is taken back whole. Raises Refused.
    """
    made_of_lines = select(CreditLine.line).where(CreditLine.payment_id == payment.id).limit(1)
    if payment.kind != "credit" or session.scalar(made_of_lines) is None:
        method = payment.method if payment.kind == "money" else ""
        return (Posting("credit", amount_minor), Posting(_SOURCE[payment.kind], -amount_minor, method))
    if amount_minor != payment.amount_minor:
        raise Refused(f"Payment {payment.id} gives back unused days; take it back as a whole, without an amount.")
    given = select(LedgerEntry.id).where(LedgerEntry.operator_id == payment.operator_id, LedgerEntry.kind == "credit")
    of_subscriber = given.where(LedgerEntry.subscriber_id == payment.subscriber_id)
    return reversal_of(session, session.scalars(of_subscriber.where(LedgerEntry.payment_id == payment.id)).one())


def _booked(session: Session, operator_id: int, external_id: str) -> Payment | None:
    """The payment of this id. Two deliveries at the same moment: the second waits here and then finds the first."""
    session.execute(select(func.pg_advisory_xact_lock(_EXTERNAL_ID_LOCK, func.hashtext(external_id))))
    return session.scalar(select(Payment).where(Payment.operator_id == operator_id, Payment.external_id == external_id))


def _check_past(session: Session, received_at: datetime) -> None:
    checked_moment("day of the payment", received_at)
    if received_at > database_time(session):
        raise Refused("A payment cannot be received in the future; write the day on which it came.")


def _check_texts(method: str, external_id: str | None, receipt_number: str | None, note: str) -> None:
    checked_text("note", note, NOTE_MAXIMUM_BYTES)
    if not checked_text("payment method", method, METHOD_MAXIMUM_BYTES).strip():
        raise Refused("The payment method must not be empty; write cash, bank or the like.")
    for what, value in (("external id", external_id), ("receipt number", receipt_number)):
        if value is not None and not checked_text(what, value, EXTERNAL_ID_MAXIMUM_BYTES).strip():
            raise Refused(f"The {what} must not be empty; leave it out where the payment has none.")


def _checked_reason(reason: str) -> str:
    if not checked_text("reason", reason, NOTE_MAXIMUM_BYTES).strip():
        raise Refused("Say why; the reason must not be empty.")
    return reason
