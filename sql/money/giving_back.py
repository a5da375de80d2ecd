"""Days that were invoiced and are not used: what they are worth, and the credit that gives them back line by line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from policy.money.pricing import Line
from policy.money.proration import unused
from sql.jobs import defer_review
from sql.models import CreditLine, Operator, Payment, Service
from sql.money.invoices import LineDraft, line_rows
from sql.money.ledger import Entry, Posting, local_day, post
from sql.money.places import line_drafts
from sql.money.settling import allocate, lock_subscribers

# What was invoiced of a service for days that are still to come, and what was given back of them before.
_LINES = text("""
SELECT line.kind, line.description, line.net_minor, line.tax_basis_points, line.tax_minor, line.plan_id,
       line.period_start, line.period_end
FROM invoice_lines AS line JOIN invoices AS invoice ON invoice.id = line.invoice_id
WHERE line.operator_id = :operator AND line.service_id = :service AND line.period_end > :today
  AND line.kind IN ('period', 'discount', 'proration') AND invoice.voided_at IS NULL
UNION ALL
SELECT line.kind, line.description, line.net_minor, line.tax_basis_points, line.tax_minor, line.plan_id,
       line.period_start, line.period_end
FROM credit_lines AS line JOIN payments AS payment ON payment.id = line.payment_id
WHERE line.operator_id = :operator AND line.service_id = :service AND line.period_end > :today
  AND payment.reversed_minor = 0
""")


def invoiced_ahead(session: Session, operator_id: int, service_id: int, today: date) -> list[Line]:
    """The lines of a service that reach beyond today, and those that gave back of them."""
    known = {"operator": operator_id, "service": service_id, "today": today}
    return [Line(*row) for row in session.execute(_LINES, known)]


def give_back_unused(session: Session, service: Service, *, actor: str) -> int:
    """Give back what was invoiced of a service for today and later, as for one that is closed. Returns the amount.

    Whatever was given back before counts, so doing it twice gives once. Prepaid time has no price in days.
    """
    operator = session.get_one(Operator, service.operator_id)
    lock_subscribers(session, [service.subscriber_id])
    today = local_day(session, operator)
    back = unused(invoiced_ahead(session, operator.id, service.id, today), today)
    amount = -sum(line.net_minor + line.tax_minor for line in back)
    if amount > 0:
        lines = line_drafts(service.id, back)
        give_back(session, operator, service.subscriber_id, lines, f"unused days of {service.username}", actor=actor)
        defer_review(session, operator.id)
    return amount


def give_back(
    session: Session, operator: Operator, subscriber_id: int, lines: Sequence[LineDraft], note: str, *, actor: str
) -> None:
    """A credit made of lines: revenue and tax go back as they were booked, and the customer has so much more.

    The sum of the lines is below zero; the subscriber is locked by the caller.
    """
    amount = -sum(line.net_minor + line.tax_minor for line in lines)
    payment = Payment(
        operator_id=operator.id,
        subscriber_id=subscriber_id,
        kind="credit",
        amount_minor=amount,
        currency=operator.currency,
        method="credit",
        note=note[:200],
        booked_by=actor,
    )
    session.add(payment)
    session.flush()
    session.execute(insert(CreditLine), line_rows({"operator_id": operator.id, "payment_id": payment.id}, lines))
    postings = [
        Posting("discount" if line.kind == "discount" else "revenue", -line.net_minor, plan_id=line.plan_id)
        for line in lines
        if line.net_minor
    ]
    tax = -sum(line.tax_minor for line in lines)
    entry = Entry(
        "credit",
        subscriber_id,
        [*postings, *([Posting("tax", tax)] if tax else []), Posting("credit", -amount)],
        payment_id=payment.id,
    )
    post(session, operator, local_day(session, operator), [entry], actor=actor)
    allocate(session, operator, [subscriber_id], actor=actor)
