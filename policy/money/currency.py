"""Currencies with their own minor units, and amounts read and written exactly: digits and integers, never a float.

ISO 4217:2015, List One as published by the maintenance agency (SIX, https://www.six-group.com/en/products-services/
financial-information/data-standards.html), with its amendments up to number 180 of 2026-01-01 (the Bulgarian lev
ended). Codes without a minor unit (gold, test codes, drawing rights) are no money that a customer could pay with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from policy.errors import PolicyError
from policy.money.amounts import AMOUNT_MAXIMUM_MINOR

Mark = Literal[".", ","]

_ZERO: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY "
    "COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
)
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR: Final = "CLF UYW"
DIGITS: Final = {
    code: digits for digits, codes in ((0, _ZERO), (2, _TWO), (3, _THREE), (4, _FOUR)) for code in codes.split()
}
# What is stored of a currency that ended since; nearly all have cents, and no new amount is read in it.
_DIGITS_OF_OLD: Final = 2
LETTERS_MOST: Final = 40
# Spaces that banks group digits by: plain, no-break, narrow no-break, thin; and apostrophes.
_GROUPING: Final = " \u00a0\u202f\u2009'\u2019"
_SIGN: Final = re.compile(r"([+\-\u2212]?)([^+\-\u2212]*)([+\-\u2212]?)")
_TWO_WAYS: Final = re.compile(f"[0-9]+([.,{_GROUPING}][0-9]*)+")
_OTHER: Final[dict[str, str]] = {".": ",", ",": "."}


class AmountError(PolicyError):
    """A text is no amount that can be booked; the text of the error says why, as a clause without a full stop."""


def is_known(code: str) -> bool:
    """Whether ISO 4217 has this currency today."""
    return code in DIGITS


def digits(code: str) -> int:
    """How many decimals a currency has."""
    return DIGITS.get(code, _DIGITS_OF_OLD)


def written(minor: int, currency: str) -> str:
    """An amount of minor units as a plain number, such as 30.00 or -1.234 or 500."""
    places = digits(currency)
    sign, text = "-" if minor < 0 else "", str(abs(minor)).rjust(places + 1, "0")
    return f"{sign}{text[:-places]}.{text[-places:]}" if places else sign + text


def money(minor: int, currency: str) -> str:
    """An amount of minor units with its currency, such as 30.00 EUR."""
    return f"{written(minor, currency)} {currency}"


def example(currency: str) -> str:
    """An amount as it can be typed, for sentences that say how."""
    return written(12 * 10 ** digits(currency) + 10 ** digits(currency) // 2, currency)


def read_amount(text: str, currency: str, mark: Mark | None = None, *, signed: bool = False) -> int:
    """The minor units that a text says, exactly; more than zero unless `signed`.

    Without a decimal mark only plain numbers with a point are read (12.50); with one, the other mark, blanks and
    apostrophes may group the digits by threes (1.234,56 or 1 234,56). Raises AmountError.
    """
    said = repr(text if len(text) <= LETTERS_MOST else text[:LETTERS_MOST] + "...")
    if not is_known(currency):
        raise AmountError(f"{currency!r} is no currency of ISO 4217")
    parts = _SIGN.fullmatch(text.strip(_GROUPING + "\t\r\n"))
    if parts is None or (parts[1] and parts[3]):
        raise AmountError(_unreadable(text, said, currency, mark))
    negative = "+" not in (parts[1], parts[3]) and bool(parts[1] or parts[3])
    split = _split(parts[2].strip(_GROUPING), mark)
    if split is None:
        raise AmountError(_unreadable(text, said, currency, mark))
    whole, fraction = split
    places = digits(currency)
    if len(fraction) > places:
        has = f"{places} decimals" if places else "no decimals"
        raise AmountError(f"{said} has more decimals than {currency}, which has {has}")
    whole = whole.lstrip("0")  # however many there are: Python reads no number of more than 4300 digits
    if len(whole) > len(str(AMOUNT_MAXIMUM_MINOR)):
        raise AmountError(f"{said} is larger than any amount that can be booked")
    minor = int(whole + fraction.ljust(places, "0") or "0")
    if minor > AMOUNT_MAXIMUM_MINOR:
        raise AmountError(f"{said} is larger than any amount that can be booked")
    if not signed and (negative or minor == 0):
        raise AmountError(f"{said} is {'negative' if negative and minor else 'nothing'}; write more than zero")
    return -minor if negative else minor


def decimal_mark(texts: Iterable[str]) -> Mark | None:
    """Which decimal mark a column of amounts uses, where its amounts tell and all tell the same; otherwise None.

    An amount tells by two different marks, by a mark that comes twice, or by one before other than three digits.
    """
    found = {said for text in texts if (said := _told_by(text.strip())) is not None}
    return found.pop() if len(found) == 1 else None


def _told_by(text: str) -> Mark | None:
    marks = [letter for letter in text if letter in ".,"]
    if not marks:
        return None
    last: Mark = "." if marks[-1] == "." else ","
    if len(set(marks)) == 2:
        return last
    if len(marks) > 1:
        return "," if last == "." else "."
    after = text.rpartition(last)[2]
    # A sign or the currency may stand behind the digits.
    return last if len(after) - len(after.lstrip("0123456789")) != 3 else None


def _split(body: str, mark: Mark | None) -> tuple[str, str] | None:
    """The digits before and after the decimal mark, or None where there are others."""
    whole, dot, fraction = body.partition(mark or ".")
    if mark is not None:
        whole = _ungrouped(whole, _OTHER[mark])
    if not _are_digits(whole) or (dot and not _are_digits(fraction)):
        return None
    return whole, fraction


def _ungrouped(whole: str, other: str) -> str:
    """Digits without what groups them by threes; as it was where the groups are not threes of one kind."""
    separators = {letter for letter in whole if letter == other or letter in _GROUPING}
    if len(separators) != 1:
        return whole
    first, *groups = whole.split(separators.pop())
    return first + "".join(groups) if 1 <= len(first) <= 3 and all(len(one) == 3 for one in groups) else whole


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _unreadable(text: str, said: str, currency: str, mark: Mark | None) -> str:
    if not text.strip():
        return "there is no amount"
    if any(letter.isdigit() and not letter.isascii() for letter in text):
        return f"{said} is not written with the digits 0 to 9"
    if mark is None and _TWO_WAYS.fullmatch(text.strip()):
        return (
            f"{said} can be read in two ways; write it as {example(currency)}, with a point and nothing between digits"
        )
    wanted = example(currency).replace(".", mark or ".")
    return f"{said} is not an amount of {currency}; write it as {wanted}"
