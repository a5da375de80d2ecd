"""The journal: entries whose postings add up to nothing, and balances as their sums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from sql.models import LedgerEntry, LedgerPosting, Operator
from sql.sessions import database_time

# The rows of an entry arrive in one statement, since the database looks at their sum when it ends.
_POST = text("""
INSERT INTO ledger_postings (entry_id, line, operator_id, booked_on, account, method, subscriber_id, plan_id, currency,
    amount_minor)
SELECT entry_id, line, :operator, :booked_on, account, method, subscriber_id, plan_id, :currency, amount_minor
FROM unnest(CAST(:entries AS bigint[]), CAST(:lines AS smallint[]), CAST(:accounts AS text[]), CAST(:methods AS text[]),
    CAST(:subscribers AS bigint[]), CAST(:plans AS bigint[]), CAST(:amounts AS bigint[]))
    AS posting (entry_id, line, account, method, subscriber_id, plan_id, amount_minor)
""")
_REVERSED = text("""
SELECT line, account, method, plan_id, amount_minor FROM ledger_postings WHERE entry_id = :entry ORDER BY line
""")


class Posting(NamedTuple):
    """A line of an entry: debits are positive, credits negative."""

    account: str
    amount_minor: int
    method: str = ""
    plan_id: int | None = None


class Entry(NamedTuple):
    """An entry to be booked, with what it is about."""

    kind: str
    subscriber_id: int
    postings: Sequence[Posting]
    invoice_id: int | None = None
    payment_id: int | None = None
    reversal_id: int | None = None
    reverses_entry_id: int | None = None


def local_day(session: Session, operator: Operator) -> date:
    """The operator's day at the moment of this transaction, by the database's clock."""
    return database_time(session).astimezone(ZoneInfo(operator.time_zone)).date()


def post(session: Session, operator: Operator, booked_on: date, entries: Sequence[Entry], *, actor: str) -> list[int]:
    """Book entries in two statements, however many there are. Returns their ids.

    The database refuses an entry whose postings do not add up to nothing.
    """
    booked = [entry for entry in entries if entry.postings]
    if not booked:
        return []
    rows = [
        {
            "operator_id": operator.id,
            "kind": entry.kind,
            "booked_on": booked_on,
            "subscriber_id": entry.subscriber_id,
            "invoice_id": entry.invoice_id,
            "payment_id": entry.payment_id,
            "reversal_id": entry.reversal_id,
            "reverses_entry_id": entry.reverses_entry_id,
            "booked_by": actor,
        }
        for entry in booked
    ]
    ids = list(session.scalars(insert(LedgerEntry).returning(LedgerEntry.id, sort_by_parameter_order=True), rows))
    postings = [
        (entry_id, line, posting, entry.subscriber_id)
        for entry_id, entry in zip(ids, booked, strict=True)
        for line, posting in enumerate(entry.postings, 1)
    ]
    session.execute(
        _POST,
        {
            "operator": operator.id,
            "booked_on": booked_on,
            "currency": operator.currency,
            "entries": [entry_id for entry_id, _, _, _ in postings],
            "lines": [line for _, line, _, _ in postings],
            "accounts": [posting.account for _, _, posting, _ in postings],
            "methods": [posting.method for _, _, posting, _ in postings],
            "subscribers": [subscriber_id for _, _, _, subscriber_id in postings],
            "plans": [posting.plan_id for _, _, posting, _ in postings],
            "amounts": [posting.amount_minor for _, _, posting, _ in postings],
        },
    )
    return ids


def reversal_of(session: Session, entry_id: int) -> list[Posting]:
    """The postings that take an entry back."""
    return [
        Posting(row.account, -row.amount_minor, row.method, row.plan_id)
        for row in session.execute(_REVERSED, {"entry": entry_id})
    ]


def balances(session: Session, operator_id: int, subscriber_id: int) -> dict[str, int]:
    """What each account holds of a subscriber, in minor units: debits positive, credits negative."""
    rows = session.execute(
        select(LedgerPosting.account, func.sum(LedgerPosting.amount_minor))
        .where(LedgerPosting.operator_id == operator_id, LedgerPosting.subscriber_id == subscriber_id)
        .group_by(LedgerPosting.account)
    )
    return {account: int(total) for account, total in rows}
