"""Invoices and receipts as plain values, as they are read by customers. Amounts in minor units, days the operator's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from policy.money.creditor_reference import creditor_reference, written_in_groups


@dataclass(frozen=True, slots=True)
class Seller:
    """Who asks, as written on the day of issue."""

    name: str
    address: str = ""
    tax_name: str = ""
    tax_number: str = ""
    payment_details: str = ""


@dataclass(frozen=True, slots=True)
class Buyer:
    """Who is asked, as written on the day of issue."""

    name: str
    reference: str
    address: str = ""
    tax_number: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an invoice; `period_end` is the first day after the period."""

    description: str
    net_minor: int
    tax_minor: int = 0
    tax_basis_points: int = 0
    period_start: date | None = None
    period_end: date | None = None

    @property
    def gross_minor(self) -> int:
        """With its tax."""
        return self.net_minor + self.tax_minor


class Settlement(NamedTuple):
    """What has paid a part of an invoice: `kind` is money, credit or write_off."""

    day: date
    kind: str
    method: str
    receipt: str
    amount_minor: int


class TaxRow(NamedTuple):
    """The sums of one tax rate."""

    basis_points: int
    net_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class InvoicePaper:
    """An invoice as a customer reads it today. `voided_on`: it asks for nothing any more."""

    number: str
    currency: str
    issued_on: date
    due_on: date
    seller: Seller
    buyer: Buyer
    lines: tuple[Line, ...]
    amount_minor: int
    tax_minor: int
    open_minor: int
    settlements: tuple[Settlement, ...] = ()
    voided_on: date | None = None

    @property
    def creditor_reference(self) -> str:
        """What a bank's form in euros takes instead of free text (ISO 11649); "" where the customer has none."""
        return written_in_groups(creditor_reference(self.buyer.reference)) if self.currency == "EUR" else ""

    @property
    def is_paid(self) -> bool:
        """Nothing is left to pay, and it was not taken back."""
        return self.voided_on is None and self.open_minor == 0

    @property
    def taxes(self) -> tuple[TaxRow, ...]:
        """The sums of each tax rate, the highest first; nothing where there is no tax at all."""
        if not any(line.tax_minor or line.tax_basis_points for line in self.lines):
            return ()
        sums: dict[int, tuple[int, int]] = {}
        for line in self.lines:
            net, tax = sums.get(line.tax_basis_points, (0, 0))
            sums[line.tax_basis_points] = net + line.net_minor, tax + line.tax_minor
        return tuple(TaxRow(rate, *sums[rate]) for rate in sorted(sums, reverse=True))


class Paid(NamedTuple):
    """A part of a payment that paid an invoice."""

    number: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ReceiptPaper:
    """A receipt as a customer reads it today."""

    number: str
    currency: str
    received_on: date
    method: str
    seller: Seller
    buyer: Buyer
    amount_minor: int
    paid: tuple[Paid, ...] = ()
    unspent_minor: int = 0
    reversed_minor: int = 0
