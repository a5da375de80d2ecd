"""What decides the standings of services, loaded in a fixed number of queries however many services there are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.money.dunning import DAYS_AHEAD, DunningTerms
from policy.standing import Hold as HoldFacts
from policy.standing import (
    HoldKind,
    OpenInvoice,
    Standing,
    StandingNow,
    Suspension,
    asserted_at,
    standing_at,
    suspension,
)
from sql.among import among
from sql.models import AssertedStanding, DunningPolicy, Hold, Holiday, Operator, Service
from sql.money.settling import OpenAmount, open_invoices

OUTSIDE = "outside"
# Nothing is looked for further ahead, so what lies further back than that has no say any more either.
_REACH = timedelta(days=DAYS_AHEAD + 2)


class Dunning:
    """An operator's dunning policies and holidays, read once a transaction and only where they are used."""

    def __init__(self, session: Session, operator: Operator, now: datetime) -> None:
        """For one operator at one moment."""
        self._session = session
        self._operator = operator
        self._now = now
        self._policies: dict[int, DunningPolicy] | None = None
        self._holidays: dict[date, str] | None = None

    def policy(self, plan_policy_id: int | None) -> DunningPolicy | None:
        """The policy of a service: its plan's, else the operator's, else none."""
        wanted = plan_policy_id or self._operator.dunning_policy_id
        if wanted is None:
            return None
        if self._policies is None:
            mine = select(DunningPolicy).where(DunningPolicy.operator_id == self._operator.id)
            self._policies = {one.id: one for one in self._session.scalars(mine)}
        return self._policies[wanted]

    def terms(self, plan_policy_id: int | None) -> DunningTerms:
        """The terms of a service whose plan has this policy, or none of its own."""
        policy = self.policy(plan_policy_id)
        zone = self._operator.time_zone
        if policy is None:
            return DunningTerms(self._operator.grace_days, self._operator.overdue_days, time_zone=zone)
        return DunningTerms(
            policy.grace_days,
            policy.overdue_days,
            policy.suspend_hour,
            frozenset(policy.suspend_weekdays),
            self._holidays_near() if policy.skip_holidays else {},
            zone,
        )

    def _holidays_near(self) -> dict[date, str]:
        if self._holidays is None:
            near = Holiday.day.between((self._now - _REACH).date(), (self._now + _REACH).date())
            mine = select(Holiday.day, Holiday.name).where(Holiday.operator_id == self._operator.id, near)
            self._holidays = {row.day: row.name for row in self._session.execute(mine)}
        return self._holidays


class Standings:
    """What billing says of some services at a moment: by their invoices, or by what another system asserted."""

    def __init__(
        self, session: Session, operator: Operator, services: Sequence[tuple[Service, int | None]], now: datetime
    ) -> None:
        """For services of one operator, each with the dunning policy of its plan."""
        self._now = now
        self._dunning = Dunning(session, operator, now)
        self.outside = operator.standings_from == OUTSIDE
        self._services = {service.id: (service, policy_id) for service, policy_id in services}
        self._asserted: dict[int, Standing] = {}
        self._invoices: dict[int, list[OpenAmount]] = {}
        if self.outside:
            self._asserted = asserted_standings(session, operator.id, self._services)
        else:
            owners = [service.subscriber_id for service, _ in services]
            self._invoices = open_invoices(session, operator.id, owners)
        owed = [one.invoice.id for some in self._invoices.values() for one in some]
        self._holds, self._disputes = hold_facts(session, operator.id, self._services, owed, now)

    def of(self, service_id: int) -> StandingNow:
        """The standing of one of them."""
        service, _ = self._services[service_id]
        terms, holds = self.terms(service_id), self._held(service_id)
        closed = service.closed_at is not None
        if self.outside:
            said = self._asserted.get(service_id, Standing.CURRENT)
            return asserted_at(said, holds, terms, self._now, closed=closed)
        invoices = tuple(_facts(one) for one in self.unpaid(service_id))
        return standing_at(invoices, holds, terms, self._now, closed=closed)

    def terms(self, service_id: int) -> DunningTerms:
        """The dunning terms of one of them."""
        return self._dunning.terms(self._services[service_id][1])

    def unpaid(self, service_id: int) -> list[OpenAmount]:
        """What its customer owes, oldest due first; nothing where another system does the billing."""
        return self._invoices.get(self._services[service_id][0].subscriber_id, [])

    def is_disputed(self, one: OpenAmount) -> bool:
        """Whether an invoice does not count now."""
        disputes = [hold for hold in self._disputes if hold.invoice_id == one.invoice.id]
        return any(hold.until is None or hold.until > self._now for hold in disputes)

    def suspension(self, service_id: int, one: OpenAmount | None = None) -> Suspension | None:
        """When it is suspended if nothing is paid, or if this invoice is not."""
        invoices = self.unpaid(service_id) if one is None else [one]
        facts = tuple(_facts(invoice) for invoice in invoices)
        return suspension(facts, self._held(service_id), self.terms(service_id))

    def _held(self, service_id: int) -> tuple[HoldFacts, ...]:
        """The holds on a service, and the disputes about invoices of its customer, whichever service they came by."""
        mine = {one.invoice.id for one in self.unpaid(service_id)}
        disputes = [one for one in self._disputes if one.invoice_id in mine] if self._disputes else []
        return (*self._holds.get(service_id, ()), *disputes)


def _facts(one: OpenAmount) -> OpenInvoice:
    return OpenInvoice(one.invoice.due_at, one.open_minor, one.invoice.id)


def hold_facts(
    session: Session, operator_id: int, service_ids: Collection[int], invoice_ids: Collection[int], now: datetime
) -> tuple[dict[int, tuple[HoldFacts, ...]], list[HoldFacts]]:
    """The holds on these services by service, and the disputes about these invoices, that nobody has ended.

    Also those that ended by themselves not long ago: after them the next allowed moment counts. One that a person ended
    is as if it had never been.
    """
    about = among(Hold.service_id, service_ids) & (Hold.kind != HoldKind.DISPUTE.value)
    if invoice_ids:
        about |= among(Hold.invoice_id, invoice_ids)
    rows = session.execute(
        select(Hold.service_id, Hold.until, Hold.kind, Hold.invoice_id).where(
            Hold.operator_id == operator_id,
            about,
            Hold.until.is_(None) | (Hold.until > now - _REACH),
            Hold.ended_at.is_(None) | (Hold.ended_at > func.now()),
        )
    )
    holds: dict[int, tuple[HoldFacts, ...]] = {}
    disputes = []
    for row in rows:
        one = HoldFacts(row.until, HoldKind(row.kind), row.invoice_id)
        if one.kind == HoldKind.DISPUTE:
            disputes.append(one)
        else:
            holds[row.service_id] = (*holds.get(row.service_id, ()), one)
    return holds, disputes


def asserted_standings(session: Session, operator_id: int, service_ids: Collection[int]) -> dict[int, Standing]:
    """What another system said last of these services."""
    rows = session.execute(
        select(AssertedStanding.service_id, AssertedStanding.standing).where(
            AssertedStanding.operator_id == operator_id, among(AssertedStanding.service_id, service_ids)
        )
    )
    return {row.service_id: Standing(row.standing) for row in rows}
