"""Prices: sums that add up to the minor unit, discounts that end at nothing, and days that are given back."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from policy.money.amounts import share, split, taxed
from policy.money.periods import Period, Unit, span_at
from policy.money.pricing import Discount, Fee, Line, Terms, price_days, price_fees, price_prepaid, together
from policy.money.proration import Proration, unused

MONTH = Period(1, Unit.MONTH)
DAY = date(2026, 1, 10)
amounts = st.integers(0, 10**12)
rates = st.integers(0, 10_000)
plans = st.builds(
    Terms, st.just(1), st.just("Home 50"), amounts, st.just(MONTH), rates, st.booleans(), st.integers(0, 10**6)
)
discounts = st.lists(
    st.one_of(
        st.builds(lambda one: Discount(1, "x", percent_basis_points=one), st.integers(1, 10_000)),
        st.builds(lambda one: Discount(2, "x", amount_minor=one), st.integers(1, 10**12)),
    ),
    max_size=4,
)


@given(amounts, rates, st.booleans())
def test_tax_adds_up(amount, rate, included):
    """Net and tax are the amount where it holds the tax; a negative amount is the same below zero."""
    found, back = taxed(amount, rate, included=included), taxed(-amount, rate, included=included)
    assert (back.net_minor, back.tax_minor) == (-found.net_minor, -found.tax_minor)
    assert (found.total_minor if included else found.net_minor) == amount
    assert abs(found.tax_minor * 10_000 - found.net_minor * rate) <= (10_000 + rate if included else 5_000)


@given(amounts, st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_parts_add_up(amount, weights):
    """Parts by weight are the whole, each within a minor unit of its share."""
    parts = split(amount, weights)
    assert sum(parts) == amount
    assert all(
        abs(part - share(amount, weight, sum(weights))) <= 1 for part, weight in zip(parts, weights, strict=True)
    )


def test_half_a_minor_unit_is_rounded_up():
    """And, given back, rounded the same."""
    assert (share(5, 1, 2), share(-5, 1, 2), taxed(250, 2300, included=False).tax_minor) == (3, -3, 58)


@given(plans, discounts, st.integers(1, 31), st.booleans())
def test_a_price_never_goes_below_zero(terms, some, anchor_day, setup):
    """Whatever the discounts; without any it is the price, the setup fee, and the tax of both."""
    span = span_at(DAY, MONTH, anchor_day)
    priced = price_days(terms, span, some, setup=setup)
    assert 0 <= priced.total_minor <= price_days(terms, span, setup=setup).total_minor
    if anchor_day == DAY.day and terms.tax_included:
        whole = terms.price_minor + (terms.setup_minor if setup else 0)
        assert price_days(terms, span, setup=setup).total_minor == whole


def test_discounts_have_ends():
    """One up to a day, one for so many periods; each takes from what the last one left."""
    terms = Terms(1, "Home 50", 2000, MONTH)
    some = [
        Discount(1, "half", percent_basis_points=5000, until_on=DAY),
        Discount(2, "welcome", amount_minor=1500, periods_left=1),
        Discount(3, "used up", amount_minor=5, periods_left=0),
    ]
    first = price_days(terms, span_at(DAY, MONTH, 10), some)
    assert [(line.kind, line.net_minor) for line in first.lines] == [
        ("period", 2000),
        ("discount", -1000),
        ("discount", -1000),
    ]
    assert (first.total_minor, first.discount_ids) == (0, (1, 2))
    assert price_days(terms, span_at(DAY + timedelta(days=1), MONTH, 10), some[:1]).total_minor == 1935  # 30 of 31 days


def test_periods_bought_together_cost_what_they_cost_one_by_one():
    """A discount of two periods makes two of five cheaper, and is used up by them."""
    some = [Discount(1, "half", percent_basis_points=5000, periods_left=2), Discount(2, "loyal", amount_minor=10)]
    priced = price_prepaid(Terms(1, "Day", 100, MONTH), 5, DAY, DAY, some)
    assert [(line.kind, line.net_minor) for line in priced.lines] == [
        ("prepaid", 500),
        ("discount", -100),
        ("discount", -50),
    ]
    assert sorted(priced.discount_ids) == [1, 1, 2, 2, 2, 2, 2]


def test_fees_and_prepaid_periods():
    """Fees have a tax of their own; hours of one day have no days to name."""
    terms = Terms(1, "Day", 100, Period(12, Unit.HOUR), setup_minor=50)
    fee = Fee(7, "a visit", 1000, 2300, tax_included=False, added_on=DAY)
    priced = together(price_prepaid(terms, 3, DAY, DAY, setup=True), price_fees([fee]))
    assert (priced.total_minor, priced.fee_ids) == (300 + 50 + 1230, (7,))
    assert [line.start for line in priced.lines] == [None, None, None]


changes = st.lists(st.tuples(st.integers(0, 12), plans), max_size=5)


@given(plans, changes)
def test_changing_plans_costs_the_days_of_each(first, later):
    """However often in a period: what was asked in all is each plan's share of its days, but for rounding a step.

    And a plan that changes to itself costs nothing.
    """
    span, today, terms = span_at(DAY, MONTH, 10), DAY, first
    lines = list(price_days(first, span).lines)
    wanted = 0
    for days, new in later:
        same = price_days(terms, span_at(today, MONTH, 10))
        assert Proration(unused(lines, today), same).to_pay_minor in (-1, 0, 1)
        moved = min(today + timedelta(days=days), span.end - timedelta(days=1))
        wanted += share(terms.price_minor, (moved - today).days, span.days)
        today, terms = moved, new._replace(tax_included=True)
        lines += [*unused(lines, today), *price_days(terms, span_at(today, MONTH, 10)).lines]
    wanted += share(terms.price_minor, (span.end - today).days, span.days)
    asked = sum(line.net_minor + line.tax_minor for line in lines)
    if first.tax_included:
        assert abs(asked - wanted) <= 4 * len(later) + 1
    assert sum(line.net_minor for line in unused(lines, span.end)) == 0


def test_days_are_given_back_to_the_minor_unit_that_was_asked_for_them() -> None:
    """Half of 14.00, although half of its net and half of its tax end in halves of a cent."""
    lines = [Line("period", "x", 1167, 2000, 233, 1, date(2026, 1, 1), date(2026, 1, 29))]
    (back,) = unused(lines, date(2026, 1, 15))
    assert (back.net_minor, back.tax_minor) == (-584, -116)


def test_an_upgrade_is_shown_to_the_minor_unit():
    """On the 20th of a month that began on the 10th: 21 of 31 days back, 21 of 31 days charged."""
    old, new = Terms(1, "Home 50", 3100, MONTH, 2300), Terms(2, "Home 100", 6200, MONTH, 2300)
    lines = price_days(old, span_at(DAY, MONTH, 10)).lines
    change = Proration(unused(lines, date(2026, 1, 20)), price_days(new, span_at(date(2026, 1, 20), MONTH, 10)))
    assert (change.credit_minor, change.charge_minor, change.to_pay_minor) == (2100, 4200, 2100)
