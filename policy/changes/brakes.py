"""Brakes: how much may run by itself, so that one wrong import never suspends a town."""

from __future__ import annotations

from typing import NamedTuple


class BrakeTerms(NamedTuple):
    """Per run and kind: `percent` of the active services, at most `number`; `free` may always run, or the brake of a
    small ISP would stop its every day.
    """

    percent: float = 5.0
    number: int = 500
    free: int = 20


def allowed(active: int, terms: BrakeTerms) -> int:
    """How many may run by themselves where `active` services are in use."""
    return max(terms.free, min(terms.number, int(active * terms.percent / 100)))
