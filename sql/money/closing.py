"""Services that have been suspended for so long that their dunning policy closes them."""

from __future__ import annotations

from datetime import date

from sqlalchemy import text
from sqlalchemy.orm import Session

from sql import audit
from sql.jobs import defer_review
from sql.models import Operator
from sql.money.dunning import OUTSIDE
from sql.money.feeds import payments_silent, standings_silent
from sql.sessions import database_time

CLOSINGS_AT_ONCE = 1000

# Suspended by the network's last word too, since the day of the approval; without what a review is still to look at.
_SUSPENDED = text("""
SELECT service.id
FROM services AS service
JOIN plans AS plan ON plan.operator_id = service.operator_id AND plan.id = service.plan_id
JOIN dunning_policies AS policy ON policy.operator_id = service.operator_id
    AND policy.id = coalesce(plan.dunning_policy_id, :policy)
CROSS JOIN LATERAL (
    SELECT max(decided_at) AS decided_at FROM changes WHERE changes.operator_id = service.operator_id
        AND changes.service_id = service.id AND kind = 'suspend' AND state = 'approved') AS suspended
WHERE service.operator_id = :operator AND service.standing = 'suspended' AND service.closed_at IS NULL
    AND service.authorised->>'standing' = 'suspended' AND policy.close_days IS NOT NULL
    AND (suspended.decided_at AT TIME ZONE CAST(:zone AS text))::date + policy.close_days <= :day
    AND NOT EXISTS (SELECT FROM reviews WHERE reviews.service_id = service.id AND reviews.due_at <= now())
ORDER BY service.id LIMIT :most
""")
# The review before the service, the order in which the worker locks the two.
_MARK = text("""
INSERT INTO reviews (service_id, operator_id, due_at)
SELECT id, :operator, now() FROM unnest(CAST(:services AS bigint[])) AS id ORDER BY id
ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at)
""")
# Looked at again behind that lock: a payment that came first is committed by now.
_CLOSE = text("""
UPDATE services SET closed_at = now(), standing = 'closed'
WHERE operator_id = :operator AND id = ANY(CAST(:services AS bigint[])) AND closed_at IS NULL
    AND CASE WHEN :outside THEN EXISTS (SELECT FROM asserted_standings AS said
            WHERE said.service_id = services.id AND said.standing = 'suspended')
        ELSE EXISTS (SELECT FROM invoices WHERE invoices.operator_id = services.operator_id
            AND invoices.subscriber_id = services.subscriber_id AND open_minor > 0) END
RETURNING id, subscriber_id
""")


def close_overdue(session: Session, operator: Operator, day: date, most: int = CLOSINGS_AT_ONCE) -> int:
    """Close up to `most` services whose suspension is as old as their policy allows. Returns how many; 0: no more.

    A closed service becomes a change that is approved as any other.
    """
    values = {"operator": operator.id, "policy": operator.dunning_policy_id, "zone": operator.time_zone}
    found = session.scalars(_SUSPENDED, {**values, "day": day, "most": most}).all()
    now = database_time(session)
    # While nobody can know whether it is right, nothing is taken away from anybody.
    if payments_silent(session, operator, now):
        return 0
    silent = standings_silent(session, operator, found, now)
    found = [service for service in found if service not in silent]
    if not found:
        return 0
    session.execute(_MARK, {"operator": operator.id, "services": found})
    outside = operator.standings_from == OUTSIDE
    closed = session.execute(_CLOSE, {"operator": operator.id, "services": found, "outside": outside}).all()
    for row in closed:
        audit.record(
            session,
            operator.id,
            "billing",
            "service:line:close",
            service_id=row.id,
            subscriber_id=row.subscriber_id,
            why="suspended for as long as the dunning policy allows",
        )
    defer_review(session, operator.id)
    return len(closed)
