"""A payment, refund or chargeback as another system tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

# What may be written in each text, in bytes.
TEXTS: Final = {"reference": 1024, "payer": 1024, "phone": 64, "username": 253}


class IncomingKind(StrEnum):
    """What happened: money came, was given back, or was taken back by the payer's bank."""

    PAYMENT = "payment"
    REFUND = "refund"
    CHARGEBACK = "chargeback"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One event of a source. The same `external_id` of one source is one event, however often it is told.

    `amount_minor` is positive whatever the kind. `reference` is what the payer wrote, `payer` who paid (name, account),
    `phone` and `username` what the source itself calls so. `original_external_id` names the payment that a refund or
    chargeback is about; a payment that names one is its money come back after all, such as a dispute that was won.
    """

    external_id: str
    amount_minor: int
    currency: str
    occurred_at: datetime
    method: str
    kind: IncomingKind = IncomingKind.PAYMENT
    reference: str = ""
    payer: str = ""
    phone: str = ""
    username: str = ""
    original_external_id: str | None = None


def both(one: Incoming, other: Incoming) -> Incoming:
    """Two tellings of one event: what either knows. Amount, moment and kind are the first one's."""
    texts: dict[str, Any] = {
        name: _joined(getattr(one, name), getattr(other, name), most) for name, most in TEXTS.items()
    }
    return replace(one, **texts)


def _joined(known: str, told: str, most: int) -> str:
    if not told or told in known:
        return known
    if known in told:
        return told
    # The same whichever of them came first.
    joined = f"{min(known, told)} {max(known, told)}"
    return joined if len(joined.encode()) <= most else known


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for in the truth, for one payment: words that may be numbers or user names, phones, invoices."""

    words: frozenset[str]
    invoices: frozenset[tuple[int, int]]
    phone_ends: frozenset[str]
    names: frozenset[str]
