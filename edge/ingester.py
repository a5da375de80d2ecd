"""Takes the spool into PostgreSQL: batches, and one transaction for the rows and the marker of how far it got.

Replay is harmless twice over: the marker says what was taken, and every row is written as a maximum or by its key.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
import structlog

from edge.detail_file import Record, TakenFile, Unreadable, take_over, waiting_bytes
from edge.records import UnfitRecord, read_login_note, read_report
from sql import ingestion, logins, spool
from sql.reports import LoginNote, Report

log = structlog.get_logger("edge.ingester")

BATCH_RECORDS = 1000
IDLE_S = 0.05
RETRY_S = 0.5
ACCOUNTING = "accounting"
LOGINS = "logins"


class Ingester:
    """One node's ingester. `run` ends only when `stopping` says so; without the database the spool waits."""

    def __init__(self, *, connect: Callable[[], psycopg.Connection[Any]], spool: Path, node: str) -> None:
        """`connect` opens an autocommit connection as the edge role."""
        self._connect = connect
        self._spool = spool
        self._node = node

    def waiting_bytes(self) -> int:
        """How many bytes wait in the spool."""
        return sum(waiting_bytes(self._spool / name) for name in (ACCOUNTING, LOGINS))

    def run(self, stopping: Callable[[], bool]) -> None:
        """Drain until `stopping`."""
        down = False
        while not stopping():
            try:
                with self._connect() as connection:
                    if down:
                        log.info("the database is back; taking in what waited", waiting_bytes=self.waiting_bytes())
                    down = False
                    self._drain(connection, stopping)
            except psycopg.OperationalError as error:
                if not down:
                    log.warning("no database; accounting waits in the spool", error=str(error).splitlines()[:1])
                down = True
                time.sleep(RETRY_S)

    def _drain(self, connection: psycopg.Connection[Any], stopping: Callable[[], bool]) -> None:
        while not stopping():
            files = [(name, path) for name in (ACCOUNTING, LOGINS) for path in take_over(self._spool / name)]
            for name, path in files:
                self._take_in(connection, name, path, stopping)
            if not files:
                time.sleep(IDLE_S)

    def _take_in(
        self, connection: psycopg.Connection[Any], folder: str, path: Path, stopping: Callable[[], bool]
    ) -> None:
        taken = TakenFile(path)
        marker = f"{folder}/{path.name}"
        try:
            done_bytes = spool.taken_bytes(connection, self._node, marker)
            records = taken.records(done_bytes)
            while batch := list(islice(records, BATCH_RECORDS)):
                self._store_whole(connection, folder, marker, batch)
                if stopping():
                    return
            taken.remove()
        finally:
            taken.close()
        # After the file is gone the marker says nothing any more; losing this line to a crash does no harm.
        spool.forget_file(connection, self._node, marker)

    def _store_whole(
        self, connection: psycopg.Connection[Any], folder: str, marker: str, batch: list[Record | Unreadable]
    ) -> None:
        """One transaction for the rows and the marker; one that met another in a deadlock is simply done again."""
        while True:
            try:
                with connection.transaction():
                    self._store(connection, folder, marker, batch)
                    spool.mark_taken(connection, self._node, marker, batch[-1].end_bytes)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                log.info("another process held the same rows; doing the batch again", file=marker)
            else:
                return

    def _store(
        self,
        connection: psycopg.Connection[Any],
        folder: str,
        marker: str,
        batch: list[Record | Unreadable],
    ) -> None:
        ready: list[tuple[Record, Report | LoginNote]] = []
        for piece in batch:
            if isinstance(piece, Unreadable):
                self._set_aside(connection, marker, piece, piece.reason)
                continue
            try:
                ready.append((piece, read_report(piece) if folder == ACCOUNTING else read_login_note(piece)))
            except UnfitRecord as reason:
                self._set_aside(connection, marker, piece, str(reason))
        try:
            with connection.transaction():
                _write(connection, [value for _, value in ready])
        except (psycopg.DataError, psycopg.IntegrityError):
            # One record that the database refuses must not stop the others: one by one then.
            for record, value in ready:
                try:
                    with connection.transaction():
                        _write(connection, [value])
                except (psycopg.DataError, psycopg.IntegrityError) as error:
                    self._set_aside(connection, marker, record, str(error).splitlines()[0])

    def _set_aside(
        self, connection: psycopg.Connection[Any], marker: str, piece: Record | Unreadable, reason: str
    ) -> None:
        log.warning("a spool record is set aside", file=marker, at_bytes=piece.end_bytes, reason=reason)
        spool.set_aside(
            connection, node=self._node, file=marker, at_bytes=piece.end_bytes, reason=reason, text=piece.text
        )


def _write(connection: psycopg.Connection[Any], values: list[Report | LoginNote]) -> None:
    ingestion.store_reports(connection, [value for value in values if isinstance(value, Report)])
    logins.store_login_notes(connection, [value for value in values if isinstance(value, LoginNote)])
