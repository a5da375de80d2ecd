"""Prepaid services: time that is paid before it is used. Credit renews a service on the day on which its time ends.

A prepaid customer pays, and is online: money that covers a period and that no invoice needs buys the next one, at once
when the time is over, otherwise on its last day. Who pays more keeps the rest for later. A person may buy several
periods at any time (`top_up`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.money.charging import RENEWALS_MAXIMUM, Renewal, first_place, own_price, renewal
from policy.money.currency import money
from policy.money.pricing import Terms
from sql import audit
from sql.checks import EARLIEST, checked_moment
from sql.errors import Refused
from sql.models import Invoice, Operator, Payment, Plan, Service, ServiceBilling, Subscriber
from sql.money.invoices import InvoiceDraft, issue
from sql.money.ledger import local_day
from sql.money.places import Moved, Standing, line_drafts, standings, store_places, store_used
from sql.money.settling import lock_subscribers
from sql.sessions import database_time

PERIODS_MAXIMUM = 1000


@dataclass(slots=True)
class Wallet:
    """What subscribers have that no invoice needs, in minor units."""

    free: dict[int, int]

    @classmethod
    def of(cls, session: Session, operator: Operator, some: Sequence[Standing]) -> Wallet:
        """Their unspent money; nothing where an invoice is open."""
        ids = sorted({one.subscriber_id for one in some})
        unspent = session.execute(
            select(Payment.subscriber_id, func.sum(Payment.unspent_minor))
            .where(
                Payment.operator_id == operator.id,
                Payment.subscriber_id.in_(ids),
                Payment.unspent_minor > 0,
                Payment.invoice_id.is_(None),
            )
            .group_by(Payment.subscriber_id)
        )
        open_ids = session.scalars(
            select(Invoice.subscriber_id).where(
                Invoice.operator_id == operator.id, Invoice.subscriber_id.in_(ids), Invoice.open_minor > 0
            )
        )
        owing = set(open_ids)
        return cls({subscriber: int(amount) for subscriber, amount in unspent if subscriber not in owing})


def renew(
    session: Session,
    operator: Operator,
    owners: dict[int, Subscriber],
    some: Sequence[Standing],
    wallet: Wallet,
    day: date,
    *,
    actor: str,
) -> list[Invoice]:
    """One period more for each whose time ends up to a day, as far as credit goes. Who has none waits for a payment.

    The subscribers and their places are locked by the caller. Hours may need a further look on the same day.
    """
    now, zone = database_time(session), ZoneInfo(operator.time_zone)
    moved: list[Moved] = []
    bought: list[Bought] = []
    for one in some:
        until = one.prepaid_until
        if one.closed_on is not None:
            moved.append(Moved(one, one.place._replace(next_on=None), one.plan.plan_id, until))
        elif until is not None and until.astimezone(zone).date() > day:
            moved.append(Moved(one, one.place._replace(next_on=until.astimezone(zone).date()), one.plan.plan_id, until))
        elif one.next_plan is not None and not one.next_plan.prepaid:
            moved.append(charged_from(one, one.next_plan, one.place.next_plan_on or day))
        else:
            found = _renewal(one, 1, now, zone)
            if found.priced.total_minor > wallet.free.get(one.subscriber_id, 0):
                # A prepaid service whose time never ended would be online for nothing, and for ever.
                moved.append(Moved(one, one.place._replace(next_on=None), one.plan.plan_id, until or now))
                continue
            wallet.free[one.subscriber_id] = wallet.free.get(one.subscriber_id, 0) - found.priced.total_minor
            bought.append(Bought(one, found))
    invoices = _issue(session, operator, owners, bought, now, actor=actor)
    store_places(session, operator.id, [*moved, *(one.moved for one in bought)])
    return invoices


def renew_ended(session: Session, operator: Operator, subscriber_ids: Sequence[int], *, actor: str) -> list[Invoice]:
    """Let free money renew its owners' prepaid services whose time is over, or ends today. The owners are locked."""
    ids = session.scalars(
        select(ServiceBilling.service_id)
        .join(Service, Service.id == ServiceBilling.service_id)
        .join(Plan, Plan.id == Service.plan_id)
        .where(
            Service.operator_id == operator.id,
            Service.subscriber_id.in_(subscriber_ids),
            Service.closed_at.is_(None),
            Plan.billing == "prepaid",
        )
    ).all()
    if not ids:
        return []
    owners = {one.id: one for one in session.scalars(select(Subscriber).where(Subscriber.id.in_(subscriber_ids)))}
    invoices: list[Invoice] = []
    for _ in range(RENEWALS_MAXIMUM):
        some = sorted(standings(session, operator, ids), key=_longest_ended)
        wallet = Wallet.of(session, operator, some)
        more = renew(session, operator, owners, some, wallet, local_day(session, operator), actor=actor)
        invoices += more
        if not more:
            break
    return invoices


