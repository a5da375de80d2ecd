"""What the truth of this moment asks for: the wanted facts of services, a batch at a time and never a query a row."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.access import Access, decide
from policy.documents import read_operator, read_plan, read_service, service_document
from policy.facts import Bindings, Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.standing import Standing, network_standing
from sql.among import among
from sql.models import Operator, Override, Plan, PlanVersion, Service
from sql.money.dunning import Standings


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

    def load(self, plan_version_ids: set[int]) -> None:
        """Read these plan versions in one query."""
        missing = plan_version_ids - self._plans.keys()
        if missing:
            for version in self._session.scalars(select(PlanVersion).where(among(PlanVersion.id, missing))):
                self._plans[version.id] = read_plan(version.facts, version.id, version.name)

    def plan_name(self, plan_version_id: int) -> str:
        """The name of a plan version's plan."""
        self.load({plan_version_id})
        return self._plans[plan_version_id].name

    def access(self, facts: ServiceFacts, now: datetime) -> Access:
        """What the service gets at `now`, whoever logs in."""
        self.load({facts.plan_version_id})
        return decide(Facts(self._operator, facts, self._plans[facts.plan_version_id]), Login(), now)

    def access_of_session(self, service: Service, facts: ServiceFacts, login: Login, now: datetime) -> Access:
        """What a live session of the service should have at `now`, its device and place considered."""
        self.load({facts.plan_version_id})
        bindings = Bindings(
            service.bind_mac, service.mac, service.bind_router, service.router_id or 0, service.bind_port, service.port
        )
        known = Facts(self._operator, facts, self._plans[facts.plan_version_id], bindings)
        return decide(known, login, now)

    @property
    def operator(self) -> OperatorFacts:
        """The operator's choices."""
        return self._operator
