"""Live sessions with what they were given, as previews and enforcement need them."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.preview import LiveSession
from policy.changes.route import Abilities
from policy.documents import read_access
from sql.among import among
from sql.models import KnownAccess, Router, Session


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


def abilities(router: Router) -> Abilities:
    """What a router is known to do."""
    return Abilities(router.dynamic_authorization and router.removed_at is None, router.coa_address_list)


def known_accesses(session: DatabaseSession, operator_id: int, stamps: set[str]) -> dict[str, Access]:
    """Accesses by their stamps, those that are known."""
    rows = session.scalars(
        select(KnownAccess).where(KnownAccess.operator_id == operator_id, among(KnownAccess.stamp, stamps))
    )
    return {row.stamp: read_access(row.document) for row in rows}
