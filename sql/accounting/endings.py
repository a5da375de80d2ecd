"""Ends that no Stop told of: a new session of the same device, a router that began anew.

What is inferred follows from the sessions that are known and not from the order in which they became known: whoever
hears of an older one later comes to the same end. A session that has spoken since was not gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection

from sql.accounting.merging import Merged
from sql.accounting.raw import Before, Told
from sql.columns import columns

NEW_START, RESTART, REBOOT = "new_start", "router_restart", "router_reboot"
INFERRED = (NEW_START, RESTART, REBOOT)
ECHO = timedelta(minutes=1)
# RouterOS: two symbols of the service, one that counts reboots, the rest counts sessions.
_COUNTED_ID = "^[0-9a-f]{8}$"
_COUNTED = re.compile(_COUNTED_ID)

_NOTE_RESTARTS = """
INSERT INTO router_boots (operator_id, router_id, booted_at, noticed_by)
SELECT DISTINCT *, 'accounting_on' FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[]) ORDER BY 2, 3
ON CONFLICT DO NOTHING
"""
_BEFORE_RESTARTS = """
SELECT session.id FROM unnest(%s::bigint[], %s::timestamptz[]) AS boot (router_id, at)
JOIN sessions AS session ON session.router_id = boot.router_id AND session.ended_at IS NULL
    AND session.started_at < boot.at AND session.last_seen_at <= boot.at + interval '1 minute'
"""
# The open ones of the same device, and those of it that a later session was taken to have ended.
_SAME_DEVICE = """
WITH newer AS MATERIALIZED (
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[])
        AS row (operator_id, router_id, service_id, mac, started_at))
SELECT older.id FROM newer JOIN sessions AS older ON older.service_id = newer.service_id AND older.ended_at IS NULL
    AND older.router_id = newer.router_id AND older.mac = newer.mac AND older.started_at < newer.started_at
UNION
SELECT older.id FROM newer CROSS JOIN LATERAL (
    SELECT * FROM sessions AS one WHERE one.operator_id = newer.operator_id AND one.service_id = newer.service_id
        AND one.started_at < newer.started_at ORDER BY one.started_at DESC LIMIT 20) AS older
WHERE older.router_id = newer.router_id AND older.mac = newer.mac
    AND older.ended_by = ANY(%s) AND (older.ended_at > newer.started_at OR older.ended_by = 'router_reboot')
"""
# The open ones of a router that has another boot's number, or a higher count, though they began earlier. One row for
# each boot that the batch tells of, not for each session; what really ends is decided below.
_OTHER_BOOT = """
WITH boot AS MATERIALIZED (
    SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS row (router_id, number, lowest_id, first_at, last_at))
SELECT older.id FROM boot JOIN sessions AS older ON older.router_id = boot.router_id AND older.ended_at IS NULL
    AND (older.acct_session_id >= left(boot.number, 2) AND older.acct_session_id < boot.number
        OR older.acct_session_id > boot.lowest_id AND older.acct_session_id < left(boot.number, 2) || 'g')
WHERE older.started_at < boot.last_at
    AND older.last_seen_at BETWEEN boot.first_at - interval '1 day' AND boot.last_at + interval '1 minute'
    AND (left(older.acct_session_id, 3) <> boot.number OR older.started_at < boot.last_at - interval '1 minute')
"""
_INFER = f"""
WITH verdict AS (
    SELECT older.id, older.ended_at IS NULL AS was_open, found.at, found.ended_by,
        CASE WHEN found.ended_by = '{REBOOT}' THEN older.last_seen_at ELSE found.at END AS ended_at
    FROM sessions AS older LEFT JOIN LATERAL (
        SELECT * FROM (
            (SELECT booted_at AS at, CASE noticed_by WHEN 'uptime' THEN '{REBOOT}' ELSE '{RESTART}' END AS ended_by,
                0 AS rank
             FROM router_boots
             WHERE router_id = older.router_id AND noticed_by <> 'session_ids' AND booted_at > older.started_at
                AND booted_at >= older.last_seen_at - interval '1 minute' ORDER BY booted_at LIMIT 1)
            UNION ALL
            -- a new boot's number, or one that begins to count sessions anew; for a day it says something of this one
            (SELECT newer.started_at, '{REBOOT}', 1 FROM sessions AS newer
             WHERE newer.router_id = older.router_id AND older.acct_session_id ~ '{_COUNTED_ID}'
                AND newer.started_at > older.started_at AND newer.acct_session_id ~ '{_COUNTED_ID}'
                AND newer.started_at >= older.last_seen_at - interval '1 minute'
                AND newer.started_at <= older.last_seen_at + interval '1 day'
                AND left(newer.acct_session_id, 2) = left(older.acct_session_id, 2)
                AND (substr(newer.acct_session_id, 3, 1) <> substr(older.acct_session_id, 3, 1)
                    OR (newer.acct_session_id < older.acct_session_id
                        AND newer.started_at > older.started_at + interval '1 minute'))
             ORDER BY newer.started_at LIMIT 1)
            UNION ALL
            (SELECT newer.started_at, '{NEW_START}', 2 FROM sessions AS newer
             WHERE newer.operator_id = older.operator_id AND newer.service_id = older.service_id
                AND newer.started_at > older.started_at AND newer.router_id = older.router_id
                AND newer.mac = older.mac AND older.mac <> ''
                AND newer.started_at >= older.last_seen_at - interval '1 minute'
             ORDER BY newer.started_at LIMIT 1)) AS reasons
        ORDER BY at, rank LIMIT 1) AS found ON true
    WHERE older.id = ANY(%s) AND (older.ended_at IS NULL OR older.ended_by = ANY(%s))),
