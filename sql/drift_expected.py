"""What billing and accounting say of one router, to be compared with what was read from it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import OPEN_STATES, Enforcement
from policy.documents import read_service
from policy.drift.held import Held
from policy.drift.online import Accounted, Customer, Known
from policy.drift.settings import Asked
from policy.errors import PolicyError
from policy.routeros.garden import read_garden
from policy.routeros.style import read_style
from policy.routeros.values import HIDDEN
from policy.routeros.wanted import Line, removal_items, service_tag, wanted_items
from policy.standing import Standing
from sql.among import among
from sql.live import line_of
from sql.models import Node, Operator, Placement, Router, Service, Session, Step
from sql.placing import Placed, Placements, authorised_line
from sql.secrets import SecretBox, SecretsError, service_password_place
from sql.sessions import database_time
from sql.steps import Targets
from sql.wanted import Decider

# After this long a change has become steps, and those say for themselves that it is on its way.
SETTLES = timedelta(seconds=30)
_ENDED_BADLY = (Enforcement.REFUSED.value, Enforcement.STUCK.value)


class Expected(NamedTuple):
    """What billing and accounting say of a router. Items hold customers' passwords, so nobody prints it."""

    held: list[Held]
    held_ids: set[int]
    known: Known
    asked: Asked | None

    def __repr__(self) -> str:
        """Never shows an item."""
        return f"Expected({len(self.held)} held)"


def expected(
    session: DatabaseSession, router: Router, names: Collection[str], box: SecretBox, began: datetime
) -> Expected:
    """What billing and accounting say of a router, of which these names are known; a few queries for all of them.

    `began`: when it began to be read. What the engine wrote after that may not have been seen.

    Raises PolicyError where the router's style cannot be read.
    """
    operator = session.get_one(Operator, router.operator_id)
    now = database_time(session)
    held, held_ids = _held(session, operator, router, box, began)
    accounted = _accounted(session, operator, router, now)
    customers = _customers(session, operator, router, set(names) | {one.username for one in accounted}, accounted, now)
    garden = read_garden(router.style)
    walled = {garden.address_list, read_style(router.style).denied_list} | customers.walls
    known = Known(
        by_name={one.username: one for one in customers.found},
        by_id={one.service_id: one for one in customers.found},
        accounted=accounted,
        walled=frozenset(walled - {""}),
        is_radius=router.secret is not None,
    )
    asked = None
    if router.secret is not None:
        servers = {str(address) for address in session.scalars(select(Node.address))}
        asked = Asked(servers, router.coa_port if router.dynamic_authorization else 0)
    return Expected(held, held_ids, known, asked)


class _Customers(NamedTuple):
    found: list[Customer]
    walls: set[str]


def _held(
    session: DatabaseSession, operator: Operator, router: Router, box: SecretBox, began: datetime
) -> tuple[list[Held], set[int]]:
    """What the router should hold, but for what is just being changed; and the ids of all that it holds."""
    now = database_time(session)
    placed = Placements(session, operator).find(Placement.router_id == router.id, now, lock=False)
    last = _last_steps(session, [one.placement.id for one in placed if one.placement.applied_stamp != one.target_stamp])
    held = []
    for one in placed:
        step = last.get(one.placement.id)
        if one.placement.applied_stamp == one.target_stamp:
            settles = one.placement.applied_at is not None and one.placement.applied_at > began
            step = None
        else:
            settles = _is_new(one, now) if step is None else step.state in OPEN_STATES
        if not settles:
            held.append(_of_placement(one, step, box))
    begun = {one.service.id for one in placed}
    missing = session.scalars(
        select(Service).where(
            Service.operator_id == operator.id,
            Service.control_router_id == router.id,
            Service.authorised.is_not(None),
            Service.closed_at.is_(None),
            ~among(Service.id, begun),
        )
    ).all()
    style = read_style(router.style)
    decider = Decider(session, operator)
    known = [read_service(service.authorised or {}) for service in missing]
    decider.load({one.plan_version_id for one in known}, [one.service_id for one in known])
    for service in missing:
        if service.authorised_at is not None and service.authorised_at > now - SETTLES:
            continue
        facts = read_service(service.authorised or {})
        access = decider.access(facts, now)
        line = _with_password(authorised_line(line_of(service, ""), facts), service, box)
        try:
            held.append(Held(service.id, service.username, line.tag, wanted_items(line, access, style), proved=False))
        except PolicyError as error:
            held.append(Held(service.id, service.username, line.tag, (), problem=str(error)))
    return held, begun | {service.id for service in missing}


