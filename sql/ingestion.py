"""Accounting into sessions and usage. Counters are maxima and rows go by their keys, so replay changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from sql.jobs import defer_enforce
from sql.report_owners import Routers, Services
from sql.reports import Kind, Report

# Without our Class the start is computed from the session time, which routers round and delay.
START_TOLERANCE = timedelta(minutes=10)


@dataclass(slots=True)
class _Merged:
    """All reports of one session in a batch, as one."""

    operator_id: int
    router_id: int
    key: str
    latest: Report
    service_id: int | None
    framed_address: str | None
    started_at: datetime
    last_seen_at: datetime
    stopped_at: datetime | None
    terminate_cause: str
    has_start: bool
    session_time_s: int
    upload_bytes: int
    download_bytes: int

    def add(self, report: Report, service_id: int | None) -> None:
        self.service_id = self.service_id or service_id
        if report.at >= self.latest.at:
            self.latest = report
            self.framed_address = report.framed_address or self.framed_address
        self.framed_address = self.framed_address or report.framed_address
        self.started_at = min(self.started_at, report.started_at)
        self.last_seen_at = max(self.last_seen_at, report.at)
        if report.kind == Kind.STOP and (self.stopped_at is None or report.at < self.stopped_at):
            self.stopped_at, self.terminate_cause = report.at, report.terminate_cause
        self.has_start = self.has_start or report.kind == Kind.START
        self.session_time_s = max(self.session_time_s, report.session_time_s)
        self.upload_bytes = max(self.upload_bytes, report.upload_bytes)
        self.download_bytes = max(self.download_bytes, report.download_bytes)


def store_reports(connection: Connection[Any], reports: list[Report]) -> None:
    """Store accounting records, in the caller's transaction.

    Sessions whose applied access is not the authorised one are handed to the worker in the same transaction.
    Raises psycopg.DataError for a record of no known router.
    """
    if not reports:
        return
    routers = Routers(connection, reports)
    services = Services(connection, reports)
    merged: dict[tuple[int, str], _Merged] = {}
    foreign: dict[tuple[int, str, str], list[_Merged]] = {}
    restarts: list[tuple[int, datetime]] = []
    for report in reports:
        operator_id, router_id = routers.of(report)
        if report.kind in (Kind.ON, Kind.OFF):
            restarts.append((router_id, report.at))
            continue
        service_id = services.of(operator_id, report)
        alike = foreign.setdefault((router_id, report.acct_session_id, report.username), [])
        key = _key(connection, router_id, report, alike)
        known = merged.get((router_id, key))
        if known is None:
            known = merged[router_id, key] = _first(report, operator_id, router_id, key, service_id)
            if report.session_class is None:
                alike.append(known)
        else:
            known.add(report, service_id)
    if merged:
        _store(connection, list(merged.values()))
    for router_id, at in restarts:
        _close_router(connection, router_id, at)


def _first(report: Report, operator_id: int, router_id: int, key: str, service_id: int | None) -> _Merged:
    return _Merged(
        operator_id,
        router_id,
        key,
        report,
        service_id,
        report.framed_address,
        report.started_at,
        report.at,
        report.at if report.kind == Kind.STOP else None,
        report.terminate_cause if report.kind == Kind.STOP else "",
        report.kind == Kind.START,
        report.session_time_s,
        report.upload_bytes,
        report.download_bytes,
    )


def _key(connection: Connection[Any], router_id: int, report: Report, alike: list[_Merged]) -> str:
    """Our login id with the router's session id; for a foreign session, the session id with name and start.

    RouterOS repeats session ids after sixteen reboots, so the start belongs to the key. `alike` are the sessions of
    this batch with the same name and session id: they are not in the database yet.
    """
    if report.session_class is not None:
        return f"{report.session_class.login_id}:{report.acct_session_id}"
    for one in alike:
        if abs(one.started_at - report.started_at) <= START_TOLERANCE:
            return one.key
    row = connection.execute(
        "SELECT session_key FROM sessions WHERE router_id = %s AND acct_session_id = %s AND username = %s "
        "AND session_key LIKE '-:%%' AND started_at BETWEEN %s AND %s ORDER BY started_at DESC LIMIT 1",
        (
            router_id,
            report.acct_session_id,
            report.username,
            report.started_at - START_TOLERANCE,
            report.started_at + START_TOLERANCE,
        ),
    ).fetchone()
    if row is not None:
        return str(row[0])
    return f"-:{report.acct_session_id}:{report.username}:{int(report.started_at.timestamp()) // 600}"


_INSERT = """
INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, method, mac, port,
    framed_address, class_stamp, applied_stamp, started_at, last_seen_at)
