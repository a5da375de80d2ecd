"""Live sessions with what they were given, and services that routers hold, as previews and enforcement need them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.configured import HeldService
from policy.changes.preview import LiveSession
from policy.changes.route import Abilities
from policy.documents import read_access
from policy.facts import Method
from policy.mac import canonical_mac
from policy.routeros.garden import read_garden
from policy.routeros.style import read_style
from policy.routeros.values import HIDDEN
from policy.routeros.wanted import Line
from sql.among import among
from sql.models import KnownAccess, Placement, Router, Service, Session


def live_sessions(
    session: DatabaseSession, operator_id: int, service_ids: list[int]
) -> dict[int, tuple[LiveSession, ...]]:
    """The open sessions of these services, those that have any."""
    rows = session.execute(
        select(Session, Router, KnownAccess.document)
        .join(Router, Router.id == Session.router_id)
        .outerjoin(
            KnownAccess,
            (KnownAccess.operator_id == Session.operator_id) & (KnownAccess.stamp == Session.applied_stamp),
        )
        .where(Session.operator_id == operator_id, among(Session.service_id, service_ids), Session.ended_at.is_(None))
        .order_by(Session.id)
    )
    found: dict[int, list[LiveSession]] = {}
    for one, router, document in rows:
        known = read_access(document) if document is not None else None
        live = LiveSession(one.id, router.name, one.acct_session_id, one.last_seen_at, known, abilities(router))
        found.setdefault(one.service_id or 0, []).append(live)
    return {service_id: tuple(sessions) for service_id, sessions in found.items()}


def held_services(
    session: DatabaseSession, operator_id: int, service_ids: list[int]
) -> dict[int, tuple[HeldService, ...]]:
    """Those of these services that a router's configuration holds, as a preview needs them; no password is in them."""
    rows = session.execute(
        select(Service, Router, Placement)
        .join(Router, Router.id == Service.control_router_id)
        .outerjoin(
            Placement,
            (Placement.service_id == Service.id) & (Placement.router_id == Router.id) & Placement.ended_at.is_(None),
        )
        .where(Service.operator_id == operator_id, among(Service.id, service_ids))
    )
    found: dict[int, tuple[HeldService, ...]] = {}
    for service, router, placement in rows:
        known = placement is not None and placement.applied_stamp is not None
        found[service.id] = (
            HeldService(
                router_name=router.name,
                line=line_of(service, HIDDEN),
                style=read_style(router.style),
                observed_at=placement.observed_at if placement is not None else None,
                known=known,
                adopt=placement is not None and placement.adopt,
                garden_list=read_garden(router.style).address_list,
            ),
        )
    return found


def line_of(service: Service, password: str) -> Line:
    """What a router has to know of a service."""
    by_mac = service.method in (Method.DHCP, Method.HOTSPOT)
    return Line(
        service_id=service.id,
        username=service.username,
        method=Method(service.method),
        password=password,
        address=str(service.address) if service.address else "",
        mac=(service.mac if service.bind_mac else "") or (canonical_mac(service.username) if by_mac else ""),
        ipv6_prefix=str(service.ipv6_prefix) if service.ipv6_prefix else "",
        delegated_ipv6_prefix=str(service.delegated_ipv6_prefix) if service.delegated_ipv6_prefix else "",
        routes=tuple(service.routes),
        server=str(service.device.get("server", "")),
        queue=str(service.device.get("queue", "")),
    )


def abilities(router: Router) -> Abilities:
    """What a router is known to do."""
    return Abilities(router.dynamic_authorization and router.removed_at is None, router.coa_address_list)


def known_accesses(session: DatabaseSession, operator_id: int, stamps: set[str]) -> dict[str, Access]:
    """Accesses by their stamps, those that are known."""
    rows = session.scalars(
        select(KnownAccess).where(KnownAccess.operator_id == operator_id, among(KnownAccess.stamp, stamps))
    )
    return {row.stamp: read_access(row.document) for row in rows}
