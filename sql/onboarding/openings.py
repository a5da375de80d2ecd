"""Many services at once: subscribers, services and placements in a fixed number of statements."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import select, text, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from sql import audit
from sql.among import among
from sql.checks import checked_moment
from sql.customers import new_service, new_subscriber, own_contact
from sql.errors import Refused
from sql.jobs import defer_review
from sql.models import Import, Operator, Placement, Plan, Service, ServiceBilling, Subscriber
from sql.money.invoices import start_of_day
from sql.money.starting import begin_service
from sql.onboarding.known import undone
from sql.placing import look_at_placements
from sql.secrets import SecretBox

REVIEW = text("SELECT review_service(:operator, one) FROM unnest(CAST(:services AS bigint[])) AS one")
_STORE_OUTCOMES = text("""
UPDATE import_rows SET outcome = row.outcome
FROM unnest(CAST(:lines AS integer[]), CAST(:outcomes AS jsonb[])) AS row (line, outcome)
WHERE import_rows.operator_id = :operator AND import_rows.import_id = :import AND import_rows.line = row.line
""")


@dataclass(frozen=True, slots=True)
class Opening:
    """A service to be made, and for whom; without `username` the customer alone. `line` is its row's.

    Without a password it logs in by its MAC. `options` are those of `sql.customers.add_service`.
    """

    line: int
    reference: str
    name: str
    plan: str
    username: str
    method: str
    password: str | None = field(repr=False)
    contact: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    starts_on: date | None = None


class Opened(NamedTuple):
    """What became of a row: a service, or why there is none. `made_subscriber`: the customer was new."""

    line: int
    username: str
    service: Service | None
    made_subscriber: bool = False
    refused: str = ""
    subscriber_id: int = 0


class Held(NamedTuple):
    """The router that holds these services, and goes on doing so."""

    router_id: int
    name: str


class _Fit(NamedTuple):
    opening: Opening
    service: Service | None
    subscriber: Subscriber
    is_new: bool
    again: bool = False


def open_services(
    session: Session,
    stored: Import,
    openings: Sequence[Opening],
    *,
    box: SecretBox,
    actor: str,
    held: Held | None = None,
) -> list[Opened]:
    """Make services with their subscribers where there are none; one that cannot be is refused and stops no other.

    With `held` a router's configuration holds them, and what stands there becomes ours.
    """
    operator_id = stored.operator_id
    operator = session.get_one(Operator, operator_id)
    plans = _plans(session, operator_id, openings)
    taken, closed = _taken(session, operator_id, openings)
    people = _people(session, operator_id, openings)
    fit: list[_Fit] = []
    results: list[Opened] = []
    for one in openings:
        try:
            found = _fit(operator, one, plans, taken, closed, people, box, held)
        except Refused as error:
            results.append(Opened(one.line, one.username, None, refused=str(error)))
            continue
        fit.append(found)
        if found.service is not None:
            taken |= {("name", one.username), ("address", str(found.service.address or ""))}
        people[one.reference] = found.subscriber
    session.add_all([one.subscriber for one in fit if one.is_new])
    session.flush()
    lines = [(one, one.service) for one in fit if one.service is not None]
    for one_fit, service in lines:
        service.subscriber_id = one_fit.subscriber.id
    session.add_all([service for one_fit, service in lines if not one_fit.again])
    session.flush()
    _tell(session, stored, [one.subscriber for one in fit if one.is_new], actor)
    billed = _billed(session, [service.id for one_fit, service in lines if one_fit.again])
    for one_fit, service in lines:
        plan = plans[one_fit.opening.plan]
        if service.id not in billed:
            begin_service(session, service, plan, starts_on=one_fit.opening.starts_on)
        _tell_service(session, stored, service, plan, held, actor)
    if held is not None and lines:
        _adopt(session, operator_id, [service.id for _, service in lines])
    session.flush()
    if lines:
        defer_review(session, operator_id)
    return results + [
        Opened(one.opening.line, one.opening.username, one.service, one.is_new, subscriber_id=one.subscriber.id)
        for one in fit
    ]


def store_outcomes(session: Session, stored: Import, outcomes: dict[int, dict[str, Any]]) -> None:
    """Remember what became of rows, by line."""

    session.execute(
        _STORE_OUTCOMES,
        {
            "operator": stored.operator_id,
            "import": stored.id,
            "lines": list(outcomes),
            "outcomes": [json.dumps(one) for one in outcomes.values()],
        },
    )


def outcome_of(one: Opened) -> dict[str, Any]:
    """What is remembered of a row; it is what an undo takes back."""
    if one.refused:
        return {"refused": one.refused}
    made = {"service": one.service.id, "plan": one.service.plan_id} if one.service is not None else {}
    return {**made, "subscriber": one.subscriber_id, "made_subscriber": one.made_subscriber}


def checked_start(operator: Operator, day: date | None) -> None:
    """Raises Refused where no service can be charged from this day on."""
    if day is None:
        return
    if operator.charges_from is None:
        raise Refused("It says when it begins, but nobody is charged yet; begin with `ispagents billing start`.")
    checked_moment("first charged day", start_of_day(day, operator))


def _fit(
    operator: Operator,
    one: Opening,
    plans: dict[str, Plan],
    taken: set[tuple[str, str]],
    closed: dict[str, Service],
    people: dict[str, Subscriber],
    box: SecretBox,
    held: Held | None,
) -> _Fit:
    known = people.get(one.reference)
    contact = own_contact(operator, one.contact)
    subscriber = known or new_subscriber(operator.id, reference=one.reference, name=one.name, **contact)
    if not one.username:
        return _Fit(one, None, subscriber, known is None)
    plan = plans.get(one.plan)
    if plan is None:
        raise Refused(f"There is no plan {one.plan!r} any more.")
    if ("name", one.username) in taken:
        raise Refused(f"There is a service {one.username!r} already.")
    service = new_service(
        operator.id, username=one.username, password=one.password, method=one.method, box=box, **one.options
    )
    if service.address is not None and ("address", str(service.address)) in taken:
        raise Refused(f"The address {service.address} belongs to another service.")
    service.plan_id = plan.id
    service.control_router_id = held.router_id if held is not None else None
    checked_start(operator, one.starts_on)
    before = closed.get(one.username)
    if before is not None:
        _come_again(before, service)
    return _Fit(one, before or service, subscriber, known is None, again=before is not None)


def _tell(session: Session, stored: Import, subscribers: Sequence[Subscriber], actor: str) -> None:
    for one in subscribers:
        audit.record(
            session,
            stored.operator_id,
            actor,
            "subscriber:account:add",
            subscriber_id=one.id,
            name=one.name,
            import_number=stored.id,
        )


def _tell_service(
    session: Session, stored: Import, service: Service, plan: Plan, held: Held | None, actor: str
) -> None:
    router: dict[str, Any] = {"router": held.name} if held is not None else {}
    audit.record(
        session,
        stored.operator_id,
        actor,
        "service:line:add",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        username=service.username,
        plan=plan.name,
        import_number=stored.id,
        **router,
    )


def _adopt(session: Session, operator_id: int, service_ids: list[int]) -> None:
    """A person agreed that what stands on the router under these services' names is theirs."""
    chosen = select(Service.operator_id, Service.id, Service.control_router_id, true()).where(
        Service.operator_id == operator_id, among(Service.id, service_ids)
    )
    session.execute(
        insert(Placement)
        .from_select(["operator_id", "service_id", "router_id", "adopt"], chosen)
        .on_conflict_do_update(
            index_elements=["service_id", "router_id"],
            index_where=Placement.ended_at.is_(None),
            set_={"adopt": True},
        )
    )
    # One that comes again may be authorised still, so that no change would tell the worker of it.
    look_at_placements(session, operator_id, service_ids)


