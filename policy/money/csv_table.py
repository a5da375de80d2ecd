"""CSV files as banks and other programs write them: encodings, separators and headers found out, within limits."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from policy.errors import PolicyError

SIZE_MAXIMUM_BYTES: Final = 10 * 2**20
ROWS_MAXIMUM: Final = 100_000
SEPARATORS: Final = (",", ";", "\t", "|")
# Statements begin with lines about the account; the header stands below them.
HEADER_WITHIN_ROWS: Final = 50
_SNIFFED_ROWS: Final = 20
# What a file may be in, where somebody says so: every byte is some letter of most of them, so nobody can find it out.
ENCODINGS: Final = ("utf-8", "utf-16", "cp1250", "cp1251", "cp1252", "cp852", "iso-8859-1", "iso-8859-2", "iso-8859-15")
WESTERN: Final = "cp1252"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TableError(PolicyError):
    """A file cannot be read as a table; the text says why, as a clause without a full stop."""


class Row(NamedTuple):
    """A row, and the line of the file on which it begins (from 1)."""

    line: int
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file that are not empty, its header among them."""

    rows: tuple[Row, ...]
    encoding: str
    separator: str


@dataclass(frozen=True, slots=True)
class Columns:
    """Where each known column stands, by its name of ours; the rows below `header` are data."""

    header: Row
    places: Mapping[str, int]
    data: tuple[Row, ...]

    def text(self, row: Row, column: str) -> str:
        """What a row has in a column, without blanks at its ends; "" where it has no such field."""
        place = self.places.get(column)
        return row.fields[place].strip() if place is not None and place < len(row.fields) else ""

    def is_cut_off(self, row: Row) -> bool:
        """Whether a row ends before a column that is read from this file."""
        return len(row.fields) <= max(self.places.values(), default=-1)


def read_table(data: bytes, encoding: str = "", usual: str = WESTERN) -> Table:
    """The table in a file, separated by comma, semicolon, tab or bar.

    Without an `encoding` (one of ENCODINGS) it is UTF-8, UTF-16, or else the eight-bit one that is `usual` there.
    Raises TableError for a file that is empty, too large, none of these, or has a quotation without its end.
    """
    if encoding and encoding not in ENCODINGS:
        raise TableError(f"{encoding[:40]!r} is no encoding that is read here; it is one of {', '.join(ENCODINGS)}")
    if len(data) > SIZE_MAXIMUM_BYTES:
        raise TableError(f"the file is larger than {SIZE_MAXIMUM_BYTES // 2**20} MiB; split it")
    text, found = _decoded(data, [encoding] if encoding else [], usual)
    separator, text = _separator(text)
    rows = tuple(islice(_rows(text, separator), ROWS_MAXIMUM + 2))
    if not rows:
        raise TableError("the file is empty")
    if len(rows) > ROWS_MAXIMUM + 1:
        raise TableError(f"the file has more than {ROWS_MAXIMUM} rows; split it")
    return Table(rows, found, separator)


def find_columns(
    table: Table, known: Mapping[str, Sequence[str]], needed: Sequence[Sequence[str]], given: Mapping[str, str]
) -> Columns:
    """The header and what stands where: by the names `given` for this file, otherwise by those that are `known`.

    `needed`: of each of these groups one column at least. Raises TableError.
    """
    for place, row in enumerate(table.rows[:HEADER_WITHIN_ROWS]):
        places = _places(row, known, given)
        if all(any(name in places for name in group) for group in needed) and set(given) <= set(places):
            return Columns(row, places, table.rows[place + 1 :])
    asked = [f"{name} {header!r}" for name, header in given.items()]
    asked += [" or ".join(group) for group in needed if not set(group) & set(given)]
    raise TableError(f"the file has no header with the columns {', '.join(asked)}; name them by options")


def plain(header: str) -> str:
    """A column's name without case, accents and punctuation, as names are compared."""
    letters = unicodedata.normalize("NFKD", header.replace("ł", "l").replace("Ł", "l"))
    kept = "".join(one if one.isalnum() else " " for one in letters if not unicodedata.combining(one))
    return " ".join(kept.casefold().split())


def _decoded(data: bytes, said: list[str], usual: str) -> tuple[str, str]:
    encodings = [encoding for mark, encoding in _MARKS if data.startswith(mark)] or said or _unmarked(data, usual)
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        return text, encoding
    tried = ", ".join(said or ("utf-8", "utf-16", usual))
    raise TableError(f"the file is no text in {tried}; save it as CSV in UTF-8, or say --encoding")


def _unmarked(data: bytes, usual: str) -> list[str]:
    start = data[:1000]
    if start[1::2].count(0) > len(start) // 4:
        return ["utf-16-le"]
    if start[::2].count(0) > len(start) // 4:
        return ["utf-16-be"]
    return ["utf-8", usual]


def _separator(text: str) -> tuple[str, str]:
    """The separator, and the text without the line in which Excel names it."""
    first, _, rest = text.partition("\n")
    if first.startswith("sep=") and first.strip()[4:] in SEPARATORS:
        return first.strip()[4:], "\n" + rest
    return max(SEPARATORS, key=lambda one: _score(text, one)), text


def _score(text: str, separator: str) -> int:
    """How often it separates the first rows that have the same number of fields, so that columns beat decimal commas.

    Up to a row that cannot be read: where the separator is the right one, that row is told.
    """
    widths: Counter[int] = Counter()
    with suppress(TableError):
        for row in islice(_rows(text, separator), _SNIFFED_ROWS):
            widths[len(row.fields)] += 1
    return max((rows * (width - 1) for width, rows in widths.items()), default=0)


def _rows(text: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    begins = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield Row(begins, tuple(fields))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise TableError(f"line {begins} of the file cannot be read ({error}); look at its quotation marks") from error


def _places(row: Row, known: Mapping[str, Sequence[str]], given: Mapping[str, str]) -> dict[str, int]:
    names = [plain(field) for field in row.fields]
    places = {}
    for column in [*known, *(name for name in given if name not in known)]:
        wanted = [plain(given[column])] if column in given else [plain(name) for name in known[column]]
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is not None:
            places[column] = place
    return places
