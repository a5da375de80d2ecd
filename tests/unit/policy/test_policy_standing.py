"""Standing, from invoices and holds, or from what another system says."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, ZONES, moments

from policy.money.dunning import EVERY_WEEKDAY, DunningTerms, next_allowed
from policy.standing import (
    Hold,
    HoldKind,
    OpenInvoice,
    Standing,
    asserted_at,
    network_standing,
    standing_at,
    suspension,
)

DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
TERMS = DunningTerms(grace_days=3, overdue_days=7)
invoices = st.lists(st.builds(OpenInvoice, moments, st.integers(0, 5), st.integers(1, 3)), max_size=4).map(tuple)
holds = st.lists(st.builds(Hold, st.none() | moments, st.sampled_from(HoldKind), st.integers(1, 3)), max_size=3).map(
    tuple
)
days = st.integers(-30, 60).map(lambda offset: (NOW + offset * DAY).date())
terms = st.builds(
    DunningTerms,
    st.integers(0, 30),
    st.integers(0, 30),
    st.none() | st.integers(0, 23),
    st.sets(st.integers(1, 7), min_size=1).map(frozenset) | st.just(EVERY_WEEKDAY),
    st.dictionaries(days, st.just("a holiday"), max_size=20),
    st.sampled_from(ZONES),
)


@given(invoices, holds, terms, moments, st.booleans(), st.floats(0, 1, exclude_max=True))
def test_the_standing_holds_up_to_its_end(some, held, dunning, now, closed, share):
    """From now up to `valid_until` the answer is the same, at `valid_until` it is another one."""
    first = standing_at(some, held, dunning, now, closed=closed)
    if first.valid_until is None:
        later = now + 9000 * DAY * share
    else:
        assert first.valid_until > now
        later = now + (first.valid_until - now) * share
        later = min(later, first.valid_until - MICROSECOND)
        assert standing_at(some, held, dunning, first.valid_until, closed=closed).standing != first.standing
    assert standing_at(some, held, dunning, later, closed=closed).standing == first.standing


@given(invoices, holds, terms, moments)
def test_nobody_is_suspended_before_the_announced_moment(some, held, dunning, now):
    """`suspension` names the moment from which the standing is suspended, and never one that is not allowed."""
    coming = suspension(some, held, dunning)
    said = standing_at(some, held, dunning, now).standing
    if coming is None or coming.at is None:
        assert said != Standing.SUSPENDED
    else:
        assert (said == Standing.SUSPENDED) == (now >= coming.at)
        assert next_allowed(coming.at, dunning) == coming.at >= coming.ready_at


@given(st.sampled_from(Standing), holds, terms, moments)
def test_what_is_asserted_holds_up_to_its_end(said, held, dunning, now):
    """Another system's word counts, but nobody is suspended while a hold stands, or at a moment that is not allowed."""
    found = asserted_at(said, held, dunning, now)
    if found.standing != said:
        assert (said, found.standing) == (Standing.SUSPENDED, Standing.OVERDUE)
    if found.valid_until is not None:
        assert found.valid_until > now
        assert asserted_at(said, held, dunning, found.valid_until).standing == Standing.SUSPENDED
        assert asserted_at(said, held, dunning, found.valid_until - MICROSECOND).standing == Standing.OVERDUE
    assert asserted_at(said, held, dunning, now, closed=True) == (Standing.CLOSED, None)


@pytest.mark.parametrize(
    ("days_late", "wanted"),
    [
        (-1, Standing.DUE),
        (0, Standing.GRACE),
        (2, Standing.GRACE),
        (3, Standing.OVERDUE),
        (9, Standing.OVERDUE),
        (10, Standing.SUSPENDED),
        (400, Standing.SUSPENDED),
    ],
)
def test_an_invoice_grows_old(days_late, wanted):
    """Due, then grace, then overdue, then suspended; each step begins at its moment."""
    assert standing_at((OpenInvoice(NOW - days_late * DAY, 100),), (), TERMS, NOW).standing == wanted


def test_the_oldest_open_invoice_decides():
    """A new one does not hide an old one, and a paid one does not count."""
    paid, old, new = OpenInvoice(NOW - 90 * DAY, 0), OpenInvoice(NOW - 4 * DAY, 1), OpenInvoice(NOW + DAY, 1)
    assert standing_at((paid, new, old), (), TERMS, NOW).standing == Standing.OVERDUE
    assert standing_at((paid, new), (), TERMS, NOW).standing == Standing.DUE
    assert standing_at((paid,), (), TERMS, NOW) == (Standing.CURRENT, None)


@pytest.mark.parametrize("kind", [one for one in HoldKind if one != HoldKind.DISPUTE])
def test_a_hold_keeps_from_suspension_until_it_ends(kind):
    """ "Do not suspend until the 5th": then it suspends by itself, and an ended hold holds nothing."""
    old = (OpenInvoice(NOW - 90 * DAY, 1),)
    held = standing_at(old, (Hold(NOW - DAY), Hold(NOW + DAY, kind), Hold(NOW + 2 * DAY, kind)), TERMS, NOW)
    assert held == (Standing.OVERDUE, NOW + 2 * DAY)
    assert standing_at(old, (Hold(NOW, kind),), TERMS, NOW).standing == Standing.SUSPENDED
    assert standing_at(old, (Hold(None, kind),), TERMS, NOW) == (Standing.OVERDUE, None)


def test_a_disputed_invoice_does_not_count_while_the_dispute_stands():
    """The others do; afterwards it is as late as it is, and suspends at the next allowed moment."""
    old, new = OpenInvoice(NOW - 90 * DAY, 1, 1), OpenInvoice(NOW - 4 * DAY, 1, 2)
    dispute = Hold(NOW + DAY, HoldKind.DISPUTE, 1)
    assert standing_at((old, new), (dispute,), TERMS, NOW) == (Standing.OVERDUE, NOW + DAY)
    assert standing_at((old,), (dispute,), TERMS, NOW) == (Standing.CURRENT, NOW + DAY)
    assert standing_at((old,), (dispute,), TERMS, NOW + DAY) == (Standing.SUSPENDED, None)


def test_a_hold_that_ends_on_a_holiday_is_over_on_the_next_allowed_day():
    """NOW is a Sunday: the promise was until yesterday, nobody is suspended at weekends, and Monday is a holiday."""
    terms = TERMS._replace(weekdays=frozenset({1, 2, 3, 4, 5}), holidays={date(2026, 11, 23): "ours"}, suspend_hour=9)
    old = (OpenInvoice(NOW - 90 * DAY, 1),)
    found = standing_at(old, (Hold(NOW - DAY, HoldKind.PROMISE),), terms, NOW)
    assert found == (Standing.OVERDUE, NOW.replace(hour=9) + 2 * DAY)


def test_closed_outlives_everything():
    """Whatever is paid or held, a closed service stays closed."""
    assert standing_at((), (Hold(NOW + DAY),), TERMS, NOW, closed=True) == (Standing.CLOSED, None)


def test_only_suspended_and_closed_reach_the_network():
    """Reminders are no change to approve."""
    loud = {standing for standing in Standing if network_standing(standing) != Standing.CURRENT}
    assert loud == {Standing.SUSPENDED, Standing.CLOSED}
