"""One look after the other: every day is charged once, whatever plans come, days before, or closings."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from policy.money.charging import Place, first_place, look, renewal
from policy.money.periods import Period, Unit
from policy.money.pricing import Fee, Terms

START = date(2026, 1, 31)
periods = st.builds(Period, st.integers(1, 3), st.sampled_from([Unit.DAY, Unit.WEEK, Unit.MONTH]))
plans = st.builds(
    lambda period, anchor: Terms(1, "old", 3000, period, anchor_day=anchor if period.unit == Unit.MONTH else None),
    periods,
    st.none() | st.integers(1, 31),
)


def _looks(place: Place, plan: Terms, next_plan: Terms | None, until: date, **more):
    found = []
    for _ in range(2000):
        if place.next_on is None or place.next_on > until:
            return place, found
        seen = look(
            place,
            plan,
            next_plan,
            (),
            more.get("fees", ()),
            closed_on=more.get("closed_on"),
            days_before=more["before"],
        )
        assert seen.place != place, "a look that leaves all as it is would be taken for ever"
        found.append((place.next_on, seen))
        place = seen.place
        if seen.switch:
            plan, next_plan = next_plan, None
    raise AssertionError("the looks do not end")


@given(plans, plans, st.integers(0, 60), st.integers(0, 200) | st.none(), st.integers(0, 200) | st.none())
def test_each_day_is_charged_once(plan, other, before, changes, closes):
    """Periods follow one another from the first day to the last, and the plan of each is that of its first day."""
    place = first_place(plan, START, before)
    change_on = None
    if changes is not None:
        change_on = START + timedelta(days=changes)
        place = place._replace(next_plan_on=change_on)
    closed_on = None if closes is None else START + timedelta(days=closes)
    until = START + timedelta(days=300)
    other = other._replace(plan_id=2)
    after, found = _looks(place, plan, None if changes is None else other, until, before=before, closed_on=closed_on)
    lines = [line for _, seen in found for line in seen.priced.lines]
    day = START
    for line in lines:
        assert line.start == day < line.end
        assert line.plan_id == (2 if change_on is not None and line.start >= change_on else 1)
        day = line.end
    assert closed_on is None or day <= max(closed_on, START)
    assert closed_on is not None or day > until - timedelta(days=100)
    assert after.next_on is None if closed_on is not None else after.next_on > until
    assert all(on >= (line.start - timedelta(days=before)) for on, seen in found for line in seen.priced.lines)


def test_a_fee_waits_for_the_next_invoice():
    """One that was added after its service's look is on the next; of a closed service, on one of its own."""
    plan = Terms(1, "x", 0, Period(1, Unit.MONTH))
    fees = [Fee(1, "early", 5, 0, True, START), Fee(2, "late", 7, 0, True, START + timedelta(days=1))]
    _, found = _looks(first_place(plan, START, 0), plan, None, date(2026, 3, 1), before=0, fees=fees[1:])
    assert [seen.priced.total_minor for _, seen in found] == [0, 7]
    _, found = _looks(first_place(plan, START, 0), plan, None, START, before=0, fees=fees, closed_on=START)
    assert [seen.priced.total_minor for _, seen in found] == [12]


@given(st.integers(-40, 40), st.integers(1, 5), st.booleans())
def test_prepaid_time_begins_now_or_when_the_last_ends(days, count, setup):
    """From the later of both; the setup fee is charged with the first."""
    now = datetime(2026, 3, 28, 20, tzinfo=UTC)
    until = now + timedelta(days=days)
    terms = Terms(1, "Day", 100, Period(1, Unit.DAY), setup_minor=30, prepaid=True)
    place = Place(START, 31, setup_charged=not setup)
    found = renewal(place, terms, (), (), prepaid_until=until, now=now, zone=ZoneInfo("Europe/Warsaw"), periods=count)
    took = found.prepaid_until - max(now, until)
    assert abs(took - timedelta(days=count)) <= timedelta(hours=1)  # the clocks go forward on the 29th
    assert found.priced.total_minor == 100 * count + (30 if setup else 0)
    assert found.place.next_on == found.prepaid_until.astimezone(ZoneInfo("Europe/Warsaw")).date()
