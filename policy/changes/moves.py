"""The life of a thing as one table of allowed moves; any other move raises."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from policy.errors import PolicyError

State = TypeVar("State", bound=StrEnum)


class MoveNotAllowed(PolicyError):  # noqa: N818 - reads as what happened
    """The state does not allow this move; somebody else moved it first, or the program is wrong."""


def move(table: Mapping[State, frozenset[State]], now: State, to: State) -> State:
    """`to`, if the table allows it from `now`. Raises MoveNotAllowed with the moves that are allowed."""
    if to not in table[now]:
        allowed = ", ".join(sorted(table[now])) or "nothing, it has ended"
        raise MoveNotAllowed(f"it is {now.value} and cannot become {to.value}; from here it may become: {allowed}")
    return to
