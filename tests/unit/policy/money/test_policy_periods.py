"""Periods: one after the other, anchored, right at the ends of months and when clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.money.periods import Period, Unit, anchor_of, prolonged, read_period, span_at

days = st.dates(date(2001, 1, 1), date(2150, 12, 31))
units = st.sampled_from([Unit.DAY, Unit.WEEK, Unit.MONTH])
periods = st.builds(Period, st.integers(1, 36), units)
WARSAW = ZoneInfo("Europe/Warsaw")


@given(days, periods, st.integers(1, 31))
def test_periods_follow_one_another(start, period, anchor_day):
    """Each begins where the last one ended, none is empty, and only the first may be shorter than a whole one."""
    spans = [span_at(start, period, anchor_day)]
    for _ in range(6):
        spans.append(span_at(spans[-1].end, period, anchor_day))
    assert all(1 <= span.days <= span.whole_days for span in spans)
    assert all(span.whole_start == span.start for span in spans[1:])
    if period.unit == Unit.MONTH:
        following = [span.end + timedelta(days=1) for span in spans]
        assert all(span.end.day == anchor_day or (after.day == 1) for span, after in zip(spans, following, strict=True))


def test_the_31st_comes_back():
    """The last day of shorter months, the 31st in the others; in a leap year too."""
    start, ends = date(2028, 1, 31), []
    for _ in range(5):
        start = span_at(start, Period(1, Unit.MONTH), 31).end
        ends.append((start.month, start.day))
    assert ends == [(2, 29), (3, 31), (4, 30), (5, 31), (6, 30)]


def test_a_first_period_ends_on_the_anchored_day():
    """From the 10th with the first as anchor: 22 of January's 31 days; a quarter goes on to the third first."""
    span = span_at(date(2026, 1, 10), Period(1, Unit.MONTH), 1)
    assert (span.end, span.days, span.whole_days) == (date(2026, 2, 1), 22, 31)
    quarter = span_at(date(2026, 1, 10), Period(3, Unit.MONTH), 1)
    assert (quarter.end, quarter.whole_start) == (date(2026, 4, 1), date(2026, 1, 1))


moments = st.integers(0, 80 * 365 * 24 * 60).map(
    lambda minutes: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(moments, periods, st.integers(1, 5))
def test_prepaid_time_grows_piece_by_piece(moment, period, count):
    """Several periods at once end where they end one by one, at the same time of the clock where that exists."""
    local = moment.astimezone(WARSAW)
    anchor_day = anchor_of(local.date(), local.day)
    at_once = prolonged(moment, period, count, anchor_day, WARSAW)
    one_by_one = moment
    for _ in range(count):
        one_by_one = prolonged(one_by_one, period, 1, anchor_day, WARSAW)
    assert abs(at_once - one_by_one) <= timedelta(hours=1)  # a time that the clocks jump over moves by that hour
    assert at_once > moment
    assert at_once.astimezone(WARSAW).time() == local.time() or 1 <= local.hour <= 3


def test_days_end_by_the_clock_and_hours_by_the_hour():
    """The night in which Poland's clocks go forward has 23 hours; twelve hours are twelve hours."""
    evening = datetime(2026, 3, 28, 20, tzinfo=WARSAW)
    assert prolonged(evening, Period(1, Unit.DAY), 1, 28, WARSAW) == evening.astimezone(UTC) + timedelta(hours=23)
    assert prolonged(evening, Period(12, Unit.HOUR), 1, 28, WARSAW) == evening.astimezone(UTC) + timedelta(hours=12)
    last = datetime(2026, 1, 31, 15, tzinfo=WARSAW)
    february = prolonged(last, Period(1, Unit.MONTH), 1, 31, WARSAW).astimezone(WARSAW)
    assert (february.month, february.day, february.hour) == (2, 28, 15)
    assert prolonged(february, Period(1, Unit.MONTH), 1, 31, WARSAW).astimezone(WARSAW).day == 31


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("1 month", Period(1, Unit.MONTH)),
        (" 30 Days", Period(30, Unit.DAY)),
        ("2weeks", Period(2, Unit.WEEK)),
        ("12 hours", Period(12, Unit.HOUR)),
    ],
)
def test_periods_are_read(text, period):
    """As people write them, and written the same way."""
    assert read_period(text) == period == read_period(str(period))


@pytest.mark.parametrize(
    "text", ["", "month", "0 days", "-1 day", "1.5 months", "3661 days", "1 year", "٣ days", "1 month 2 days"]
)
def test_what_is_no_period_is_refused(text):
    """With a sentence that shows one."""
    with pytest.raises(PolicyError, match="30 days"):
        read_period(text)
