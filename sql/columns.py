"""Rows as PostgreSQL arrays, one for each column, for `unnest`.

As text that the server reads: the driver's own arrays cost several times as much, and a batch has twenty of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any


def columns(rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """The columns of rows, at least one, as array literals (PostgreSQL, 8.15.6). Numbers, text, moments, None."""
    return tuple(literal(column) for column in zip(*rows, strict=True))


def literal(values: Iterable[Any]) -> str:
    """One array literal."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    if value is None:
        return "NULL"
    if isinstance(value, date):  # and datetime, which is one
        return f'"{value}"'
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
