"""How promises ended: kept, when so much was paid in time or nothing is open any more, or broken."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from sql import audit
from sql.jobs import defer_review
from sql.models import Operator
from sql.money.dunning import OUTSIDE
from sql.money.invoices import start_of_day

PROMISES_AT_ONCE = 1000

# What counts is what was booked between the grant and the end, and what was open when it was granted.
_SETTLE = text("""
WITH found AS (
    SELECT hold.id, service.subscriber_id, kept.yes
    FROM holds AS hold JOIN services AS service ON service.id = hold.service_id
    CROSS JOIN LATERAL (SELECT
        hold.amount_minor <= (SELECT coalesce(sum(payment.amount_minor - payment.reversed_minor), 0)
            FROM payments AS payment WHERE payment.operator_id = service.operator_id
                AND payment.subscriber_id = service.subscriber_id AND payment.kind = 'money'
                AND payment.created_at >= hold.created_at AND payment.created_at < hold.until) AS amount,
        CASE WHEN :outside THEN NOT EXISTS (SELECT FROM asserted_standings AS said
                WHERE said.service_id = service.id AND said.standing NOT IN ('current', 'due'))
            ELSE NOT EXISTS (SELECT FROM invoices AS invoice WHERE invoice.operator_id = service.operator_id
                AND invoice.subscriber_id = service.subscriber_id AND invoice.issued_at <= hold.created_at
                AND (invoice.open_minor > 0 OR EXISTS (SELECT FROM allocations AS late
                    WHERE late.invoice_id = invoice.id AND late.created_at >= hold.until))) END AS everything
    ) AS paid
    CROSS JOIN LATERAL (SELECT coalesce(paid.amount, false) OR paid.everything AS yes) AS kept
    WHERE hold.operator_id = :operator AND hold.kind = 'promise' AND hold.settled IS NULL AND hold.ended_at IS NULL
        AND (kept.yes OR hold.until <= :moment)
    ORDER BY hold.until, hold.id LIMIT :most)
UPDATE holds SET settled = CASE WHEN found.yes THEN 'kept' ELSE 'broken' END, settled_at = least(holds.until, now())
FROM found WHERE holds.id = found.id AND holds.settled IS NULL
RETURNING holds.id, holds.service_id, found.subscriber_id, holds.settled
""")
_EVENTS = {"kept": "service:hold:keep", "broken": "service:hold:break"}


def settle_promises(session: Session, operator: Operator, day: date, most: int = PROMISES_AT_ONCE) -> int:
    """Say of up to `most` promises how they ended, as of the beginning of a local day. Returns how many; 0: no more.

    Whether somebody is suspended does not wait for this: the review at a promise's end sees that it is over.
    """
    settled = session.execute(
        _SETTLE,
        {
            "operator": operator.id,
            "outside": operator.standings_from == OUTSIDE,
            "moment": start_of_day(day, operator),
            "most": most,
        },
    ).all()
    for row in settled:
        audit.record(
            session,
            operator.id,
            "billing",
            _EVENTS[row.settled],
            service_id=row.service_id,
            subscriber_id=row.subscriber_id,
            hold=row.id,
        )
    if settled:
        defer_review(session, operator.id)
    return len(settled)
