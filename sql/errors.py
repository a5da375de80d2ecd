"""What the truth refuses, in one sentence that says what happened and what to do."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818 - reads as what happened
    """A person's request cannot be stored as it is. Asking again changes nothing until something else changes."""


class NotFound(Refused):
    """There is nothing of that name or number for this operator."""
