"""Live views: who is online, what was used, who uses most, how sessions ended. No page reads raw accounting.

Open sessions have indexes of their own, usage is read from its roll-ups. Pages go on after the last key.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

# Who looks at more days than these looks at reports.
DAYS_MAXIMUM = 366
HOURS_MAXIMUM = 24 * 31


class OnlineState(StrEnum):
    """What an open session has, as far as is known; `quiet`: it has missed two interims."""

    GRANTED = "granted"
    RESTRICTED = "restricted"
    UNKNOWN = "unknown"
    QUIET = "quiet"


ONLINE = """
SELECT session.id, session.username, router.name AS router, plan.name AS plan,
    host(session.framed_address) AS address, session.mac, session.started_at, session.last_seen_at,
    session.upload_bytes, session.download_bytes, access.document ->> 'rate_limit' AS rate_limit,
    CASE WHEN session.quiet_at <= now() THEN 'quiet' WHEN access.document ->> 'kind' = 'grant' THEN 'granted'
        WHEN access.document ->> 'kind' = 'restrict' THEN 'restricted' ELSE 'unknown' END AS state
FROM sessions AS session
JOIN routers AS router ON router.id = session.router_id
LEFT JOIN services AS service ON service.id = session.service_id
LEFT JOIN plans AS plan ON plan.id = service.plan_id
LEFT JOIN accesses AS access ON access.operator_id = session.operator_id AND access.stamp = session.applied_stamp
WHERE session.operator_id = :operator AND session.ended_at IS NULL AND session.id > :after {filters}
ORDER BY session.id LIMIT :most
"""
_FILTERS = {
    "router": "AND session.router_id = :router",
    "plan": "AND service.plan_id = :plan",
    "state": "AND CASE WHEN session.quiet_at <= now() THEN 'quiet' WHEN access.document ->> 'kind' = 'grant' "
    "THEN 'granted' WHEN access.document ->> 'kind' = 'restrict' THEN 'restricted' ELSE 'unknown' END = :state",
}
HOURS = """
SELECT hour AS at, upload_bytes, download_bytes, counted_bytes FROM usage_hours
WHERE service_id = :service AND hour >= :since ORDER BY hour
"""
DAYS = """
SELECT day AS at, upload_bytes, download_bytes, counted_bytes FROM usage_days
WHERE service_id = :service AND day >= :since ORDER BY day
"""
TOP = """
SELECT service.username, used.upload_bytes, used.download_bytes, used.counted_bytes, used.all_bytes AS bytes
FROM (SELECT service_id, sum(upload_bytes)::bigint AS upload_bytes, sum(download_bytes)::bigint AS download_bytes,
        sum(counted_bytes)::bigint AS counted_bytes, sum(upload_bytes + download_bytes)::bigint AS all_bytes
    FROM usage_days WHERE operator_id = :operator AND day >= :since
    GROUP BY service_id ORDER BY all_bytes DESC, service_id LIMIT :most) AS used
JOIN services AS service ON service.id = used.service_id
ORDER BY used.all_bytes DESC, service.username
"""
SESSIONS = """
SELECT session.id, router.name AS router, host(session.framed_address) AS address, session.mac, session.started_at,
    session.last_seen_at, session.ended_at, session.ended_by, session.terminate_cause, session.session_time_s,
    session.upload_bytes, session.download_bytes,
    (SELECT step.why FROM steps AS step WHERE step.session_id = session.id AND step.route = 'disconnect'
        AND step.state IN ('acknowledged', 'verified', 'unverified') ORDER BY step.id DESC LIMIT 1) AS disconnected
FROM sessions AS session JOIN routers AS router ON router.id = session.router_id
WHERE session.operator_id = :operator AND session.service_id = :service
    AND (CAST(:after AS bigint) IS NULL OR (session.started_at, session.id) <
        (SELECT started_at, id FROM sessions WHERE operator_id = :operator AND id = CAST(:after AS bigint)))
ORDER BY session.started_at DESC, session.id DESC LIMIT :most
"""
_ENDINGS = {
    "new_start": "the device logged in again, its Stop was lost",
    "router_restart": "the router said that it restarted",
    "router_reboot": "the router has rebooted, as was noticed",
    "unknown_to_router": "the router did not know it any more",
    "missed_interims": "it missed two reports while its router was at work",
    "ended_oldest": "more devices were online than the plan allows",
}


def online(
    session: Session,
    operator_id: int,
    *,
    router_id: int | None = None,
    plan_id: int | None = None,
    state: OnlineState | None = None,
    after: int = 0,
    limit: int,
) -> list[dict[str, Any]]:
    """Open sessions, the oldest id first."""
    asked = {"router": router_id, "plan": plan_id, "state": state.value if state is not None else None}
    chosen = {name: value for name, value in asked.items() if value is not None}
    query = ONLINE.format(filters=" ".join(_FILTERS[name] for name in chosen))
    values = {"operator": operator_id, "after": after, "most": limit, **chosen}
    return _rows(session, query, values)


def hours_of(session: Session, service_id: int, since: datetime) -> list[dict[str, Any]]:
    """Usage by hour, the oldest first; hours without any are not there."""
    return _rows(session, HOURS, {"service": service_id, "since": since})


def days_of(session: Session, service_id: int, since: date) -> list[dict[str, Any]]:
    """Usage by the operator's day, the oldest first; days without any are not there."""
    return _rows(session, DAYS, {"service": service_id, "since": since})


def top(session: Session, operator_id: int, since: date, limit: int) -> list[dict[str, Any]]:
    """Who has used most since a day, the heaviest first."""
    return _rows(session, TOP, {"operator": operator_id, "since": since, "most": limit})


def sessions_of(
    session: Session, operator_id: int, service_id: int, *, after: int | None, limit: int
) -> list[dict[str, Any]]:
    """The sessions of a service, the newest first."""
    values = {"operator": operator_id, "service": service_id, "after": after, "most": limit}
    return _rows(session, SESSIONS, values)


def ending(row: dict[str, Any]) -> str:
    """Why a session ended, in words; "" while it is open."""
    by = row["ended_by"]
    if row["ended_at"] is None:
        return ""
    if row["disconnected"] and by == "stop":
        return f"disconnected from here: {row['disconnected']}"
    if by == "stop":
        return f"the router said {row['terminate_cause'] or 'nothing of the cause'}"
    return _ENDINGS.get(by, by or "")


def _rows(session: Session, query: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in session.execute(text(query), values).mappings()]