def _longest_ended(one: Standing) -> tuple[datetime, int]:
    return one.prepaid_until or EARLIEST, one.service_id


def top_up(session: Session, service: Service, periods: int, *, actor: str) -> Invoice | None:
    """Buy so many periods of a prepaid service from the customer's credit, from the later of now and its present end.

    Returns the paid invoice, None where nothing had to be paid. Raises Refused when the credit does not cover it.
    """
    if not 1 <= periods <= PERIODS_MAXIMUM:
        raise Refused(f"A top-up buys 1 to {PERIODS_MAXIMUM} periods.")
    operator = session.get_one(Operator, service.operator_id)
    lock_subscribers(session, [service.subscriber_id])
    one = _prepaid(session, operator, service)
    now = database_time(session)
    if one.next_plan is not None and one.prepaid_until is not None and one.prepaid_until > now:
        raise Refused(
            f"The plan {one.next_plan.name!r} begins when the prepaid time of {service.username!r} ends; top up then, "
            "or call it off with `ispagents service plan` and --at-period-end."
        )
    found = _renewal(one, periods, now, ZoneInfo(operator.time_zone))
    checked_moment("end of the prepaid time", found.prepaid_until)
    free, asked = Wallet.of(session, operator, [one]).free.get(one.subscriber_id, 0), found.priced.total_minor
    if asked > free:
        raise Refused(
            f"This costs {money(asked, operator.currency)} and the customer has {money(free, operator.currency)} of "
            "credit; take a payment first, with `ispagents payment add`."
        )
    bought = Bought(one, found)
    owner = session.get_one(Subscriber, service.subscriber_id)
    invoices = _issue(session, operator, {owner.id: owner}, [bought], now, actor=actor)
    store_places(session, operator.id, [bought.moved])
    audit.record(
        session,
        operator.id,
        actor,
        "service:prepaid:extend",
        service_id=service.id,
        subscriber_id=owner.id,
        periods=periods,
        until=found.prepaid_until.isoformat(),
    )
    session.refresh(service)
    return invoices[0] if invoices else None


def charged_from(one: Standing, plan: Terms, day: date) -> Moved:
    """A prepaid service that begins to be charged again and again, with a plan and from a day on."""
    place = first_place(plan, day, 0)
    return Moved(one, place._replace(setup_charged=one.place.setup_charged), plan.plan_id, None)


def _prepaid(session: Session, operator: Operator, service: Service) -> Standing:
    some = standings(session, operator, [service.id])
    if not some or not some[0].plan.prepaid:
        raise Refused(
            f"The service {service.username!r} is not prepaid and charged by the billing cycle; "
            "see `ispagents plan change --billing prepaid` and `ispagents billing start`."
        )
    if some[0].closed_on is not None:
        raise Refused(f"The service {service.username!r} is closed; add a new one instead.")
    return some[0]


@dataclass(slots=True)
class Bought:
    """A service with the time that it gets."""

    standing: Standing
    renewal: Renewal

    @property
    def moved(self) -> Moved:
        """The service with this time, and with its next plan where one waited."""
        place, plan = self.renewal.place, self.standing.next_plan or self.standing.plan
        if self.standing.next_plan is not None:
            place = place._replace(next_plan_on=None, price_minor=None)
        return Moved(self.standing, place, plan.plan_id, self.renewal.prepaid_until)


def _renewal(one: Standing, periods: int, now: datetime, zone: ZoneInfo) -> Renewal:
    terms = one.next_plan or own_price(one.plan, one.place)
    return renewal(
        one.place, terms, one.discounts, one.fees, prepaid_until=one.prepaid_until, now=now, zone=zone, periods=periods
    )


def _issue(
    session: Session,
    operator: Operator,
    owners: dict[int, Subscriber],
    bought: Sequence[Bought],
    now: datetime,
    *,
    actor: str,
) -> list[Invoice]:
    """An invoice for each that costs something, due now; the credit that was counted pays it."""
    owing = [one for one in bought if one.renewal.priced.total_minor > 0]
    drafts = [
        InvoiceDraft(
            owners[one.standing.subscriber_id],
            now,
            line_drafts(one.standing.service_id, one.renewal.priced.lines),
            one.renewal.priced.lines[0].description,
        )
        for one in owing
    ]
    invoices = issue(session, operator, drafts, actor=actor)
    store_used(session, [(one.renewal.priced, invoice.id) for one, invoice in zip(owing, invoices, strict=True)])
    return invoices
