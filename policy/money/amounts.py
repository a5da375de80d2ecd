"""Amounts: their bounds, and the tax in or on them, to the minor unit."""

from __future__ import annotations

AMOUNT_MAXIMUM_MINOR = 10**15