SELECT operator_id, router_id, service_id, session_key, username, acct_session_id, method, mac, port,
    framed_address, class_stamp, class_stamp, started_at, started_at
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::inet[], %s::text[], %s::timestamptz[])
    AS row (operator_id, router_id, service_id, session_key, username, acct_session_id, method, mac, port,
        framed_address, class_stamp, started_at)
ON CONFLICT (router_id, session_key) DO NOTHING RETURNING id, service_id
"""
# With the other open sessions of services that have a new one: those may be ended here, and are locked in their order.
_LOCK = """
SELECT id, router_id, session_key, upload_bytes, download_bytes FROM sessions WHERE id IN (
    SELECT session.id FROM sessions AS session
    JOIN unnest(%s::bigint[], %s::text[]) AS row (router_id, session_key) USING (router_id, session_key)
    UNION ALL SELECT id FROM sessions WHERE service_id = ANY(%s) AND ended_at IS NULL)
ORDER BY id FOR UPDATE
"""
# A router sends a record again for less than a minute; what was said later than that is news, not an echo.
# A session whose end was only inferred and that speaks again was not gone: it must be seen, and given what is due.
_UPDATE = """
UPDATE sessions AS session SET
    service_id = coalesce(session.service_id, row.service_id),
    framed_address = CASE WHEN row.last_seen_at < session.last_seen_at
        THEN coalesce(session.framed_address, row.framed_address)
        ELSE coalesce(row.framed_address, session.framed_address) END,
    started_at = least(session.started_at, row.started_at),
    last_seen_at = greatest(session.last_seen_at, row.last_seen_at),
    session_time_s = greatest(session.session_time_s, row.session_time_s),
    upload_bytes = greatest(session.upload_bytes, row.upload_bytes),
    download_bytes = greatest(session.download_bytes, row.download_bytes),
    -- A Stop is the router's own word and outweighs what was inferred; of two the earlier is the first sending.
    terminate_cause = CASE WHEN row.stopped_at IS NULL OR (session.ended_by = 'stop'
        AND session.ended_at <= row.stopped_at) THEN session.terminate_cause ELSE row.terminate_cause END,
    ended_at = CASE WHEN session.ended_by = 'stop' THEN least(session.ended_at, row.stopped_at)
                    WHEN row.stopped_at IS NULL AND (session.ended_by = 'missed_interims'
                        OR row.last_seen_at > session.ended_at + interval '1 minute') THEN NULL
                    ELSE coalesce(row.stopped_at, session.ended_at) END,
    ended_by = CASE WHEN row.stopped_at IS NOT NULL THEN 'stop'
                    WHEN session.ended_by = 'missed_interims' OR (session.ended_by <> 'stop'
                        AND row.last_seen_at > session.ended_at + interval '1 minute') THEN NULL
                    ELSE session.ended_by END
FROM unnest(%s::bigint[], %s::bigint[], %s::inet[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::text[], %s::timestamptz[])
    AS row (id, service_id, framed_address, started_at, last_seen_at, session_time_s, upload_bytes, download_bytes,
        terminate_cause, stopped_at)
WHERE session.id = row.id
"""
_USAGE = """
INSERT INTO usage_hours AS usage (operator_id, service_id, hour, upload_bytes, download_bytes)
SELECT operator_id, service_id, date_trunc('hour', at, 'UTC'), sum(upload_bytes), sum(download_bytes)
FROM unnest(%s::bigint[], %s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[])
    AS row (operator_id, service_id, at, upload_bytes, download_bytes)
GROUP BY 1, 2, 3 ORDER BY 2, 3
ON CONFLICT (service_id, hour) DO UPDATE SET upload_bytes = usage.upload_bytes + excluded.upload_bytes,
    download_bytes = usage.download_bytes + excluded.download_bytes
"""
# A new session means that the Stop of an older one of the same device was lost, unless that one has spoken since.
_CLOSE_OLDER = """
UPDATE sessions AS older SET ended_at = row.started_at, ended_by = 'new_start'
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::timestamptz[])
    AS row (id, router_id, service_id, mac, started_at)
