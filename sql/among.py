"""A condition that is one and the same statement however many values it has, so that neither side prepares it anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, any_, literal
from sqlalchemy.orm import InstrumentedAttribute


def among(column: InstrumentedAttribute[Any], values: Iterable[Any]) -> ColumnElement[bool]:
    """Whether the column is one of these. `in_` would write a parameter for each: milliseconds for some hundred."""
    return column == any_(literal(list(values), ARRAY(column.type)))
