"""A file of anchors, outside the database: one line of JSON for the end of a chain at a moment, only ever added to.

Whoever can rewrite the database should not be able to write this file: another machine's disk, or `chattr +a`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy.audit_chain import Anchor, anchor_line, read_anchor
from policy.errors import PolicyError

LINE_MAXIMUM_LETTERS = 1000
TAIL_BYTES = 64 * 1024  # enough for the last line of a few hundred operators


class AnchorFile:
    """An anchor file that is open for adding, and locked."""

    def __init__(self, descriptor: int) -> None:
        """Made by `opened`."""
        self._descriptor = descriptor

    def newest(self) -> dict[int, Anchor]:
        """The last anchor of each operator that stands near the end of the file."""
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, TAIL_BYTES, max(0, size - TAIL_BYTES))
        found = {}
        for line in tail.decode(errors="replace").splitlines():
            with contextlib.suppress(PolicyError):  # the first line may be cut; `audit verify` names a wrong one
                one = read_anchor(line)
                found[one.operator_id] = one
        return found

    def add(self, one: Anchor) -> None:
        """Add a line. Raises OSError; a line that does not fit on the disk is taken back."""
        size = os.fstat(self._descriptor).st_size
        line = (anchor_line(one) + "\n").encode()
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line  # what a lost power left of a line stays alone; this one can be read
        if os.write(self._descriptor, line) != len(line):
            os.ftruncate(self._descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def opened(path: Path) -> Iterator[AnchorFile]:
    """The file, made if it is not there, for one writer at a time; on the disk when the block ends. Raises OSError.

    Read the chain's end inside the block: then lines stand in the order of what they say.
    """
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield AnchorFile(descriptor)
        os.fsync(descriptor)
        if is_new:
            _sync_folder(path.parent)
    finally:
        os.close(descriptor)


def read(path: Path, operator_id: int) -> Iterator[Anchor]:
    """The anchors of an operator, in the order of their lines. Raises OSError, and PolicyError with the wrong line."""
    with path.open(encoding="utf-8", errors="replace") as file:
        number = 0
        while line := file.readline(LINE_MAXIMUM_LETTERS):
            number += 1
            try:
                one = read_anchor(line)
            except PolicyError as error:
                raise PolicyError(f"line {number} of {str(path)!r} is no anchor: {error}") from error
            if one.operator_id == operator_id:
                yield one


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
