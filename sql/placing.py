"""Services that a router's configuration holds: what it should hold now, and the steps that lead there.

What becomes of these steps is in `sql.placement_attempts`. A placement has no ambiguity that has to be waited out, as a
session has: what stands on a router can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import BY_ITSELF_PRIORITY, HEALING_PRIORITY, OPEN_STATES, PRIORITIES, Enforcement
from policy.changes.intent import ChangeKind
from policy.changes.route import RouteKind
from policy.documents import read_service
from policy.errors import PolicyError
from policy.facts import Method, ServiceFacts
from policy.mac import canonical_mac
from policy.quota import outcomes
from policy.routeros.placing import placement_stamp
from policy.routeros.style import Style, read_style
from policy.routeros.wanted import Line
from policy.standing import Standing
from sql import audit
from sql.among import among
from sql.checks import checked_text
from sql.errors import Refused
from sql.healing import Healing
from sql.jobs import defer_enforce, driver_connection
from sql.live import line_of
from sql.models import Change, Operator, Placement, Router, Service, Step
from sql.steps import by_id, supersede
from sql.wanted import Decider

# Nothing of the service is left there; a stamp of something is never empty.
NOTHING_LEFT = ""
# What came to its end without success is tried again after this long: whoever mended the cause need not say so.
AGAIN = timedelta(hours=1)
LOOKED_AT_ONCE = 200
SERVER_MAXIMUM_BYTES = 253
_OF_SERVERS = (Method.DHCP, Method.HOTSPOT)
_ENDED_BADLY = (Enforcement.REFUSED, Enforcement.STUCK)
_CONFIGURED = "The router's own configuration holds this service, so it is changed there, and read back."
_LEAVES = "The service is not held by this router any more, so what is ours there is taken away."
_SET_UP_OTHERWISE = "Its password, or the way in which things are done on this router, is another by now. "
_DRIFTED = "Nothing was changed here, but what the router holds is not what it should be: it is healed. "


class Placed(NamedTuple):
    """A placement with what it should be now. `line.password` is never the password itself, only what tells two apart.

    `problem`: why this router cannot hold this service as it should, or ""; nothing is planned then.
    """

    placement: Placement
    service: Service
    router: Router
    style: Style
    line: Line
    access: Access
    leaves: bool
    target_stamp: str
    problem: str = ""


class Placements:
    """What routers should hold for services, decided within one transaction."""

    def __init__(self, session: DatabaseSession, operator: Operator) -> None:
        """For one operator."""
        self._session = session
        self._operator_id = operator.id
        self._decider = Decider(session, operator)

    def find(self, which: ColumnElement[bool], now: datetime, *, lock: bool) -> list[Placed]:
        """The open placements that `which` selects, of services that have something authorised, ordered by id.

        Raises PolicyError where a router's style cannot be read.
        """
        query = (
            select(Placement, Service, Router)
            .join(Service, Service.id == Placement.service_id)
            .join(Router, Router.id == Placement.router_id)
            .where(
                Placement.operator_id == self._operator_id,
                which,
                Placement.ended_at.is_(None),
                Service.authorised.is_not(None),
            )
            .order_by(Placement.id)
            .execution_options(populate_existing=True)
        )
        rows = self._session.execute(query.with_for_update(of=Placement) if lock else query).all()
        facts = {service.id: read_service(service.authorised or {}) for _, service, _ in rows}
        self._decider.load({one.plan_version_id for one in facts.values()}, list(facts))
        styles = {router.id: read_style(router.style) for _, _, router in rows}
        found = []
        for placement, service, router in rows:
            one = facts[service.id]
            access = self._decider.access(one, now)
            line = authorised_line(line_of(service, _digest(service)), one)
            leaves = service.control_router_id != router.id or one.standing == Standing.CLOSED
            found.append(_placed(placement, service, router, styles[router.id], line, access, leaves=leaves))
        return found

    def moved_by_itself(self, one: Placed) -> bool:
        """Whether what the router holds is what the plan gave by other hours, or by what was used until then."""
        placement = one.placement
        if placement.applied_stamp is None or placement.applied_at is None:
            return False
        facts = read_service(one.service.authorised or {})
        given = (
            self._decider.access(facts, placement.applied_at, usage)
            for usage in outcomes(self._decider.plan(facts.plan_version_id))
        )
        return placement.applied_stamp in {_stamp(one.line, access, one.style) for access in given}


def _placed(
    placement: Placement, service: Service, router: Router, style: Style, line: Line, access: Access, *, leaves: bool
) -> Placed:
    plain = Placed(placement, service, router, style, line, access, leaves, NOTHING_LEFT)
    if leaves:
        return plain
    try:
        return plain._replace(target_stamp=placement_stamp(line, access, style))
    except PolicyError as error:
        return plain._replace(problem=str(error))


def _stamp(line: Line, access: Access, style: Style) -> str:
    """The stamp of what a router would hold, "" where it cannot."""
    try:
        return placement_stamp(line, access, style)
    except PolicyError:
        return NOTHING_LEFT


def authorised_line(line: Line, facts: ServiceFacts) -> Line:
    """With the addresses that were authorised: the service's own may still wait for somebody, or were rejected."""
    return line._replace(
        address=facts.address,
        ipv6_prefix=facts.ipv6_prefix,
        delegated_ipv6_prefix=facts.delegated_ipv6_prefix,
        routes=facts.routes,
    )


