"""Whole days in a calendar file (iCalendar, RFC 5545), as governments and calendar programs give out holidays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, NamedTuple

from policy.errors import PolicyError

SIZE_MAXIMUM_BYTES: Final = 2**20
DAYS_OF_EVENT_MAXIMUM: Final = 31
_DAY: Final = re.compile("([0-9]{4})([0-9]{2})([0-9]{2})(T[0-9]{6}Z?)?")
_ESCAPED: Final = re.compile(r"\\([\\;,nN])")


class CalendarError(PolicyError):
    """A file is no calendar; the text says why, as a clause without a full stop."""


class NamedDay(NamedTuple):
    """A day of a calendar."""

    day: date
    name: str


def read_calendar(data: bytes, first: date, last: date) -> list[NamedDay]:
    """The days of all events from `first` to `last`, in order; where two have one day, both names stand there.

    An event of several days counts for each, one that repeats each year for each year. Raises CalendarError, also for
    an event that repeats otherwise: which days that are is not guessed.
    """
    if len(data) > SIZE_MAXIMUM_BYTES:
        raise CalendarError(f"the file is larger than {SIZE_MAXIMUM_BYTES // 2**20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CalendarError("the file is no text in UTF-8") from error
    if "BEGIN:VCALENDAR" not in text.upper():
        raise CalendarError("the file is no calendar; it has no BEGIN:VCALENDAR")
    found: dict[date, list[str]] = {}
    for event in _events(text):
        for day, name in _days(event, first, last):
            if first <= day <= last and name not in found.setdefault(day, []):
                found[day].append(name)
    return [NamedDay(day, ", ".join(names)) for day, names in sorted(found.items()) if names]


def _events(text: str) -> Iterator[dict[str, str]]:
    """The properties of each event by their names without parameters; the first of a name counts."""
    event: dict[str, str] | None = None
    nested = 0
    # RFC 5545 section 3.1: a line goes on in those that begin with a blank.
    for line in re.sub("\r?\n[ \t]", "", text).splitlines():
        name, _, value = line.partition(":")
        key = name.partition(";")[0].strip().upper()
        if (key, value.strip().upper()) == ("BEGIN", "VEVENT"):
            event, nested = {}, 0
        elif event is not None and key == "BEGIN":
            nested += 1  # an alarm of the event
        elif event is not None and key == "END" and nested:
            nested -= 1
        elif event is not None and key == "END":
            yield event
            event = None
        elif event is not None and not nested:
            event.setdefault(key, value.strip())


def _days(event: dict[str, str], first: date, last: date) -> Iterator[NamedDay]:
    name = " ".join(_ESCAPED.sub(_plain, event.get("SUMMARY", "")).split()) or "holiday"
    start, whole = _day(event.get("DTSTART", ""), name)
    if start > last:
        return
    end = _day(event["DTEND"], name)[0] if whole and "DTEND" in event else start + timedelta(days=1)
    days = (end - start).days or 1
    if not 1 <= days <= DAYS_OF_EVENT_MAXIMUM:
        raise CalendarError(f"the event {name[:60]!r} of {start} lasts {days} days")
    for year in _years(event.get("RRULE", ""), start, first, last, name):
        for offset in range(days):
            yield NamedDay(start.replace(year=year) + timedelta(days=offset), name)


def _years(rule: str, start: date, first: date, last: date, name: str) -> range:
    if not rule:
        return range(start.year, start.year + 1)
    parts = dict(part.partition("=")[::2] for part in rule.upper().split(";"))
    known = {"FREQ": "YEARLY", "INTERVAL": "1", "BYMONTH": str(start.month), "BYMONTHDAY": str(start.day)}
    if parts.get("FREQ") != "YEARLY" or any(known.get(key) != value for key, value in parts.items() if key != "WKST"):
        raise CalendarError(f"the event {name[:60]!r} repeats by {rule[:60]!r}, which is not read; write its days down")
    if (start.month, start.day) == (2, 29):
        raise CalendarError(f"the event {name[:60]!r} repeats on a 29 February; write its days down")
    return range(max(start.year, first.year - 1), last.year + 1)  # the year before: it may last over the New Year


def _day(text: str, name: str) -> tuple[date, bool]:
    """The day, and whether it is a whole one."""
    found = _DAY.fullmatch(text)
    try:
        # The calendar's last year has no day after it.
        if found is not None and found[1] != "9999":
            return date(int(found[1]), int(found[2]), int(found[3])), found[4] is None
    except ValueError:
        pass
    raise CalendarError(f"the event {name[:60]!r} has no day: {text[:40]!r}")


def _plain(escaped: re.Match[str]) -> str:
    return " " if escaped[1] in "nN" else escaped[1]
