"""Invoices: issued with gapless numbers, and taken back by a reversal, many at once in a fixed number of statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from policy.money.amounts import AMOUNT_MAXIMUM_MINOR
from sql import audit, notices
from sql.checks import checked_moment, checked_text
from sql.errors import NotFound, Refused
from sql.jobs import defer_review
from sql.models import Invoice, InvoiceLine, InvoiceSeries, LedgerEntry, Operator, Payment, Subscriber
from sql.money.ledger import Entry, Posting, local_day, post, reversal_of
from sql.money.settling import allocate, free_invoice, lock_subscribers

NOTE_MAXIMUM_BYTES = 1024
_NUMBER = re.compile("([0-9]{4})-([0-9]{1,9})")


class LineDraft(NamedTuple):
    """One line to be invoiced. Amounts in minor units; `period_end` is the first day after the period."""

    kind: str
    description: str
    net_minor: int
    tax_basis_points: int = 0
    tax_minor: int = 0
    service_id: int | None = None
    plan_id: int | None = None
    period_start: date | None = None
    period_end: date | None = None


@dataclass(frozen=True, slots=True)
class InvoiceDraft:
    """An invoice to be issued; its amount is the sum of its lines, and more than zero."""

    subscriber: Subscriber
    due_at: datetime
    lines: Sequence[LineDraft]
    description: str = ""

    @property
    def tax_minor(self) -> int:
        """The tax of all lines."""
        return sum(line.tax_minor for line in self.lines)

    @property
    def amount_minor(self) -> int:
        """What is to be paid, tax included."""
        return sum(line.net_minor for line in self.lines) + self.tax_minor


def start_of_day(day: date, operator: Operator) -> datetime:
    """The moment at which a day of the operator begins."""
    return datetime.combine(day, time(), ZoneInfo(operator.time_zone))


def issue_invoice(
    session: Session,
    subscriber: Subscriber,
    *,
    amount_minor: int,
    due_at: datetime,
    description: str,
    actor: str,
) -> Invoice:
    """A new invoice of one line; money paid in advance pays it at once. Raises Refused."""
    check_amount(amount_minor)
    checked_moment("due date", due_at)
    checked_text("description", description, NOTE_MAXIMUM_BYTES)
    operator = session.get_one(Operator, subscriber.operator_id)
    line = LineDraft("plain", description, amount_minor)
    return issue(session, operator, [InvoiceDraft(subscriber, due_at, [line], description)], actor=actor)[0]


def issue(session: Session, operator: Operator, drafts: Sequence[InvoiceDraft], *, actor: str) -> list[Invoice]:
    """Issue invoices of different subscribers today, with numbers that follow one another, in a fixed number of
    statements. Money paid in advance pays them at once.
    """
    if not drafts:
        return []
    subscriber_ids = sorted({draft.subscriber.id for draft in drafts})
    lock_subscribers(session, subscriber_ids)
    today = local_day(session, operator)
    first = _numbers(session, operator, today.year, len(drafts))
    rows = [_row(operator, draft, today, first + place) for place, draft in enumerate(drafts)]
    invoices = list(session.scalars(insert(Invoice).returning(Invoice, sort_by_parameter_order=True), rows))
    lines = [
        row
        for invoice, draft in zip(invoices, drafts, strict=True)
        for row in line_rows({"operator_id": operator.id, "invoice_id": invoice.id}, draft.lines)
    ]
    # Without this, lines that leave out different columns would be a statement each.
    session.execute(insert(InvoiceLine), lines, execution_options={"render_nulls": True})
    entries = [_entry(invoice, draft.lines) for invoice, draft in zip(invoices, drafts, strict=True)]
    post(session, operator, today, entries, actor=actor)
    for invoice in invoices:
        audit.record(
            session,
            operator.id,
            actor,
            "invoice:document:issue",
            subscriber_id=invoice.subscriber_id,
            number=invoice.number,
            amount_minor=invoice.amount_minor,
        )
    allocate(session, operator, subscriber_ids, actor=actor)
    notices.put(session, operator.id, [notices.of_invoice(one.id, one.subscriber_id) for one in invoices])
    defer_review(session, operator.id)
    return invoices


def void_invoice(session: Session, operator_id: int, number: str, *, actor: str, reason: str = "") -> Invoice:
    """Take an invoice back by a reversal; what was paid on it becomes credit and pays what else is open.

    Raises NotFound, and Refused when it was written off.
    """
    checked_text("reason", reason, NOTE_MAXIMUM_BYTES)
    invoice = invoice_by_number(session, operator_id, number)
    operator = session.get_one(Operator, operator_id)
    # A payment that arrives at this moment must not pay an invoice that is being taken back.
    lock_subscribers(session, [invoice.subscriber_id])
    session.refresh(invoice)
    if invoice.voided_at is not None:
        return invoice
    if session.scalar(select(Payment.id).where(Payment.invoice_id == invoice.id, Payment.kind == "write_off").limit(1)):
        raise Refused(f"Invoice {number} was written off; nothing is asked for it any more.")
    free_invoice(session, operator, invoice, actor=actor)
    invoice.voided_at, invoice.void_reason = func.now(), reason
    session.flush()
    session.expire(invoice, ["open_minor"])
    entry_id = session.scalars(
        select(LedgerEntry.id).where(LedgerEntry.invoice_id == invoice.id, LedgerEntry.kind == "invoice")
    ).one()
    reversal = Entry(
        "void",
        invoice.subscriber_id,
        reversal_of(session, entry_id),
        invoice_id=invoice.id,
        reverses_entry_id=entry_id,
    )
    post(session, operator, local_day(session, operator), [reversal], actor=actor)
    audit.record(
        session,
        operator_id,
        actor,
        "invoice:document:void",
        subscriber_id=invoice.subscriber_id,
        number=invoice.number,
        reason=reason,
    )
    allocate(session, operator, [invoice.subscriber_id], actor=actor)
    defer_review(session, operator_id)
    return invoice


def invoice_by_number(session: Session, operator_id: int, number: str) -> Invoice:
    """The invoice of this number, such as 2026-17. Raises NotFound."""
    key = read_number(number)
    if key is not None:
        found = session.scalar(
            select(Invoice).where(
                Invoice.operator_id == operator_id, Invoice.year == key.year, Invoice.serial == key.serial
            )
        )
        if found is not None:
            return found
    raise NotFound(f"There is no invoice {number!r}; `ispagents invoice list` shows those there are, such as 2026-17.")


class InvoiceKey(NamedTuple):
    """What an invoice's number is made of."""

    year: int
    serial: int


