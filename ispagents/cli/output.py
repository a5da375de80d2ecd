"""What commands print: tables and lines for people, JSON for programs. Letters that could steer a terminal are escaped.

Print after the transaction, never inside it: a reader that closes the pipe must not undo what was stored.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from policy.money import currency as currencies

WIDTH = 100
_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass
class _Shown:
    zone: tzinfo = UTC


_shown = _Shown()


def use_zone(zone: tzinfo) -> None:
    """Print moments in this time zone from here on: the operator's, in which dates are typed too. JSON stays in UTC."""
    _shown.zone = zone


def show(
    rows: Iterable[dict[str, Any]],
    *,
    as_json: bool,
    title: str,
    empty: str,
    columns: Sequence[str] = (),
    more: str = "",
) -> None:
    """Print rows as a table of some columns (all, if none are named), or as a JSON list of whole rows.

    `empty` says what to do when there are none; `more` says how to get the next page.
    """
    found = list(rows)
    if as_json:
        print_json(found)
        return
    if not found:
        _write(empty)
        return
    names = list(columns or found[0])
    if any(isinstance(row[name], datetime) for row in found for name in names):
        title += f" (times of {_shown.zone})"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in found:
        table.add_row(*(Text(_cell(row[name])) for name in names))
    text = io.StringIO()
    Console(file=text, width=WIDTH, color_system=None).print(table)
    _write("\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines()))
    if more:
        _write(printable(more))


def show_one(row: dict[str, Any], *, as_json: bool) -> None:
    """Print one thing as `name  value` lines, or as a JSON object."""
    if as_json:
        print_json(row)
        return
    shown = {name: value for name, value in row.items() if not name.endswith("_minor")}  # it stands beside in words
    width = max(len(name) for name in shown)
    for name, value in shown.items():
        text = moment_text(value) if isinstance(value, datetime) else _cell(value)
        _write(f"{name.replace('_', ' '):<{width}}  {text}")


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs."""
    sys.stdout.write(json.dumps(value, default=_plain, ensure_ascii=False, indent=2) + "\n")


def print_lines(text: str) -> None:
    """Print text of several lines; what is not printable within a line is escaped."""
    for line in text.split("\n"):
        _write(printable(line))


def printable(text: str) -> str:
    """The text with every letter that is not printable (control, direction, unassigned) written as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def money_text(minor: int, currency: str) -> str:
    """An amount for people."""
    return currencies.money(minor, currency)


def moment_text(at: datetime) -> str:
    """A moment for people in the time zone in use, to the second and with its offset."""
    return f"{at.astimezone(_shown.zone):%Y-%m-%d %H:%M:%S%z}"


def bytes_text(number: int) -> str:
    """An amount of bytes for people, by thousands, such as 12.3 GB."""
    size = float(number)
    for unit in _BYTES[:-1]:
        if abs(size) < 1000:
            return f"{size:.1f} {unit}" if unit != _BYTES[0] else f"{number} {unit}"
        size /= 1000
    return f"{size:.1f} {_BYTES[-1]}"


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(_shown.zone):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(part) for part in value) or "-"
    if isinstance(value, dict):
        return printable(json.dumps(value, default=_plain, ensure_ascii=False)) if value else "-"
    return printable(str(value))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
