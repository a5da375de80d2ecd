"""What the doctor says: one thing that is wrong or unwise, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

NAMES_SHOWN: Final = 5


class Weight(StrEnum):
    """How much a finding matters."""

    WRONG = "wrong"  # something does not work, or will not
    UNWISE = "unwise"  # it works, and will hurt some day
    NOTE = "note"  # worth knowing


class Finding(NamedTuple):
    """One finding. `code` is for programs and never changes; no secret ever stands in a sentence."""

    code: str
    weight: Weight
    said: str
    todo: str
    where: str = ""


def some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    rest = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
