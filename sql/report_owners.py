"""Whose accounting records are: the routers and services that a batch of them speaks of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from sql.columns import literal
from sql.reports import Report

# What a router sends back as Class may be anything.
ID_MAXIMUM = 2**63 - 1
_BY_ID = "SELECT id, operator_id FROM services WHERE id = ANY(%s::bigint[])"
_BY_NAME = "SELECT id, operator_id, username FROM services WHERE username = ANY(%s::text[])"


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

    def __init__(self, connection: Connection[Any], reports: Iterable[tuple[int, Report]]) -> None:
        """Reports with their operators. One query for the batch; another where some name none of their operator's."""
        named = [(operator_id, report, _named(report)) for operator_id, report in reports]
        ids = {one for _, _, some in named for one in some if one <= ID_MAXIMUM}
        rows = connection.execute(_BY_ID, (literal(list(ids)),)).fetchall() if ids else []
        self._ids = {(row[1], row[0]) for row in rows}
        names = {
            report.username
            for operator_id, report, some in named
            if not any((operator_id, one) in self._ids for one in some)
        }
        rows = connection.execute(_BY_NAME, (literal(list(names)),)).fetchall() if names else []
        self._names = {(row[1], row[2]): row[0] for row in rows}

    def of(self, operator_id: int, report: Report) -> int | None:
        """The service of a report, or None for a session of nobody."""
        for service_id in _named(report):
            if (operator_id, service_id) in self._ids:
                return service_id
        return self._names.get((operator_id, report.username))


def _named(report: Report) -> tuple[int, ...]:
    """The services that a report names: what its login was told in Class counts before what the module notes now."""
    if report.session_class is None:
        return (report.note.service_id,)
    return (report.session_class.service_id, report.note.service_id)
