"""Files that commands read and write: read up to a limit, and written whole or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ispagents.errors import Problem
from policy.money.csv_table import SIZE_MAXIMUM_BYTES


def table_bytes(file: Path) -> bytes:
    """What a CSV file holds, as far as `file_bytes` reads it. Raises Problem."""
    return file_bytes(file, SIZE_MAXIMUM_BYTES)


def file_bytes(file: Path, most: int) -> bytes:
    """What a file holds; of one that is too large to be read, one byte more than allowed. Raises Problem."""
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except (OSError, ValueError) as error:
        raise Problem(f"The file {str(file)!r} cannot be read: {why(error)}.") from error


def write_rows(file: Path, rows: Iterable[Sequence[Any]], *, otherwise: str = "") -> int:
    """Write rows as CSV (UTF-8), however many; returns how many.

    `otherwise`: what became of the rest when it could not be written, for the end of that sentence. Raises Problem.
    """
    count = 0
    with _whole(file, otherwise) as place, place.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def write_bytes(file: Path, data: bytes) -> None:
    """Write a file. Raises Problem."""
    with _whole(file) as place:
        place.write_bytes(data)


@contextmanager
def _whole(file: Path, otherwise: str = "") -> Iterator[Path]:
    """Where to write: beside the file, which is put in its place at the end, so nobody takes half of it for the whole.

    A pipe or a terminal has nothing beside it.
    """
    partial = None
    try:
        if file.exists() and not file.is_file():
            yield file
            return
        target = Path(os.path.realpath(file))  # of a link: what it leads to
        partial = target.with_name(f".ispagents-{os.getpid()}.partial")
        yield partial
        partial.replace(target)
    except (OSError, ValueError) as error:
        raise Problem(f"The file {str(file)!r} cannot be written: {why(error)}{otherwise}.") from error
    finally:
        if partial is not None:
            with suppress(OSError):
                partial.unlink()


def why(error: Exception) -> str:
    """Why the system refused a file, in its own words."""
    return str(getattr(error, "strerror", None) or error)