def _digest(service: Service) -> str:
    """What stands for the password: another one is another digest."""
    return sha256(service.password).hexdigest() if service.password is not None else ""


def place(
    session: DatabaseSession, operator: Operator, service_ids: list[int], now: datetime, *, asked: bool = False
) -> list[tuple[Router, int]]:
    """Plan the steps that these services' placements need: routers with new work, and its priority.

    Level-triggered: asked twice it does nothing the second time; a newer truth supersedes what has not started.
    `asked`: a person asked for these, so neither the brake nor an end without success holds them back.
    """
    _begin(session, operator.id, service_ids)
    placements = Placements(session, operator)
    found = placements.find(among(Placement.service_id, service_ids), now, lock=True)
    if not found:
        return []
    last = _latest_steps(session, [one.placement.id for one in found])
    changes: dict[int, Change] = by_id(
        session, Change, {one.service.authorised_change_id for one in found if one.service.authorised_change_id}
    )
    healing = Healing(session, operator)
    planned = []
    again_from = now if asked else now - AGAIN
    for one in found:
        change = changes.get(one.service.authorised_change_id or 0)
        if asked and (waiting := _another_try(one, last.get(one.placement.id))) is not None:
            waiting.due_at = now
            planned.append((one.router, waiting.priority))
        elif not one.problem and _is_needed(session, one, last.get(one.placement.id), again_from):
            priority = _priority(one, change, last.get(one.placement.id))
            if priority == HEALING_PRIORITY and placements.moved_by_itself(one):
                priority = BY_ITSELF_PRIORITY
            if asked or priority != HEALING_PRIORITY or healing.take():
                session.add(_step(one, priority))
                planned.append((one.router, priority))
    session.flush()
    healing.end()
    return planned


def place_service(
    session: DatabaseSession, service: Service, router: Router | None, server: str, *, actor: str
) -> None:
    """From now on this router's configuration holds the service; None: RADIUS controls it again.

    `server`: the DHCP or hotspot server there. Raises Refused where the router has no API, or the service lacks what
    RouterOS needs to know.
    """
    if router is not None:
        check_holder(router)
        check_placing(service, server)
    give_to(session, service, router, server, actor=actor)
    session.flush()
    look_at_placements(session, service.operator_id, [service.id])


def give_to(session: DatabaseSession, service: Service, router: Router | None, server: str, *, actor: str) -> None:
    """Write down who controls a service that may be given there; nobody looks at it yet."""
    service.control_router_id = router.id if router is not None else None
    service.device = {"server": server} if server else {}
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:control:change",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        router=router.name if router is not None else "",
        server=server,
    )


def adopt(session: DatabaseSession, service: Service, *, actor: str) -> None:
    """A person agrees that what stands on the router under the service's names becomes ours. Raises Refused."""
    if service.control_router_id is None:
        raise Refused(f"{service.username} is controlled by RADIUS; name a router with `ispagents service place`.")
    values = {
        "operator_id": service.operator_id,
        "service_id": service.id,
        "router_id": service.control_router_id,
        "adopt": True,
    }
    session.execute(
        insert(Placement)
        .values(**values)
        .on_conflict_do_update(
            index_elements=["service_id", "router_id"],
            index_where=Placement.ended_at.is_(None),
            set_={"adopt": True},
        )
    )
    audit.record(
        session,
        service.operator_id,
        actor,
        "service:control:adopt",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
    )
    look_at_placements(session, service.operator_id, [service.id])


def look_at_placements(
    session: DatabaseSession, operator_id: int, service_ids: Sequence[int], *, hurry: bool = True, asked: bool = False
) -> None:
    """Let the worker look whether routers hold these services as they should, in portions of a transaction each."""
    for start in range(0, len(service_ids), LOOKED_AT_ONCE):
        some = list(service_ids[start : start + LOOKED_AT_ONCE])
        defer_enforce(driver_connection(session), operator_id, some, hurry=hurry, asked=asked)


def check_holder(router: Router) -> None:
    """Whether a router's configuration can be written at all. Raises Refused."""
    if router.api_username is None:
        raise Refused(f"{router.name} has no API access yet; `ispagents router api set {router.name}` sets it up.")


