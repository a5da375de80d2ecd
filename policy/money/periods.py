"""Periods: hours, days, weeks and months, one after the other without gap or overlap.

Days are the operator's own, so a change of its clocks makes no period longer or shorter than its days. A period of
months begins on its anchored day; where a month is too short, on that month's last day, and the next one is on the
anchored day again.
"""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple

from policy.errors import PolicyError

NUMBER_MAXIMUM = 3660
_WORDS = re.compile(r"([0-9]{1,4}) *(hour|day|week|month)s?")


class Unit(StrEnum):
    """What periods are counted in."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class Period(NamedTuple):
    """So many hours, days, weeks or months."""

    number: int
    unit: Unit

    def __str__(self) -> str:
        """As people write it, such as `1 month` or `30 days`."""
        return f"{self.number} {self.unit}{'' if self.number == 1 else 's'}"


class Span(NamedTuple):
    """The days of one period; `end` is the first day after it. `whole_start` and `whole_end`: if it were whole."""

    start: date
    end: date
    whole_start: date
    whole_end: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.end - self.start).days

    @property
    def whole_days(self) -> int:
        """How many days it would have if it were whole."""
        return (self.whole_end - self.whole_start).days


def read_period(text: str) -> Period:
    """The period that somebody wrote, such as `1 month`, `30 days` or `12 hours`. Raises PolicyError."""
    found = _WORDS.fullmatch(text.strip().lower())
    if found is None or not 1 <= int(found[1]) <= NUMBER_MAXIMUM:
        raise PolicyError(f"{text[:60]!r} is not a period such as '1 month', '30 days', '2 weeks' or '12 hours'")
    return Period(int(found[1]), Unit(found[2]))


def span_at(start: date, period: Period, anchor_day: int) -> Span:
    """The period of days that begins on `start`. One of months that begins beside its anchored day ends on it.

    Raises ValueError for hours, which are no days.
    """
    if period.unit == Unit.HOUR:
        raise ValueError("a period of hours has no days")
    if period.unit != Unit.MONTH:
        end = start + _days(period)
        return Span(start, end, start, end)
    whole_start = _anchored(start, 0, anchor_day)
    if whole_start > start:
        whole_start = _anchored(start, -1, anchor_day)
    end = _anchored(whole_start, period.number, anchor_day)
    return Span(start, end, whole_start, end)


def prolonged(moment: datetime, period: Period, periods: int, anchor_day: int, zone: tzinfo) -> datetime:
    """`moment` (aware) and so many periods more, in UTC.

    Hours are true hours. Days, weeks and months end at the same time of the zone's clock; months on the anchored
    day, or on the last one of a shorter month.
    """
    if period.unit == Unit.HOUR:
        return moment.astimezone(UTC) + timedelta(hours=period.number * periods)
    local = moment.astimezone(zone)
    if period.unit == Unit.MONTH:
        day = _anchored(local.date(), period.number * periods, anchor_day)
    else:
        day = local.date() + periods * _days(period)
    return datetime.combine(day, local.time(), zone).astimezone(UTC)


def anchor_of(day: date, anchor_day: int) -> int:
    """The anchored day if a period of months can begin on `day` by it, otherwise the day's own number."""
    return anchor_day if _anchored(day, 0, anchor_day) == day else day.day


def _days(period: Period) -> timedelta:
    return timedelta(days=period.number * (7 if period.unit == Unit.WEEK else 1))


def _anchored(day: date, months: int, anchor_day: int) -> date:
    """The anchored day of the month that lies so many months after the day's own."""
    number = day.year * 12 + day.month - 1 + months
    year, month = number // 12, number % 12 + 1
    return date(year, month, min(anchor_day, monthrange(year, month)[1]))
