"""Takes the spool into PostgreSQL: portions, and one transaction for the rows and the marker of how far it got.

Replay is harmless twice over: the marker says what was taken, and every row is written as a maximum or by its key.
With a long backlog the newest records are looked at first, so that it is known who is online; nothing is counted and no
marker moves by that. Then everything is taken in from the oldest on, and the newest is looked at again every while.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import structlog

from edge.detail_file import (
    Record,
    TakenFile,
    Unreadable,
    current_bytes,
    read_text,
    take_over,
    waiting_bytes,
    waiting_s,
)
from edge.records import UnfitRecord, read_login_note, read_report
from radius_module.space import RESERVED_BYTES
from sql import ingestion, logins, spool
from sql.reports import LoginNote, Report

log = structlog.get_logger("edge.ingester")

# A portion ends at whichever comes first, so that neither many nor long records take much memory.
BATCH_RECORDS = 1000
BATCH_BYTES = 4 * 2**20
IDLE_S = 0.05
RETRY_S = 0.5
ACCOUNTING = "accounting"
LOGINS = "logins"
# While nothing can be taken in, a file this long is put aside and the server begins another: files in order of time.
ROLL_BYTES = 64 * 2**20
# A backlog of more than that is long: it takes the better part of a minute. And so much of its end tells the latest
# state of everybody: 100,000 sessions with interims every five minutes write 100 MB in that time.
LONG_BYTES = 256 * 2**20
NEWEST_BYTES = 128 * 2**20
LOOK_EVERY_S = 5.0
REPLAYED_AT_ONCE = 100

Value = Report | LoginNote


class Piece(NamedTuple):
    """A piece of the spool: what it means, or the reason (text) why it cannot mean anything."""

    end_bytes: int
    text: str
    value: Value | str


class Ingester:
    """One node's ingester. `run` ends only when `stopping` says so; without the database the spool waits."""

    def __init__(self, *, connect: Callable[[], psycopg.Connection[Any]], spool: Path, node: str) -> None:
        """`connect` opens an autocommit connection as the edge role."""
        self._connect = connect
        self._spool = spool
        self._node = node
        self._rolled: TakenFile | None = None
        self._looked_at = self._told_at = -LOOK_EVERY_S
        self._newest = ""

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
                self._roll()
                time.sleep(RETRY_S)

    def _roll(self) -> None:
        """The server goes on in a file of its own once it meets our lock on this one; one lock is enough for that."""
        if current_bytes(self._spool / ACCOUNTING) >= ROLL_BYTES:
            before, self._rolled = self._rolled, TakenFile(take_over(self._spool / ACCOUNTING)[-1])
            if before is not None:
                before.close()

    def _drain(self, connection: psycopg.Connection[Any], stopping: Callable[[], bool]) -> None:
        if self._rolled is not None:
            self._rolled.close()
            self._rolled = None
        while not stopping():
            self._tell_room(connection)
            self._replay(connection)
            took = self._take_logins(connection, stopping)
            files = take_over(self._spool / ACCOUNTING)
            for path in files:
                self._take_in(connection, ACCOUNTING, path, stopping)
                if stopping():
                    return
            if not files and not took:
                time.sleep(IDLE_S)

    def _take_logins(self, connection: psycopg.Connection[Any], stopping: Callable[[], bool]) -> int:
        files = take_over(self._spool / LOGINS)
        for path in files:
            self._take_in(connection, LOGINS, path, stopping)
        return len(files)

    def _take_in(
        self, connection: psycopg.Connection[Any], folder: str, path: Path, stopping: Callable[[], bool]
    ) -> None:
        taken = TakenFile(path)
        marker = f"{folder}/{path.name}"
        try:
            done_bytes = spool.taken_bytes(connection, self._node, marker)

            # Between two portions nobody reads the file, so that the newest of it can be looked at.
            def between() -> None:
                if folder == ACCOUNTING and time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                    self._tell_room(connection)
                    self._look_at_newest(connection, taken, stopping)

            with closing(_ahead(_portions(_read(folder, taken.records(done_bytes))), between)) as portions:
                for portion in portions:
                    self._store_whole(connection, marker, portion)
                    if stopping():
                        return
            taken.remove()
        finally:
            taken.close()
        # After the file is gone the marker says nothing any more; losing this line to a crash does no harm.
        spool.forget_file(connection, self._node, marker)

    def _look_at_newest(
        self, connection: psycopg.Connection[Any], taken: TakenFile, stopping: Callable[[], bool]
    ) -> None:
        """Store the latest state of sessions from the end of a long backlog; everything is read again in its turn."""
        self._looked_at = time.monotonic()
        folder = self._spool / ACCOUNTING
        if waiting_bytes(folder) < LONG_BYTES:
            return
        self._take_logins(connection, stopping)
        left_bytes = NEWEST_BYTES
        newer = [path for path in take_over(folder) if path.name > max(self._newest, taken.path.name)]
        for path in reversed(newer):
            if left_bytes > 0:
                one = TakenFile(path)
                try:
                    left_bytes -= self._store_state(connection, one, left_bytes, stopping)
                finally:
                    one.close()
        if left_bytes > 0 and not self._newest:
            # The one that is being read must not be opened twice: closing it would let go of its lock.
            self._store_state(connection, taken, left_bytes, stopping)
        self._newest = max([self._newest, taken.path.name, *(path.name for path in newer)])
        self._looked_at = time.monotonic()

    def _tell_room(self, connection: psycopg.Connection[Any]) -> None:
        """How much room the spool has and how old what waits is, for `ispagents status`; every few seconds."""
        if time.monotonic() - self._told_at < LOOK_EVERY_S:
            return
        self._told_at = time.monotonic()
        disk = os.statvfs(self._spool)
        free_bytes = disk.f_bavail * disk.f_frsize
        spool.tell_room(
            connection,
            self._node,
            free_bytes=free_bytes,
            oldest_s=waiting_s(self._spool / ACCOUNTING),
            refuses=free_bytes < RESERVED_BYTES,
        )

    def _store_state(
        self,
        connection: psycopg.Connection[Any],
        taken: TakenFile,
        most_bytes: int,
        stopping: Callable[[], bool],
    ) -> int:
        """The sessions that the last bytes of a file tell of; how many bytes were read. Nothing is set aside here."""
        for portion in _portions(_read(ACCOUNTING, taken.last_records(most_bytes))):
            reports = [piece.value for piece in portion if isinstance(piece.value, Report)]
            try:
                with connection.transaction():
                    ingestion.store_reports(connection, reports, self._node, counting=False)
            except (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.DeadlockDetected) as error:
                log.info("newest records are left for their turn", error=str(error).splitlines()[0])
            if stopping():
                break
        return min(most_bytes, taken.size_bytes)

    def _store_whole(self, connection: psycopg.Connection[Any], marker: str, portion: list[Piece]) -> None:
        """One transaction for the rows and the marker; one that met another in a deadlock is simply done again."""
        while True:
            try:
                with connection.transaction():
                    self._store(connection, marker, portion)
                    spool.mark_taken(connection, self._node, marker, portion[-1].end_bytes)
            except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                log.info("another process held the same rows; doing the batch again", file=marker)
            else:
                return

    def _store(self, connection: psycopg.Connection[Any], marker: str, portion: list[Piece]) -> None:
        for piece in portion:
            if isinstance(piece.value, str):
                self._set_aside(connection, marker, piece, piece.value)
        for piece, reason in self._write(connection, [one for one in portion if not isinstance(one.value, str)]):
            self._set_aside(connection, marker, piece, reason)

    def _write(self, connection: psycopg.Connection[Any], ready: list[Piece]) -> list[tuple[Piece, str]]:
        """Write what can be written; the others with the reason. One that is refused is found by halves."""
        try:
            with connection.transaction():
                reports = [piece.value for piece in ready if isinstance(piece.value, Report)]
                unknown = {id(one): one.source for one in ingestion.store_reports(connection, reports, self._node)}
                notes = [piece.value for piece in ready if isinstance(piece.value, LoginNote)]
                logins.store_login_notes(connection, notes)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(ready) == 1:
                return [(ready[0], str(error).splitlines()[0])]
            half = len(ready) // 2
            return self._write(connection, ready[:half]) + self._write(connection, ready[half:])
        return [
            (piece, f"the source {unknown[id(piece.value)] or 'without address'} is no router that we know")
            for piece in ready
            if id(piece.value) in unknown
        ]

    def _set_aside(self, connection: psycopg.Connection[Any], marker: str, piece: Piece, reason: str) -> None:
        log.warning("a spool record is set aside", file=marker, at_bytes=piece.end_bytes, reason=reason)
        spool.set_aside(
            connection, node=self._node, file=marker, at_bytes=piece.end_bytes, reason=reason, text=piece.text
        )

    def _replay(self, connection: psycopg.Connection[Any]) -> None:
        """Take in what somebody asked to be tried again; what is still refused goes back with its reason."""
        with connection.transaction():
            for asked in spool.asked_again(connection, REPLAYED_AT_ONCE):
                (piece,) = _read(asked.file.partition("/")[0], [read_text(asked.record)])
                if isinstance(piece.value, str):
                    reason = piece.value
                else:
                    reason = "".join(refused for _, refused in self._write(connection, [piece]))
                spool.end_replay(connection, asked.reject_id, reason)
                log.info("a record was taken in again", reject=asked.reject_id, refused=reason)


def _ahead(portions: Iterator[list[Piece]], between: Callable[[], None]) -> Generator[list[Piece], None, None]:
    """Each portion while the next one is being read: else the file would wait for the database, and it for the file.

    Calls `between` when nothing is being read.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="spool") as reader:
        following = reader.submit(next, portions, None)
        while (portion := following.result()) is not None:
            between()
            following = reader.submit(next, portions, None)
            yield portion


def _portions(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    portion: list[Piece] = []
    size = 0
    for piece in pieces:
        portion.append(piece)
        size += len(piece.text)
        if len(portion) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _read(folder: str, records: Iterable[Record | Unreadable]) -> Iterator[Piece]:
    """What each record means. One at a time: a portion's attributes would be many thousand objects at once."""
    for record in records:
        value: Value | str
        if isinstance(record, Unreadable):
            value = record.reason
        else:
            try:
                value = read_report(record) if folder == ACCOUNTING else read_login_note(record)
            except UnfitRecord as reason:
                value = str(reason)
        yield Piece(record.end_bytes, record.text, value)
