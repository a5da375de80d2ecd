"""Whose payment is this? One sure match is booked; whatever is unsure waits for a person, and restores nobody.

What the payer wrote about *whom* it is for (customer number, invoice number, user name) goes before *who* paid (phone,
account): a father pays for his daughter. Amounts and names alone are never enough. A word is sure only where it can
hardly stand there by chance: a customer number with a digit, of three letters or four digits and more, that is no year
and not the amount itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from policy.money.creditor_reference import creditor_references
from policy.money.currency import written
from policy.money.incoming import Incoming, Wanted
from policy.wording import short

WORDS_MOST: Final = 64
WORDS_TOGETHER_MOST: Final = 3
CANDIDATES_MOST: Final = 5
PHONE_DIGITS_LEAST: Final = 8  # the end of a number by which it is found; shorter ones are extensions
ACCOUNT_DIGITS_LEAST: Final = 8
SURE_LETTERS_LEAST: Final = 3
SURE_DIGITS_LEAST: Final = 4  # of a word of digits alone: house numbers are shorter
_EDGES: Final = ".,;:!?()[]{}<>\"'#*"
_SPLIT: Final = re.compile(r"[\s,;:/|#()\[\]]+")
_YEAR: Final = re.compile("2[01][0-9]{2}")
_INVOICE: Final = re.compile("(2[01][0-9]{2})-([0-9]{1,9})")
_MONTH: Final = re.compile("2[01][0-9]{2}-(0?[1-9]|1[0-2])")


class Clue(StrEnum):
    """What connects a payment with a customer, the strongest first."""

    NUMBER = "number"
    INVOICE = "invoice"
    USERNAME = "username"
    PHONE = "phone"
    PAYER = "payer"
    AMOUNT = "amount"
    NAME = "name"


class Hit(NamedTuple):
    """Something in the truth that fits. `found` is as the truth has it: a customer number, a user name, a phone."""

    subscriber_id: int
    clue: Clue
    found: str


class Candidate(NamedTuple):
    """Somebody whom the payment may be from, with reasons as clauses."""

    subscriber_id: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """`subscriber_id` None: a person decides. The explanation is a sentence; the likeliest candidate comes first."""

    subscriber_id: int | None
    explanation: str
    candidates: tuple[Candidate, ...]


_WEIGHT: Final = {clue: 2 ** (len(Clue) - place) for place, clue in enumerate(Clue)}
_SURE_WEIGHT: Final = 2 ** (len(Clue) + 1)
_NAMES_WHOM: Final = frozenset({Clue.NUMBER, Clue.INVOICE, Clue.USERNAME})


def wanted(one: Incoming) -> Wanted:
    """What to look for, so that a whole file is looked up in a few queries."""
    words = set(_words(one.reference))
    # People write numbers and names in the case that their keyboard has.
    asked = {form for word in words for form in (word, word.upper(), word.lower())}
    asked |= set(creditor_references(one.reference))
    if one.username.strip():
        asked.add(one.username.strip())
    texts = [one.phone, *words]
    ends = {phone[-PHONE_DIGITS_LEAST:] for phone in map(phone_digits, texts) if phone}
    found = (_INVOICE.fullmatch(word) for word in words)
    return Wanted(
        frozenset(asked),
        frozenset((int(match[1]), int(match[2])) for match in found if match),
        frozenset(ends),
        frozenset(_names(one.payer)),
    )


def match(one: Incoming, hits: Iterable[Hit]) -> Match:
    """Whose payment this is, by everything that was found for it."""
    reading = _Reading(one)
    weights: dict[int, int] = {}
    reasons: dict[int, dict[str, int]] = {}
    named: set[int] = set()  # surely named as whom it is for
    maybe: set[int] = set()  # named by a word that may stand there by chance
    payers: set[int] = set()  # known as who paid
    found = sorted({hit for hit in hits if reading.fits(hit)})
    exact = {hit.subscriber_id for hit in found if hit.clue is Clue.AMOUNT}
    accounts = {hit.subscriber_id for hit in found if hit.clue is Clue.PAYER}
    for hit in found:
        sure = reading.is_sure(hit, exact)
        weight = _WEIGHT[hit.clue] + (_SURE_WEIGHT if sure else 0)
        weights[hit.subscriber_id] = weights.get(hit.subscriber_id, 0) + weight
        reasons.setdefault(hit.subscriber_id, {})[reading.reason(hit)] = weight
        if hit.clue in _NAMES_WHOM:
            (named if sure else maybe).add(hit.subscriber_id)
        elif sure and (hit.clue is not Clue.PAYER or len(accounts) == 1):
            payers.add(hit.subscriber_id)
    order = sorted(weights, key=lambda subscriber_id: (-weights[subscriber_id], subscriber_id))
    candidates = tuple(
        Candidate(
            subscriber_id, tuple(sorted(reasons[subscriber_id], key=lambda why: (-reasons[subscriber_id][why], why)))
        )
        for subscriber_id in order[:CANDIDATES_MOST]
    )
    chosen = named or (payers if maybe <= payers else set())
    if len(chosen) == 1 and not reading.unknown_username(found):
        (subscriber_id,) = chosen
        why = ", ".join(next(one.reasons for one in candidates if one.subscriber_id == subscriber_id))
        return Match(subscriber_id, f"One sure match: {why}.", candidates)
    return Match(None, _why_not(named, chosen, candidates, reading.unknown_username(found)), candidates)


def phone_digits(text: str) -> str:
    """The digits of a phone number without what is only dialled first (+, 00, 0); "" where it is none."""
    if not re.fullmatch(r"[+0-9()./\-\s]+", text):
        return ""
    found = "".join(letter for letter in text if letter in "0123456789").lstrip("0")
    return found if PHONE_DIGITS_LEAST <= len(found) <= 15 else ""  # 15: the most that E.164 has


class _Reading:
    """What one payment says, in the forms in which hits are held against it."""

    def __init__(self, one: Incoming) -> None:
        self._one = one
        self._words = {word.lower() for word in _words(one.reference)}
        self._checked = {word.lower() for word in creditor_references(one.reference)}
        self._phones = {digits for digits in map(phone_digits, [one.phone, *self._words]) if digits}
        amount = written(one.amount_minor, one.currency)
        self._amounts = {amount, amount.replace(".", ","), amount.partition(".")[0]}

    def fits(self, hit: Hit) -> bool:
        """The truth is asked for less than is meant: the end of a phone number, the words of all payments of a file."""
        if hit.clue is Clue.PHONE:
            return any(_same_phone(phone_digits(hit.found), phone) for phone in self._phones)
        if hit.clue in _NAMES_WHOM:
            return self._is_written(hit.found) or (hit.clue is Clue.USERNAME and self._is_username(hit))
        return True

    def is_sure(self, hit: Hit, exact: set[int]) -> bool:
        """Whether this alone says whose it is. `exact`: who owes exactly this amount."""
        if hit.clue is Clue.NUMBER:
            return hit.found.lower() in self._checked or self._is_whole(hit.found) or self._is_telling(hit.found)
        if hit.clue is Clue.INVOICE:
            # 2026-11 may be an invoice, or November.
            return not _MONTH.fullmatch(hit.found) or hit.subscriber_id in exact or self._is_whole(hit.found)
        if hit.clue is Clue.USERNAME:
            return self._is_username(hit) or self._is_whole(hit.found) or self._is_telling(hit.found)
        if hit.clue is Clue.PAYER:
            # Names repeat; an account that paid for one customer before, and now exactly what that one owes, does not.
            digits = sum(letter.isdigit() for letter in self._one.payer)
            return digits >= ACCOUNT_DIGITS_LEAST and hit.subscriber_id in exact
        return hit.clue is Clue.PHONE

    def reason(self, hit: Hit) -> str:
        """A clause for people."""
        found = short(hit.found)
        return {
            Clue.NUMBER: f"the reference has the customer number {found}",
            Clue.INVOICE: f"the reference has the invoice number {found}",
            Clue.USERNAME: f"the user name {found} is named",
            Clue.PHONE: f"the phone number {found} is the customer's",
            Clue.PAYER: "the same payer paid for this customer before",
            Clue.AMOUNT: f"exactly this amount is open on invoice {found}",
            Clue.NAME: "payer and customer have the same name",
        }[hit.clue]

    def unknown_username(self, found: Sequence[Hit]) -> bool:
        """Whether the source names a user that nobody is."""
        return bool(self._one.username.strip()) and not any(
            hit.clue is Clue.USERNAME and self._is_username(hit) for hit in found
        )

    def _is_username(self, hit: Hit) -> bool:
        return hit.found == self._one.username.strip() != ""

    def _is_written(self, text: str) -> bool:
        return text.lower() in self._words or text.lower() in self._checked

    def _is_whole(self, text: str) -> bool:
        """Whether the reference is this and nothing else."""
        return self._one.reference.strip().strip(_EDGES).strip().lower() == text.lower() and text not in self._amounts

    def _is_telling(self, text: str) -> bool:
        """Whether a word like this hardly stands anywhere by chance."""
        if not any(letter.isdigit() for letter in text) or _YEAR.fullmatch(text) or text in self._amounts:
            return False
        return len(text) >= (SURE_DIGITS_LEAST if text.isdigit() else SURE_LETTERS_LEAST)


def _words(reference: str) -> list[str]:
    """The words of a reference, and up to three that stand together, since a customer number may have blanks."""
    plain = [word for word in reference.split() if word][:WORDS_MOST]
    parts = [word for word in _SPLIT.split(reference) if word][:WORDS_MOST]
    together = [
        " ".join(words[place : place + count])
        for words in (plain, parts)
        for count in range(1, WORDS_TOGETHER_MOST + 1)
        for place in range(len(words) - count + 1)
    ]
    return list(dict.fromkeys(form for word in together for form in (word, word.strip(_EDGES)) if form))


def _names(payer: str) -> Iterator[str]:
    """A payer's name in lower case, in both orders, without the account that may stand behind it."""
    words = payer.partition("(")[0].replace(",", " ").lower().split()
    if 2 <= len(words) <= 4:  # one word is no person's name, and five are an address
        yield " ".join(words)
        yield " ".join([*words[1:], words[0]])
        yield " ".join([words[-1], *words[:-1]])


def _same_phone(one: str, other: str) -> bool:
    """Whether two numbers are one, with and without the country's."""
    return bool(one and other) and (one.endswith(other) or other.endswith(one))


def _why_not(named: set[int], chosen: set[int], candidates: Sequence[Candidate], unknown_username: bool) -> str:
    if unknown_username:
        return "It names a user name that nobody has."
    if len(named) > 1:
        return "It names more than one customer."
    if len(chosen) > 1:
        return "It fits more than one customer."
    if not candidates:
        return "Nothing in it belongs to any customer."
    return "Nothing in it is sure."
