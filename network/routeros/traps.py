"""What a router means by `!trap`, by its text: the category may be missing, and says less than the words.

The texts are those that public code and its tests have met on routers of versions 6 and 7 (mikrotik-facts.md, 4.1);
`tests/unit/network/routeros/test_routeros_traps.py` lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from network.routeros.errors import (
    AlreadyExistsError,
    BusyError,
    FullError,
    InvalidValueError,
    NoSuchItemError,
    NoSuchMenuError,
    NotPermittedError,
    RefusedError,
    WrongPasswordError,
)

MAX_SAID: Final = 400  # characters of a router's own words that are kept; its texts are a line
INTERRUPTED: Final = "2"  # the only category that says more than the texts do

# The first row of which all words are in the text wins, so the narrower ones stand first.
_MEANINGS: Final[tuple[tuple[tuple[str, ...], type[RefusedError], str], ...]] = (
    (
        ("invalid user name or password",),
        WrongPasswordError,
        "set the user name and password of the router's /user entry here",
    ),
    (("cannot log in",), WrongPasswordError, "set the user name and password of the router's /user entry here"),
    (("not enough permissions",), NotPermittedError, "give the group of our user the policies that the setup names"),
    (("no permission",), NotPermittedError, "give the group of our user the policies that the setup names"),
    (("not permitted",), NotPermittedError, "give the group of our user the policies that the setup names"),
    (("no such command",), NoSuchMenuError, "this version has no such menu, or a package is missing"),
    (("no such directory",), NoSuchMenuError, "this version has no such menu, or a package is missing"),
    (("unknown command",), NoSuchMenuError, "this version has no such menu, or a package is missing"),
    (("already have", "such"), AlreadyExistsError, "look at the router: an item of that key is there already"),
    (("already exists",), AlreadyExistsError, "look at the router: an item of that key is there already"),
    (("no such item",), NoSuchItemError, "read the router again: the item has gone"),
    (("expected item id",), NoSuchItemError, "read the router again: the item has gone"),
    (("missing or invalid resource identifier",), NoSuchItemError, "read the router again: the item has gone"),
    (("dynamic",), RefusedError, "the router made the item itself for a session: end the session instead"),
    (("can not add more",), FullError, "make room on the router: a list is at its limit"),
    (("contents too long",), FullError, "make room on the router, or shorten the value"),
    (("too many",), FullError, "make room on the router: a list or a licence is at its limit"),
    (("not enough memory",), FullError, "make room on the router: its memory is full"),
    (("out of memory",), FullError, "make room on the router: its memory is full"),
    (("no space left",), FullError, "make room on the router: its disk is full"),
    (("disk full",), FullError, "make room on the router: its disk is full"),
    (("license",), FullError, "the router's licence allows no more of these"),
    (("unknown parameter",), InvalidValueError, "this version does not know the field"),
    (("does not match any value",), InvalidValueError, "the value names something that the router does not have"),
    (("invalid", "value"), InvalidValueError, "correct the value"),
    (("ambiguous value",), InvalidValueError, "correct the value: several things begin like it"),
    (("invalid internal item number",), NoSuchItemError, "read the router again: the item has gone"),
    (("value of", "expected"), InvalidValueError, "correct the value"),
    (("value of", "range"), InvalidValueError, "correct the value"),
    (("value of", "longer"), InvalidValueError, "shorten the value"),
    (("must be",), InvalidValueError, "correct the value"),
    (("expects",), InvalidValueError, "correct the value"),
    (("missing =",), InvalidValueError, "give the field that is missing"),
    (("missing value",), InvalidValueError, "give the field that is missing"),
    (("interrupted",), BusyError, "try again"),
    (("timeout",), BusyError, "try again when the router is less busy"),
    (("timed out",), BusyError, "try again when the router is less busy"),
    (("busy",), BusyError, "try again when the router is less busy"),
    (("try again",), BusyError, "try again when the router is less busy"),
)


class Trap(NamedTuple):
    """One `!trap`, as the router sent it; "" is what it left out."""

    message: str
    category: str


def classify(traps: Sequence[Trap]) -> RefusedError:
    """The error that one command's traps amount to: that of the first whose text is known, with all of the texts."""
    said = "; ".join(_printable(trap.message) for trap in traps)[:MAX_SAID] or "no reason given"
    for trap in traps:
        text = trap.message.lower()
        for words, kind, advice in _MEANINGS:
            if all(word in text for word in words):
                return kind(said, trap.category, f"The router refused ({said}): {advice}.")
    category = next((trap.category for trap in traps if trap.category), "")
    if category == INTERRUPTED:
        return BusyError(said, category, f"The router was interrupted ({said}): try again.")
    return RefusedError(said, category, f"The router refused ({said}); see its log for more.")


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text).strip()
