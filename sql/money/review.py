"""Incoming payments that wait for a person: read, given to a customer, or dropped, by whom and why."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.money.incoming import IncomingKind
from sql import audit
from sql.checks import checked_text
from sql.errors import NotFound, Refused
from sql.models import IncomingPayment, Operator, Payment, Subscriber
from sql.money.intake import Intake, reverse_as_told
from sql.money.invoices import NOTE_MAXIMUM_BYTES
from sql.money.settling import lock_subscribers
from sql.sessions import database_time

ROWS = 100


class Reviewed(NamedTuple):
    """Something that was told, and the customer number of whom it was given to."""

    row: IncomingPayment
    reference: str | None


def waiting(session: Session, operator_id: int, *, after: int = 0, limit: int = ROWS) -> list[IncomingPayment]:
    """What waits for a person, the oldest first."""
    rows = session.scalars(
        select(IncomingPayment)
        .where(
            IncomingPayment.operator_id == operator_id, IncomingPayment.state == "review", IncomingPayment.id > after
        )
        .order_by(IncomingPayment.id)
        .limit(limit)
    )
    return list(rows)


def incoming_by_id(session: Session, operator_id: int, incoming_id: int) -> Reviewed:
    """Something that was told, whatever became of it. Raises NotFound."""
    found = session.execute(
        select(IncomingPayment, Subscriber.reference)
        .outerjoin(Subscriber, Subscriber.id == IncomingPayment.subscriber_id)
        .where(IncomingPayment.operator_id == operator_id, IncomingPayment.id == incoming_id)
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no incoming payment {incoming_id}; `ispagents payment review list` shows what waits.")
    return Reviewed(*found)


def assign(
    session: Session, operator_id: int, incoming_id: int, subscriber: Subscriber, *, actor: str
) -> IncomingPayment:
    """Give a payment to a customer: it is booked, and restores. Raises NotFound, or Refused where that cannot be."""
    row = _open(session, operator_id, incoming_id)
    operator = session.get_one(Operator, operator_id)
    if row.kind != IncomingKind.PAYMENT:
        raise Refused(f"This is a {row.kind}: name the payment that it is about with --payment instead of a customer.")
    if row.currency != operator.currency:
        raise Refused(f"It is in {row.currency}; book what it came to with `payment add`, then drop this one.")
    if session.scalar(
        select(Payment.id).where(Payment.operator_id == operator_id, Payment.external_id == row.external_id).limit(1)
    ):
        raise Refused("A payment with this id was booked by hand already; drop this one if it is the same.")
    Intake(session, operator, row.source, actor).book([row], {row.id: subscriber.id})
    _decided(session, row, actor, "assign", subscriber=subscriber.reference, payment=row.payment_id)
    return row


def assign_reversal(
    session: Session, operator_id: int, incoming_id: int, payment: Payment, *, actor: str
) -> IncomingPayment:
    """Book a refund or chargeback that waits against a payment. Raises NotFound, or Refused where that cannot be."""
    row = _open(session, operator_id, incoming_id)
    if row.kind == IncomingKind.PAYMENT:
        raise Refused("This is a payment: name the customer whose it is.")
    if row.currency != payment.currency:
        raise Refused(f"It is in {row.currency}, and the payment was in {payment.currency}.")
    lock_subscribers(session, [payment.subscriber_id])
    reverse_as_told(session, row, payment, actor=actor)
    if row.state != "booked":
        raise Refused(row.explanation)
    _decided(session, row, actor, "assign", payment=payment.id)
    return row


def drop(session: Session, operator_id: int, incoming_id: int, *, reason: str, actor: str) -> IncomingPayment:
    """What waits is no customer's: it is never booked, nor when it is told again. Raises NotFound or Refused."""
    if not checked_text("reason", reason, NOTE_MAXIMUM_BYTES).strip():
        raise Refused("Say why; the reason must not be empty.")
    row = _open(session, operator_id, incoming_id)
    row.state, row.explanation = "dropped", f"Dropped: {reason}"
    _decided(session, row, actor, "drop", reason=reason)
    return row


def _open(session: Session, operator_id: int, incoming_id: int) -> IncomingPayment:
    row = incoming_by_id(session, operator_id, incoming_id).row
    # In the order of those who take in, or both would wait for one another.
    Intake(session, session.get_one(Operator, operator_id), row.source, "").serialise([row])
    # Two people at once: the second waits here and then hears what the first decided.
    session.refresh(row, with_for_update={"key_share": True})
    if row.state != "review":
        raise Refused(f"Incoming payment {incoming_id} is {row.state} already; nothing is left to decide.")
    return row


def _decided(session: Session, row: IncomingPayment, actor: str, verb: str, **said: Any) -> None:
    row.decided_by, row.decided_at = actor, database_time(session)
    session.flush()
    audit.record(
        session,
        row.operator_id,
        actor,
        f"payment:review:{verb}",
        subscriber_id=row.subscriber_id,
        incoming=row.id,
        **said,
    )
