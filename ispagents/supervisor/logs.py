"""A log file for each child, rotated by size, and the few lines that a person at the terminal should see."""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LOG_LIMIT_BYTES: Final = 10_000_000
OLD_LOGS: Final = 3  # NAME.log.1 is the newest of them
LINE_LIMIT_BYTES: Final = 65_536  # a longer line is cut in two, so that a child cannot fill our memory
SHOWN_LINES: Final = 20  # on the terminal, a child and period; the rest is in its log
SHOWN_PERIOD_S: Final = 10.0
SHOWN_CHARACTERS: Final = 400

Say = Callable[[str, str], None]
"""Shows a person one line: the child's name (or "supervisor"), and the text."""


def say_on_terminal(name: str, text: str) -> None:
    """Write a prefixed line to standard error; a closed terminal is no reason to stop."""
    try:
        sys.stderr.write(f"{name:<12} | {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return


class RotatingFile:
    """A log file that is set aside when it has grown. A full disk loses lines, never the process."""

    def __init__(self, path: Path, *, limit_bytes: int = LOG_LIMIT_BYTES, old: int = OLD_LOGS) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        self._old = old
        self.lost_lines = 0

    def write(self, data: bytes) -> None:
        """Append; counts what cannot be written in `lost_lines`.

        The file is opened for each write, so that one moved or removed by somebody else is simply made anew.
        """
        try:
            if self._size() + len(data) > self._limit_bytes:
                self._rotate()
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640), "ab") as file:
                file.write(data)
        except OSError:
            self.lost_lines += max(1, data.count(b"\n"))

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _rotate(self) -> None:
        for number in range(self._old - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        if self.path.exists():
            self.path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class ChildLog:
    """Takes a child's output as it comes, keeps all of it in a file and shows the alarming lines."""

    def __init__(self, name: str, path: Path, shown: str, say: Say) -> None:
        self._name = name
        self._file = RotatingFile(path)
        self._shown = re.compile(shown)
        self._say = say
        self._rest = b""
        self._period_start = 0.0
        self._in_period = 0
        self.last_line = ""

    def begin(self) -> None:
        """A new process speaks: forget the last words of the one before."""
        self._rest = b""
        self.last_line = ""

    def feed(self, data: bytes) -> None:
        """Take a piece of output; an unfinished line waits for its end."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_LIMIT_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if lines:
            self._file.write(b"\n".join(lines) + b"\n")
        for line in lines:
            self._consider(line)

    def finish(self) -> None:
        """Take the end of the output: an unfinished line counts as a line."""
        if self._rest:
            self.feed(b"\n")

    def _consider(self, line: bytes) -> None:
        text = line.decode("utf-8", errors="replace").rstrip()
        if not text:
            return
        self.last_line = text[:SHOWN_CHARACTERS]
        if not self._shown.search(text):
            return
        now = time.monotonic()
        if now - self._period_start > SHOWN_PERIOD_S:
            self._period_start, self._in_period = now, 0
        self._in_period += 1
        if self._in_period <= SHOWN_LINES:
            self._say(self._name, _harmless(self.last_line))
        elif self._in_period == SHOWN_LINES + 1:
            self._say(self._name, f"... more in {self._file.path}")


def _harmless(text: str) -> str:
    """Take control characters out: output repeats what strangers sent, and must not steer a terminal."""
    return "".join(character if character.isprintable() or character == "\t" else "?" for character in text)
