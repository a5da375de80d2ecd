"""One service, one look: what the billing cycle charges next, and where the service stands afterwards.

Everything is counted from the day on which the look was due, never from the day on which it happens: a cycle that was
out for a week asks for just what it would have asked for day by day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from policy.money.periods import anchor_of, prolonged, span_at
from policy.money.pricing import Discount, Fee, Priced, Terms, price_days, price_fees, price_prepaid, together

NOTHING = Priced(())
# A prepaid hour after hour is renewed for the whole day at once; no plan needs more periods for that.
RENEWALS_MAXIMUM = 24


class Place(NamedTuple):
    """Where a service stands in its periods; `next_on` is the day of the next look (None: never).

    `next_plan_on`: the day on which another plan begins.
    """

    starts_on: date
    anchor_day: int
    billed_until: date | None = None
    next_on: date | None = None
    setup_charged: bool = False
    price_minor: int | None = None
    next_plan_on: date | None = None


class Look(NamedTuple):
    """What one look asks for, and where the service stands then. `switch`: its next plan begins now."""

    place: Place
    priced: Priced = NOTHING
    switch: bool = False


class Renewal(NamedTuple):
    """A prepaid service that is prolonged: what it costs, and up to when."""

    place: Place
    priced: Priced
    prepaid_until: datetime


def first_place(terms: Terms, starts_on: date, days_before: int, *, price_minor: int | None = None) -> Place:
    """Where a new service stands whose first charged day is `starts_on`."""
    anchor_day = terms.anchor_day or starts_on.day
    return Place(starts_on, anchor_day, next_on=starts_on - timedelta(days=days_before), price_minor=price_minor)


def look(
    place: Place,
    plan: Terms,
    next_plan: Terms | None,
    discounts: Sequence[Discount],
    fees: Sequence[Fee],
    *,
    closed_on: date | None,
    days_before: int,
) -> Look:
    """What a service that is charged again and again owes on its day `next_on`, at most one period.

    Periods are charged `days_before` they begin, and never beyond `closed_on`. A plan that begins on a day is charged
    for the periods from that day on, and begins then.
    """
    day, start = place.next_on, place.billed_until or place.starts_on
    if day is None:
        return Look(place)
    if closed_on is not None and start >= closed_on:
        return Look(place._replace(next_on=None), price_fees(fees))
    switch = next_plan is not None and place.next_plan_on is not None and place.next_plan_on <= day
    follows = next_plan is not None and place.next_plan_on is not None and place.next_plan_on <= start
    terms = next_plan if follows and next_plan is not None else own_price(plan, place)
    if follows and terms.prepaid:
        return Look(place._replace(next_on=place.next_plan_on), switch=switch)
    if start - timedelta(days=days_before) > day:
        return Look(_after(place, start, days_before, switched=switch), switch=switch)
    anchor_day = terms.anchor_day or anchor_of(start, place.anchor_day) if follows else place.anchor_day
    span = span_at(start, terms.period, anchor_day)
    if closed_on is not None:
        span = span._replace(end=min(span.end, closed_on))
    priced = together(
        price_days(terms, span, discounts, setup=not place.setup_charged),
        price_fees([fee for fee in fees if fee.added_on <= day]),
    )
    billed = place._replace(billed_until=span.end, setup_charged=True, anchor_day=anchor_day)
    return Look(_after(billed, span.end, days_before, switched=switch), priced, switch)


def renewal(
    place: Place,
    terms: Terms,
    discounts: Sequence[Discount],
    fees: Sequence[Fee],
    *,
    prepaid_until: datetime | None,
    now: datetime,
    zone: tzinfo,
    periods: int = 1,
) -> Renewal:
    """So many periods more for a prepaid service, from the later of `now` and its present end."""
    start = max(now, prepaid_until) if prepaid_until is not None else now
    first = start.astimezone(zone).date()
    anchor_day = anchor_of(first, place.anchor_day)
    end = prolonged(start, terms.period, periods, anchor_day, zone)
    last = end.astimezone(zone).date()
    priced = together(
        price_prepaid(terms, periods, first, last, discounts, setup=not place.setup_charged), price_fees(fees)
    )
    return Renewal(place._replace(anchor_day=anchor_day, next_on=last, setup_charged=True), priced, end)


def own_price(plan: Terms, place: Place) -> Terms:
    """The plan with the price that was agreed with this customer."""
    return plan if place.price_minor is None else plan._replace(price_minor=place.price_minor)


def _after(place: Place, start: date, days_before: int, *, switched: bool) -> Place:
    """The day of the next look: the next invoice, or a plan that begins before it."""
    next_on = start - timedelta(days=days_before)
    if switched:
        return place._replace(next_on=next_on, next_plan_on=None, price_minor=None)
    if place.next_plan_on is not None:
        next_on = min(next_on, place.next_plan_on)
    return place._replace(next_on=next_on)