ended AS (
    UPDATE sessions SET ended_at = verdict.ended_at, ended_by = verdict.ended_by FROM verdict
    WHERE sessions.id = verdict.id
        AND (sessions.ended_at, sessions.ended_by) IS DISTINCT FROM (verdict.ended_at, verdict.ended_by)
    RETURNING sessions.id, sessions.operator_id, sessions.router_id, verdict.was_open, verdict.ended_by, verdict.at)
SELECT * FROM ended WHERE was_open AND ended_by IS NOT NULL
"""  # noqa: S608 - the names stand above
# One reboot shows in many sessions: what is noticed within the hour is the same one.
_COUNT_REBOOT = """
UPDATE router_boots SET closed_sessions = closed_sessions + %(closed)s
WHERE router_id = %(router)s AND booted_at BETWEEN %(at)s - interval '1 hour' AND %(at)s + interval '1 hour'
"""
_NOTE_REBOOT = """
INSERT INTO router_boots (operator_id, router_id, booted_at, noticed_by, closed_sessions)
VALUES (%(operator)s, %(router)s, %(at)s, 'session_ids', %(closed)s) ON CONFLICT DO NOTHING
"""


class Ended(NamedTuple):
    """A session that was open and whose end was inferred; `at` is the moment of what told it."""

    session_id: int
    operator_id: int
    router_id: int
    was_open: bool
    ended_by: str
    at: datetime


def infer(
    connection: Connection[Any], told: Sequence[Told], restarts: Sequence[tuple[int, int, datetime]]
) -> list[Ended]:
    """End what must have ended by what this batch tells, open again what has spoken since. Those that were open.

    `restarts`: operator, router and moment of each Accounting-On or -Off.
    """
    candidates = {before.session_id for one, before in told if before.new and one.stopped_at is None}
    candidates |= {before.session_id for one, before in told if _has_spoken_since(one, before)}
    if restarts:
        operators, routers, moments = (list(column) for column in zip(*restarts, strict=True))
        connection.execute(_NOTE_RESTARTS, (operators, routers, moments))
        candidates |= {row[0] for row in connection.execute(_BEFORE_RESTARTS, (routers, moments)).fetchall()}
    candidates |= _before_starts(connection, [(one, b) for one, b in told if b.new or one.started_at < b.started_at])
    if not candidates:
        return []
    # The order in which everybody locks sessions.
    connection.execute("SELECT 1 FROM sessions WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (sorted(candidates),))
    rows = connection.execute(_INFER.encode(), (sorted(candidates), list(INFERRED))).fetchall()
    ended = [Ended(*row) for row in rows]
    _note_reboots(connection, [one for one in ended if one.ended_by == REBOOT])
    return ended


def _has_spoken_since(one: Merged, before: Before) -> bool:
    """A router sends a record again for less than a minute; what was said later than that is news, not an echo."""
    if before.ended_by not in INFERRED or before.ended_at is None:
        return False
    # A reboot's moment is not known, so its sessions end at their last word, and that has moved.
    return before.ended_by == REBOOT or one.last_seen_at > before.ended_at + ECHO


def _before_starts(connection: Connection[Any], begun: Sequence[Told]) -> set[int]:
    """Sessions that may have ended because these began."""
    found: set[int] = set()
    devices = [
        (one.operator_id, one.router_id, before.service_id or one.service_id, one.latest.mac, one.started_at)
        for one, before in begun
        if one.latest.mac
    ]
    if devices:
        values = (*columns(devices), list(INFERRED))
        found |= {row[0] for row in connection.execute(_SAME_DEVICE, values).fetchall()}
    boots: dict[tuple[int, str], list[Merged]] = {}
    for one, before in begun:
        # A start that was only told more exactly says nothing new of a reboot.
        if before.new and _COUNTED.fullmatch(one.latest.acct_session_id):
            boots.setdefault((one.router_id, one.latest.acct_session_id[:3]), []).append(one)
    if boots:
        rows = [
            (
                router_id,
                number,
                min(one.latest.acct_session_id for one in some),
                min(one.started_at for one in some),
                max(one.started_at for one in some),
            )
            for (router_id, number), some in boots.items()
        ]
        found |= {row[0] for row in connection.execute(_OTHER_BOOT, columns(rows)).fetchall()}
    return found


def _note_reboots(connection: Connection[Any], ended: list[Ended]) -> None:
    for router_id in sorted({one.router_id for one in ended}):
        some = [one for one in ended if one.router_id == router_id]
        values = {
            "operator": some[0].operator_id,
            "router": router_id,
            "at": min(one.at for one in some),
            "closed": len(some),
        }
        if connection.execute(_COUNT_REBOOT, values).rowcount == 0:
            connection.execute(_NOTE_REBOOT, values)
