"""A plan that changes within a paid period: the unused days are given back, the new plan is charged by days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import NamedTuple

from policy.money.pricing import Line, Priced


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
        back = Line("proration", name, -_rounded(net), rate, -_rounded(tax), plan_id, today, end)
        if back.net_minor + back.tax_minor < 0:
            found.append(back)
    return tuple(found)


def _rounded(value: Fraction) -> int:
    """To the nearest minor unit, half a unit away from zero."""
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return size if value > 0 else -size
