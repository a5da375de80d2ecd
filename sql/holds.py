"""Holds: promises not to suspend a service, who made them, why, and how they ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.standing import HoldKind
from sql import audit
from sql.checks import checked_moment, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Hold, Invoice, Service
from sql.money.invoices import NOTE_MAXIMUM_BYTES, check_amount
from sql.sessions import database_time

ENDLESS = (HoldKind.REMINDERS_ONLY, HoldKind.VIP)


def add_hold(
    session: Session,
    service: Service,
    *,
    until: datetime | None,
    reason: str,
    actor: str,
    kind: HoldKind = HoldKind.GRACE,
    amount_minor: int | None = None,
    invoice: Invoice | None = None,
) -> Hold:
    """Do not suspend the service before `until`; None, for good, is for `reminders_only` and `vip` alone.

    A promise may say how much is paid by then. A dispute is about one unpaid invoice. Raises Refused.
    """
    if until is None and kind not in ENDLESS:
        raise Refused(f"A {kind} must have an end; only {' and '.join(ENDLESS)} may be for good.")
    if until is not None and checked_moment("end of the hold", until) <= database_time(session):
        raise Refused("A hold must end in the future.")
    if not checked_text("reason", reason, NOTE_MAXIMUM_BYTES).strip():
        raise Refused("The reason must not be empty.")
    if amount_minor is not None:
        if kind != HoldKind.PROMISE:
            raise Refused("Only a promise is about an amount.")
        check_amount(amount_minor)
    _check_dispute(service, kind, invoice)
    hold = Hold(
        operator_id=service.operator_id,
        service_id=service.id,
        until=until,
        reason=reason,
        granted_by=actor,
        kind=kind.value,
        amount_minor=amount_minor,
        invoice_id=invoice.id if invoice is not None else None,
    )
    session.add(hold)
    session.flush()
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:hold:grant",
        service_id=service.id,
        until=until.isoformat() if until is not None else "",
        reason=reason,
        kind=kind.value,
    )
    defer_review(session, service.operator_id)
    return hold


def end_hold(session: Session, operator_id: int, hold_id: int, *, actor: str) -> Hold:
    """End a hold now. Raises NotFound."""
    hold = session.scalar(select(Hold).where(Hold.operator_id == operator_id, Hold.id == hold_id))
    if hold is None:
        raise NotFound(f"There is no hold {hold_id}; `ispagents hold list` shows those there are.")
    if hold.ended_at is None:
        hold.ended_at = func.now()
        session.flush()
        audit.record(session, operator_id, actor, "service:hold:end", service_id=hold.service_id, hold=hold.id)
        defer_review(session, operator_id)
    return hold


def _check_dispute(service: Service, kind: HoldKind, invoice: Invoice | None) -> None:
    if (invoice is not None) != (kind == HoldKind.DISPUTE):
        raise Refused("A dispute is about one invoice, and nothing else is; name it by its number.")
    if invoice is None:
        return
    if invoice.subscriber_id != service.subscriber_id:
        raise Refused(f"Invoice {invoice.number} is another customer's.")
    if invoice.open_minor == 0:
        raise Refused(f"Nothing is left to pay of invoice {invoice.number}, so there is nothing to dispute.")
