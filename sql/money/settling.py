"""Allocations: money and invoices of the same subscribers meet, many subscribers in a fixed number of statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from policy.money.settling import Part, Settled, Unpaid, Unspent, release, settle
from sql.among import among
from sql.models import Allocation, Invoice, Operator, Payment, Subscriber
from sql.money.ledger import Entry, Posting, local_day, post


class OpenAmount(NamedTuple):
    """An invoice with what is left to pay of it."""

    invoice: Invoice
    open_minor: int


def lock_subscribers(session: Session, subscriber_ids: Sequence[int]) -> None:
    """One at a time for each subscriber's money, in the order of their ids.

    Weaker than FOR UPDATE, which two payments at once, each holding the key share of its foreign key, would wait for
    forever.
    """
    session.execute(
        select(Subscriber.id)
        .where(Subscriber.id.in_(subscriber_ids))
        .order_by(Subscriber.id)
        .with_for_update(key_share=True)
    )


def open_invoices(session: Session, operator_id: int, subscriber_ids: Sequence[int]) -> dict[int, list[OpenAmount]]:
    """The unpaid invoices of these subscribers, oldest due first."""
    rows = session.scalars(
        select(Invoice)
        .where(
            Invoice.operator_id == operator_id,
            among(Invoice.subscriber_id, subscriber_ids),
            Invoice.open_minor > 0,
        )
        .order_by(Invoice.due_at, Invoice.id)
        .execution_options(populate_existing=True)
    )
    result: dict[int, list[OpenAmount]] = {}
    for invoice in rows:
        result.setdefault(invoice.subscriber_id, []).append(OpenAmount(invoice, invoice.open_minor))
    return result


def credit_minor(session: Session, subscriber: Subscriber) -> int:
    """What a subscriber has paid that no invoice has used yet."""
    unspent = select(func.coalesce(func.sum(Payment.unspent_minor), 0)).where(
        Payment.operator_id == subscriber.operator_id,
        Payment.subscriber_id == subscriber.id,
        Payment.unspent_minor > 0,
    )
    return int(session.scalar(unspent) or 0)


def allocate(session: Session, operator: Operator, subscriber_ids: Sequence[int], *, actor: str) -> None:
    """Let what is left of money pay what is left of invoices. The subscribers are locked by the caller."""
    unspent: dict[int, list[Unspent]] = {}
    for payment_id, subscriber_id, unspent_minor, invoice_id in session.execute(
        select(Payment.id, Payment.subscriber_id, Payment.unspent_minor, Payment.invoice_id)
        .where(
            Payment.operator_id == operator.id,
            Payment.subscriber_id.in_(subscriber_ids),
            Payment.unspent_minor > 0,
        )
        .order_by(Payment.received_at, Payment.id)
    ):
        unspent.setdefault(subscriber_id, []).append(Unspent(payment_id, unspent_minor, invoice_id))
    if not unspent:
        return
    unpaid = open_invoices(session, operator.id, list(unspent))
    settled = [
        (subscriber_id, one)
        for subscriber_id, money in unspent.items()
        for one in settle(money, [Unpaid(row.invoice.id, row.open_minor) for row in unpaid.get(subscriber_id, ())])
    ]
    _store(session, operator, settled, "allocation", actor=actor)


def take_back(session: Session, operator: Operator, payment: Payment, amount_minor: int, *, actor: str) -> None:
    """Free so much of a payment from the invoices that it paid, the last paid first. The subscriber is locked."""
    paid = session.execute(
        select(Allocation.invoice_id, func.sum(Allocation.amount_minor))
        .where(Allocation.payment_id == payment.id)
        .group_by(Allocation.invoice_id)
        .having(func.sum(Allocation.amount_minor) > 0)
        .order_by(func.max(Allocation.id))
    )
    parts = release([Part(invoice_id, int(amount)) for invoice_id, amount in paid], amount_minor)
    freed = [(payment.subscriber_id, Settled(payment.id, part.invoice_id, -part.amount_minor)) for part in parts]
    _store(session, operator, freed, "release", actor=actor)


def free_invoice(session: Session, operator: Operator, invoice: Invoice, *, actor: str) -> None:
    """Take back all that was paid on an invoice. The subscriber is locked."""
    paid = session.execute(
        select(Allocation.payment_id, func.sum(Allocation.amount_minor))
        .where(Allocation.invoice_id == invoice.id)
        .group_by(Allocation.payment_id)
        .having(func.sum(Allocation.amount_minor) > 0)
    )
    freed = [
        (invoice.subscriber_id, Settled(payment_id, invoice.id, -int(amount))) for payment_id, amount in paid.all()
    ]
    _store(session, operator, freed, "release", actor=actor)


def _store(
    session: Session, operator: Operator, settled: Sequence[tuple[int, Settled]], kind: str, *, actor: str
) -> None:
    if not settled:
        return
    rows = [
        {
            "operator_id": operator.id,
            "subscriber_id": subscriber_id,
            "payment_id": one.payment_id,
            "invoice_id": one.invoice_id,
            "amount_minor": one.amount_minor,
        }
        for subscriber_id, one in settled
    ]
    session.execute(insert(Allocation).values(rows))
    entries = [
        Entry(
            kind,
            subscriber_id,
            (Posting("credit", one.amount_minor), Posting("receivable", -one.amount_minor)),
            invoice_id=one.invoice_id,
            payment_id=one.payment_id,
        )
        for subscriber_id, one in settled
    ]
    post(session, operator, local_day(session, operator), entries, actor=actor)
    _forget(session, {one.invoice_id for _, one in settled}, {one.payment_id for _, one in settled})


def _forget(session: Session, invoice_ids: set[int], payment_ids: set[int]) -> None:
    """What the session holds of these rows is old: the database has moved their sums."""
    for known in session.identity_map.values():
        if isinstance(known, Invoice) and known.id in invoice_ids:
            session.expire(known, ["open_minor"])
        elif isinstance(known, Payment) and known.id in payment_ids:
            session.expire(known, ["unspent_minor", "reversed_minor"])
