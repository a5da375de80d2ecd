"""Rows as PostgreSQL arrays, one for each column, for `unnest`.

As text that the server reads: the driver's own arrays cost several times as much, and a batch has twenty of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any


def columns(rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """The columns of rows, at least one, as array literals (PostgreSQL, 8.15.6). Numbers, text, moments, None."""
    return tuple(literal(column) for column in zip(*rows, strict=True))


def literal(values: Sequence[Any]) -> str:
    """One array literal."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return "{" + ",".join(map(str, values)) + "}"
    if kinds == {str}:
        # No text of PostgreSQL holds a zero byte, so that it may stand between them while all are escaped at once.
        return '{"' + _escaped("\0".join(values)).replace("\0", '","') + '"}'
    if kinds == {datetime}:
        return '{"' + '","'.join(map(str, values)) + '"}'
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value) if isinstance(value, int) else f'"{_escaped(str(value))}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
