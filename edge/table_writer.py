"""Writes the replica's table (radius_module/table.py) in place, for readers that never wait.

What was written is on the disk only after `save`; a kill loses nothing, since the kernel has it. For a machine that
loses its power the header says so (WORD_UNSAVED), and such a table is never used again.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from zlib import crc32

from radius_module.table import (
    BOOT_AT,
    BOOT_BYTES,
    FORMAT,
    HEAD,
    HEAD_BYTES,
    HEADER_BYTES,
    MAGIC,
    MARK,
    NOTE,
    NOTE_BYTES,
    NOTES_AT,
    OFFSET_SHIFT,
    TIME,
    TIME_AT,
    TOMBSTONE,
    WORD_CHANGES,
    WORD_END,
    WORD_FORMAT,
    WORD_IDS,
    WORD_IDS_AT,
    WORD_KEYS,
    WORD_KEYS_AT,
    WORD_MAGIC,
    WORD_RETIRED,
    WORD_UNSAVED,
    WORDS,
    Damaged,
    boot_id,
    read_note,
)

FILE_MODE = 0o640
SMALLEST_SLOTS = 4096
FULLEST = 0.85  # of the slots, tombstones counted; beyond, a miss takes long
ROOM = 0.75  # of the slots, for what the table is made for
# Room for records. The file is sparse: what is not used takes no disk.
RECORDS_SMALLEST_BYTES = 64 * 1024 * 1024
RECORDS_BYTES_PER_SLOT = 512
RESERVE_BYTES = 4 * 1024 * 1024
ID = struct.Struct("=cQ")
LOW = 0xFFFFFFFF


class TableFull(Exception):  # noqa: N818 - reads as what happened
    """No room is left: build a larger table."""


class TableBusy(Exception):  # noqa: N818 - reads as what happened
    """Another process writes this table."""


class Slots:
    """One of the two hash tables."""

    def __init__(self, data: mmap.mmap, at: int, count: int) -> None:
        """`count` slots from byte `at`."""
        self._slots = memoryview(data)[at : at + count * 8].cast("Q")
        self._count = count
        self.used = count - sum(1 for slot in self._slots if not slot)

    def find(self, hashed: int, fits: Callable[[int], bool]) -> tuple[int, int]:
        """Where the entry is (-1: nowhere) and where a new one may go."""
        position, free = hashed % self._count, -1
        mark = hashed & MARK
        while slot := self._slots[position]:
            if slot == TOMBSTONE:
                free = position if free < 0 else free
            elif slot & MARK == mark and fits(slot >> OFFSET_SHIFT):
                return position, position
            position = (position + 1) % self._count
        return -1, position if free < 0 else free

    def offset(self, position: int) -> int:
        """The offset in a slot."""
        return self._slots[position] >> OFFSET_SHIFT

    def set(self, position: int, offset: int, hashed: int) -> None:
        """Name a record. Raises TableFull."""
        if not self._slots[position]:
            if self.used + 1 > self._count * FULLEST:
                raise TableFull("the table has too few slots")
            self.used += 1
        self._slots[position] = offset << OFFSET_SHIFT | hashed & MARK

    def remove(self, position: int) -> None:
        """Forget an entry."""
        self._slots[position] = TOMBSTONE

    def offsets(self) -> list[int]:
        """The records named here."""
        return [slot >> OFFSET_SHIFT for slot in self._slots if slot > TOMBSTONE]

    def close(self) -> None:
        """Let go of the file."""
        self._slots.release()


class TableWriter:
    """The one writer of a table."""

    def __init__(self, file: Path, descriptor: int) -> None:
        """Use `create` or `take_over`."""
        self.file = file
        self._descriptor = descriptor
        self._data = mmap.mmap(descriptor, 0)
        self._words = memoryview(self._data)[: WORDS * 8].cast("Q")
        self._keys = Slots(self._data, self._words[WORD_KEYS_AT], self._words[WORD_KEYS])
        self._ids = Slots(self._data, self._words[WORD_IDS_AT], self._words[WORD_IDS])
        self._reserved = self._words[WORD_END]

    @classmethod
    def create(cls, file: Path, entries: int) -> TableWriter:
        """A new table with room for so many entries. Raises OSError where there is no room on the disk."""
        slots = max(SMALLEST_SLOTS, int(entries / ROOM))
        first = HEADER_BYTES + 2 * slots * 8
        size = first + max(RECORDS_SMALLEST_BYTES, slots * RECORDS_BYTES_PER_SLOT)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(descriptor, size)
            # Written through the map, a full disk would kill the process; so blocks are had before they are used.
            os.posix_fallocate(descriptor, 0, first)
            words = [MAGIC, FORMAT, 0, 0, 0, HEADER_BYTES, slots, HEADER_BYTES + slots * 8, slots, first]
            os.pwrite(descriptor, struct.pack(f"={WORDS}Q", *words), 0)
            return cls(file, descriptor)
        except BaseException:
            os.close(descriptor)
            file.unlink()
            raise

    @classmethod
    def take_over(cls, file: Path) -> TableWriter:
        """Go on with a table of an earlier run. Raises Damaged, FileNotFoundError or TableBusy."""
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise TableBusy(f"another edge writes {file}; stop it first") from error
            _check(file, descriptor)
            return cls(file, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def put(self, key: bytes, value: bytes, record_id: int = 0) -> int:
        """Set what stands under a key. With an id, whatever else stood under this id (of the key's first byte) goes.

        Returns how many keys more there are: -1, 0 or 1. Raises TableFull, struct.error for what is too long, OSError
        for a full disk.
        """
        self._unsaved()
        hashed = crc32(key)
        at, free = self._keys.find(hashed, lambda offset: self._key_at(offset) == key)
        offset = self._append(key, value, record_id)
        if not record_id:
            self._keys.set(at if at >= 0 else free, offset, hashed)
            return int(at < 0)
        hashed_id = crc32(ID.pack(key[:1], record_id))
        id_at, id_free = self._ids.find(hashed_id, lambda offset: self._has_id(offset, key[:1], record_id))
        old = self._key_at(self._ids.offset(id_at)) if id_at >= 0 else key
        self._keys.set(at if at >= 0 else free, offset, hashed)
        self._ids.set(id_at if id_at >= 0 else id_free, offset, hashed_id)
        return int(at < 0) - (self._forget_key(old, record_id) if old != key else 0)

    def remove(self, kind: bytes, record_id: int) -> None:
        """Forget what has this id, if anything."""
        self._unsaved()
        at, _ = self._ids.find(crc32(ID.pack(kind, record_id)), lambda offset: self._has_id(offset, kind, record_id))
        if at >= 0:
            key = self._key_at(self._ids.offset(at))
            self._ids.remove(at)
            self._forget_key(key, record_id)

    def count(self, kind: bytes) -> int:
        """How many keys begin with this byte; looks at all of them."""
        return sum(1 for offset in self._keys.offsets() if self._data[offset + HEAD_BYTES] == kind[0])

    def finished(self) -> None:
        """Tell readers that keep anything that it may be different now."""
        self._words[WORD_CHANGES] += 1

    def set_time(self, moment: float) -> None:
        """Set the table's moment, in one store."""
        TIME.pack_into(self._data, TIME_AT, moment)

    def note(self) -> bytes:
        """The newest note."""
        return read_note(self._data)[1]

    def set_note(self, text: bytes) -> bool:
        """Replace the table's note; a kill leaves the old one or the new one. False: it is too long and not taken."""
        if len(text) > NOTE_BYTES - NOTE.size:
            return False
        number = read_note(self._data)[0] + 1
        at = NOTES_AT[number % 2]
        self._data[at + NOTE.size : at + NOTE.size + len(text)] = text
        NOTE.pack_into(self._data, at, number, len(text), crc32(text))
        return True

    def save(self) -> None:
        """Bring everything to the disk."""
        self._data.flush()
        os.fsync(self._descriptor)
        if self._words[WORD_UNSAVED]:
            self._words[WORD_UNSAVED] = 0
            self._data.flush(0, mmap.PAGESIZE)

    @property
    def unsaved(self) -> bool:
        """Whether a machine that lost its power now would leave a table that cannot be used."""
        return self._words[WORD_UNSAVED] != 0

    def close(self) -> None:
        """Close the file."""
        if self._data.closed:
            return
        self._keys.close()
        self._ids.close()
        self._words.release()
        self._data.close()
        os.close(self._descriptor)

    def _unsaved(self) -> None:
        if self._words[WORD_UNSAVED]:
            return
        self._data[BOOT_AT : BOOT_AT + BOOT_BYTES] = boot_id()
        self._words[WORD_UNSAVED] = 1
        self._data.flush(0, mmap.PAGESIZE)

    def _append(self, key: bytes, value: bytes, record_id: int) -> int:
        record = HEAD.pack(len(key), len(value), record_id & LOW, record_id >> 32) + key + value
        offset = self._words[WORD_END]
        end = offset + len(record)
        if end > len(self._data):
            raise TableFull("the table has no room for records")
        if end > self._reserved:
            size = min(RESERVE_BYTES, len(self._data) - self._reserved)
            os.posix_fallocate(self._descriptor, self._reserved, size)
            self._reserved += size
        self._data[offset:end] = record
        self._words[WORD_END] = end
        return offset

    def _key_at(self, offset: int) -> bytes:
        key_bytes = HEAD.unpack_from(self._data, offset)[0]
        return self._data[offset + HEAD_BYTES : offset + HEAD_BYTES + key_bytes]

    def _has_id(self, offset: int, kind: bytes, record_id: int) -> bool:
        return self._id_at(offset) == record_id and self._data[offset + HEAD_BYTES] == kind[0]

    def _id_at(self, offset: int) -> int:
        *_, low, high = HEAD.unpack_from(self._data, offset)
        return int(high << 32 | low)

    def _forget_key(self, key: bytes, record_id: int) -> int:
        # Another record may have taken the name meanwhile; that one stays.
        at, _ = self._keys.find(crc32(key), lambda offset: self._key_at(offset) == key)
        if at >= 0 and self._id_at(self._keys.offset(at)) == record_id:
            self._keys.remove(at)
            return 1
        return 0


def retire(file: Path) -> None:
    """Send the readers of a table to the pointer, whoever wrote it. Nothing happens where it is no table."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if os.pread(descriptor, 8, 0) == struct.pack("=Q", MAGIC):
            os.pwrite(descriptor, struct.pack("=Q", 1), WORD_RETIRED * 8)
    finally:
        os.close(descriptor)


def _check(file: Path, descriptor: int) -> None:
    head = os.pread(descriptor, HEADER_BYTES, 0)
    if len(head) < HEADER_BYTES:
        raise Damaged(f"{file.name} is no table")
    words = struct.unpack_from(f"={WORDS}Q", head)
    size = os.fstat(descriptor).st_size
    # The slots by key, the slots by id and the records follow each other.
    first = HEADER_BYTES + 8 * (words[WORD_KEYS] + words[WORD_IDS])
    if (
        words[WORD_MAGIC] != MAGIC
        or words[WORD_FORMAT] != FORMAT
        or words[WORD_RETIRED]
        or not 0 < words[WORD_KEYS] == words[WORD_IDS]
        or words[WORD_KEYS_AT] != HEADER_BYTES
        or words[WORD_IDS_AT] != HEADER_BYTES + 8 * words[WORD_KEYS]
        or not first <= words[WORD_END] <= size
    ):
        raise Damaged(f"{file.name} is no table that can be gone on with")
    if words[WORD_UNSAVED] and head[BOOT_AT : BOOT_AT + BOOT_BYTES] != boot_id():
        raise Damaged(f"the machine stopped while {file.name} was being changed")
