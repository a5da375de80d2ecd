"""What edge asks of the truth: everything authorised, or only what its snapshot has not seen.

A row's revision is the transaction that wrote it. `pg_visible_in_snapshot` tells exactly whether a reader's earlier
snapshot included that transaction, in whatever order transactions committed; no number is skipped or waited for.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

CHANNEL = "ispagents_replica"
ROWS_A_FETCH = 5000


@dataclass(frozen=True, slots=True)
class Position:
    """Where a follower stands: of which database and timeline, and what it has seen."""

    system_id: str
    timeline: int
    snapshot: str
    now: datetime

    @property
    def next_transaction(self) -> int:
        """The first transaction number that was not given out yet when the snapshot was taken."""
        return int(self.snapshot.split(":")[1])


_POSITION = """
SELECT (SELECT system_identifier FROM pg_control_system())::text,
       (SELECT timeline_id FROM pg_control_checkpoint()),
       pg_current_snapshot()::text, clock_timestamp()
"""
_UNSEEN = (
    "revision >= pg_snapshot_xmin({seen}::pg_snapshot) AND NOT pg_visible_in_snapshot(revision, {seen}::pg_snapshot)"
)
_SERVICES = """
SELECT service.id, service.operator_id, username, password, authorised, bind_mac, mac, bind_router,
       coalesce(router_id, 0), bind_port, port, state.document
FROM {which} AS service LEFT JOIN usage_states AS state ON state.service_id = service.id
WHERE authorised IS NOT NULL
"""
# Two indexes, one for each way to news; an OR of both would look at every service.
_CHANGED = """
(SELECT changed.* FROM (SELECT id FROM services WHERE {unseen} UNION SELECT service_id FROM usage_states WHERE {unseen})
    AS news JOIN services AS changed USING (id))
"""
_ROUTERS = """
SELECT id, operator_id, host(address), name, secret, require_message_authenticator,
       removed_at IS NOT NULL OR secret IS NULL
FROM routers
WHERE true
"""
_PLANS = "SELECT id, name, facts FROM plan_versions WHERE true"
_OPERATORS = "SELECT id, refusals FROM operators WHERE true"


def begin(connection: Connection[Any]) -> Position:
    """Start a read-only transaction in which every query sees one and the same moment; its position."""
    connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    row = connection.execute(_POSITION).fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM always has one row
    return Position(*row)


def services(connection: Connection[Any], seen: str | None) -> Generator[tuple[Any, ...]]:
    """Authorised services, with their state of usage, of which `seen` (a snapshot; None: nothing) lacks something."""
    changed = _CHANGED.format(unseen=_UNSEEN.format(seen="%(seen)s"))
    return _fetch(connection, _SERVICES.format(which="services" if seen is None else changed), seen)


def service_count(connection: Connection[Any]) -> int:
    """How many services are authorised."""
    row = connection.execute("SELECT count(*) FROM services WHERE authorised IS NOT NULL").fetchone()
    assert row is not None  # noqa: S101 - a count always has one row
    return int(row[0])


def routers(connection: Connection[Any], seen: str | None) -> Generator[tuple[Any, ...]]:
    """Routers, removed ones too, that `seen` does not include."""
    return _rows(connection, _ROUTERS, seen)


def plans(connection: Connection[Any], seen: str | None) -> Generator[tuple[Any, ...]]:
    """Plan versions that `seen` does not include."""
    return _rows(connection, _PLANS, seen)


def operators(connection: Connection[Any], seen: str | None) -> Generator[tuple[Any, ...]]:
    """Operators that `seen` does not include."""
    return _rows(connection, _OPERATORS, seen)


def _rows(connection: Connection[Any], query: str, seen: str | None) -> Generator[tuple[Any, ...]]:
    news = "" if seen is None else f" AND {_UNSEEN.format(seen='%(seen)s')}"
    return _fetch(connection, query + news, seen)


def _fetch(connection: Connection[Any], query: str, seen: str | None) -> Generator[tuple[Any, ...]]:
    with connection.cursor(name="following", row_factory=tuple_row) as cursor:
        cursor.itersize = ROWS_A_FETCH
        cursor.execute(query, {"seen": seen} if seen is not None else None)
        yield from cursor


@dataclass(frozen=True, slots=True)
class Report:
    """What a node says of its replica and spool."""

    name: str
    address: str
    generation: int
    snapshot: str
    services: int
    lag_s: float
    clock_skew_s: float
    spool_waiting: int


def report(connection: Connection[Any], said: Report) -> None:
    """Store a node's report; its first one makes the node known."""
    connection.execute(
        """
        INSERT INTO nodes (name, address, generation, snapshot, services, lag_s, clock_skew_s, spool_waiting,
            reported_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
        ON CONFLICT (name) DO UPDATE SET address = excluded.address, generation = excluded.generation,
            snapshot = excluded.snapshot, services = excluded.services, lag_s = excluded.lag_s,
            clock_skew_s = excluded.clock_skew_s, spool_waiting = excluded.spool_waiting,
            reported_at = excluded.reported_at
        """,
        (
            said.name,
            said.address,
            said.generation,
            said.snapshot,
            said.services,
            said.lag_s,
            said.clock_skew_s,
            said.spool_waiting,
        ),
    )


def json_text(value: Any) -> str:
    """A JSON value as compact text for the replica."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