WHERE older.service_id = row.service_id AND older.router_id = row.router_id AND older.mac = row.mac
    AND older.ended_at IS NULL AND older.id <> row.id AND older.started_at < row.started_at
    AND older.last_seen_at <= row.started_at + interval '1 minute'
RETURNING older.id
"""
# The same, seen from the older one, where its records come after those of the newer one.
_CLOSE_LATE = """
WITH late AS (
    SELECT older.id, min(newer.started_at) AS ended_at
    FROM sessions AS older JOIN sessions AS newer
        ON newer.operator_id = older.operator_id AND newer.service_id = older.service_id
        AND newer.started_at > older.started_at AND newer.router_id = older.router_id AND newer.mac = older.mac
    WHERE older.id = ANY(%s) AND older.ended_at IS NULL AND older.mac <> ''
        AND older.last_seen_at <= newer.started_at + interval '1 minute'
    GROUP BY older.id)
UPDATE sessions SET ended_at = late.ended_at, ended_by = 'new_start' FROM late WHERE sessions.id = late.id
RETURNING sessions.id
"""
_ENDED = "The session has ended, so nothing of the earlier access is left."
_LOGGED_IN_AGAIN = "The customer has logged in again and got the authorised access."
_VERIFY = """
UPDATE steps SET state = 'verified', proof = 'ended', ended_at = clock_timestamp(), explanation = %s
WHERE session_id = ANY(%s)
    AND state IN ('waiting', 'started', 'retrying', 'acknowledged', 'unverified', 'refused', 'stuck')
"""
# The same device is back, at whatever router, with the authorised access, and the session that a router acknowledged
# to have ended or changed has been silent since: it is over, and only its Stop was lost.
_BACK = """
WITH back AS (
    SELECT older.id, min(newer.started_at) AS at
    FROM sessions AS newer
    JOIN steps AS step ON step.operator_id = newer.operator_id AND step.service_id = newer.service_id
        AND step.target_stamp = newer.class_stamp AND step.state IN ('acknowledged', 'unverified')
        AND newer.started_at > step.started_at - interval '5 seconds'
    JOIN sessions AS older ON older.id = step.session_id AND older.id <> newer.id AND older.mac = newer.mac
        AND older.ended_at IS NULL AND older.last_seen_at <= newer.started_at + interval '1 minute'
    WHERE newer.id = ANY(%s)
    GROUP BY older.id)
UPDATE sessions SET ended_at = greatest(back.at, sessions.started_at), ended_by = 'new_start'
FROM back WHERE sessions.id = back.id
RETURNING sessions.id
"""
# A session that is new to us is not seen by those who authorise at this moment: they wait for us, or we for them.
_MEET = "SELECT 1 FROM services WHERE id = ANY(%s) ORDER BY id FOR SHARE"
# Compared with what is authorised now, for the record may have waited; and with what was decided for this very device.
_DRIFTED = """
SELECT DISTINCT session.operator_id, session.service_id
FROM unnest(%s::bigint[], %s::text[]) AS row (id, stamp)
JOIN sessions AS session USING (id) JOIN services AS service ON service.id = session.service_id
WHERE session.ended_at IS NULL AND service.authorised_stamp IS NOT NULL
    AND (session.applied_stamp IS DISTINCT FROM service.authorised_stamp
        OR session.applied_stamp IS DISTINCT FROM coalesce(nullif(row.stamp, ''), service.authorised_stamp))
