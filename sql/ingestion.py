"""Accounting into sessions and usage. Counters are maxima and rows go by their keys, so replay changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from policy.changes.enforcement import MAKES_ROOM
from sql import quota, usage
from sql.accounting import raw
from sql.accounting.endings import infer
from sql.accounting.merging import Batch, Merged, merged
from sql.accounting.raw import Before, Told
from sql.columns import columns
from sql.jobs import defer_enforce
from sql.reports import Report

_COLUMNS = """session.id, session.service_id, session.started_at, session.ended_at, session.ended_by,
    session.counted_at, session.counted_upload_bytes, session.counted_download_bytes"""
# Everybody locks sessions in the order of their ids.
_LOCK = f"""
SELECT session.router_id, session.session_key, {_COLUMNS}
FROM unnest(%s::bigint[], %s::text[]) AS row (router_id, session_key)
JOIN sessions AS session USING (router_id, session_key)
ORDER BY session.id FOR UPDATE OF session
"""  # noqa: S608 - the columns stand above
_LOCK_OPEN = "SELECT 1 FROM sessions WHERE service_id = ANY(%s) AND ended_at IS NULL ORDER BY id FOR UPDATE"
# What a login was told of interims stands in its access.
_INSERT = """
INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, method, mac, port,
    framed_address, class_stamp, applied_stamp, started_at, last_seen_at, interim_interval_s)
SELECT row.operator_id, row.router_id, row.service_id, row.session_key, row.username, row.acct_session_id, row.method,
    row.mac, row.port, row.framed_address, row.class_stamp, row.class_stamp, row.started_at, row.started_at,
    coalesce(nullif((access.document->>'interim_interval_s')::bigint, 0), 300)
FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::inet[], %s::text[], %s::timestamptz[])
    AS row (operator_id, router_id, service_id, session_key, username, acct_session_id, method, mac, port,
        framed_address, class_stamp, started_at)
LEFT JOIN accesses AS access ON access.operator_id = row.operator_id AND access.stamp = row.class_stamp
ON CONFLICT (router_id, session_key) DO NOTHING RETURNING id
"""
# A router sends a record again for less than a minute; what was said later than that is news, not an echo.
# A session whose end was only inferred and that speaks again was not gone: it must be seen, and given what is due.
# Two interims and a minute after its last word a session is quiet.
_UPDATE = """
UPDATE sessions AS session SET
    service_id = coalesce(session.service_id, row.service_id),
    framed_address = CASE WHEN row.last_seen_at < session.last_seen_at
        THEN coalesce(session.framed_address, row.framed_address)
        ELSE coalesce(row.framed_address, session.framed_address) END,
    started_at = least(session.started_at, row.started_at),
    last_seen_at = greatest(session.last_seen_at, row.last_seen_at),
    quiet_at = greatest(session.last_seen_at, row.last_seen_at)
        + make_interval(secs => 2 * session.interim_interval_s + 60),
    session_time_s = greatest(session.session_time_s, row.session_time_s),
    upload_bytes = greatest(session.upload_bytes, row.upload_bytes),
    download_bytes = greatest(session.download_bytes, row.download_bytes),
    counted_at = CASE WHEN %s THEN greatest(session.counted_at, row.last_seen_at) ELSE session.counted_at END,
    counted_upload_bytes = CASE WHEN %s THEN greatest(session.counted_upload_bytes, row.upload_bytes)
        ELSE session.counted_upload_bytes END,
    counted_download_bytes = CASE WHEN %s THEN greatest(session.counted_download_bytes, row.download_bytes)
        ELSE session.counted_download_bytes END,
    -- A Stop is the router's own word and outweighs what was inferred; of two the earlier is the first sending.
    terminate_cause = CASE WHEN row.stopped_at IS NULL OR (session.ended_by IN ('stop', 'ended_oldest')
        AND session.ended_at <= row.stopped_at) THEN session.terminate_cause ELSE row.terminate_cause END,
    ended_at = CASE WHEN session.ended_by IN ('stop', 'ended_oldest') THEN least(session.ended_at, row.stopped_at)
                    WHEN row.stopped_at IS NULL AND (session.ended_by = 'missed_interims'
                        OR row.last_seen_at > session.ended_at + interval '1 minute') THEN NULL
                    ELSE coalesce(row.stopped_at, session.ended_at) END,
    ended_by = CASE WHEN session.ended_by = 'ended_oldest' THEN session.ended_by
                    WHEN row.stopped_at IS NOT NULL THEN 'stop'
                    WHEN session.ended_by = 'missed_interims' OR (session.ended_by <> 'stop'
                        AND row.last_seen_at > session.ended_at + interval '1 minute') THEN NULL
                    ELSE session.ended_by END
