r"""FreeRADIUS's detail format: take a file over from the server, read its records, give it back to nobody.

The server opens, locks, appends and unlocks for every record. Taking over is: rename the file, lock it, and keep the
lock until it is removed. A writer that meets the lock opens the file anew by its name (FreeRADIUS, src/main/exfile.c),
so after the lock is ours nothing more is written to what we hold.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

NAME = "detail"
TAKEN = ".work"
# A record of one packet: 4096 bytes on the wire (RFC 2865 section 3), every byte printed as up to four, plus names.
RECORD_MAXIMUM_BYTES = 64 * 1024
BLOCK_BYTES = 256 * 1024

# The first line of every record (rlm_detail's default header "%t").
_HEADER = re.compile(rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\n")
# A whole line: a number, a name, an address or octets, or text in which nothing is escaped, without its quotes. What
# could not be read as UTF-8, or is half an attribute, does not match.
_PLAIN = re.compile(r'^\t+([^ "\t\n]+) = "?((?<=")[^"\\\n]*(?="$)|(?<! ")[^ "\n]*(?=$))"?$', re.MULTILINE)
_TOO_LONG = "a record is longer than any packet"

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}


class Record(NamedTuple):
    """A record's attributes, in order, and where it ends in its file. `text` is the record as it was written."""

    attributes: Sequence[tuple[str, str]]
    end_bytes: int
    text: str

    def values(self) -> dict[str, str]:
        """The first value of each attribute, for those who want many."""
        return dict(self.attributes[::-1])

    def first(self, name: str) -> str:
        """The first value of one attribute, or ""."""
        return self.values().get(name, "")


class Unreadable(NamedTuple):
    """A piece of a file that is no record; kept aside with the reason."""

    reason: str
    end_bytes: int
    text: str


def take_over(folder: Path) -> list[Path]:
    """The files in a spool folder that are ours to read, oldest first, after taking over the one being written."""
    current = folder / NAME
    try:
        if current.stat().st_size > 0:
            current.rename(folder / f"{NAME}.{time.time_ns():020d}{TAKEN}")
    except FileNotFoundError:
        pass
    return sorted(folder.glob(f"{NAME}.*{TAKEN}"))


