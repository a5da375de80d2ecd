"""Reminders: what is due to be said about open invoices today becomes notices, many in one statement."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from sql.models import BillingRun, DunningPolicy, Operator
from sql.money.dunning import OUTSIDE
from sql.money.invoices import start_of_day

REMINDERS_AT_ONCE = 1000
# What was not said for a week, while nothing ran, is not said any more.
MISSED_DAYS = 7

# Whether nobody is reminded of an invoice at a moment: a customer who is never reminded or who promised to pay until a
# later moment, and an invoice that is disputed.
NOT_REMINDED = """EXISTS (
        SELECT FROM services AS held JOIN holds AS hold ON hold.service_id = held.id
        WHERE held.operator_id = invoice.operator_id AND held.subscriber_id = invoice.subscriber_id
            AND hold.ended_at IS NULL AND (hold.until IS NULL OR hold.until > :{moment})
            AND (hold.kind IN ('vip', 'promise') OR hold.kind = 'dispute' AND hold.invoice_id = invoice.id))"""

# Ordered by an index, going on behind the last invoice of the page before.
_PAGE = text("""
SELECT due_on, id FROM invoices
WHERE operator_id = :operator AND open_minor > 0 AND due_on = ANY(CAST(:due_on AS date[]))
    AND (due_on, id) > (CAST(:after_on AS date), CAST(:after_id AS bigint))
ORDER BY due_on, id LIMIT :most
""")
# The policy is that of the plan of a service which the invoice is about, else of any service of the customer, else the
# operator's. What was put before has the same key.
_REMIND = text(f"""
INSERT INTO notices (operator_id, event, key, subscriber_id, invoice_id, data)
SELECT invoice.operator_id, 'reminder', 'reminder:' || invoice.id || ':' || latest.days, invoice.subscriber_id,
    invoice.id, jsonb_build_object('number', invoice.number, 'days', latest.days, 'due_on', invoice.due_on,
        'amount_minor', invoice.amount_minor, 'open_minor', invoice.open_minor, 'currency', invoice.currency)
FROM invoices AS invoice
CROSS JOIN LATERAL (SELECT coalesce((
    SELECT plan.dunning_policy_id FROM services AS service JOIN plans AS plan ON plan.id = service.plan_id
    WHERE service.operator_id = invoice.operator_id AND service.subscriber_id = invoice.subscriber_id
        AND service.closed_at IS NULL AND plan.dunning_policy_id IS NOT NULL
    ORDER BY EXISTS (SELECT FROM invoice_lines AS line
                     WHERE line.invoice_id = invoice.id AND line.service_id = service.id) DESC, service.id
    LIMIT 1), :policy) AS id) AS chosen
JOIN dunning_policies AS policy ON policy.operator_id = invoice.operator_id AND policy.id = chosen.id
CROSS JOIN LATERAL (SELECT max(days) AS days FROM unnest(policy.reminder_days) AS days
                    WHERE invoice.due_on + days <= :day) AS latest
WHERE invoice.operator_id = :operator AND invoice.id = ANY(CAST(:invoices AS bigint[])) AND invoice.open_minor > 0
    AND invoice.due_on + latest.days > greatest(CAST(:silent AS date), invoice.issued_on)
    AND NOT {NOT_REMINDED.format(moment="moment")}
ORDER BY invoice.due_on, invoice.id
ON CONFLICT (operator_id, key) DO NOTHING
RETURNING id
""")  # noqa: S608 - constants; every value is bound
_REACHED = text("""
SELECT invoice.due_on, invoice.id FROM billing_runs AS run JOIN invoices AS invoice ON invoice.id = run.reminded_through
WHERE run.operator_id = :operator AND run.day = :day
""")


def remind(session: Session, operator: Operator, day: date, most: int = REMINDERS_AT_ONCE) -> int:
    """Put up to `most` reminders of this local day into the notices. Returns how many; 0 when the day has no more.

    Of an invoice whose reminders were missed only the latest is put. None for customers who are never reminded, who
    promised to pay until a moment that is still to come, or for an invoice that is disputed.
    """
    if operator.standings_from == OUTSIDE:
        return 0
    due_on = _due_days(session, operator, day)
    if not due_on:
        return 0
    reached = session.execute(_REACHED, {"operator": operator.id, "day": day}).one_or_none()
    after_on, after_id = (reached.due_on, reached.id) if reached is not None else (date.min, 0)
    put = 0
    while not put:
        place = {"due_on": due_on, "after_on": after_on, "after_id": after_id}
        page = session.execute(_PAGE, {"operator": operator.id, "most": most, **place}).all()
        if not page:
            break
        put = _put(session, operator, day, [row.id for row in page])
        after_on, after_id = page[-1]
    mine = (BillingRun.operator_id == operator.id, BillingRun.day == day)
    session.execute(update(BillingRun).where(*mine).values(reminded_through=after_id or None))
    return put


def _put(session: Session, operator: Operator, day: date, invoice_ids: list[int]) -> int:
    put = session.execute(
        _REMIND,
        {
            "operator": operator.id,
            "policy": operator.dunning_policy_id,
            "day": day,
            "invoices": invoice_ids,
            "silent": day - timedelta(days=MISSED_DAYS),
            "moment": start_of_day(day, operator),
        },
    )
    return len(put.all())


def _due_days(session: Session, operator: Operator, day: date) -> list[date]:
    """The due days of invoices that any reminder of today, or of the days that may have been missed, is about."""
    rows = session.scalars(select(DunningPolicy.reminder_days).where(DunningPolicy.operator_id == operator.id))
    return sorted(
        {day - timedelta(days=number + missed) for days in rows for number in days for missed in range(MISSED_DAYS)}
    )