FROM unnest(%s::bigint[], %s::bigint[], %s::inet[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::text[], %s::timestamptz[])
    AS row (id, service_id, framed_address, started_at, last_seen_at, session_time_s, upload_bytes, download_bytes,
        terminate_cause, stopped_at)
WHERE session.id = row.id
"""
_ENDED = "The session has ended, so nothing of the earlier access is left."
_LOGGED_IN_AGAIN = "The customer has logged in again and got the authorised access."
_VERIFY = """
UPDATE steps SET state = 'verified', proof = 'ended', ended_at = clock_timestamp(), explanation = %s
WHERE session_id = ANY(%s)
    AND state IN ('waiting', 'started', 'retrying', 'acknowledged', 'unverified', 'refused', 'stuck')
RETURNING CASE WHEN route = 'disconnect' AND attempts > 0 AND starts_with(why, %s) THEN session_id END
"""
# It is the router's own word still, with the reason that only we know.
_MADE_ROOM = "UPDATE sessions SET ended_by = 'ended_oldest' WHERE id = ANY(%s) AND ended_by = 'stop'"
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


def store_reports(
    connection: Connection[Any], reports: list[Report], node: str = "", *, counting: bool = True
) -> list[Report]:
    """Store accounting records that `node` took, in the caller's transaction. Returns those of no router that we know.

    As many statements for a thousand as for one. Sessions whose applied access is not the authorised one are handed to
    the worker in the same transaction. Without `counting` sessions get their latest state and nothing else: the same
    records come again, in their turn, and are counted then.
    """
    if not reports:
        return []
    batch = merged(connection, reports)
    told = _told(connection, batch.sessions)
    if told:
        connection.execute(_UPDATE, (counting, counting, counting, *_update_columns(told)))
        if counting:
            usage.count(connection, raw.portions(connection, told))
            raw.keep(connection, told, node)
    if told or batch.restarts:
        _prove(connection, batch, told)
    if told:
        _hand_over(connection, told, counting=counting)
    return batch.unknown


def _told(connection: Connection[Any], sessions: Sequence[Merged]) -> list[Told]:
    """What the batch says of each session beside how it was before; those that are new are made first."""
    if not sessions:
        return []
    found = _locked(connection, sessions)
    missing = [one for one in sessions if (one.router_id, one.key) not in found]
    if missing:
        new = {row[0] for row in connection.execute(_INSERT, _insert_columns(missing)).fetchall()}
        made = _locked(connection, missing)
        found |= {place: before._replace(new=before.session_id in new) for place, before in made.items()}
        begun = sorted({one.service_id for one in missing if one.service_id is not None})
        # Those may be ended here; and who authorises at this moment does not see what is new: they wait, or we do.
        connection.execute(_LOCK_OPEN, (begun,))
        connection.execute(_MEET, (begun,))
    return [(one, found[one.router_id, one.key]) for one in sessions]


def _locked(connection: Connection[Any], sessions: Sequence[Merged]) -> dict[tuple[int, str], Before]:
    places = columns([(one.router_id, one.key) for one in sessions])
    return {(row[0], row[1]): Before(*row[2:]) for row in connection.execute(_LOCK.encode(), places).fetchall()}


def _prove(connection: Connection[Any], batch: Batch, told: Sequence[Told]) -> None:
    """Sessions that are over, by a Stop or by inference, prove their steps."""
    ended = [before.session_id for one, before in told if one.stopped_at]
    ended += [one.session_id for one in infer(connection, told, batch.restarts)]
    _verify(connection, ended, _ENDED)
    new = sorted(before.session_id for _, before in told if before.new)
    if new:
        back = connection.execute(_BACK, (new,)).fetchall()
        _verify(connection, [row[0] for row in back], _LOGGED_IN_AGAIN)


def _hand_over(connection: Connection[Any], told: Sequence[Told], *, counting: bool) -> None:
    """Services whose sessions drift, or that have come to a limit of their plan, are the worker's from here on."""
    live = columns([(before.session_id, one.latest.note.stamp) for one, before in told])
    found = {(row[0], row[1]) for row in connection.execute(_DRIFTED, live).fetchall()}
    if counting:
        met = {one.service_id for one, _ in told if one.service_id is not None}
        found |= set(quota.look(connection, met).moved)
    for operator_id in sorted({row[0] for row in found}):
        defer_enforce(connection, operator_id, sorted(row[1] for row in found if row[0] == operator_id))


def _insert_columns(sessions: Sequence[Merged]) -> tuple[str, ...]:
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
        for one in sessions
    ]
    return columns(rows)


def _update_columns(told: Sequence[Told]) -> tuple[str, ...]:
    rows = [
        (
            before.session_id,
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
        for one, before in told
    ]
    return columns(rows)


def _verify(connection: Connection[Any], session_ids: list[int], why: str) -> None:
    """These sessions are over, which proves their steps."""
    if not session_ids:
        return
    rows = connection.execute(_VERIFY, (why, session_ids, MAKES_ROOM)).fetchall()
    made_room = [row[0] for row in rows if row[0] is not None]
    if made_room:
        connection.execute(_MADE_ROOM, (made_room,))
