"""A keyed table in one mapped file: one writer, any number of readers in other processes.

A reader takes no lock and makes no system call: a login may not wait for the writer, and every call into the kernel
lets go of Python's lock, over which the server's threads would then fight (bench/README.md).

    header (16384 bytes) | slots by key | slots by id | records, in the order in which they were written

A slot is 64 bits: 40 of the record's offset, 24 of the key's hash. Both kinds are hash tables with linear probing; a
removed entry leaves TOMBSTONE. A record is never changed once a slot names it; the new one is appended and the slot
is set, which is one store. So a reader has the old record or the new one, whole. A machine that loses its power leaves
anything behind; WORD_UNSAVED tells whether it may have.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from zlib import crc32

MAGIC = int.from_bytes(b"ISPAgent", "little")
FORMAT = 3
HEADER_BYTES = 16384

# Words of the header.
WORD_MAGIC, WORD_FORMAT, WORD_RETIRED, WORD_CHANGES, WORD_UNSAVED = 0, 1, 2, 3, 4
WORD_KEYS_AT, WORD_KEYS, WORD_IDS_AT, WORD_IDS, WORD_END = 5, 6, 7, 8, 9
WORDS = 10
# A moment in seconds of the epoch, whatever the writer means by it.
TIME_AT, TIME = 120, struct.Struct("=d")
BOOT_AT, BOOT_BYTES = 128, 36
BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")

# Two notes of the writer to itself, written in turn: number, length, checksum, JSON. The higher number counts.
NOTES_AT, NOTE_BYTES = (4096, 10240), 6144
NOTE = struct.Struct("=QII")

TOMBSTONE = 1
OFFSET_SHIFT = 24
MARK = (1 << OFFSET_SHIFT) - 1

# Length of the key, length of the value, id in 48 bits (0: none). Then key and value.
HEAD = struct.Struct("=HHIH")
HEAD_BYTES = HEAD.size
unpack_head = HEAD.unpack_from


class Damaged(Exception):  # noqa: N818 - reads as what happened
    """The file is no table that can be used; the text says why."""


class Table:
    """A table opened for reading; safe for many threads."""

    def __init__(self, file: Path) -> None:
        """Map it. Raises Damaged."""
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Damaged(f"{file.name} cannot be opened: {error.strerror}") from error
        try:
            self._data = mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise Damaged(f"{file.name} cannot be mapped: {error}") from error
        finally:
            os.close(descriptor)
        self._name = file.name
        if len(self._data) < HEADER_BYTES:
            raise Damaged(f"{file.name} is no table")
        # The header as it is now. WORD_RETIRED: another table has taken its place. WORD_CHANGES: differs when
        # something changed that readers may keep, which is the routers.
        self.words = memoryview(self._data)[: WORDS * 8].cast("Q")
        self._check_header()
        at, self._slot_count = self.words[WORD_KEYS_AT], self.words[WORD_KEYS]
        self._slots = memoryview(self._data)[at : at + self._slot_count * 8].cast("Q")

    def _check_header(self) -> None:
        words = self.words
        if words[WORD_MAGIC] != MAGIC:
            raise Damaged(f"{self._name} is no table")
        if words[WORD_FORMAT] != FORMAT:
            raise Damaged(f"{self._name} has another format; restart edge of the same version")
        if not 0 < words[WORD_KEYS_AT] + words[WORD_KEYS] * 8 <= len(self._data) or not words[WORD_KEYS]:
            raise Damaged(f"{self._name} is cut off")
        if words[WORD_UNSAVED] and bytes(self._data[BOOT_AT : BOOT_AT + BOOT_BYTES]) != boot_id():
            raise Damaged(f"the machine stopped while {self._name} was being changed; start edge, which builds it anew")

    def get(self, key: bytes) -> tuple[int, bytes] | None:
        """Id and value under this key, or None. Raises Damaged."""
        hashed = crc32(key)
        mark, slots, count, data = hashed & MARK, self._slots, self._slot_count, self._data
        first = position = hashed % count
        while slot := slots[position]:
            if slot & MARK == mark and slot != TOMBSTONE:
                at = slot >> OFFSET_SHIFT
                try:
                    key_bytes, value_bytes, low, high = unpack_head(data, at)
                except struct.error as error:
                    raise Damaged(f"{self._name} points beyond its end") from error
                at += HEAD_BYTES
                if data[at : at + key_bytes] == key:
                    at += key_bytes
                    return high << 32 | low, data[at : at + value_bytes]
            position += 1
            if position == count:
                position = 0
            if position == first:
                raise Damaged(f"{self._name} has no end")
        return None

    def time(self) -> float:
        """The moment that the writer set; 0 before the first."""
        return float(TIME.unpack_from(self._data, TIME_AT)[0])


def read_note(data: mmap.mmap) -> tuple[int, bytes]:
    """The newest whole note of a mapped table."""
    best = (0, b"")
    for at in NOTES_AT:
        number, size, checksum = NOTE.unpack_from(data, at)
        text = data[at + NOTE.size : at + NOTE.size + size] if size <= NOTE_BYTES - NOTE.size else b""
        if number > best[0] and crc32(text) == checksum:
            best = (number, text)
    return best


def boot_id() -> bytes:
    """Which start of the machine this is; zeros where the kernel does not say."""
    try:
        return BOOT_FILE.read_bytes().strip()[:BOOT_BYTES].ljust(BOOT_BYTES, b"\0")
    except OSError:
        return bytes(BOOT_BYTES)