def _plans(session: Session, operator_id: int, openings: Sequence[Opening]) -> dict[str, Plan]:
    mine = (Plan.operator_id == operator_id, among(Plan.name, {one.plan for one in openings}))
    return {plan.name: plan for plan in session.scalars(select(Plan).where(*mine))}


def _come_again(before: Service, service: Service) -> None:
    """A service that an import made and an undo closed is what it would be if it were new."""
    for name in ("plan_id", "method", "password", "address", "control_router_id"):
        setattr(before, name, getattr(service, name))
    before.routes, before.device = service.routes or [], service.device or {}
    before.mac, before.bind_mac = service.mac or "", bool(service.bind_mac)
    before.closed_at, before.standing = None, "current"


def _billed(session: Session, service_ids: Sequence[int]) -> set[int]:
    if not service_ids:
        return set()
    return set(session.scalars(select(ServiceBilling.service_id).where(among(ServiceBilling.service_id, service_ids))))


def _taken(
    session: Session, operator_id: int, openings: Sequence[Opening]
) -> tuple[set[tuple[str, str]], dict[str, Service]]:
    """The user names and addresses of services that are there, and those services that may come again."""
    rows = session.execute(
        select(Service.username, Service.id, Service.closed_at).where(
            Service.operator_id == operator_id, among(Service.username, {one.username for one in openings})
        )
    ).all()
    again = undone(session, operator_id, (row[1] for row in rows if row[2] is not None))
    names = [row[0] for row in rows if row[1] not in again]
    closed: dict[str, Service] = {}
    if again:
        # The reviews first: the order in which the worker locks the two.
        session.execute(REVIEW, {"operator": operator_id, "services": sorted(again)})
        found = session.scalars(select(Service).where(among(Service.id, again)).with_for_update(key_share=True))
        closed = {service.username: service for service in found}
    addresses = {str(one.options["address"]) for one in openings if one.options.get("address")}
    owned = session.scalars(
        select(Service.address).where(
            Service.operator_id == operator_id, among(Service.address, addresses), Service.closed_at.is_(None)
        )
    )
    return {("name", name) for name in names} | {("address", str(one)) for one in owned}, closed


def _people(session: Session, operator_id: int, openings: Sequence[Opening]) -> dict[str, Subscriber]:
    numbers = {one.reference for one in openings}
    mine = (Subscriber.operator_id == operator_id, among(Subscriber.reference, numbers))
    return {one.reference: one for one in session.scalars(select(Subscriber).where(*mine))}
