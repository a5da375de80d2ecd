"""Sessions that ended without a word: interims that do not come any more, and routers that say when they began to run.

A silent router tells nothing of its customers, so nobody is closed for that; nor while a node of ours is behind, for
then the interims may be here already and only wait in its spool.
"""

from __future__ import annotations

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

CLOSED_AT_ONCE = 1000
# A node that was silent for a day is gone; one that was not must be up to date, or what is missing may be with it.
_UP_TO_DATE = text("""
SELECT NOT EXISTS (SELECT FROM nodes WHERE reported_at > now() - interval '1 day'
    AND (reported_at < now() - interval '1 minute' OR spool_waiting > 1048576))
""")
# That its API answers says less than that it reports others: the way of its accounting may be broken alone, so a
# quarter of an hour more is given. Only interims count as reports: a router that sends none misses none.
_CLOSE_QUIET = text("""
WITH reporting AS MATERIALIZED (
    SELECT router_id, max(last_seen_at) FILTER (WHERE last_seen_at > started_at + interval '30 seconds') AS heard_at
    FROM sessions WHERE operator_id = :operator AND ended_at IS NULL GROUP BY router_id),
gone AS (
    SELECT session.id FROM sessions AS session JOIN reporting USING (router_id)
    LEFT JOIN router_checks AS seen
        ON seen.router_id = session.router_id AND seen.path = 'api' AND seen.state = 'online'
    WHERE session.operator_id = :operator AND session.ended_at IS NULL AND session.quiet_at < now()
        AND (reporting.heard_at > session.quiet_at
            OR seen.succeeded_at > session.quiet_at + interval '15 minutes')
    ORDER BY session.id LIMIT :most FOR UPDATE OF session SKIP LOCKED)
UPDATE sessions SET ended_at = last_seen_at, ended_by = 'missed_interims' FROM gone WHERE sessions.id = gone.id
RETURNING sessions.id
""")
_CLOSE_REBOOTED = text("""
WITH booted AS (
    SELECT router_id, (facts->>'started_at')::timestamptz AS at FROM router_checks
    WHERE operator_id = :operator AND path = 'api' AND coalesce(facts->>'started_at', '') <> ''),
gone AS (
    SELECT session.id, booted.at FROM booted JOIN sessions AS session USING (router_id)
    WHERE session.operator_id = :operator AND session.ended_at IS NULL AND session.started_at < booted.at
        AND session.last_seen_at <= booted.at + interval '1 minute'
        AND booted.at < now() - interval '1 minute'
    ORDER BY session.id LIMIT :most FOR UPDATE OF session SKIP LOCKED),
closed AS (
    UPDATE sessions SET ended_at = last_seen_at, ended_by = 'router_reboot' FROM gone WHERE sessions.id = gone.id
    RETURNING sessions.id, sessions.router_id, gone.at),
noted AS (
    INSERT INTO router_boots AS known (operator_id, router_id, booted_at, noticed_by, closed_sessions)
    SELECT :operator, router_id, at, 'uptime', count(*) FROM closed GROUP BY router_id, at ORDER BY router_id, at
    ON CONFLICT (router_id, booted_at) DO UPDATE
        SET closed_sessions = known.closed_sessions + excluded.closed_sessions)
SELECT id FROM closed
""")


def up_to_date(session: Session) -> bool:
    """Whether all nodes have handed in what routers told them."""
    return bool(session.execute(_UP_TO_DATE).scalar_one())


def close_quiet(session: Session, operator_id: int) -> int:
    """Close a portion of the operator's sessions that have missed two interims while their router is at work.

    Returns how many; call again while it is the whole portion, `CLOSED_AT_ONCE`.
    """
    return _count(session, _CLOSE_QUIET, operator_id)


def close_rebooted(session: Session, operator_id: int) -> int:
    """The same for sessions that are older than their router's uptime, and have not spoken since it began."""
    return _count(session, _CLOSE_REBOOTED, operator_id)


def keep_partitions(session: Session, keep_months: int, months_ahead: int) -> int:
    """Make the coming months of raw accounting and drop those that are older than is kept. Returns how many of both."""
    values = {"keep": keep_months, "ahead": months_ahead}
    return int(session.execute(text("SELECT keep_accounting_partitions(:keep, :ahead)"), values).scalar_one())


def _count(session: Session, statement: TextClause, operator_id: int) -> int:
    return len(session.execute(statement, {"operator": operator_id, "most": CLOSED_AT_ONCE}).all())