ORDER BY 1, 2
"""


def _store(connection: Connection[Any], merged: list[_Merged]) -> None:
    merged.sort(key=lambda one: (one.router_id, one.key))
    stored = connection.execute(_INSERT, _insert_columns(merged)).fetchall()
    new = {row[0] for row in stored}
    begun = {row[1] for row in stored} | {one.service_id for one in merged if one.has_start}
    begun.discard(None)
    which = ([one.router_id for one in merged], [one.key for one in merged], list(begun))
    known = {(row[1], row[2]): row for row in connection.execute(_LOCK, which).fetchall()}
    ids = [known[one.router_id, one.key][0] for one in merged]
    connection.execute(_UPDATE, _update_columns(ids, merged))
    _count_usage(connection, [(one, known[one.router_id, one.key]) for one in merged])
    ended = [session_id for session_id, one in zip(ids, merged, strict=True) if one.stopped_at]
    ended += _close_older(connection, ids, merged, new)
    _verify(connection, ended, _ENDED)
    if new:
        back = connection.execute(_BACK, (sorted(new),)).fetchall()
        _verify(connection, [row[0] for row in back], _LOGGED_IN_AGAIN)
        connection.execute(_MEET, (sorted({row[1] for row in stored if row[1] is not None}),))
    live = [(session_id, one.latest.note.stamp) for session_id, one in zip(ids, merged, strict=True)]
    drifted = connection.execute(_DRIFTED, ([row[0] for row in live], [row[1] for row in live])).fetchall()
    for operator_id in sorted({row[0] for row in drifted}):
        defer_enforce(connection, operator_id, [row[1] for row in drifted if row[0] == operator_id])


def _insert_columns(merged: list[_Merged]) -> tuple[list[Any], ...]:
    rows = [
        (
            one.operator_id,
            one.router_id,
            one.service_id,
            one.key,
            one.latest.username,
            one.latest.acct_session_id,
            one.latest.method,
            one.latest.mac,
            one.latest.port,
            one.framed_address,
            one.latest.session_class.stamp if one.latest.session_class else None,
            one.started_at,
        )
        for one in merged
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _update_columns(ids: list[int], merged: list[_Merged]) -> tuple[list[Any], ...]:
    rows = [
        (
            session_id,
            one.service_id,
            one.framed_address,
            one.started_at,
            one.last_seen_at,
            one.session_time_s,
            one.upload_bytes,
            one.download_bytes,
            one.terminate_cause,
            one.stopped_at,
        )
        for session_id, one in zip(ids, merged, strict=True)
    ]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _count_usage(connection: Connection[Any], pairs: list[tuple[_Merged, tuple[Any, ...]]]) -> None:
    rows = [
        (
            one.operator_id,
            one.service_id,
            one.last_seen_at,
            max(0, one.upload_bytes - before[3]),
            max(0, one.download_bytes - before[4]),
        )
        for one, before in pairs
        if one.service_id is not None and (one.upload_bytes > before[3] or one.download_bytes > before[4])
    ]
    if rows:
        connection.execute(_USAGE, tuple(list(column) for column in zip(*rows, strict=True)))


def _close_older(connection: Connection[Any], ids: list[int], merged: list[_Merged], new: set[int]) -> list[int]:
    rows = [
        (session_id, one.router_id, one.service_id, one.latest.mac, one.started_at)
        for session_id, one in zip(ids, merged, strict=True)
        if (one.has_start or session_id in new) and one.service_id is not None and one.latest.mac
    ]
    if not rows:
        return []
    closed = connection.execute(_CLOSE_OLDER, tuple(list(column) for column in zip(*rows, strict=True))).fetchall()
    if new:
        closed += connection.execute(_CLOSE_LATE, (sorted(new),)).fetchall()
    return [row[0] for row in closed]


def _close_router(connection: Connection[Any], router_id: int, at: datetime) -> None:
    """Accounting-On or -Off (accel-ppp sends them): what was open there before is gone."""
    closed = connection.execute(
        "UPDATE sessions SET ended_at = %(at)s, ended_by = 'router_restart' "
        "WHERE router_id = %(router)s AND ended_at IS NULL AND started_at < %(at)s "
        "AND last_seen_at <= %(at)s + interval '1 minute' RETURNING id",
        {"router": router_id, "at": at},
    ).fetchall()
    _verify(connection, [row[0] for row in closed], _ENDED)


def _verify(connection: Connection[Any], session_ids: list[int], why: str) -> None:
    """These sessions are over, which proves their steps."""
    if session_ids:
        connection.execute(_VERIFY, (why, session_ids))
