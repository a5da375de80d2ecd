"""All reports of one session in a batch, as one; and which session a report is of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection

from sql.columns import columns
from sql.report_owners import Routers, Services
from sql.reports import Kind, Report

# Without our Class the start is computed from the session time, which routers round and delay.
START_TOLERANCE = timedelta(minutes=10)
_BUCKET_S = 600
# The key's number is that of the first report that came; later ones may have drifted by a tolerance or two.
_BUCKETS = range(-3, 4)

_FOREIGN = """
SELECT session.router_id, session.session_key, session.started_at
FROM unnest(%s::bigint[], %s::text[]) AS row (router_id, session_key)
JOIN sessions AS session USING (router_id, session_key)
ORDER BY session.started_at DESC
"""
_Likeness = tuple[int, str, str]


@dataclass(slots=True)
class Merged:
    """What a batch says of one session. `reports` are all of them; `began`: one of them is a Start."""

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
    session_time_s: int
    upload_bytes: int
    download_bytes: int
    reports: list[Report]

    def add(self, report: Report, service_id: int | None) -> None:
        """One more report of it, in whatever order."""
        self.service_id = self.service_id or service_id
        if report.at >= self.latest.at:
            self.latest = report
            self.framed_address = report.framed_address or self.framed_address
        self.framed_address = self.framed_address or report.framed_address
        self.started_at = min(self.started_at, report.started_at)
        self.last_seen_at = max(self.last_seen_at, report.at)
        if report.kind == Kind.STOP and (self.stopped_at is None or report.at < self.stopped_at):
            self.stopped_at, self.terminate_cause = report.at, report.terminate_cause
        self.session_time_s = max(self.session_time_s, report.session_time_s)
        self.upload_bytes = max(self.upload_bytes, report.upload_bytes)
        self.download_bytes = max(self.download_bytes, report.download_bytes)
        self.reports.append(report)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch by sessions, in the order of their keys; restarts of routers; and what is of no router that we know."""

    sessions: list[Merged]
    restarts: list[tuple[int, int, datetime]]
    unknown: list[Report]


def merged(connection: Connection[Any], reports: list[Report]) -> Batch:
    """Sort a batch, in a few queries for all of it."""
    routers = Routers(connection, reports)
    placed = [(report, routers.find(report)) for report in reports]
    services = Services(connection, [(where[0], report) for report, where in placed if where is not None])
    foreign = _Foreign(connection, [(report, where[1]) for report, where in placed if where is not None])
    found: dict[tuple[int, str], Merged] = {}
    batch = Batch([], [], [])
    for report, where in placed:
        if where is None:
            batch.unknown.append(report)
            continue
        operator_id, router_id = where
        if report.kind in (Kind.ON, Kind.OFF):
            batch.restarts.append((operator_id, router_id, report.at))
            continue
        service_id = services.of(operator_id, report)
        key = foreign.key(router_id, report)
        known = found.get((router_id, key))
        if known is None:
            found[router_id, key] = _first(report, operator_id, router_id, key, service_id)
        else:
            known.add(report, service_id)
        if report.session_class is None:
            foreign.learn(router_id, report, found[router_id, key])
    batch.sessions.extend(found[place] for place in sorted(found))
    return batch


def _first(report: Report, operator_id: int, router_id: int, key: str, service_id: int | None) -> Merged:
    return Merged(
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
        report.session_time_s,
        report.upload_bytes,
        report.download_bytes,
        [report],
    )


class _Foreign:
    """Sessions without our Class: known by router, session id, name and start.

    RouterOS repeats session ids after sixteen reboots, so the start belongs to the key.
    """

    def __init__(self, connection: Connection[Any], placed: list[tuple[Report, int]]) -> None:
        """Asks once, and only where there are such reports."""
        self._starts: dict[_Likeness, dict[str, datetime]] = {}
        wanted: dict[tuple[int, str], _Likeness] = {}
        for report, router_id in placed:
            if report.session_class is None and report.kind not in (Kind.ON, Kind.OFF):
                alike = (router_id, report.acct_session_id, report.username)
                for offset in _BUCKETS:
                    wanted[router_id, _foreign_key(report, offset)] = alike
        if not wanted:
            return
        for router_id, key, started_at in connection.execute(_FOREIGN, columns(list(wanted))).fetchall():
            self._starts.setdefault(wanted[router_id, key], {})[key] = started_at

    def key(self, router_id: int, report: Report) -> str:
        """The key of a report's session: our login id with the router's session id, or that of a session alike."""
        if report.session_class is not None:
            return f"{report.session_class.login_id}:{report.acct_session_id}"
        alike = self._starts.get((router_id, report.acct_session_id, report.username), {})
        for key, started_at in alike.items():
            if abs(started_at - report.started_at) <= START_TOLERANCE:
                return key
        return _foreign_key(report, 0)

    def learn(self, router_id: int, report: Report, session: Merged) -> None:
        """This session is known from here on, with the earliest start that was told."""
        alike = self._starts.setdefault((router_id, report.acct_session_id, report.username), {})
        alike[session.key] = min(session.started_at, alike.get(session.key, session.started_at))


def _foreign_key(report: Report, offset: int) -> str:
    bucket = int(report.started_at.timestamp()) // _BUCKET_S + offset
    return f"-:{report.acct_session_id}:{report.username}:{bucket}"
