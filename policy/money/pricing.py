"""What a period of one service costs: its price, the setup fee, discounts, one-off fees, and the tax of each line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from policy.money.amounts import BASIS_POINTS, Taxed, share, taxed
from policy.money.periods import Period, Span


class Terms(NamedTuple):
    """What a plan asks. Prices in minor units a period, with or without tax (`tax_included`).

    `anchor_day`: the day of the month on which its periods begin (None: that of the service).
    """

    plan_id: int
    name: str
    price_minor: int
    period: Period
    tax_basis_points: int = 0
    tax_included: bool = True
    setup_minor: int = 0
    prepaid: bool = False
    anchor_day: int | None = None

    def taxed(self, amount_minor: int) -> Taxed:
        """An amount as this plan writes it, and its tax."""
        return taxed(amount_minor, self.tax_basis_points, included=self.tax_included)


class Discount(NamedTuple):
    """Less for one service: a share (basis points) or an amount of each period. None: without such an end."""

    discount_id: int
    reason: str
    percent_basis_points: int | None = None
    amount_minor: int | None = None
    periods_left: int | None = None
    until_on: date | None = None

    def counts(self, day: date) -> bool:
        """Whether a period that begins on this day costs less by it. `until_on` is the last such day."""
        return self.periods_left != 0 and (self.until_on is None or day <= self.until_on)

    def used(self, times: int = 1) -> Discount:
        """With fewer periods left."""
        return self if self.periods_left is None else self._replace(periods_left=max(0, self.periods_left - times))

    def of(self, price_minor: int) -> int:
        """What it takes from a price: never more than all of it."""
        if self.percent_basis_points is not None:
            return share(price_minor, self.percent_basis_points, BASIS_POINTS)
        return min(price_minor, self.amount_minor or 0)


class Fee(NamedTuple):
    """A one-off fee that was added on a day."""

    fee_id: int
    description: str
    amount_minor: int
    tax_basis_points: int
    tax_included: bool
    added_on: date


class Line(NamedTuple):
    """One line of an invoice. Discounts and what is given back are negative; `end` is the day after the period."""

    kind: str
    description: str
    net_minor: int
    tax_basis_points: int
    tax_minor: int
    plan_id: int | None = None
    start: date | None = None
    end: date | None = None


class Priced(NamedTuple):
    """The lines of one period, and which discounts and fees they hold."""

    lines: tuple[Line, ...]
    discount_ids: tuple[int, ...] = ()
    fee_ids: tuple[int, ...] = ()

    @property
    def total_minor(self) -> int:
        """What is to be paid, tax included; never below zero."""
        return sum(line.net_minor + line.tax_minor for line in self.lines)


def price_days(terms: Terms, span: Span, discounts: Sequence[Discount] = (), *, setup: bool = False) -> Priced:
    """A period of days; one that is not whole is charged by its days. `setup`: the setup fee is still to be charged."""
    amount = share(terms.price_minor, span.days, span.whole_days)
    return _priced(terms, "period", (amount, 1), span.start, span.end, discounts, setup=setup)


def price_prepaid(
    terms: Terms, periods: int, start: date, end: date, discounts: Sequence[Discount] = (), *, setup: bool = False
) -> Priced:
    """So many periods paid before they are used, from one day to another; within one day no days are named."""
    return _priced(terms, "prepaid", (terms.price_minor, periods), start, end, discounts, setup=setup)


def price_fees(fees: Sequence[Fee]) -> Priced:
    """One-off fees, each with its own tax."""
    lines = []
    for fee in fees:
        amount = taxed(fee.amount_minor, fee.tax_basis_points, included=fee.tax_included)
        lines.append(Line("fee", fee.description, amount.net_minor, fee.tax_basis_points, amount.tax_minor))
    return Priced(tuple(lines), fee_ids=tuple(fee.fee_id for fee in fees))


def together(*parts: Priced) -> Priced:
    """Lines of several, one after the other."""
    return Priced(
        tuple(line for part in parts for line in part.lines),
        tuple(one for part in parts for one in part.discount_ids),
        tuple(one for part in parts for one in part.fee_ids),
    )


def _priced(
    terms: Terms,
    kind: str,
    amounts: tuple[int, int],
    start: date,
    end: date,
    discounts: Sequence[Discount],
    *,
    setup: bool,
) -> Priced:
    """`amounts`: what one period costs, and how many there are. A discount counts for each that it makes cheaper."""
    amount, periods = amounts
    days = (start, end) if start < end else (None, None)
    lines = [_line(terms, kind, terms.name, amount * periods, *days)] if amount else []
    used: list[int] = []
    less = {discount.discount_id: 0 for discount in discounts}
    for _ in range(periods if less else 0):
        left = amount
        for discount in discounts:
            part = discount.used(used.count(discount.discount_id))
            taken = discount.of(left) if part.counts(start) else 0
            if taken:
                less[discount.discount_id] += taken
                used.append(discount.discount_id)
                left -= taken
    lines += [
        _line(terms, "discount", discount.reason, -less[discount.discount_id], *days)
        for discount in discounts
        if less[discount.discount_id]
    ]
    if setup and terms.setup_minor:
        lines.append(_line(terms, "fee", terms.name, terms.setup_minor, None, None))
    # Net and tax are rounded for each line, so discounts of the whole price may leave a minor unit less than nothing.
    return Priced(_not_below_zero(lines), tuple(used))


def _not_below_zero(lines: list[Line]) -> tuple[Line, ...]:
    over = -min(0, sum(line.net_minor + line.tax_minor for line in lines))
    if over:
        lines[-1] = lines[-1]._replace(tax_minor=lines[-1].tax_minor + over)
    return tuple(lines)


def _line(terms: Terms, kind: str, description: str, amount: int, start: date | None, end: date | None) -> Line:
    net, tax = terms.taxed(amount)
    return Line(kind, description, net, terms.tax_basis_points, tax, terms.plan_id, start, end)
