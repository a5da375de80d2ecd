"""Standings as programs tell them: one JSON document, read strictly.

    {"as_of": "2026-11-22T02:00:00+01:00", "standings": [
        {"username": "anna", "standing": "suspended"},
        {"customer": "K-1042", "standing": "current", "as_of": "2026-11-22T02:05:00+01:00"}]}

Each row names a service by its user name, or all services of a customer by the customer number. A row's own `as_of`
goes before the document's. A system that has nothing new sends an empty list, so that nobody takes it for silent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from policy.errors import PolicyError
from sql.money.standings import ROWS_AT_ONCE, Assertion

_FIELDS = {"username", "customer", "standing", "as_of"}


def read_standings(document: Any) -> list[Assertion]:
    """The rows of a document. Raises PolicyError, and then none of them is to be taken."""
    rows = document.get("standings") if isinstance(document, dict) else None
    if not isinstance(rows, list) or set(document) - {"standings", "as_of"}:
        raise PolicyError('the body must be an object with "standings", a list, and "as_of"')
    if len(rows) > ROWS_AT_ONCE:
        raise PolicyError(f"at most {ROWS_AT_ONCE} standings are taken in at once")
    usual = document.get("as_of")
    return [_assertion(row, f"standing {place}", usual) for place, row in enumerate(rows, 1)]


def _assertion(row: Any, what: str, usual: Any) -> Assertion:
    if not isinstance(row, dict) or set(row) - _FIELDS or not all(isinstance(value, str) for value in row.values()):
        raise PolicyError(f"{what} must be an object of texts: username or customer, standing, as_of")
    if bool(row.get("username")) == bool(row.get("customer")) or not row.get("standing"):
        raise PolicyError(f"{what} needs a standing, and either a username or a customer")
    try:
        as_of = datetime.fromisoformat(row.get("as_of", usual))
    except (ValueError, TypeError) as error:
        raise PolicyError(
            f"{what} needs as_of, the moment of which it speaks, like 2026-11-22T02:00:00+01:00"
        ) from error
    if as_of.tzinfo is None:
        raise PolicyError(f"the as_of of {what} needs an offset, like 2026-11-22T02:00:00+01:00")
    return Assertion(row["standing"], as_of, row.get("username", ""), row.get("customer", ""))
