"""Standing, from invoices and holds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, moments

from policy.standing import DunningTerms, Hold, OpenInvoice, Standing, network_standing, standing_at

DAY = timedelta(days=1)
TERMS = DunningTerms(grace_days=3, overdue_days=7)
invoices = st.lists(st.builds(OpenInvoice, moments, st.integers(0, 5)), max_size=4).map(tuple)
holds = st.lists(st.builds(Hold, moments), max_size=3).map(tuple)
terms = st.builds(DunningTerms, st.integers(0, 30), st.integers(0, 30))


@given(invoices, holds, terms, moments, st.booleans(), st.floats(0, 1, exclude_max=True))
def test_the_standing_holds_up_to_its_end(some, held, dunning, now, closed, share):
    """From now up to `valid_until` the answer is the same, and `valid_until` lies ahead."""
    first = standing_at(some, held, dunning, now, closed=closed)
    if first.valid_until is None:
        later = now + 9000 * DAY * share
    else:
        assert first.valid_until > now
        later = now + (first.valid_until - now) * share
        later = min(later, first.valid_until - timedelta(microseconds=1))
    assert standing_at(some, held, dunning, later, closed=closed).standing == first.standing


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


def test_a_hold_keeps_from_suspension_until_it_ends():
    """ "Do not suspend until the 5th": then it suspends by itself, and an ended hold holds nothing."""
    old = (OpenInvoice(NOW - 90 * DAY, 1),)
    held = standing_at(old, (Hold(NOW - DAY), Hold(NOW + DAY), Hold(NOW + 2 * DAY)), TERMS, NOW)
    assert held == (Standing.OVERDUE, NOW + 2 * DAY)
    assert standing_at(old, (Hold(NOW),), TERMS, NOW).standing == Standing.SUSPENDED


def test_closed_outlives_everything():
    """Whatever is paid or held, a closed service stays closed."""
    assert standing_at((), (Hold(NOW + DAY),), TERMS, NOW, closed=True) == (Standing.CLOSED, None)


def test_only_suspended_and_closed_reach_the_network():
    """Reminders are no change to approve."""
    loud = {standing for standing in Standing if network_standing(standing) != Standing.CURRENT}
    assert loud == {Standing.SUSPENDED, Standing.CLOSED}
