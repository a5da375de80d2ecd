"""RF creditor references (ISO 11649): a customer number with check digits, as banks' forms in euros take it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

WORDS_MOST: Final = 64
_EDGES: Final = ".,;:!?()[]{}<>\"'#*"
_RF: Final = re.compile("RF[0-9]{2}[0-9A-Z]{1,21}")
# Small letters are none in a reference, so a number that has some would not be found again by it.
_NUMBER: Final = re.compile("[0-9A-Z]{1,21}")
_GROUP_LETTERS: Final = 4


def creditor_reference(number: str) -> str:
    """The reference of a customer number, such as RF18539007547034; "" for a number that none can hold."""
    if not _NUMBER.fullmatch(number):
        return ""
    # ISO 7064, MOD 97-10: the check digits leave a rest of 1.
    return f"RF{98 - _rest(number + 'RF00'):02}{number}"


def written_in_groups(reference: str) -> str:
    """A reference as it is printed, in groups of four letters."""
    return " ".join(reference[place : place + _GROUP_LETTERS] for place in range(0, len(reference), _GROUP_LETTERS))


def creditor_references(text: str) -> Iterator[str]:
    """What valid references in a text refer to, in print format too (groups of four)."""
    words = text.upper().split()[:WORDS_MOST]
    for place, word in enumerate(words):
        if word.startswith("RF"):
            for count in range(1, min(8, len(words) - place) + 1):
                joined = "".join(words[place : place + count]).strip(_EDGES)
                if _RF.fullmatch(joined) and _rest(joined[4:] + joined[:4]) == 1:
                    yield joined[4:]


def _rest(moved: str) -> int:
    """ISO 11649 section 5: the rest by 97, letters as 10 to 35, with the first four letters moved to the end."""
    return int("".join(str(int(letter, 36)) for letter in moved)) % 97
