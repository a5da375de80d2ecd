"""The journal to read: a customer's entries, the balances of all accounts, and everything for an accountant."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from sql.models import Subscriber

PAGE = 1000

_ENTRY = """
SELECT entry.id, entry.booked_on, entry.kind, entry.booked_by, entry.created_at, entry.reverses_entry_id,
    entry.payment_id, invoice.number AS invoice, subscriber.reference, subscriber.name
FROM ledger_entries AS entry
JOIN subscribers AS subscriber ON subscriber.id = entry.subscriber_id
LEFT JOIN invoices AS invoice ON invoice.id = entry.invoice_id
WHERE entry.operator_id = :operator"""
_OF_SUBSCRIBER = text(
    _ENTRY + " AND entry.subscriber_id = :subscriber AND entry.id < :before ORDER BY entry.id DESC LIMIT :most"
)
_OF_DAYS = text(
    _ENTRY + " AND entry.booked_on <= :end AND (entry.booked_on, entry.id) > (:after_on, :after_id)"
    " ORDER BY entry.booked_on, entry.id LIMIT :most"
)
_POSTINGS = text("""
SELECT posting.entry_id, posting.line, posting.account, posting.method, posting.currency, posting.amount_minor,
    plan.name AS plan
FROM ledger_postings AS posting LEFT JOIN plans AS plan ON plan.id = posting.plan_id
WHERE posting.entry_id = ANY(CAST(:entries AS bigint[])) ORDER BY posting.entry_id, posting.line
""")
_BALANCES = text("""
SELECT account, method, currency, sum(amount_minor)::bigint AS balance_minor FROM ledger_postings
WHERE operator_id = :operator AND booked_on <= :until GROUP BY 1, 2, 3 HAVING sum(amount_minor) <> 0 ORDER BY 3, 1, 2
""")
LAST_ID = 2**63 - 1


class Booked(NamedTuple):
    """A line of the journal with its entry: debits are positive."""

    entry: int
    line: int
    booked_on: date
    kind: str
    account: str
    method: str
    amount_minor: int
    currency: str
    reference: str
    name: str
    invoice: str | None
    payment: int | None
    plan: str | None
    reverses: int | None
    booked_by: str
    created_at: datetime


def of_subscriber(
    session: Session, subscriber: Subscriber, *, before: int | None = None, limit: int = 100
) -> list[Booked]:
    """The newest entries of a customer with their postings, the newest first; older than the entry `before`."""
    values = {
        "operator": subscriber.operator_id,
        "subscriber": subscriber.id,
        "before": before or LAST_ID,
        "most": limit,
    }
    return _with_postings(session, session.execute(_OF_SUBSCRIBER, values).all())


def of_days(session: Session, operator_id: int, start: date, end: date) -> Iterator[Booked]:
    """The journal of some days, in order; a page at a time, so that its length does not matter."""
    after_on, after_id = start, 0
    while True:
        values = {"operator": operator_id, "end": end, "after_on": after_on, "after_id": after_id, "most": PAGE}
        entries = session.execute(_OF_DAYS, values).all()
        if not entries:
            return
        yield from _with_postings(session, entries)
        after_on, after_id = entries[-1].booked_on, entries[-1].id


def balances(session: Session, operator_id: int, until: date) -> list[dict[str, Any]]:
    """What each account holds at the end of a day: debits positive, credits negative; they add up to nothing."""
    rows = session.execute(_BALANCES, {"operator": operator_id, "until": until})
    return [dict(row) for row in rows.mappings()]


def _with_postings(session: Session, entries: Any) -> list[Booked]:
    postings: dict[int, list[Any]] = {}
    for row in session.execute(_POSTINGS, {"entries": [entry.id for entry in entries]}):
        postings.setdefault(row.entry_id, []).append(row)
    return [
        Booked(
            entry=entry.id,
            line=posting.line,
            booked_on=entry.booked_on,
            kind=entry.kind,
            account=posting.account,
            method=posting.method,
            amount_minor=posting.amount_minor,
            currency=posting.currency,
            reference=entry.reference,
            name=entry.name,
            invoice=entry.invoice,
            payment=entry.payment_id,
            plan=posting.plan,
            reverses=entry.reverses_entry_id,
            booked_by=entry.booked_by,
            created_at=entry.created_at,
        )
        for entry in entries
        for posting in postings.get(entry.id, ())
    ]
