"""A plan that changes within a paid period: the unused days are given back, the new plan is charged by days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import NamedTuple

from policy.money.charging import NOTHING, Place
from policy.money.periods import Unit, anchor_of, span_at
from policy.money.pricing import Discount, Line, Priced, Terms, price_days


class Proration(NamedTuple):
    """What a change of plan costs at once: lines given back, and lines of the new plan."""

    given_back: tuple[Line, ...]
    charged: Priced

    @property
    def credit_minor(self) -> int:
        """What is given back for unused days."""
        return -sum(line.net_minor + line.tax_minor for line in self.given_back)

    @property
    def charge_minor(self) -> int:
        """What the new plan costs up to the end of its first period."""
        return self.charged.total_minor

    @property
    def to_pay_minor(self) -> int:
        """What is left to pay; below zero the customer has so much more credit."""
        return self.charge_minor - self.credit_minor


NO_MONEY = Proration((), NOTHING)


def change_now(
    place: Place,
    old: Terms,
    new: Terms,
    lines: Sequence[Line],
    discounts: Sequence[Discount],
    today: date,
    *,
    days_before: int,
) -> tuple[Proration, Place]:
    """What another plan from today on costs, and where the service stands then. `lines`: what was invoiced of it.

    The new plan's first period ends on the customer's anchored day where both plans count in months; free days
    that were given beyond what is paid stay free. A price agreed for the old plan ends with it.
    """
    after = place._replace(next_plan_on=None, price_minor=None)
    if old.prepaid:
        anchor_day = new.anchor_day or today.day
        return NO_MONEY, after._replace(starts_on=today, billed_until=None, anchor_day=anchor_day, next_on=today)
    back = unused(lines, today)
    if new.prepaid:
        restart = after._replace(starts_on=min(today, place.starts_on), billed_until=None, next_on=today)
        return Proration(back, NOTHING), restart
    if place.billed_until is None or place.billed_until <= today:
        start = place.billed_until or place.starts_on
        return NO_MONEY, after._replace(anchor_day=new.anchor_day or anchor_of(start, place.anchor_day))
    months = old.period.unit == new.period.unit == Unit.MONTH
    anchor_day = new.anchor_day or (place.anchor_day if months else today.day)
    span = span_at(today, new.period, anchor_day)
    paid_until = max((line.end for line in lines if line.end is not None), default=place.billed_until)
    until = span.end + max(place.billed_until - paid_until, timedelta())
    stands = after._replace(anchor_day=anchor_day, billed_until=until, next_on=until - timedelta(days=days_before))
    return Proration(back, price_days(new, span, discounts)), stands


def unused(lines: Sequence[Line], today: date) -> tuple[Line, ...]:
    """What of these lines, invoiced before, lies on `today` and after it, as lines that give it back.

    One for each plan and rate of tax. The shares are summed up before they are rounded, so that days which were
    given back before leave nothing behind.
    """
    sums: dict[tuple[int | None, int, str], tuple[Fraction, Fraction, date]] = {}
    names = {line.plan_id: line.description for line in lines if line.kind != "discount"}
    for line in lines:
        if line.start is None or line.end is None or line.end <= today:
            continue
        part = Fraction((line.end - max(today, line.start)).days, (line.end - line.start).days)
        key = (line.plan_id, line.tax_basis_points, names.get(line.plan_id, line.description))
        net, tax, end = sums.get(key, (Fraction(), Fraction(), line.end))
        sums[key] = (net + part * line.net_minor, tax + part * line.tax_minor, max(end, line.end))
    found = []
    for (plan_id, rate, name), (net, tax, end) in sums.items():
        # The sum is what people count; net and tax rounded by themselves could be a minor unit more.
        back_minor, net_minor = _rounded(net + tax), _rounded(net)
        back = Line("proration", name, -net_minor, rate, net_minor - back_minor, plan_id, today, end)
        if back.net_minor + back.tax_minor < 0:
            found.append(back)
    return tuple(found)


def _rounded(value: Fraction) -> int:
    """To the nearest minor unit, half a unit away from zero."""
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return size if value > 0 else -size