def _is_new(one: Placed, now: datetime) -> bool:
    """Whether the clock has not looked at it yet."""
    changed = max(one.placement.created_at, one.service.authorised_at or one.placement.created_at)
    return changed > now - SETTLES


def _of_placement(one: Placed, step: Step | None, box: SecretBox) -> Held:
    service = one.service
    said = step.explanation if step is not None and step.state in _ENDED_BADLY else ""
    held = Held(service.id, service.username, service_tag(service.id), (), problem=one.problem, said=said)
    held = held._replace(
        proved=one.placement.applied_stamp == one.target_stamp, leaves=one.leaves, adopt=one.placement.adopt
    )
    if one.problem:
        return held
    if one.leaves:
        return held._replace(items=removal_items(one.line))
    return held._replace(items=wanted_items(_with_password(one.line, service, box), one.access, one.style))


def _with_password(line: Line, service: Service, box: SecretBox) -> Line:
    """So that another one on the router is noticed; it leaves this program in no finding."""
    password = ""
    try:
        if service.password is not None:
            password = box.open(service.password, service_password_place(service.operator_id, service.username))
    except SecretsError:
        password = HIDDEN  # the engine tells that it cannot be opened
    return line._replace(password=password)


def _last_steps(session: DatabaseSession, placement_ids: list[int]) -> dict[int, Step]:
    newest = select(func.max(Step.id)).where(among(Step.placement_id, placement_ids)).group_by(Step.placement_id)
    return {step.placement_id or 0: step for step in session.scalars(select(Step).where(Step.id.in_(newest)))}


def _accounted(session: DatabaseSession, operator: Operator, router: Router, now: datetime) -> list[Accounted]:
    targets = Targets(session, operator).find(Session.router_id == router.id, now, lock=False)
    accesses = {one.session.id: one.access for one in targets}
    rows = session.scalars(select(Session).where(Session.router_id == router.id, Session.ended_at.is_(None)))
    return [
        Accounted(
            session_id=one.id,
            username=one.username,
            service_id=one.service_id,
            address=str(one.framed_address) if one.framed_address else "",
            mac=one.mac,
            method=one.method or "",
            silent_s=(now - one.last_seen_at).total_seconds(),
            access=accesses.get(one.id),
        )
        for one in rows
    ]


def _customers(
    session: DatabaseSession,
    operator: Operator,
    router: Router,
    names: Collection[str],
    accounted: Sequence[Accounted],
    now: datetime,
) -> _Customers:
    """The services that the router has met, and the lists that hold those of their plans who are suspended."""
    ids = {one.service_id for one in accounted if one.service_id is not None}
    services = session.scalars(
        select(Service).where(
            Service.operator_id == operator.id, among(Service.username, names) | among(Service.id, ids)
        )
    ).all()
    facts = {service.id: read_service(service.authorised) for service in services if service.authorised is not None}
    decider = Decider(session, operator)
    decider.load({one.plan_version_id for one in facts.values()}, list(facts))
    working = set(
        session.scalars(
            select(Step.service_id).where(
                Step.router_id == router.id, Step.state.in_([one.value for one in OPEN_STATES])
            )
        )
    )
    found, walls = [], set()
    for plan in {one.plan_version_id: one for one in facts.values()}.values():
        walls |= set(decider.access(plan._replace(standing=Standing.SUSPENDED), now).address_lists)
    for service in services:
        access: Access | None = decider.access(facts[service.id], now) if service.id in facts else None
        lately = service.authorised_at is not None and service.authorised_at > now - SETTLES
        found.append(
            Customer(
                service.id,
                service.username,
                access,
                closed=service.closed_at is not None,
                held_here=service.control_router_id == router.id,
                radius=service.control_router_id is None,
                settling=lately or service.id in working,
            )
        )
    return _Customers(found, walls)
