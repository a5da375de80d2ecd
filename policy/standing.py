"""What billing says of a service: its standing, from invoices and holds alone.

`current -> due -> grace -> overdue -> suspended`, by the oldest unpaid invoice; a hold keeps it from `suspended`;
`closed` is said by a person and outlives everything.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class Standing(StrEnum):
    """Billing's word on a service. Only `suspended` and `closed` change what the network gives."""

    CURRENT = "current"
    DUE = "due"
    GRACE = "grace"
    OVERDUE = "overdue"
    SUSPENDED = "suspended"
    CLOSED = "closed"


def network_standing(standing: Standing) -> Standing:
    """The standing as far as the network can tell: due, grace and overdue look like current there.

    Only this enters a service's facts, or every invoice of the country would be a change to approve.
    """
    return standing if standing in (Standing.SUSPENDED, Standing.CLOSED) else Standing.CURRENT


class DunningTerms(NamedTuple):
    """How long each step lasts, in days: grace after the due moment, then overdue, then suspended."""

    grace_days: int = 3
    overdue_days: int = 0


class OpenInvoice(NamedTuple):
    """An invoice that is not paid in full; `open_minor` is what is left, in the currency's minor unit."""

    due_at: datetime
    open_minor: int


class Hold(NamedTuple):
    """Do not suspend before `until`; None is for good."""

    until: datetime | None


class StandingNow(NamedTuple):
    """The standing, and the next moment at which it may change by itself (None: only by an event)."""

    standing: Standing
    valid_until: datetime | None


def standing_at(
    invoices: tuple[OpenInvoice, ...],
    holds: tuple[Hold, ...],
    terms: DunningTerms,
    now: datetime,
    *,
    closed: bool = False,
) -> StandingNow:
    """The standing at `now` (aware) by the oldest open invoice, holds considered."""
    if closed:
        return StandingNow(Standing.CLOSED, None)
    unpaid = [invoice.due_at for invoice in invoices if invoice.open_minor > 0]
    if not unpaid:
        return StandingNow(Standing.CURRENT, None)
    due_at = min(unpaid)
    overdue_at = due_at + timedelta(days=terms.grace_days)
    suspended_at = overdue_at + timedelta(days=terms.overdue_days)
    if now < due_at:
        return StandingNow(Standing.DUE, due_at)
    if now < overdue_at:
        return StandingNow(Standing.GRACE, overdue_at)
    if now < suspended_at:
        return StandingNow(Standing.OVERDUE, suspended_at)
    if any(hold.until is None for hold in holds):
        return StandingNow(Standing.OVERDUE, None)
    held_until = max((hold.until for hold in holds if hold.until is not None and hold.until > now), default=None)
    if held_until is not None:
        return StandingNow(Standing.OVERDUE, held_until)
    return StandingNow(Standing.SUSPENDED, None)