def read_number(number: str) -> InvoiceKey | None:
    """The parts of a number such as 2026-17, or None where it is none."""
    found = _NUMBER.fullmatch(number)
    return InvoiceKey(int(found[1]), int(found[2])) if found else None


def check_amount(amount_minor: int) -> None:
    """Raises Refused for an amount that cannot be booked."""
    if not 1 <= amount_minor <= AMOUNT_MAXIMUM_MINOR:
        raise Refused("An amount is more than zero and at most ten trillion.")


def party(operator: Operator, subscriber: Subscriber) -> dict[str, Any]:
    """Who asks whom, as it is written on a document and stays written there."""
    return {
        "seller": {
            "name": operator.legal_name or operator.name,
            "address": operator.address,
            "tax_name": operator.tax_name,
            "tax_number": operator.tax_number,
            "payment_details": operator.payment_details,
        },
        "buyer": {
            "name": subscriber.name,
            "reference": subscriber.reference,
            "address": subscriber.address,
            "tax_number": subscriber.tax_number,
        },
    }


def line_rows(whole: dict[str, Any], lines: Sequence[LineDraft]) -> list[dict[str, Any]]:
    """The rows of these lines, numbered; `whole` are the columns that say what they are lines of."""
    return [{**whole, "line": number, **line._asdict()} for number, line in enumerate(lines, 1)]


def _numbers(session: Session, operator: Operator, year: int, count: int) -> int:
    """The first of so many numbers in a row. The series' row orders them: others wait here until the commit."""
    series = upsert(InvoiceSeries).values(operator_id=operator.id, year=year, last=count)
    last = session.scalars(
        series.on_conflict_do_update(
            index_elements=["operator_id", "year"], set_={"last": InvoiceSeries.last + series.excluded.last}
        ).returning(InvoiceSeries.last)
    ).one()
    return last - count + 1


def _row(operator: Operator, draft: InvoiceDraft, today: date, serial: int) -> dict[str, Any]:
    return {
        "operator_id": operator.id,
        "subscriber_id": draft.subscriber.id,
        "year": today.year,
        "serial": serial,
        "amount_minor": draft.amount_minor,
        "tax_minor": draft.tax_minor,
        "currency": operator.currency,
        "description": draft.description,
        "issued_on": today,
        "due_at": draft.due_at,
        "due_on": draft.due_at.astimezone(ZoneInfo(operator.time_zone)).date(),
        "language": draft.subscriber.language,
        "party": party(operator, draft.subscriber),
    }


def _entry(invoice: Invoice, lines: Sequence[LineDraft]) -> Entry:
    """Receivable against revenue by plan, discounts by plan, and tax."""
    sums: dict[tuple[str, int | None], int] = {}
    for line in lines:
        account = "discount" if line.kind == "discount" else "revenue"
        sums[account, line.plan_id] = sums.get((account, line.plan_id), 0) - line.net_minor
    sums["tax", None] = -invoice.tax_minor
    postings = [Posting("receivable", invoice.amount_minor)]
    postings += [Posting(account, amount, plan_id=plan_id) for (account, plan_id), amount in sums.items() if amount]
    return Entry("invoice", invoice.subscriber_id, postings, invoice_id=invoice.id)