def waiting_bytes(folder: Path) -> int:
    """How many bytes wait in a spool folder."""
    total = 0
    for path in folder.glob(f"{NAME}*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def current_bytes(folder: Path) -> int:
    """How long the file is that the server writes at this moment."""
    try:
        return (folder / NAME).stat().st_size
    except FileNotFoundError:
        return 0


def waiting_s(folder: Path) -> float:
    """For how long the oldest file has waited that was taken over; 0 where none was."""
    oldest = min((path.name for path in folder.glob(f"{NAME}.*{TAKEN}")), default="")
    moment_ns = oldest.removeprefix(f"{NAME}.").removesuffix(TAKEN)
    return max(0.0, (time.time_ns() - int(moment_ns)) / 1e9) if moment_ns.isdigit() else 0.0


def read_text(text: str) -> Record | Unreadable:
    """One record from its text."""
    data = text.encode()
    return _parse(data.rstrip(b"\n") + b"\n", len(data))


class TakenFile:
    """A file that was taken over, locked until `close` or `remove`."""

    def __init__(self, path: Path) -> None:
        """Waits for a writer in the middle of a record; that is microseconds."""
        self.path = path
        self._file: BinaryIO = path.open("rb")
        fcntl.lockf(self._file, fcntl.LOCK_SH)

    def records(self, from_bytes: int) -> Iterator[Record | Unreadable]:
        """The records from a place on. Whatever is not a whole record comes as Unreadable, the torn end too."""
        self._file.seek(from_bytes)
        at, rest = from_bytes, b""
        while block := self._file.read(BLOCK_BYTES):
            *parts, rest = (rest + block).split(b"\n\n")
            for part in parts:
                at += len(part) + 2
                data = part.lstrip(b"\n")
                if len(data) >= RECORD_MAXIMUM_BYTES:
                    yield Unreadable(_TOO_LONG, at, _text([data[:RECORD_MAXIMUM_BYTES]]))
                elif data:
                    yield from _read(data + b"\n", at)
            if len(rest) > RECORD_MAXIMUM_BYTES:
                # Whatever its length, no more of it is kept than this: its end is looked for line by line.
                piece = next(self._by_lines(at))
                yield piece
                at, rest = piece.end_bytes, b""
                self._file.seek(at)
        if rest.strip(b"\n"):
            # Nobody writes here any more, so an unfinished end stays so: the server died in the middle of it.
            yield from self._by_lines(at)

    def _by_lines(self, from_bytes: int) -> Iterator[Record | Unreadable]:
        self._file.seek(from_bytes)
        lines: list[bytes] = []
        size = 0
        at = from_bytes
        at_line_start = True
        for line in iter(partial(self._file.readline, RECORD_MAXIMUM_BYTES), b""):
            at += len(line)
            if line == b"\n" and at_line_start:
                if size > RECORD_MAXIMUM_BYTES:
                    yield Unreadable(_TOO_LONG, at, _text(lines))
                elif lines:
                    yield from _read(b"".join(lines), at)
                lines, size = [], 0
                continue
            at_line_start = line.endswith(b"\n")
            size += len(line)
            # What is over-long is passed over as a whole: its end must not be taken for a record of its own.
            if size <= RECORD_MAXIMUM_BYTES:
                lines.append(line)
        if lines or size:
            reason = _TOO_LONG if size > RECORD_MAXIMUM_BYTES else "the file ends within a record"
            yield Unreadable(reason, at, _text(lines))

    def last_records(self, most_bytes: int) -> Iterator[Record | Unreadable]:
        """The records among the last bytes of the file; the first may be cut. The place of `records` stays its own."""
        before = self._file.tell()
        try:
            yield from self.records(max(0, self.size_bytes - most_bytes))
        finally:
            self._file.seek(before)

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return self.path.stat().st_size

    def remove(self) -> None:
        """Everything is in the database: the file may go. The lock is held until it is gone."""
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _read(data: bytes, end_bytes: int) -> Iterator[Record | Unreadable]:
    piece = _parse(data, end_bytes)
    if isinstance(piece, Unreadable):
        # A server that died while it wrote left half a record, and the next one begins right behind it. That one was
        # acknowledged, and must neither be lost nor take the half record's attributes for its own.
        begins = max((found.start() for found in _HEADER.finditer(data)), default=0)
        if begins:
            cut_at = end_bytes - 1 - (len(data) - begins)
            yield Unreadable("the record ends where another one begins", cut_at, _text([data[:begins]]))
            piece = _parse(data[begins:], end_bytes)
    yield piece


def _parse(data: bytes, end_bytes: int) -> Record | Unreadable:
    text = _text([data])
    # Nearly every record has only lines of this form; one that has others is looked at line by line.
    found = _PLAIN.findall(text)
    if found and len(found) == text.count("\n") - 1:
        return Record(found, end_bytes, text)
    lines = [line + b"\n" for line in data.rstrip(b"\n").split(b"\n")]
    attributes: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, separator, value = line.rstrip(b"\n").decode("utf-8", "replace").strip("\t").partition(" = ")
        if not separator or line[:1] != b"\t" or not _is_whole(value):
            return Unreadable(f"a line is no attribute: {name[:80]!r}", end_bytes, text)
        attributes.append((name, unquoted(value)))
    if not attributes:
        return Unreadable("a record has no attributes", end_bytes, text)
    return Record(attributes, end_bytes, text)


def _is_whole(value: str) -> bool:
    """Text ends as it began, with a quote; numbers, names, addresses and octets hold no blank."""
    if value[:1] == '"':
        return len(value) > 1 and value[-1] == '"'
    return " " not in value


def unquoted(value: str) -> str:
    r"""A printed value as it was: quotes taken off, `\n`, `\"`, `\\` and octal `\377` undone."""
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    inside = value[1:-1]
    if "\\" not in inside:
        return inside
    result = bytearray()
    at = 0
    while at < len(inside):
        letter = inside[at]
        if letter != "\\" or at + 1 == len(inside):
            result += letter.encode()
            at += 1
            continue
        following = inside[at + 1]
        digits = inside[at + 1 : at + 4]
        if len(digits) == 3 and all(digit in "01234567" for digit in digits):
            result.append(int(digits, 8) & 0xFF)
            at += 4
            continue
        result += _ESCAPES.get(following, "\\" + following).encode()
        at += 2
    return result.decode("utf-8", "replace")


def _text(lines: list[bytes]) -> str:
    return b"".join(lines).decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
