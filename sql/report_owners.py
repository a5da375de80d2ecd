"""Whose accounting records are: the routers and services that a batch of them speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from sql.reports import Report


class Routers:
    """The routers that a batch speaks of, by the module's note or by the packet's source."""

    def __init__(self, connection: Connection[Any], reports: Iterable[Report]) -> None:
        """One query for the whole batch."""
        ids = list({report.note.router_id for report in reports})
        sources = list({report.source for report in reports if report.source})
        rows = connection.execute(
            "SELECT id, operator_id, host(address), removed_at IS NULL FROM routers "
            "WHERE id = ANY(%s) OR (removed_at IS NULL AND address = ANY(%s::inet[]))",
            (ids, sources),
        ).fetchall()
        self._by_id = {row[0]: row[1] for row in rows}
        self._by_source = {row[2]: row[0] for row in rows if row[3]}

    def find(self, report: Report) -> tuple[int, int] | None:
        """Operator and router of a report, or None for one of no router that we know."""
        router_id = report.note.router_id
        if router_id not in self._by_id:
            router_id = self._by_source.get(report.source, 0)
        return (self._by_id[router_id], router_id) if router_id else None


class Services:
    """The services that a batch speaks of. One that Class names must belong to the router's operator."""

    def __init__(self, connection: Connection[Any], reports: Iterable[Report]) -> None:
        """One query for the whole batch."""
        ids = {report.note.service_id for report in reports}
        ids |= {report.session_class.service_id for report in reports if report.session_class}
        names = {report.username for report in reports}
        rows = connection.execute(
            "SELECT id, operator_id, username FROM services WHERE id = ANY(%s) OR username = ANY(%s)",
            (list(ids), list(names)),
        ).fetchall()
        self._ids = {(row[1], row[0]) for row in rows}
        self._names = {(row[1], row[2]): row[0] for row in rows}

    def of(self, operator_id: int, report: Report) -> int | None:
        """The service of a report, or None for a session of nobody."""
        for service_id in (report.session_class.service_id if report.session_class else 0, report.note.service_id):
            if (operator_id, service_id) in self._ids:
                return service_id
        return self._names.get((operator_id, report.username))
