"""Figures of many measurements."""

from collections.abc import Sequence
from statistics import quantiles


def percentile(values: Sequence[float], percent: int) -> float:
    """What so many percent of the values, two at least, are not above; with one digit."""
    at: float = quantiles(values, n=100, method="inclusive")[percent - 1]
    return round(at, 1)
