"""Raw records, and what each of them adds to a session's bytes wherever it belongs in their order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from sql.accounting.merging import Merged
from sql.columns import columns
from sql.reports import Kind
from sql.usage import Portion

_KINDS = {Kind.START: "start", Kind.INTERIM: "interim", Kind.STOP: "stop"}


class Before(NamedTuple):
    """A session as it was before this batch, and how far its bytes were counted. `new`: it was not there."""

    session_id: int
    service_id: int | None
    started_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    counted_at: datetime | None
    upload_bytes: int
    download_bytes: int
    new: bool = False


Told = tuple[Merged, Before]

_INSERT = """
INSERT INTO accounting_records (operator_id, router_id, session_id, service_id, at, node, kind, username,
    acct_session_id, framed_address, session_time_s, upload_bytes, download_bytes, terminate_cause)
SELECT session.operator_id, session.router_id, session.id, session.service_id, row.at, %s, row.kind, session.username,
    session.acct_session_id, row.framed_address, row.session_time_s, row.upload_bytes, row.download_bytes,
    row.terminate_cause
FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::inet[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::text[])
    AS row (session_id, at, kind, framed_address, session_time_s, upload_bytes, download_bytes, terminate_cause)
JOIN sessions AS session ON session.id = row.session_id
"""
# What each moment adds, beside all earlier ones, with the new records and without them. Where raw records do not reach
# back (they are kept for months only), what the session knows as counted is taken for what was said before.
_LATE = """
WITH late AS (
    SELECT row.*, kept.upload_before, kept.download_before
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[])
        AS row (session_id, low, upload_bytes, download_bytes)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN coalesce(max(record.upload_bytes), 0) < row.upload_bytes THEN row.upload_bytes
                ELSE coalesce(max(record.upload_bytes) FILTER (WHERE record.at < row.low), 0) END AS upload_before,
            CASE WHEN coalesce(max(record.download_bytes), 0) < row.download_bytes THEN row.download_bytes
                ELSE coalesce(max(record.download_bytes) FILTER (WHERE record.at < row.low), 0) END AS download_before
        FROM accounting_records AS record WHERE record.session_id = row.session_id) AS kept),
said AS (
    SELECT late.session_id, record.at, record.upload_bytes, record.download_bytes, true AS counted
    FROM late JOIN accounting_records AS record ON record.session_id = late.session_id AND record.at >= late.low
    UNION ALL
    SELECT *, false FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[])),
moments AS (
    SELECT session_id, at, max(upload_bytes) AS upload, max(download_bytes) AS download,
        max(upload_bytes) FILTER (WHERE counted) AS upload_then,
        max(download_bytes) FILTER (WHERE counted) AS download_then
    FROM said GROUP BY session_id, at),
peaks AS (
    SELECT moments.*, late.upload_before, late.download_before,
        max(upload) OVER earlier AS upload_peak, max(download) OVER earlier AS download_peak,
        max(upload_then) OVER earlier AS upload_then_peak, max(download_then) OVER earlier AS download_then_peak
    FROM moments JOIN late USING (session_id)
    WINDOW earlier AS (PARTITION BY session_id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)),
adds AS (
    SELECT session_id, at,
        greatest(0, upload - greatest(upload_before, upload_peak)) AS upload,
        greatest(0, download - greatest(download_before, download_peak)) AS download,
        greatest(0, coalesce(upload_then, 0) - greatest(upload_before, upload_then_peak)) AS upload_then,
        greatest(0, coalesce(download_then, 0) - greatest(download_before, download_then_peak)) AS download_then
    FROM peaks)
SELECT session_id, at, upload, download, upload_then, download_then FROM adds
WHERE (upload, download) <> (upload_then, download_then)
"""


def portions(connection: Connection[Any], told: Iterable[Told]) -> list[Portion]:
    """What a batch adds to the bytes of services. Asks the database only about reports that are not the latest.

    Call it before `keep`: what is kept is taken for counted.
    """
    found: list[Portion] = []
    late: list[Told] = []
    for one, before in told:
        service_id = before.service_id or one.service_id
        if service_id is None:
            continue
        if before.counted_at is None or min(report.at for report in one.reports) > before.counted_at:
            found += _in_order(one, before, service_id)
        else:
            late.append((one, before))
    if late:
        found += _late(connection, late)
    return found


def keep(connection: Connection[Any], told: Iterable[Told], node: str) -> None:
    """Keep the records as they came, in one statement."""
    rows = [
        (
            before.session_id,
            report.at,
            _KINDS[report.kind],
            report.framed_address,
            report.session_time_s,
            report.upload_bytes,
            report.download_bytes,
            report.terminate_cause,
        )
        for one, before in told
        for report in one.reports
    ]
    connection.execute(_INSERT, (node, *columns(rows)))


def _in_order(one: Merged, before: Before, service_id: int) -> list[Portion]:
    """All of these reports are later than what was said before, so what they add is known from the counters alone."""
    moments: dict[datetime, tuple[int, int]] = {}
    for report in one.reports:
        upload, download = moments.get(report.at, (0, 0))
        moments[report.at] = max(upload, report.upload_bytes), max(download, report.download_bytes)
    found = []
    upload_peak, download_peak = before.upload_bytes, before.download_bytes
    for at in sorted(moments):
        upload, download = moments[at]
        if upload > upload_peak or download > download_peak:
            adds = (max(0, upload - upload_peak), max(0, download - download_peak))
            found.append(Portion(one.operator_id, service_id, at, *adds))
            upload_peak, download_peak = max(upload, upload_peak), max(download, download_peak)
    return found


def _late(connection: Connection[Any], late: list[Told]) -> list[Portion]:
    owners = {before.session_id: (one.operator_id, before.service_id or one.service_id) for one, before in late}
    asked = [
        (before.session_id, min(report.at for report in one.reports), before.upload_bytes, before.download_bytes)
        for one, before in late
    ]
    said = [
        (before.session_id, report.at, report.upload_bytes, report.download_bytes)
        for one, before in late
        for report in one.reports
    ]
    rows = connection.execute(_LATE, (*columns(asked), *columns(said))).fetchall()
    return [Portion(*owners[row[0]], *row[1:]) for row in rows]  # type: ignore[arg-type] # a late one has a service
