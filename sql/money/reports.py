"""What an owner asks about money: what is late, what was sold, what came in, who was cut off, how fast they came back.

Each report is a query or two on an index, and its size does not depend on how many customers there are.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from sql.errors import Refused
from sql.models import Operator
from sql.money.ledger import local_day

DAYS_MAXIMUM = 3660
# A restoration that no payment came before within this time was for another reason, such as a hold or a void invoice.
PAID_BEFORE = timedelta(days=1)
SLOWEST = 10

# Days since the due day, by the operator's calendar; each bucket begins where `_AGEING` says.
BUCKETS = ("not due", "1 to 30", "31 to 60", "61 to 90", "over 90")
_AGEING = text("""
SELECT currency, width_bucket(:today - due_on, ARRAY[1, 31, 61, 91]) AS bucket, count(*) AS invoices,
    count(DISTINCT subscriber_id) AS subscribers, sum(open_minor)::bigint AS open_minor
FROM invoices WHERE operator_id = :operator AND open_minor > 0 GROUP BY 1, 2 ORDER BY 1, 2
""")
_REVENUE = text("""
SELECT date_trunc('month', sold.booked_on)::date AS month, plan.name AS plan, sold.currency,
    -coalesce(sum(sold.amount_minor) FILTER (WHERE sold.account = 'revenue'), 0)::bigint AS revenue_minor,
    coalesce(sum(sold.amount_minor) FILTER (WHERE sold.account = 'discount'), 0)::bigint AS discount_minor,
    -sum(sold.amount_minor)::bigint AS net_minor
FROM (SELECT booked_on, plan_id, currency, account, amount_minor FROM ledger_postings
      WHERE operator_id = :operator AND booked_on BETWEEN :start AND :end
          AND account IN ('revenue', 'discount')) AS sold
LEFT JOIN plans AS plan ON plan.id = sold.plan_id
GROUP BY 1, 2, 3 ORDER BY 1, 3, 2 NULLS LAST
""")
_COLLECTED = text("""
SELECT booked_on AS day, method, currency, count(*) FILTER (WHERE amount_minor > 0) AS payments,
    coalesce(sum(amount_minor) FILTER (WHERE amount_minor > 0), 0)::bigint AS in_minor,
    -coalesce(sum(amount_minor) FILTER (WHERE amount_minor < 0), 0)::bigint AS back_minor,
    sum(amount_minor)::bigint AS net_minor
FROM ledger_postings
WHERE operator_id = :operator AND booked_on BETWEEN :start AND :end AND account = 'cash'
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
""")
_CHANGES = """changes.operator_id = :operator AND changes.state = 'approved'
    AND changes.decided_at >= (CAST(:start AS date)::timestamp AT TIME ZONE :zone)
    AND changes.decided_at < ((CAST(:end AS date) + 1)::timestamp AT TIME ZONE :zone)"""
_SUSPENSIONS = text(f"""
SELECT (decided_at AT TIME ZONE :zone)::date AS day, count(*) FILTER (WHERE kind = 'suspend') AS suspended,
    count(*) FILTER (WHERE kind = 'restore') AS restored, count(*) FILTER (WHERE kind = 'close') AS closed
FROM changes WHERE {_CHANGES} AND kind IN ('suspend', 'restore', 'close') GROUP BY 1 ORDER BY 1
""")  # noqa: S608 - constants; every value is bound
# Restored is when the router answered the last packet of the change; whoever was offline is restored by the approval.
_RESTORED = f"""
WITH restored AS (
    SELECT changes.id, service.username, greatest(changes.decided_at, (
            SELECT max(proof.ended_at) FROM steps AS step JOIN evidence AS proof ON proof.step_id = step.id
            WHERE step.operator_id = :operator AND step.service_id = changes.service_id
                AND step.change_id = changes.id AND step.state IN ('acknowledged', 'verified', 'unverified'))
        ) AS restored_at, (
            SELECT max(payment.created_at) FROM payments AS payment WHERE payment.operator_id = :operator
                AND payment.subscriber_id = service.subscriber_id AND payment.kind = 'money'
                AND payment.created_at <= changes.decided_at
                AND payment.created_at > changes.decided_at - CAST(:before AS interval)
        ) AS paid_at
    FROM changes JOIN services AS service ON service.id = changes.service_id
    WHERE {_CHANGES} AND changes.kind = 'restore'),
