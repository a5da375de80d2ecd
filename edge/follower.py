"""Follows the truth into the replica: LISTEN/NOTIFY for speed, catch-up by snapshot for certainty."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import structlog

from edge.replica_writer import ReplicaWriter
from edge.table_writer import TableFull
from policy.documents import read_service
from policy.errors import PolicyError
from policy.facts import Bindings
from radius_module.records import RouterRow, ServiceRow
from sql import following
from sql.following import Position, Report
from sql.secrets import SecretBox, SecretsError, router_secret_place, service_password_place

log = structlog.get_logger("edge.follower")

# How often a quiet follower looks by itself: it bounds the harm of a lost notification, and dates its report.
HEARTBEAT_S = 1.0
RETRY_S = 0.5
SMALLEST_BUILD = 4096


class Follower:
    """One node's follower. `run` ends only when `stop` says so; without the database it waits and tries again."""

    def __init__(
        self,
        *,
        connect: Callable[[], psycopg.Connection[Any]],
        folder: Path,
        box: SecretBox,
        node: str,
        address: str,
        spool_waiting: Callable[[], int],
    ) -> None:
        """`connect` opens an autocommit connection as the edge role; `address` is where this node's CoA leaves."""
        self._connect = connect
        self._folder = folder
        self._box = box
        self._node = node
        self._address = address
        self._spool_waiting = spool_waiting
        self._writer: ReplicaWriter | None = None
        self._count = 0

    def run(self, stopping: Callable[[], bool]) -> None:
        """Follow until `stopping`."""
        down = False
        while not stopping():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {following.CHANNEL}")
                    if down:
                        log.info("the database is back")
                    down = False
                    self._follow(connection, stopping)
            except psycopg.OperationalError as error:
                if not down:
                    log.warning("no database; logins go on from the replica", error=str(error).splitlines()[:1])
                down = True
                time.sleep(RETRY_S)
        if self._writer is not None:
            self._writer.close()

    def _follow(self, connection: psycopg.Connection[Any], stopping: Callable[[], bool]) -> None:
        while not stopping():
            began = time.monotonic()
            position = self._catch_up(connection)
            self._report(connection, position, time.monotonic() - began)
            for _ in connection.notifies(timeout=HEARTBEAT_S, stop_after=1):
                continue
            # One catch-up answers all notifications that are here by now, or a busy hour would be followed one by one.
            for _ in connection.notifies(timeout=0):
                continue

    def _catch_up(self, connection: psycopg.Connection[Any]) -> Position:
        position = following.begin(connection)
        try:
            if self._writer is None:
                self._writer = self._first_writer(position)
            if self._writer is None or not _continues(self._writer, position):
                self._rebuild(connection, position)
            else:
                try:
                    self._apply(connection, position, self._writer)
                except TableFull:
                    # What was replaced stays in the file until then.
                    self._rebuild(connection, position)
        finally:
            connection.execute("ROLLBACK")
        return position

    def _first_writer(self, position: Position) -> ReplicaWriter | None:
        writer = ReplicaWriter.take_over(self._folder)
        if writer is None:
            return None
        if not _continues(writer, position):
            writer.close()
            return None
        self._count = writer.service_count()
        log.info("replica taken over", generation=writer.generation, services=self._count)
        return writer

    def _rebuild(self, connection: psycopg.Connection[Any], position: Position) -> None:
        began = time.monotonic()
        if self._writer is not None and not _continues(self._writer, position):
            log.warning("the database is another one or went back in time; building the replica anew")
        writer = self._built(connection, position, following.service_count(connection))
        if self._writer is not None:
            self._writer.close()
        self._writer = writer
        self._count = writer.service_count()
        log.info(
            "replica built",
            generation=writer.generation,
            services=self._count,
            seconds=round(time.monotonic() - began, 2),
        )

    def _built(self, connection: psycopg.Connection[Any], position: Position, services: int) -> ReplicaWriter:
        """A new generation, published. Entries that are larger than is usual get a larger table."""
        writer = ReplicaWriter.begin_empty(self._folder, services)
        try:
            with writer:
                self._put_all(connection, writer, None)
                _set_position(writer, position)
            writer.publish()
        except TableFull:
            writer.close()
            return self._built(connection, position, 2 * max(services, SMALLEST_BUILD))
        except BaseException:
            writer.close()
            raise
        return writer

    def _apply(self, connection: psycopg.Connection[Any], position: Position, writer: ReplicaWriter) -> None:
        with writer:
            more = self._put_all(connection, writer, writer.remembered()["snapshot"])
            _set_position(writer, position)
        self._count += more

    def _put_all(self, connection: psycopg.Connection[Any], writer: ReplicaWriter, seen: str | None) -> int:
        # Each is read to its end or closed: a full table ends it in the middle, and what follows is read anew at once.
        with closing(following.operators(connection, seen)) as operators:
            for operator_id, refusals in operators:
                writer.put_operator(operator_id, following.json_text(refusals))
        with closing(following.plans(connection, seen)) as plans:
            for plan_version_id, name, facts in plans:
                writer.put_plan(plan_version_id, name, following.json_text(facts))
        with closing(following.routers(connection, seen)) as routers:
            for row in routers:
                self._put_router(writer, row)
        with closing(following.services(connection, seen)) as services:
            ready = map(self._service_row, services)
            return sum(_put_service(writer, row) for row in ready if row is not None)

    def _put_router(self, writer: ReplicaWriter, row: tuple[Any, ...]) -> None:
        router_id, operator_id, address, name, sealed, required, removed = row
        if removed:
            writer.remove_router(router_id)
            return
        secret = self._open(sealed, router_secret_place(operator_id, name), "router", router_id)
        if secret is not None:
            writer.put_router(address, RouterRow(router_id, operator_id, name, secret, required))

    def _service_row(self, row: tuple[Any, ...]) -> ServiceRow | None:
        service_id, operator_id, username, sealed, document = row[:5]
        bind_mac, mac, bind_router, router_id, bind_port, port, state = row[5:]
        try:
            facts = read_service(document)
        except PolicyError as error:
            log.error("a service's authorised facts cannot be read", service=service_id, error=str(error))
            return None
        password = None
        if sealed is not None:
            password = self._open(sealed, service_password_place(operator_id, username), "service", service_id)
            if password is None:
                return None
        bindings = Bindings(bind_mac, mac, bind_router, router_id, bind_port, port)
        usage = following.json_text(state) if state else ""
        return ServiceRow(operator_id, username, password, facts, bindings, usage)

    def _open(self, sealed: bytes, place: str, kind: str, row_id: int) -> str | None:
        try:
            return self._box.open(sealed, place)
        except SecretsError as error:
            # One damaged row must not keep all others from being followed.
            log.error("a secret cannot be opened", kind=kind, id=row_id, error=str(error))
            return None

    def _report(self, connection: psycopg.Connection[Any], position: Position, took_s: float) -> None:
        assert self._writer is not None  # noqa: S101 - catching up made one
        skew_s = (datetime.now(UTC) - position.now).total_seconds() - took_s
        said = Report(
            name=self._node,
            address=self._address,
            generation=self._writer.generation,
            snapshot=position.snapshot,
            services=self._count,
            lag_s=round(took_s, 4),
            clock_skew_s=round(skew_s, 4),
            spool_waiting=self._spool_waiting(),
        )
        following.report(connection, said)


def _put_service(writer: ReplicaWriter, row: ServiceRow) -> int:
    try:
        return writer.put_service(row)
    except (ValueError, struct.error) as error:
        log.error("a service does not fit into the replica", service=row.facts.service_id, error=str(error))
        return 0


def _continues(writer: ReplicaWriter, position: Position) -> bool:
    """Whether the replica is of this database, this timeline, and not ahead of it (a restored backup)."""
    known = writer.remembered()
    snapshot = known.get("snapshot")
    return (
        snapshot is not None
        and known.get("system_id") == position.system_id
        and known.get("timeline") == str(position.timeline)
        and int(snapshot.split(":")[1]) <= position.next_transaction
    )


def _set_position(writer: ReplicaWriter, position: Position) -> None:
    writer.set_newest_time(position.now.timestamp())
    # A snapshot that lists very many running transactions may not fit: the position before it then stays, and what
    # follows it is written once more.
    writer.remember(
        {
            "system_id": position.system_id,
            "timeline": str(position.timeline),
            "snapshot": position.snapshot,
        }
    )
