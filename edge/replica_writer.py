"""Writes the replica: a new generation is built beside the current one and then pointed at.

A generation's file belongs to one run of edge: after a restart the next generation begins as a copy. So a reader that
opened a file as immutable, because edge was cleanly stopped, can never be surprised.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from radius_module.replica_schema import FORMAT, INDEXES, POINTER, SCHEMA, generation_file, read_pointer

FILE_MODE = 0o640
POINTER_KEEPS = 2  # the current generation and the one before, which a reader may be about to open
BUSY_S = 30.0

_INSERT_SERVICE = "INSERT INTO services VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPSERT_SERVICE = f"""
{_INSERT_SERVICE}
ON CONFLICT (operator_id, username) DO UPDATE SET service_id = excluded.service_id, password = excluded.password,
    method = excluded.method, standing = excluded.standing, plan_version_id = excluded.plan_version_id,
    prepaid_until = excluded.prepaid_until, address = excluded.address, ipv6_prefix = excluded.ipv6_prefix,
    delegated_ipv6_prefix = excluded.delegated_ipv6_prefix, routes = excluded.routes, bind_mac = excluded.bind_mac,
    mac = excluded.mac, bind_router = excluded.bind_router, bound_router_id = excluded.bound_router_id,
    bind_port = excluded.bind_port, port = excluded.port
"""


class ReplicaWriter:
    """One generation, open for writing."""

    def __init__(self, folder: Path, generation: int, connection: sqlite3.Connection) -> None:
        """Use `begin_empty` or `begin_copy`."""
        self.folder = folder
        self.generation = generation
        self._connection = connection
        self._published = False

    @classmethod
    def begin_empty(cls, folder: Path) -> ReplicaWriter:
        """A new, empty generation that nobody is pointed at yet."""
        generation, connection = _create(folder)
        connection.executescript(SCHEMA)
        writer = cls(folder, generation, connection)
        writer.set_meta("format", str(FORMAT))
        return writer

    @classmethod
    def begin_copy(cls, folder: Path) -> ReplicaWriter | None:
        """A new generation with the contents of the current one; None where that cannot be used."""
        generation = read_pointer(folder)
        if generation is None:
            return None
        file = generation_file(folder, generation)
        mode = "mode=ro" if file.with_name(file.name + "-wal").exists() else "immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True)) as source:
                row = source.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
                if row is None or row[0] != str(FORMAT):
                    return None
                generation, connection = _create(folder)
                writer = cls(folder, generation, connection)
                try:
                    source.backup(connection)
                except BaseException:
                    writer.close()
                    raise
        except sqlite3.Error:
            return None
        return writer

    def publish(self) -> None:
        """Make the file durable, point readers at it, and remove older generations."""
        connection = self._connection
        connection.executescript(INDEXES)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        # Opens the -wal file, so that readers see from the first moment that this generation is being written.
        self.set_meta("published", str(self.generation))
        file = generation_file(self.folder, self.generation)
        _sync(file)
        new = self.folder / f"{POINTER}.new"
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with os.fdopen(handle, "w") as text:
            text.write(str(self.generation))
            text.flush()
            os.fsync(text.fileno())
        new.replace(self.folder / POINTER)
        _sync(self.folder)
        self._published = True
        for path in self.folder.glob("replica-*.sqlite"):
            if _generation_of(path) <= self.generation - POINTER_KEEPS:
                for part in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
                    part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Begin a transaction: readers see all of it or nothing."""
        self._connection.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Commit, or roll back when the block raised."""
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")

    def put_services(self, rows: Iterable[tuple[Any, ...]], *, first_build: bool = False) -> int:
        """Insert or replace services; each row is the columns of the table, in order. Returns how many more there are.

        Counting a million rows after each change would cost more than the change.
        """
        if first_build:
            return self._connection.executemany(_INSERT_SERVICE, rows).rowcount
        more = 0
        for row in rows:
            # A renamed service would otherwise stay under its old name too.
            more -= self._connection.execute(
                "DELETE FROM services WHERE service_id = ? AND (operator_id, username) <> (?, ?)",
                (row[2], row[0], row[1]),
            ).rowcount
            known = "SELECT 1 FROM services WHERE operator_id = ? AND username = ?"
            more += self._connection.execute(known, (row[0], row[1])).fetchone() is None
            self._connection.execute(_UPSERT_SERVICE, row)
        return more

    def put_router(self, row: tuple[Any, ...], *, removed: bool) -> None:
        """Insert, replace or remove a router: address, router id, operator id, name, secret, signature required."""
        self._connection.execute("DELETE FROM routers WHERE router_id = ?", (row[1],))
        if not removed:
            self._connection.execute("INSERT OR REPLACE INTO routers VALUES (?, ?, ?, ?, ?, ?)", row)

    def put_plan(self, plan_version_id: int, name: str, facts: str) -> None:
        """Insert a plan version; versions never change."""
        self._connection.execute(
            "INSERT OR REPLACE INTO plan_versions VALUES (?, ?, ?)", (plan_version_id, name, facts)
        )

    def put_operator(self, operator_id: int, refusals: str) -> None:
        """Insert or replace an operator's choices."""
        self._connection.execute("INSERT OR REPLACE INTO operators VALUES (?, ?)", (operator_id, refusals))

    def set_meta(self, key: str, value: str) -> None:
        """Remember a fact of the replica itself."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def meta(self, key: str) -> str | None:
        """A fact of the replica itself, or None."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def service_count(self) -> int:
        """How many services it holds."""
        return int(self._connection.execute("SELECT count(*) FROM services").fetchone()[0])

    def close(self) -> None:
        """Close the file; a generation that was never published is removed."""
        self._connection.close()
        if not self._published:
            generation_file(self.folder, self.generation).unlink(missing_ok=True)


def _create(folder: Path) -> tuple[int, sqlite3.Connection]:
    generation = max((_generation_of(path) for path in folder.glob("replica-*.sqlite")), default=0) + 1
    file = generation_file(folder, generation)
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
    connection = sqlite3.connect(file, isolation_level=None, timeout=BUSY_S)
    # Until it is pointed at nobody reads it, and a broken build is simply built again.
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return generation, connection


def _generation_of(path: Path) -> int:
    number = path.name.removeprefix("replica-").removesuffix(".sqlite")
    return int(number) if number.isdigit() else 0


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