measured AS (SELECT id, username, extract(epoch FROM restored_at - paid_at)::float8 AS took_s FROM restored
    WHERE paid_at IS NOT NULL)
"""  # noqa: S608 - constants; every value is bound
_RESTORATION = text(
    _RESTORED  # noqa: S608 - constants; every value is bound
    + """SELECT (SELECT count(*) FROM restored) AS restored, count(*) AS after_payment,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY took_s) AS p50_s,
    percentile_cont(0.9) WITHIN GROUP (ORDER BY took_s) AS p90_s, max(took_s) AS max_s FROM measured"""
)
_SLOWEST = text(
    _RESTORED  # noqa: S608 - constants; every value is bound
    + "SELECT id AS change, username, took_s FROM measured ORDER BY took_s DESC, id LIMIT :most"
)


class Days(NamedTuple):
    """The first and the last day of a report."""

    start: date
    end: date


def days(session: Session, operator: Operator, start: date | None, end: date | None, *, usual: int) -> Days:
    """The days of a report; without a beginning so many up to its end, without an end up to today. Raises Refused."""
    last = end or local_day(session, operator)
    first = start or last - timedelta(days=usual - 1)
    if first > last:
        raise Refused(f"The report would end ({last}) before it begins ({first}).")
    if (last - first).days >= DAYS_MAXIMUM:
        raise Refused(f"A report is about {DAYS_MAXIMUM} days at most.")
    return Days(first, last)


def ageing(session: Session, operator: Operator) -> list[dict[str, Any]]:
    """What is open by how long it has been due, each bucket and currency."""
    rows = session.execute(_AGEING, {"operator": operator.id, "today": local_day(session, operator)}).all()
    found = {(row.currency, row.bucket): row for row in rows}
    currencies = sorted({row.currency for row in rows})
    return [
        {
            "days_overdue": name,
            "currency": currency,
            "invoices": one.invoices if (one := found.get((currency, bucket))) else 0,
            "subscribers": one.subscribers if one else 0,
            "open_minor": int(one.open_minor) if one else 0,
        }
        for currency in currencies
        for bucket, name in enumerate(BUCKETS)
    ]


def revenue(session: Session, operator: Operator, about: Days) -> list[dict[str, Any]]:
    """What was sold without tax, by month and plan: invoiced, discounts and credits, and the rest."""
    return _rows(session, _REVENUE, operator, about)


def collected(session: Session, operator: Operator, about: Days) -> list[dict[str, Any]]:
    """Money that came in and went back, by day and method."""
    return _rows(session, _COLLECTED, operator, about)


def suspensions(session: Session, operator: Operator, about: Days) -> list[dict[str, Any]]:
    """How many services were suspended, restored and closed, by day."""
    return _rows(session, _SUSPENSIONS, operator, about)


def restoration(session: Session, operator: Operator, about: Days) -> dict[str, Any]:
    """How long it took from a payment to the access restored, in seconds, and the slowest of them."""
    values = {**_values(operator, about), "before": PAID_BEFORE}
    found = dict(session.execute(_RESTORATION, values).mappings().one())
    slowest = session.execute(_SLOWEST, {**values, "most": SLOWEST}).mappings()
    return {**found, "slowest": [dict(row) for row in slowest]}


def _rows(session: Session, statement: Any, operator: Operator, about: Days) -> list[dict[str, Any]]:
    values = {name: value for name, value in _values(operator, about).items() if f":{name}" in str(statement)}
    return [dict(row) for row in session.execute(statement, values).mappings()]


def _values(operator: Operator, about: Days) -> dict[str, Any]:
    return {"operator": operator.id, "start": about.start, "end": about.end, "zone": operator.time_zone}
