"""What billing says of a service: its standing, from invoices and holds, or from what another system says.

`current -> due -> grace -> overdue -> suspended`, by the invoice that is the furthest along; a hold keeps it from
`suspended`; `closed` is said by a person or after a long suspension and outlives everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from policy.money.dunning import DunningTerms, days_after, next_allowed


class Standing(StrEnum):
    """Billing's word on a service. Only `suspended` and `closed` change what the network gives."""

    CURRENT = "current"
    DUE = "due"
    GRACE = "grace"
    OVERDUE = "overdue"
    SUSPENDED = "suspended"
    CLOSED = "closed"


# No moment that can be stored lies behind it.
_FOR_GOOD = datetime.max.replace(tzinfo=UTC)
_RANKS = {standing: rank for rank, standing in enumerate(Standing)}


class HoldKind(StrEnum):
    """What was promised, and by whom.

    `grace`: we wait. `promise`: the customer pays by then. `dispute`: one invoice does not count meanwhile.
    `reminders_only`: never suspended, reminders go on. `vip`: never suspended nor reminded.
    """

    GRACE = "grace"
    PROMISE = "promise"
    DISPUTE = "dispute"
    REMINDERS_ONLY = "reminders_only"
    VIP = "vip"


def network_standing(standing: Standing) -> Standing:
    """The standing as far as the network can tell: due, grace and overdue look like current there.

    Only this enters a service's facts, or every invoice of the country would be a change to approve.
    """
    return standing if standing in (Standing.SUSPENDED, Standing.CLOSED) else Standing.CURRENT


class OpenInvoice(NamedTuple):
    """An invoice that is not paid in full; `open_minor` is what is left, in the currency's minor unit."""

    due_at: datetime
    open_minor: int
    id: int = 0


class Hold(NamedTuple):
    """Do not suspend before `until`; None is for good. A dispute is about the invoice `invoice_id` alone."""

    until: datetime | None
    kind: HoldKind = HoldKind.GRACE
    invoice_id: int | None = None


class StandingNow(NamedTuple):
    """The standing, and the next moment at which it changes by itself (None: only by an event)."""

    standing: Standing
    valid_until: datetime | None


class Suspension(NamedTuple):
    """When terms and holds are over, and the allowed moment that follows (None: there is none)."""

    ready_at: datetime
    at: datetime | None


class _Stage(NamedTuple):
    """From this moment on (None: from the beginning) the invoice asks for this standing."""

    since: datetime | None
    standing: Standing


def standing_at(
    invoices: tuple[OpenInvoice, ...],
    holds: tuple[Hold, ...],
    terms: DunningTerms,
    now: datetime,
    *,
    closed: bool = False,
) -> StandingNow:
    """The standing at `now` (aware) by the open invoices, holds considered; those that are over may be among them."""
    if closed:
        return StandingNow(Standing.CLOSED, None)
    lives = [_stages(invoice, holds, terms) for invoice in invoices if invoice.open_minor > 0]
    standing = _furthest(lives, now)
    ahead = sorted({stage.since for life in lives for stage in life if stage.since is not None and stage.since > now})
    return StandingNow(standing, next((moment for moment in ahead if _furthest(lives, moment) != standing), None))


def asserted_at(
    said: Standing, holds: tuple[Hold, ...], terms: DunningTerms, now: datetime, *, closed: bool = False
) -> StandingNow:
    """The standing at `now` where another system says it; holds keep from `suspended` here too."""
    if closed:
        return StandingNow(Standing.CLOSED, None)
    if said != Standing.SUSPENDED:
        return StandingNow(said, None)
    held = _held(holds)
    if held is None:
        return StandingNow(said, None)
    allowed = next_allowed(held, terms) if held != _FOR_GOOD else None
    if allowed is None or now < allowed:
        return StandingNow(Standing.OVERDUE, allowed)
    return StandingNow(said, None)


def suspension(invoices: tuple[OpenInvoice, ...], holds: tuple[Hold, ...], terms: DunningTerms) -> Suspension | None:
    """When open invoices lead to suspension; None where none of them ever does."""
    found = [_suspension(one, holds, terms) for one in invoices if one.open_minor > 0]
    coming = [one for one in found if one is not None]
    return min(coming, key=lambda one: (one.at is None, one.at or one.ready_at), default=None)


def _furthest(lives: list[list[_Stage]], now: datetime) -> Standing:
    return max((_at(life, now) for life in lives), key=_RANKS.__getitem__, default=Standing.CURRENT)


def _at(life: list[_Stage], now: datetime) -> Standing:
    return [stage.standing for stage in life if stage.since is None or stage.since <= now][-1]


def _stages(invoice: OpenInvoice, holds: tuple[Hold, ...], terms: DunningTerms) -> list[_Stage]:
    """The life of an unpaid invoice, in order."""
    overdue_at = days_after(invoice.due_at, terms.grace_days, terms.time_zone)
    stages = [_Stage(None, Standing.DUE), _Stage(invoice.due_at, Standing.GRACE), _Stage(overdue_at, Standing.OVERDUE)]
    disputed = _disputed(invoice, holds)
    if disputed == _FOR_GOOD:
        return [_Stage(None, Standing.CURRENT)]
    coming = _suspension(invoice, holds, terms)
    if coming is not None and coming.at is not None:
        stages.append(_Stage(coming.at, Standing.SUSPENDED))
    if disputed is None:
        return stages
    # Nothing is asked for until the dispute is over; then it is as late as it is.
    rest = [stage for stage in stages if stage.since is not None and stage.since > disputed]
    return [_Stage(None, Standing.CURRENT), _Stage(disputed, _at(stages, disputed)), *rest]


def _suspension(invoice: OpenInvoice, holds: tuple[Hold, ...], terms: DunningTerms) -> Suspension | None:
    waits = [_held(holds), _disputed(invoice, holds)]
    if _FOR_GOOD in waits:
        return None
    patience = terms.grace_days + terms.overdue_days
    ready_at = max([days_after(invoice.due_at, patience, terms.time_zone), *(one for one in waits if one is not None)])
    return Suspension(ready_at, next_allowed(ready_at, terms))


def _held(holds: tuple[Hold, ...]) -> datetime | None:
    """When the last hold on the whole service ends; None without one."""
    return _last(hold.until for hold in holds if hold.kind != HoldKind.DISPUTE)


def _disputed(invoice: OpenInvoice, holds: tuple[Hold, ...]) -> datetime | None:
    return _last(hold.until for hold in holds if hold.kind == HoldKind.DISPUTE and hold.invoice_id == invoice.id)


def _last(ends: Iterable[datetime | None]) -> datetime | None:
    known = list(ends)
    if None in known:
        return _FOR_GOOD
    return max((end for end in known if end is not None), default=None)
