"""When an unpaid invoice may lead to a suspension: terms in days of the operator's calendar, and allowed moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import NamedTuple

from policy import wording
from policy.windows import zone

EVERY_WEEKDAY = frozenset(range(1, 8))
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# An operator that lists a whole year of holidays suspends nobody; nothing is looked for beyond.
DAYS_AHEAD = 366
HOLIDAYS_NAMED = 3
_NO_HOLIDAYS: Mapping[date, str] = MappingProxyType({})


class DunningTerms(NamedTuple):
    """How long each step lasts, in days: grace after the due moment, then overdue, then suspended when it is allowed.

    `suspend_hour`: not before this hour of the operator's clock (None: at once). `weekdays` are ISO, Monday is 1.
    """

    grace_days: int = 3
    overdue_days: int = 0
    suspend_hour: int | None = None
    weekdays: frozenset[int] = EVERY_WEEKDAY
    holidays: Mapping[date, str] = _NO_HOLIDAYS
    time_zone: str = "UTC"

    @property
    def at_any_moment(self) -> bool:
        """Whether nothing holds a suspension up."""
        return not self.suspend_hour and self.weekdays == EVERY_WEEKDAY and not self.holidays


def days_after(moment: datetime, days: int, time_zone: str) -> datetime:
    """So many days of the local calendar later, at the same time of the local clock (UTC)."""
    local = moment.astimezone(zone(time_zone))
    # Arithmetic within a zone goes by the clock; an hour that is skipped is read with the offset before (PEP 495).
    return (local + timedelta(days=days)).replace(fold=local.fold).astimezone(UTC)


def next_allowed(at: datetime, terms: DunningTerms) -> datetime | None:
    """The first moment from `at` on (aware) at which somebody may be suspended; None where there is none in a year."""
    if terms.at_any_moment:
        return at
    for day in _days(at, terms.time_zone):
        if day not in terms.holidays and day.isoweekday() in terms.weekdays:
            start, end = _span(day, terms)
            if at < end:
                return max(at, start)
    return None


def obstacles(at: datetime, terms: DunningTerms) -> str:
    """What lies between `at` and the next allowed moment, as a clause; "" where nothing does."""
    allowed = next_allowed(at, terms)
    if allowed == at:
        return ""
    holidays, weekdays, skipped = [], set(), False
    for day in _days(at, terms.time_zone):
        start, end = _span(day, terms, hour=0)
        if end <= at:
            continue
        if allowed is not None and start > allowed:
            break
        if day in terms.holidays:
            holidays.append(f"{day} is a holiday ({wording.short(terms.holidays[day])})")
        elif day.isoweekday() not in terms.weekdays:
            weekdays.add(day.isoweekday())
        else:
            skipped = True
    said = holidays[:HOLIDAYS_NAMED]
    if len(holidays) > HOLIDAYS_NAMED:
        said.append(f"{len(holidays) - HOLIDAYS_NAMED} more holidays follow")
    if weekdays:
        said.append(f"nobody is suspended on a {' or '.join(WEEKDAYS[number - 1] for number in sorted(weekdays))}")
    if skipped and terms.suspend_hour:
        said.append(f"nobody is suspended before {terms.suspend_hour}:00")
    return ", ".join(said)


def waiting(at: datetime, terms: DunningTerms) -> str:
    """What a suspension at `at` has to wait for, as a sentence; "" where it may happen at once."""
    allowed = next_allowed(at, terms)
    if allowed == at:
        return ""
    until = f"until {wording.minute(allowed, terms.time_zone)}" if allowed is not None else "for good"
    return f"The suspension waits {until}: {obstacles(at, terms)}."


def _days(at: datetime, time_zone: str) -> Iterator[date]:
    """Local days, from the one before `at`: a clock that is set back at midnight shows yesterday twice."""
    today = at.astimezone(zone(time_zone)).date()
    return (today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD))


def _span(day: date, terms: DunningTerms, hour: int | None = None) -> tuple[datetime, datetime]:
    """From its hour up to the day's end. An hour that is skipped begins with the jump, one that is doubled once."""
    first = time((terms.suspend_hour or 0) if hour is None else hour)
    local = zone(terms.time_zone)
    start = datetime.combine(day, first, local).astimezone(UTC)
    return start, datetime.combine(day + timedelta(days=1), time(), local).astimezone(UTC)
