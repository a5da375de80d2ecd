"""Hours of the week, and the nights on which clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, ZONES, moments, moments_near_turns, windows

from policy.errors import PolicyError
from policy.windows import TimeWindow, active, next_edge, zone

WARSAW, SANTIAGO = "Europe/Warsaw", "America/Santiago"


def local(time_zone, *numbers, fold=0):
    """A moment by the wall clock of a zone."""
    return datetime(*numbers, tzinfo=ZoneInfo(time_zone), fold=fold).astimezone(UTC)


several = st.lists(windows(), min_size=1, max_size=3).map(tuple)


@given(several, st.sampled_from(ZONES), moments | moments_near_turns, st.floats(0, 1, exclude_max=True))
def test_nothing_changes_before_the_next_edge(some, time_zone, now, share):
    """From now up to the edge one window holds, or none, also across a change of the clocks."""
    edge = next_edge(some, time_zone, now)
    assert edge is not None
    assert edge > now
    between = now + (edge - now) * share
    assert active(some, time_zone, min(between, edge - timedelta(microseconds=1))) == active(some, time_zone, now)


@given(several, st.sampled_from(ZONES), moments)
def test_an_edge_comes_within_eight_days(some, time_zone, now):
    """A weekly pattern repeats, so nobody waits longer than a week and a day of changed clocks."""
    assert next_edge(some, time_zone, now) - now <= timedelta(days=8)


@given(windows(), moments)
def test_a_window_holds_at_the_hours_it_names(window, now):
    """In UTC, where clocks never change, the minute of the day decides."""
    minute, day = now.hour * 60 + now.minute, now.weekday()
    if window.start_minute < window.end_minute:
        wanted = window.start_minute <= minute < window.end_minute and day in window.days
    else:
        evening = minute >= window.start_minute and day in window.days
        morning = minute < window.end_minute and (day - 1) % 7 in window.days
        wanted = evening or morning
    assert (active((window,), "UTC", now) == window) is wanted


def test_the_first_of_two_windows_wins():
    """Windows are a list, first match wins."""
    first, second = TimeWindow(0, 1440, rate_limit="1M/1M"), TimeWindow(0, 1440, rate_limit="2M/2M")
    assert active((first, second), "UTC", NOW) == first


def test_a_window_that_spans_the_skipped_hour_is_an_hour_shorter():
    """Warsaw, 29 March 2026: 02:00 becomes 03:00, and a window from 01:00 to 04:00 lasts two hours."""
    night = (TimeWindow(60, 240),)
    start, end = local(WARSAW, 2026, 3, 29, 1), local(WARSAW, 2026, 3, 29, 4)
    assert end - start == timedelta(hours=2)
    assert active(night, WARSAW, start - timedelta(seconds=1)) is None
    assert next_edge(night, WARSAW, start) == end
    assert active(night, WARSAW, end) is None


def test_a_window_that_spans_the_doubled_hour_is_an_hour_longer():
    """Warsaw, 25 October 2026: 03:00 becomes 02:00, and a window from 01:00 to 04:00 lasts four hours."""
    night = (TimeWindow(60, 240),)
    start, end = local(WARSAW, 2026, 10, 25, 1), local(WARSAW, 2026, 10, 25, 4)
    assert end - start == timedelta(hours=4)
    assert next_edge(night, WARSAW, start) == end
    assert active(night, WARSAW, local(WARSAW, 2026, 10, 25, 2, 30, fold=1)) == night[0]


def test_midnight_may_not_exist():
    """Santiago, 6 September 2026: 24:00 becomes 01:00, and a window from midnight begins then."""
    sunday = (TimeWindow(0, 360, days=(6,)),)
    begins = local(SANTIAGO, 2026, 9, 6, 1)
    assert active(sunday, SANTIAGO, begins - timedelta(seconds=1)) is None
    assert active(sunday, SANTIAGO, begins) == sunday[0]
    assert next_edge(sunday, SANTIAGO, begins) == local(SANTIAGO, 2026, 9, 6, 6)


def test_the_last_hour_of_a_day_may_come_twice():
    """Santiago, 4 April 2026: 24:00 becomes 23:00, and a window from 23:00 to 24:00 lasts two hours."""
    saturday = (TimeWindow(1380, 1440, days=(5,)),)
    start = local(SANTIAGO, 2026, 4, 4, 23)
    assert next_edge(saturday, SANTIAGO, start) == start + timedelta(hours=2)
    assert active(saturday, SANTIAGO, start + timedelta(minutes=90)) == saturday[0]


def test_a_window_within_the_skipped_hour_comes_an_hour_later():
    """Warsaw, 29 March 2026: 02:10 to 02:50 is not on the clock, and is read with the offset before the jump."""
    window = (TimeWindow(130, 170),)
    assert active(window, WARSAW, local(WARSAW, 2026, 3, 29, 3, 10)) == window[0]


def test_without_windows_there_is_no_edge():
    """Nothing changes by itself then."""
    assert next_edge((), WARSAW, NOW) is None
    assert active((), WARSAW, NOW) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"start_minute": -1, "end_minute": 60},
        {"start_minute": 1440, "end_minute": 60},
        {"start_minute": 0, "end_minute": 1441},
        {"start_minute": 60, "end_minute": 60},
        {"start_minute": 0, "end_minute": 60, "days": ()},
        {"start_minute": 0, "end_minute": 60, "days": (7,)},
    ],
)
def test_hours_that_no_clock_shows_are_refused(wrong):
    """A window has two hours of a day that differ, and days of a week."""
    with pytest.raises(PolicyError):
        TimeWindow(**wrong)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/passwd", "Europe", "a" * 5000, "x\0y"])
def test_what_is_no_time_zone_is_refused(name):
    """Whatever the text is, the error is one of policy's."""
    with pytest.raises(PolicyError):
        zone(name)
