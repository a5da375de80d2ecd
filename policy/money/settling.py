"""Which money pays which invoice: the oldest due first, to the last minor unit."""

from __future__ import annotations

from typing import NamedTuple


class Unspent(NamedTuple):
    """Money that no invoice has used; `invoice_id` is the only invoice it may settle (None: any)."""

    payment_id: int
    unspent_minor: int
    invoice_id: int | None = None


class Unpaid(NamedTuple):
    """What is left of an invoice."""

    invoice_id: int
    open_minor: int


class Settled(NamedTuple):
    """A part of a payment that pays a part of an invoice."""

    payment_id: int
    invoice_id: int
    amount_minor: int


class Part(NamedTuple):
    """What a payment has paid of an invoice."""

    invoice_id: int
    amount_minor: int


def settle(money: list[Unspent], invoices: list[Unpaid]) -> list[Settled]:
    """Let money, the oldest first, pay invoices of the same subscriber, the oldest due first.

    Money that is meant for one invoice goes there before any other is used.
    """
    rest = {one.payment_id: one.unspent_minor for one in money}
    found = []
    meant = sorted(money, key=lambda one: one.invoice_id is None)
    for invoice in invoices:
        missing = invoice.open_minor
        for one in meant:
            amount = min(missing, rest[one.payment_id])
            if amount > 0 and one.invoice_id in (None, invoice.invoice_id):
                found.append(Settled(one.payment_id, invoice.invoice_id, amount))
                rest[one.payment_id] -= amount
                missing -= amount
    return found


def release(parts: list[Part], amount_minor: int) -> list[Part]:
    """What to take back from invoices so that `amount_minor` of a payment is free again; the last paid gives first.

    `parts` in the order in which they were paid. Raises ValueError when they do not hold so much.
    """
    found = []
    missing = amount_minor
    for part in reversed(parts):
        taken = min(missing, part.amount_minor)
        if taken > 0:
            found.append(Part(part.invoice_id, taken))
            missing -= taken
    if missing > 0:
        raise ValueError("more is to be released than was paid")
    return found
