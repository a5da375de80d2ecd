"""Amounts: their bounds, shares of them, and the tax in or on them, to the minor unit."""

from __future__ import annotations

from typing import NamedTuple

AMOUNT_MAXIMUM_MINOR = 10**15
BASIS_POINTS = 10_000


class Taxed(NamedTuple):
    """An amount without its tax, and the tax; both negative for what is given back."""

    net_minor: int
    tax_minor: int

    @property
    def total_minor(self) -> int:
        """What is to be paid."""
        return self.net_minor + self.tax_minor


def share(amount_minor: int, part: int, whole: int) -> int:
    """`part` of `whole` of an amount, half a minor unit rounded up; of a negative amount the same below zero.

    So what is given back is just what was asked.
    """
    if amount_minor < 0:
        return -share(-amount_minor, part, whole)
    return (2 * amount_minor * part + whole) // (2 * whole)


def split(amount_minor: int, weights: list[int]) -> list[int]:
    """An amount in parts by their weights; the parts add up to it exactly. The weights' sum is more than zero."""
    whole, taken, before, parts = sum(weights), 0, 0, []
    for weight in weights:
        taken += weight
        upto = share(amount_minor, taken, whole)
        parts.append(upto - before)
        before = upto
    return parts


def taxed(amount_minor: int, tax_basis_points: int, *, included: bool) -> Taxed:
    """The tax in an amount (`included`) or on top of it; the rate in basis points of the net amount.

    With tax included, net and tax add up to the amount exactly.
    """
    if included:
        net = share(amount_minor, BASIS_POINTS, BASIS_POINTS + tax_basis_points)
        return Taxed(net, amount_minor - net)
    return Taxed(amount_minor, share(amount_minor, tax_basis_points, BASIS_POINTS))
