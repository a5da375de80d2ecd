"""What people type, read strictly: amounts, moments, JSON, and secrets, which are never arguments."""

from __future__ import annotations

import getpass
import json
import re
import secrets
import string
import sys
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from ispagents.cli.files import why
from ispagents.errors import Problem
from policy.money.currency import AmountError, read_amount
from policy.windows import zone

SECRET_MAXIMUM_BYTES = 1024
_Kind = TypeVar("_Kind")
PASSWORD_LETTERS = 16  # of 55: 92 bits
SECRET_LETTERS = 32
YEARS = range(1970, 9000)  # of a day that can be reckoned with, months before and after it too
# Without those that look alike on paper (0O, 1lI), since somebody types it into a router.
LETTERS = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lIo")))

_HOURS = re.compile(r"((?:[01][0-9]|2[0-3]):[0-5][0-9])-((?:[01][0-9]|2[0-3]):[0-5][0-9])")
_GIGABYTES = re.compile(r"[0-9]{1,7}(\.[0-9]{1,3})?")


def money_minor(text: str, currency: str, *, minimum_minor: int = 1) -> int:
    """An amount such as 12.50 in the currency's minor units. Raises Problem."""
    try:
        minor = read_amount(text, currency, signed=minimum_minor < 1)
    except AmountError as error:
        raise Problem(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    if minor < minimum_minor:
        raise Problem(f"{_short(text)} is not an amount of {currency}; write nothing less than zero.")
    return minor


def gigabytes(text: str) -> int:
    """Bytes of an amount such as 500 or 0.5 GB (10^9 bytes). Raises Problem."""
    if _GIGABYTES.fullmatch(text) is None:
        raise Problem(f"{_short(text)} is not a number of gigabytes; write it as 500 or 0.5.")
    return int(Decimal(text).scaleb(9))


def moment(text: str, time_zone: str) -> datetime:
    """A moment (UTC) from `2026-12-05` (its midnight) or ISO 8601; without an offset it is the zone's own time.

    Raises Problem.
    """
    try:
        if len(text) == len("2026-12-05"):
            value = datetime.combine(date.fromisoformat(text), time())
        else:
            value = datetime.fromisoformat(text)
        return (value if value.tzinfo is not None else value.replace(tzinfo=zone(time_zone))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Problem(f"{_short(text)} is not a date; write 2026-12-05 or 2026-12-05T18:00+01:00.") from error


def typed_day(text: str) -> date:
    """A day such as 2026-12-05. Raises Problem."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        raise Problem(f"{_short(text)} is not a day; write it as 2026-12-05.")
    if not YEARS.start <= found.year < YEARS.stop:
        raise Problem(f"{text} is too far away; write a day from {YEARS.start} to {YEARS.stop - 1}.")
    return found


def optional_moment(text: str, time_zone: str) -> datetime | None:
    """A moment, or None for `none` and for an empty text."""
    return moment(text, time_zone) if text and text != "none" else None


def hours(text: str) -> tuple[time, time] | tuple[None, None]:
    """Hours of a day such as 21:00-08:00, over midnight where the end is earlier; `none` for none. Raises Problem."""
    if text == "none":
        return None, None
    found = _HOURS.fullmatch(text.replace(" ", ""))
    if found is None:
        raise Problem(f"{_short(text)} are no hours; write 21:00-08:00, or none.")
    start, end = time.fromisoformat(found[1]), time.fromisoformat(found[2])
    if start == end:
        raise Problem(f"{_short(text)} begins and ends at the same time; write none, or two different ones.")
    return start, end


def several_lines(text: str | None) -> str | None:
    """What somebody typed on one line with `\\n` between the lines."""
    return text.replace("\\n", "\n") if text is not None else None


def json_object(text: str, option: str) -> dict[str, Any]:
    """A JSON object from an option. Raises Problem."""
    return _json(text, option, dict, "object, such as {}")


def json_array(text: str, option: str) -> list[Any]:
    """A JSON array from an option. Raises Problem."""
    return _json(text, option, list, "array, such as []")


def _json(text: str, option: str, kind: type[_Kind], wanted: str) -> _Kind:
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise Problem(f"{option} is not JSON: {error}.") from error
    if not isinstance(value, kind):
        raise Problem(f"{option} needs a JSON {wanted}.")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: of two the last would count, and the first be lost without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = (Counter(name for name, _ in pairs)).most_common(1)
        raise ValueError(f"{_short(twice)} is there more than once")
    return found


def given(**options: Any) -> dict[str, Any]:
    """The options that were given at all."""
    return {key: value for key, value in options.items() if value is not None}


def read_secret(what: str, *, from_stdin: bool, file: Path | None, generate: int = 0) -> tuple[str, bool]:
    """A secret from exactly one source: generated (so many letters), standard input, a file, or a hidden prompt.

    Returns it, and whether it was generated. Raises Problem when there is no source, or more than one.
    """
    if sum((bool(generate), from_stdin, file is not None)) > 1:
        raise Problem(f"Give the {what} in one way only.")
    if generate:
        return "".join(secrets.choice(LETTERS) for _ in range(generate)), True
    if from_stdin:
        return _line(what, sys.stdin.buffer.readline(SECRET_MAXIMUM_BYTES + 2), "standard input"), False
    if file is not None:
        try:
            with file.open("rb") as opened:
                return _line(what, opened.read(SECRET_MAXIMUM_BYTES + 2), str(file)), False
        except (OSError, ValueError) as error:
            raise Problem(f"The file {str(file)!r} with the {what} cannot be read: {why(error)}.") from error
    if not sys.stdin.isatty():
        raise Problem(
            f"There is no terminal to ask for the {what}; "
            f"give it by --{what}-stdin or --{what}-file FILE, or let --generate-{what} make one."
        )
    return _typed_twice(what), False


def _line(what: str, data: bytes, source: str) -> str:
    try:
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise Problem(f"The {what} from {source} is not valid UTF-8.") from error
    if not text:
        raise Problem(f"The {what} from {source} is empty; write it as one line.")
    if "\n" in text or "\r" in text:
        raise Problem(f"The {what} from {source} has more than one line.")
    return text


def _typed_twice(what: str) -> str:
    try:
        text = getpass.getpass(f"{what.capitalize()}: ")
        again = getpass.getpass("Again: ")
    except EOFError as error:
        raise Problem(f"No {what} was typed.") from error
    if text != again:
        raise Problem(f"The two {what}s differ; try again.")
    return _line(what, text.encode("utf-8", "surrogateescape"), "the terminal")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")