def check_placing(service: Service, server: str) -> None:
    """Whether RouterOS would know enough of a service. Raises Refused."""
    name = service.username
    if service.closed_at is not None:
        raise Refused(f"{name} is closed, so no router has to hold it.")
    if service.method == Method.STATIC and service.address is None:
        raise Refused(f"{name} has no address; a static customer is known to a router by it alone.")
    if service.method == Method.DHCP and not canonical_mac(name):
        raise Refused(f"{name} is no MAC address; a lease on a router is known by it.")
    if service.method == Method.PPPOE and service.password is None:
        raise Refused(f"{name} has no password; `ispagents service password` sets it.")
    if server and service.method not in _OF_SERVERS:
        raise Refused(
            f"{name} is a {service.method} service; --server names a DHCP or hotspot server, so leave it out."
        )
    checked_text("name of the server", server, SERVER_MAXIMUM_BYTES)


def _begin(session: DatabaseSession, operator_id: int, service_ids: list[int]) -> None:
    """A placement for each service that a router is to hold and that has none there yet."""
    session.execute(
        insert(Placement)
        .from_select(
            ["operator_id", "service_id", "router_id"],
            select(Service.operator_id, Service.id, Service.control_router_id).where(
                Service.operator_id == operator_id,
                among(Service.id, service_ids),
                Service.control_router_id.is_not(None),
                Service.authorised.is_not(None),
                Service.closed_at.is_(None),
                ~select(Placement.id)
                .where(
                    Placement.service_id == Service.id,
                    Placement.router_id == Service.control_router_id,
                    Placement.ended_at.is_(None),
                )
                .exists(),
            ),
        )
        .on_conflict_do_nothing()
    )


def _another_try(one: Placed, last: Step | None) -> Step | None:
    """The step that waits for its next try, and is still what is wanted."""
    if last is None or last.state != Enforcement.RETRYING or last.target_stamp != one.target_stamp:
        return None
    return last


def _is_needed(session: DatabaseSession, one: Placed, last: Step | None, again_from: datetime) -> bool:
    """Whether a placement needs a new step; the one that waits is superseded where it asks for something else.

    `again_from`: what ended badly after that is not tried again yet.
    """
    open_step = last if last is not None and last.state in OPEN_STATES else None
    if open_step is not None and (open_step.target_stamp == one.target_stamp or open_step.state == Enforcement.STARTED):
        return False  # its outcome brings us back here
    if open_step is not None:
        supersede(open_step, "a newer truth asks for something else")
        session.flush()  # before the newer one is there, or there would be two for a moment
    if one.placement.applied_stamp == one.target_stamp:
        return False
    same = last is not None and (last.target_stamp, last.attributes) == (one.target_stamp, _terms(one))
    was_tried = same and last is not None and last.state in _ENDED_BADLY
    return not (was_tried and last is not None and last.ended_at is not None and last.ended_at > again_from)


def _priority(one: Placed, change: Change | None, last: Step | None) -> int:
    """A change that has not reached the router yet; else what differs is brought into line under the brake.

    A service that a person brought back while it was taken away there is no drift.
    """
    placement = one.placement
    comes_back = last is not None and last.target_stamp == NOTHING_LEFT
    if placement.applied_at is None or one.leaves or comes_back:
        return PRIORITIES[ChangeKind.OPEN]
    if (
        change is not None
        and one.service.authorised_at is not None
        and one.service.authorised_at > placement.applied_at
    ):
        return PRIORITIES[ChangeKind(change.kind)]
    return HEALING_PRIORITY


def _step(one: Placed, priority: int) -> Step:
    why = _LEAVES if one.leaves else _CONFIGURED
    return Step(
        operator_id=one.placement.operator_id,
        service_id=one.service.id,
        change_id=one.service.authorised_change_id,
        placement_id=one.placement.id,
        router_id=one.router.id,
        route=RouteKind.CONFIGURE.value,
        why=_healed(one) + why if priority == HEALING_PRIORITY else why,
        target_stamp=one.target_stamp,
        attributes=_terms(one),
        priority=priority,
    )


def _healed(one: Placed) -> str:
    return _DRIFTED if one.placement.applied_stamp is None else _SET_UP_OTHERWISE


def _terms(one: Placed) -> list[list[str]]:
    """What a person agreed to beside the configuration itself: with it a step that was refused is worth another try."""
    return [["adopt", "yes"]] if one.placement.adopt else []


def _latest_steps(session: DatabaseSession, placement_ids: Iterable[int]) -> dict[int, Step]:
    newest = select(func.max(Step.id)).where(among(Step.placement_id, placement_ids)).group_by(Step.placement_id)
    rows = session.scalars(
        select(Step).where(Step.id.in_(newest)).with_for_update().execution_options(populate_existing=True)
    )
    return {step.placement_id or 0: step for step in rows}
