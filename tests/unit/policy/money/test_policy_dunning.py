"""Days of the operator's calendar, and the moments at which somebody may be suspended."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import ZONES, moments, moments_near_turns

from policy.money.dunning import EVERY_WEEKDAY, DunningTerms, days_after, next_allowed, obstacles
from policy.windows import zone

WARSAW = zone("Europe/Warsaw")
WORKDAYS = frozenset({1, 2, 3, 4, 5})
any_moment = moments | moments_near_turns
near = st.integers(-5, 20)
terms = st.builds(
    DunningTerms,
    suspend_hour=st.none() | st.integers(0, 23),
    weekdays=st.sets(st.integers(1, 7), min_size=1).map(frozenset) | st.just(EVERY_WEEKDAY),
    holidays=st.just({}),
    time_zone=st.sampled_from(ZONES),
)


@given(any_moment, terms, st.sets(near), st.floats(0, 1, exclude_max=True))
def test_the_next_allowed_moment_is_the_first(at, dunning, offsets, share):
    """It is an allowed day and hour of the operator's clock, and nothing between is allowed."""
    today = at.astimezone(zone(dunning.time_zone)).date()
    dunning = dunning._replace(holidays={today + timedelta(days=offset): "a holiday" for offset in offsets})
    found = next_allowed(at, dunning)
    assert found is not None
    assert found >= at
    local = found.astimezone(zone(dunning.time_zone))
    assert local.isoweekday() in dunning.weekdays
    assert local.date() not in dunning.holidays
    assert local.hour >= (dunning.suspend_hour or 0)
    assert next_allowed(found, dunning) == found
    assert next_allowed(at + (found - at) * share, dunning) == found
    assert (obstacles(at, dunning) == "") == (found == at)


@given(any_moment, st.sampled_from(ZONES), st.integers(0, 400))
def test_days_are_counted_by_the_calendar(moment, name, days):
    """The same time of the clock so many days later, however long the days between were; no day is no time."""
    before, after = moment.astimezone(zone(name)), days_after(moment, days, name).astimezone(zone(name))
    skipped = after.replace(fold=0).utcoffset() != after.replace(fold=1).utcoffset() or after.time() != before.time()
    assert skipped or (after.date() - before.date()).days == days
    assert days_after(moment, 0, name) == moment
    assert days_after(moment, days + 1, name) > days_after(moment, days, name)


@pytest.mark.parametrize(
    ("at", "hour", "wanted"),
    [
        # 2026-03-29: two o'clock does not exist in Warsaw; the clock jumps from 2 to 3, which is 01:00 UTC.
        (datetime(2026, 3, 28, 23, tzinfo=UTC), 2, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        # 2026-10-25: two o'clock comes twice; the first is 00:00 UTC.
        (datetime(2026, 10, 24, 22, tzinfo=UTC), 2, datetime(2026, 10, 25, 0, tzinfo=UTC)),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), 2, datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        (datetime(2026, 7, 1, 12, tzinfo=UTC), 10, datetime(2026, 7, 1, 12, tzinfo=UTC)),
        (datetime(2026, 7, 1, 7, 59, tzinfo=UTC), 10, datetime(2026, 7, 1, 8, tzinfo=UTC)),
    ],
)
def test_the_hour_is_the_operators(at, hour, wanted):
    """An hour that daylight saving skips begins with the jump, and one that comes twice begins once."""
    assert next_allowed(at, DunningTerms(suspend_hour=hour, time_zone="Europe/Warsaw")) == wanted


def test_holidays_and_a_weekend_are_waited_for_and_named():
    """Christmas 2026 is a Friday: the next allowed moment is Monday at nine, and a person hears why."""
    christmas = {date(2026, 12, 25): "Christmas", date(2026, 12, 26): "St Stephen's"}
    dunning = DunningTerms(suspend_hour=9, weekdays=WORKDAYS, holidays=christmas, time_zone="Europe/Warsaw")
    at = datetime(2026, 12, 25, 0, tzinfo=WARSAW)
    assert next_allowed(at, dunning) == datetime(2026, 12, 28, 9, tzinfo=WARSAW)
    assert obstacles(at, dunning) == (
        "2026-12-25 is a holiday (Christmas), 2026-12-26 is a holiday (St Stephen's), "
        "nobody is suspended on a Sunday, nobody is suspended before 9:00"
    )


def test_a_year_of_holidays_suspends_nobody():
    """Where no day is allowed there is no moment, and looking for one ends."""
    start = date(2026, 1, 1)
    dunning = DunningTerms(holidays={start + timedelta(days=number): "ours" for number in range(800)})
    assert next_allowed(datetime(2026, 1, 2, tzinfo=UTC), dunning) is None
    assert obstacles(datetime(2026, 1, 2, tzinfo=UTC), dunning).endswith("more holidays follow")
