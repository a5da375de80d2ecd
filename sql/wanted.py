"""What the truth of this moment asks for: the wanted facts of services, a batch at a time and never a query a row."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.access import Access, decide
from policy.documents import read_operator, read_plan, read_service, service_document
from policy.facts import Bindings, Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.fair_use import SpanUse
from policy.quota import limits
from policy.standing import Standing, network_standing
from sql.among import among
from sql.models import Operator, Override, Plan, PlanVersion, Service
from sql.money.dunning import Standings
from sql.tiers import usage_of


class Wanted(NamedTuple):
    """A service with its wanted facts, billing's full word, and when that word may change by itself."""

    service: Service
    facts: ServiceFacts
    standing: Standing
    review_at: datetime | None
    override: Override | None = None


def wanted(session: Session, operator: Operator, service_ids: list[int], now: datetime) -> list[Wanted]:
    """The wanted facts of these services, locked for the caller's transaction, ordered by id."""
    rows = session.execute(
        select(Service, Plan.current_version_id, Plan.dunning_policy_id)
        .join(Plan, Plan.id == Service.plan_id)
        .where(Service.operator_id == operator.id, among(Service.id, service_ids), Plan.current_version_id.is_not(None))
        .order_by(Service.id)
        .with_for_update(of=Service, key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    standings = Standings(session, operator, [(service, policy_id) for service, _, policy_id in rows], now)
    overrides = {
        one.service_id: one
        for one in session.scalars(
            select(Override).where(
                Override.operator_id == operator.id,
                among(Override.service_id, service_ids),
                Override.ended_at.is_(None),
                Override.until > now,
            )
        )
    }
    result = []
    for service, plan_version_id, _ in rows:
        said = standings.of(service.id)
        facts = ServiceFacts(
            service_id=service.id,
            method=Method(service.method),
            standing=network_standing(said.standing),
            plan_version_id=plan_version_id or 0,
            prepaid_until=service.prepaid_until,
            address=str(service.address) if service.address else "",
            ipv6_prefix=str(service.ipv6_prefix) if service.ipv6_prefix else "",
            delegated_ipv6_prefix=str(service.delegated_ipv6_prefix) if service.delegated_ipv6_prefix else "",
            routes=tuple(service.routes),
        )
        result.append(_overridden(Wanted(service, facts, said.standing, said.valid_until), overrides.get(service.id)))
    return result


def _overridden(one: Wanted, override: Override | None) -> Wanted:
    """With an override, the facts that it names are those of an earlier access; all others stay what they are now."""
    if override is None or one.facts.standing == Standing.CLOSED:
        return one
    document = service_document(one.facts)
    for name, value in override.facts.items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value
    review_at = override.until if one.review_at is None else min(override.until, one.review_at)
    return one._replace(facts=read_service(document), review_at=review_at, override=override)


def authorised_facts(service: Service) -> ServiceFacts | None:
    """What was last authorised for a service, or None for a new one."""
    return read_service(service.authorised) if service.authorised is not None else None


class Decider:
    """Decides on behalf of the network: plan versions are read once a transaction, not once a service."""

    def __init__(self, session: Session, operator: Operator) -> None:
        """For one operator, within one transaction."""
        self._session = session
        self._operator = read_operator({"refusals": operator.refusals}, operator.id)
        self._plans: dict[int, PlanFacts] = {}
        self._usage: dict[int, tuple[SpanUse, ...]] = {}

    def load(self, plan_version_ids: set[int], service_ids: Collection[int] = ()) -> None:
        """Read these plan versions in one query, and in another what counts against these services, where limits do."""
        missing = plan_version_ids - self._plans.keys()
        if missing:
            for version in self._session.scalars(select(PlanVersion).where(among(PlanVersion.id, missing))):
                self._plans[version.id] = read_plan(version.facts, version.id, version.name)
        unknown = [one for one in service_ids if one not in self._usage]
        if unknown and any(limits(plan) for plan in self._plans.values()):
            self._usage |= usage_of(self._session, unknown)

    def plan(self, plan_version_id: int) -> PlanFacts:
        """A plan version."""
        self.load({plan_version_id})
        return self._plans[plan_version_id]

    def plan_name(self, plan_version_id: int) -> str:
        """The name of a plan version's plan."""
        return self.plan(plan_version_id).name

    def access(self, facts: ServiceFacts, now: datetime, usage: tuple[SpanUse, ...] | None = None) -> Access:
        """What the service gets at `now`, whoever logs in. `usage`: where it is not what counts against it now."""
        plan = self.plan(facts.plan_version_id)
        used = self._used(plan, facts.service_id) if usage is None else usage
        return decide(Facts(self._operator, facts, plan, usage=used), Login(), now)

    def access_of_session(
        self,
        service: Service,
        facts: ServiceFacts,
        login: Login,
        now: datetime,
        usage: tuple[SpanUse, ...] | None = None,
    ) -> Access:
        """What a live session of the service should have at `now`, its device and place considered.

        `usage`: what counts against it, where it is not what does now.
        """
        plan = self.plan(facts.plan_version_id)
        used = self._used(plan, facts.service_id) if usage is None else usage
        bindings = Bindings(
            service.bind_mac, service.mac, service.bind_router, service.router_id or 0, service.bind_port, service.port
        )
        return decide(Facts(self._operator, facts, plan, bindings, used), login, now)

    def _used(self, plan: PlanFacts, service_id: int) -> tuple[SpanUse, ...]:
        """What counts against a service; a plan without limits asks nobody."""
        if not limits(plan):
            return ()
        self.load(set(), (service_id,))
        return self._usage[service_id]

    @property
    def operator(self) -> OperatorFacts:
        """The operator's choices."""
        return self._operator
