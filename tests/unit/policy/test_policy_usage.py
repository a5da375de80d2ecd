"""Spans follow each other without gap or overlap, whatever the clocks do; bytes count by the first rule that holds."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.documents import plan_document, read_plan
from policy.errors import PolicyError
from policy.money.periods import Period, Unit, span_at
from policy.usage import Place, SpanKind, UsageRule, bounds, counted_bytes, local_day

ZONES = st.sampled_from(["UTC", "Europe/Warsaw", "Asia/Kathmandu", "America/Santiago", "Pacific/Apia", "Asia/Beirut"])
DAYS = st.dates(date(2020, 1, 1), date(2032, 12, 31))
PLACES = st.builds(
    Place,
    DAYS,
    st.builds(Period, st.integers(1, 14), st.sampled_from([Unit.DAY, Unit.WEEK, Unit.MONTH])),
    st.integers(1, 31),
)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2032, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is given beside
NIGHT = UsageRule(1380, 360, upload_percent=0, download_percent=0)
HALF = UsageRule(0, 1440, download_percent=50)


@given(st.sampled_from(SpanKind), MOMENTS, ZONES, PLACES)
def test_a_moment_lies_in_its_span_and_the_next_one_begins_where_it_ends(kind, at, zone, place):
    """Every moment is in exactly one span of each kind, and the day at its end is in the next one."""
    here = bounds(kind, local_day(at, zone), zone, place)
    following = bounds(kind, local_day(here.ends_at, zone), zone, place)

    assert here.starts_at <= at < here.ends_at
    assert following.starts_at == here.ends_at
    assert bounds(kind, local_day(here.starts_at, zone), zone, place) == here


@given(PLACES, st.integers(0, 5000))
def test_quotas_of_a_period_follow_the_bill(place, later):
    """Each day of the first billing period lies in the span that is billed, also where it begins beside its anchor."""
    billed = span_at(place.begins_on, place.period, place.anchor_day)
    day = place.begins_on + timedelta(days=later % billed.days)
    found = bounds(SpanKind.PERIOD, day, "UTC", place)
    assert (found.starts_at.date(), found.ends_at.date()) == (billed.whole_start, billed.whole_end)


def test_days_of_a_zone_are_as_long_as_its_clocks_make_them():
    """The day on which Warsaw's clocks go back has 25 hours."""
    day = bounds(SpanKind.DAY, date(2026, 10, 25), "Europe/Warsaw")

    assert day.ends_at - day.starts_at == timedelta(hours=25)


def test_a_quarter_that_is_billed_from_the_last_day_of_january():
    """Periods of months keep their phase and their anchored day."""
    place = Place(date(2026, 1, 31), Period(3, Unit.MONTH), 31)

    found = bounds(SpanKind.PERIOD, date(2026, 11, 23), "UTC", place)

    assert found == (datetime(2026, 10, 31, tzinfo=UTC), datetime(2027, 1, 31, tzinfo=UTC))
    assert bounds(SpanKind.PERIOD, date(2026, 11, 23), "UTC") == bounds(SpanKind.MONTH, date(2026, 11, 23), "UTC")


@pytest.mark.parametrize(
    ("hour", "rules", "counted"),
    [(2, (NIGHT, HALF), 0), (12, (NIGHT, HALF), 100 + 500), (12, (), 1100), (12, (NIGHT,), 1100)],
)
def test_bytes_count_by_the_first_rule_that_holds(hour, rules, counted):
    """Free at night, half the downloads by day; without a rule all of it."""
    at = datetime(2026, 11, 23, hour, tzinfo=UTC)

    assert counted_bytes(rules, "UTC", at, 100, 1000) == counted


def test_rules_stand_in_the_plan_and_come_back():
    """A plan's document holds them; what nobody means is refused."""
    plan = read_plan({"usage_rules": [{"start_minute": 0, "end_minute": 1440, "upload_percent": 0}]}, 1, "one")

    assert read_plan(plan_document(plan), 1, "one") == plan
    assert plan.usage_rules == (UsageRule(0, 1440, upload_percent=0),)
    with pytest.raises(PolicyError):
        UsageRule(0, 1440, download_percent=-1)
    with pytest.raises(PolicyError):
        UsageRule(5, 5)
