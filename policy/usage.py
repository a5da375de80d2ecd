"""What counts towards quotas, and in which spans: days, weeks and months of the operator, billing periods."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from policy.errors import PolicyError
from policy.money.periods import Period, Unit, span_at
from policy.windows import EVERY_DAY, TimeWindow, active, zone

PERCENT_MAXIMUM = 1000
# Every zone's offset, in every year, is a multiple of this; within it the local day is the same.
_OFFSET_S = 900


class SpanKind(StrEnum):
    """What a quota may be of."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    PERIOD = "period"


@dataclass(frozen=True, slots=True)
class UsageRule:
    """From `start_minute` up to `end_minute` of the days given a byte counts for less or more, in percent.

    0 is zero-rated; `upload_percent=0` all day counts downloads alone. Hours are those of the plan's time zone, as in
    `TimeWindow`.
    """

    start_minute: int
    end_minute: int
    days: tuple[int, ...] = EVERY_DAY
    upload_percent: int = 100
    download_percent: int = 100

    def __post_init__(self) -> None:
        """Refuse hours that no clock shows, and shares that nobody means."""
        _hours(self)
        if not (0 <= self.upload_percent <= PERCENT_MAXIMUM and 0 <= self.download_percent <= PERCENT_MAXIMUM):
            raise PolicyError(f"a byte counts for 0 to {PERCENT_MAXIMUM} percent")


class Place(NamedTuple):
    """Where a service's billing periods lie: one of them begins on `begins_on`. Months begin on `anchor_day`."""

    begins_on: date
    period: Period
    anchor_day: int


class Bounds(NamedTuple):
    """A span, in UTC; `ends_at` is no longer in it."""

    starts_at: datetime
    ends_at: datetime


def counted_bytes(rules: tuple[UsageRule, ...], time_zone: str, at: datetime, upload: int, download: int) -> int:
    """What so many bytes, reported at `at` (aware), count for; the first rule that holds decides, whole bytes."""
    for rule in rules:
        if active((_hours(rule),), time_zone, at) is not None:
            return upload * rule.upload_percent // 100 + download * rule.download_percent // 100
    return upload + download


def local_day(at: datetime, time_zone: str) -> date:
    """The day of `at` (aware) in a time zone."""
    return _day_of(int(at.timestamp()) // _OFFSET_S, time_zone)


@lru_cache(maxsize=4096)
def bounds(kind: SpanKind, day: date, time_zone: str, place: Place | None = None) -> Bounds:
    """The span of this kind that a local day lies in. Without a place the billing period is the month."""
    if kind == SpanKind.PERIOD and place is not None:
        first, last = _period(day, place)
    elif kind == SpanKind.DAY:
        first, last = day, day + timedelta(days=1)
    elif kind == SpanKind.WEEK:
        first = day - timedelta(days=day.weekday())
        last = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        last = (first + timedelta(days=31)).replace(day=1)
    return Bounds(_midnight(first, time_zone), _midnight(last, time_zone))


def _period(day: date, place: Place) -> tuple[date, date]:
    period = place.period
    if period.unit == Unit.HOUR:  # paid by the hour: what a quota of it may be of is the day
        return day, day + timedelta(days=1)
    if period.unit == Unit.MONTH:
        one = Period(1, Unit.MONTH)
        first = span_at(day, one, place.anchor_day).whole_start
        # One that begins beside its anchored day is the rest of a whole one.
        begins = span_at(place.begins_on, one, place.anchor_day).whole_start
        months = (first.year - begins.year) * 12 + first.month - begins.month
        for _ in range(months % period.number):
            first = span_at(first - timedelta(days=1), one, place.anchor_day).whole_start
        return first, span_at(first, period, place.anchor_day).whole_end
    length = period.number * (7 if period.unit == Unit.WEEK else 1)
    first = place.begins_on + timedelta(days=(day - place.begins_on).days // length * length)
    return first, first + timedelta(days=length)


@lru_cache(maxsize=4096)
def _day_of(quarter: int, time_zone: str) -> date:
    return datetime.fromtimestamp(quarter * _OFFSET_S, zone(time_zone)).date()


@lru_cache(maxsize=256)
def _hours(rule: UsageRule) -> TimeWindow:
    return TimeWindow(rule.start_minute, rule.end_minute, rule.days)


def _midnight(day: date, time_zone: str) -> datetime:
    # A midnight that daylight saving skips is read with the offset before the jump, which is the jump itself.
    return datetime.combine(day, time(0), zone(time_zone)).astimezone(UTC)
