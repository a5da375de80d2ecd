"""What the next run of the billing cycle would issue, without storing anything: how many, how much, and what is odd."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from sqlalchemy.orm import Session

from policy.money.charging import Look
from sql.errors import Refused
from sql.models import Operator
from sql.money.cycle import charges, explained, look_at
from sql.money.places import Standing, due_standings

PART = 1000
ODD_ROWS = 20
# A service that was not billed for so many periods is looked at by a person sooner than by a customer.
PERIODS_MAXIMUM = 400


class Odd(NamedTuple):
    """A service worth a look before it is billed: the larger its amount, the odder."""

    amount_minor: int
    service_id: int
    username: str
    why: str


@dataclass
class Preview:
    """What a run would issue. `periods` counts lines; prepaid services are renewed by credit alone and not counted."""

    services: int = 0
    invoices: int = 0
    periods: int = 0
    amount_minor: int = 0
    prepaid: int = 0
    problems: int = 0
    odd: list[Odd] = field(default_factory=list)


def preview_run(session: Session, operator: Operator, day: date) -> Preview:
    """What the cycle of a day would issue. Memory stays the same, however many services there are."""
    found = Preview()
    if not charges(operator):
        return found
    owner, asked = 0, set[date]()
    odd: list[Odd] = []
    for part in due_standings(session, operator, day, PART):
        for one in part:
            if one.subscriber_id != owner:
                found.invoices += len(asked)
                owner, asked = one.subscriber_id, set()
            found.services += 1
            if one.plan.prepaid:
                found.prepaid += 1
                continue
            days = _add(found, one, operator, day, odd)
            asked |= days
    found.invoices += len(asked)
    found.odd = sorted(odd, reverse=True)
    return found


def _add(found: Preview, one: Standing, operator: Operator, day: date, odd: list[Odd]) -> set[date]:
    """Count what a service owes up to a day. Returns the days whose invoices it is on."""
    days: set[date] = set()
    total, why = 0, []
    is_new = one.place.billed_until is None
    try:
        for on, seen in _looks(one, operator, day):
            amount = seen.priced.total_minor
            found.periods += bool(seen.priced.lines)
            found.amount_minor += amount
            total += amount
            if amount:
                days.add(on)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one service, it hides no other
        found.problems += 1
        why.append(explained(error))
    if len(days) > 1:
        why.append(f"{len(days)} periods at once")
    if is_new and days:
        why.append("its first invoice")
    if one.closed_on is not None:
        why.append("closed")
    if why or total:
        heapq.heappush(odd, Odd(total, one.service_id, one.username, "; ".join(why) or "the largest amounts"))
        if len(odd) > ODD_ROWS:
            heapq.heappop(odd)
    return days


def _looks(one: Standing, operator: Operator, day: date) -> list[tuple[date, Look]]:
    """Look after look up to a day, as the cycle would take them."""
    looks: list[tuple[date, Look]] = []
    while one.place.next_on is not None and one.place.next_on <= day and not one.plan.prepaid:
        if len(looks) == PERIODS_MAXIMUM:
            raise Refused(f"{one.username!r} was not billed for more than {PERIODS_MAXIMUM} periods; look at it first.")
        seen = look_at(one, operator)
        looks.append((one.place.next_on, seen))
        charged = set(seen.priced.fee_ids)
        one.fees = [fee for fee in one.fees if fee.fee_id not in charged]
        one.discounts = [discount.used(discount.discount_id in seen.priced.discount_ids) for discount in one.discounts]
        one.place = seen.place
        if seen.switch and one.next_plan is not None:
            one.plan, one.next_plan = one.next_plan, None
    return looks
