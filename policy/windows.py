"""Hours of the week in which a plan gives something else, in the plan's own time zone, daylight saving included."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from policy.errors import PolicyError

MINUTES_A_DAY = 1440
EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
# A weekly pattern repeats after seven days; the eighth covers a window that began the evening before.
DAYS_AHEAD = 8


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """From `start_minute` up to `end_minute` of the days given (Monday is 0), local time.

    A window whose end is not after its start runs past midnight. Inside it the plan has `rate_limit` (canonical text),
    or gives no access at all when `closed` is true.
    """

    start_minute: int
    end_minute: int
    days: tuple[int, ...] = EVERY_DAY
    rate_limit: str = ""
    closed: bool = False

    def __post_init__(self) -> None:
        """Refuse hours that no clock shows."""
        if not (0 <= self.start_minute < MINUTES_A_DAY and 0 <= self.end_minute <= MINUTES_A_DAY):
            raise PolicyError("a window's hours lie between 00:00 and 24:00")
        if self.start_minute == self.end_minute:
            raise PolicyError("a window's end must differ from its start")
        if not self.days or any(day not in EVERY_DAY for day in self.days):
            raise PolicyError("a window's days are numbers from 0 (Monday) to 6 (Sunday)")


@lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The time zone by its IANA name. Raises PolicyError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise PolicyError(f"{name!r} is not a time zone; use an IANA name such as Europe/Warsaw or UTC") from error


def active(windows: tuple[TimeWindow, ...], time_zone: str, now: datetime) -> TimeWindow | None:
    """The first of the windows that holds at `now` (aware), or None."""
    if not windows:
        return None
    today = now.astimezone(zone(time_zone)).date()
    for window in windows:
        for day in (today - timedelta(days=1), today):
            if day.weekday() in window.days:
                start, end = _span(window, time_zone, day)
                if start <= now < end:
                    return window
    return None


def next_edge(windows: tuple[TimeWindow, ...], time_zone: str, now: datetime) -> datetime | None:
    """The next moment (UTC) at which a window begins or ends, or None without windows."""
    today = now.astimezone(zone(time_zone)).date()
    edges = [
        edge
        for window in windows
        for offset in range(-1, DAYS_AHEAD)
        if (today + timedelta(days=offset)).weekday() in window.days
        for edge in _span(window, time_zone, today + timedelta(days=offset))
        if edge > now
    ]
    return min(edges, default=None)


def _span(window: TimeWindow, time_zone: str, day: date) -> tuple[datetime, datetime]:
    last = day + timedelta(days=1) if window.end_minute <= window.start_minute else day
    return _moment(day, window.start_minute, time_zone), _moment(last, window.end_minute, time_zone)


def _moment(day: date, minute: int, time_zone: str) -> datetime:
    if minute == MINUTES_A_DAY:
        day, minute = day + timedelta(days=1), 0
    # A local time that daylight saving skips is read with the offset before the jump (PEP 495, fold=0).
    return datetime.combine(day, time(minute // 60, minute % 60), zone(time_zone)).astimezone(UTC)
