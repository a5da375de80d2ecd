"""An invoice as people read it: its lines, and what paid it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sql.models import Allocation, Invoice, InvoiceLine, Payment

LINES_MOST = 1000


class PaidBy(NamedTuple):
    """What one payment, credit or claim given up pays of an invoice now."""

    payment_id: int
    kind: str
    method: str
    amount_minor: int
    received_at: datetime


def lines(session: Session, invoice: Invoice) -> Sequence[InvoiceLine]:
    """What an invoice is made of, in order."""
    return session.scalars(
        select(InvoiceLine).where(InvoiceLine.invoice_id == invoice.id).order_by(InvoiceLine.line).limit(LINES_MOST)
    ).all()


def paid_by(session: Session, invoice: Invoice) -> list[PaidBy]:
    """What pays an invoice, the first paid first; what was taken back again is left out."""
    amount = func.sum(Allocation.amount_minor)
    rows = session.execute(
        select(Payment.id, Payment.kind, Payment.method, amount, Payment.received_at)
        .join(Payment, Payment.id == Allocation.payment_id)
        .where(Allocation.invoice_id == invoice.id)
        .group_by(Payment.id)
        .having(amount > 0)
        .order_by(func.min(Allocation.id))
        .limit(LINES_MOST)
    )
    return [PaidBy(key, kind, method, int(minor), at) for key, kind, method, minor, at in rows]
