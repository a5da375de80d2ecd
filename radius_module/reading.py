"""One thread's open generation of the replica, read in a transaction that is kept while nothing is committed.

A transaction for every login would cost more than the login itself: two locks and a fresh look at the log. Whether
anything was committed since stands in the first bytes of the -shm file (sqlite.org/walformat.html, "The WAL-Index
Header"), which every commit changes before it returns; comparing them is what SQLite does at each start of a
transaction too. So a kept one never hides a commit.

A kept transaction would keep edge from emptying its log. So none is kept while a log is long enough for edge to copy
it back, and `Rest` ends every one after half a second, logins or not.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sqlite3
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from radius_module.replica import Pointer

HEADER_BYTES = 96  # both copies of the header; a torn one differs from any whole one
COPIED_BACK_AT = 96  # nBackfill, the number of frames that are in the database file already
INDEX_BYTES = 136
FRAMES_AT = 16  # mxFrame, the number of frames in the log
FRAMES_MAXIMUM = 900  # edge copies its log back after 1000 (SQLite's wal_autocheckpoint)
REST_S = 0.5


class WalIndex:
    """The head of a -shm file, mapped. Never two of one file: closing any handle of it drops this process's locks."""

    def __init__(self, descriptor: int) -> None:
        """Map an open file, which is closed with this object."""
        self._descriptor = descriptor
        self.bytes = mmap.mmap(descriptor, INDEX_BYTES, access=mmap.ACCESS_READ)

    def __del__(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def may_keep(self) -> bool:
        """Whether a transaction kept now would be in nobody's way."""
        (frames,) = struct.unpack_from("=I", self.bytes, FRAMES_AT)
        return frames <= FRAMES_MAXIMUM or struct.unpack_from("=I", self.bytes, COPIED_BACK_AT) == (frames,)


_indexes: WeakValueDictionary[tuple[int, int], WalIndex] = WeakValueDictionary()
_indexes_lock = threading.Lock()


def wal_index(file: Path) -> WalIndex | None:
    """The index of a database that a connection has read already; None where it cannot be mapped."""
    path = file.with_name(file.name + "-shm")
    with _indexes_lock:
        try:
            status = path.stat()
            known = _indexes.get((status.st_dev, status.st_ino))
            if known is not None:
                return known
            index = WalIndex(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except (OSError, ValueError):
            return None
        _indexes[status.st_dev, status.st_ino] = index
        return index


class Rest:
    """Ends kept transactions every half second. Its thread runs only while there are any."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._lock = threading.Lock()
        self._kept: set[Reading] = set()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    def after(self, reading: Reading) -> None:
        """End this reading's transaction in a while."""
        with self._lock:
            self._kept.add(reading)
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="replica-rest", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread, before the interpreter ends under it."""
        self._stopped.set()
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(REST_S):
            with self._lock:
                kept, self._kept = self._kept, set()
                if not kept:
                    self._thread = None
                    return
            for reading in kept:
                reading.rest()


class Reading:
    """A connection to one generation. `pointer` is what named it."""

    def __init__(self, connection: sqlite3.Connection, index: WalIndex | None, rest: Rest, pointer: Pointer) -> None:
        """Without an index SQLite begins and ends a transaction with every statement, or needs none."""
        self.connection = connection
        self.pointer = pointer
        # After the connection, so that it also goes after it: see WalIndex.
        self._index = index
        self._bytes = index.bytes if index is not None else None
        self._rest = rest
        self._header = b""
        self._lock = threading.Lock()

    def one(self, statement: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        """The first row, from all that was committed before this call. Raises sqlite3.Error."""
        with self._lock:
            if self._bytes is not None and self._bytes[:HEADER_BYTES] != self._header:
                self._begin()
            return self.connection.execute(statement, values).fetchone()  # type: ignore[no-any-return] # sqlite3

    def rest(self) -> None:
        """End a kept transaction; the next statement begins another."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._end()

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self.connection.close()

    def _begin(self) -> None:
        self._end()
        if self._index is None or self._bytes is None or not self._index.may_keep():
            return
        # Read before the transaction begins: what is committed between the two only makes the next call begin anew.
        header = self._bytes[:HEADER_BYTES]
        self.connection.execute("BEGIN")
        self._header = header
        self._rest.after(self)

    def _end(self) -> None:
        self._header = b""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")
