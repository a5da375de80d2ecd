"""What is stored already, as a comparison needs it: a fixed number of queries, however many customers there are."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.inspection.compare import Known, KnownService
from policy.inspection.found import FoundService
from policy.inspection.services import is_storable
from sql.among import among
from sql.models import Import, ImportRow, Plan, PlanVersion, Router, Service, Subscriber


def known(session: Session, operator_id: int, services: Iterable[FoundService], subscribers: Iterable[str]) -> Known:
    """The services of these names and addresses, the subscribers of these numbers, and all plans."""
    found = list(services)
    names = {one.username for one in found if is_storable(one.username)}
    rows = session.execute(
        select(Service.id, Service.username, Service.closed_at, Router.name)
        .outerjoin(Router, Router.id == Service.control_router_id)
        .where(Service.operator_id == operator_id, among(Service.username, names))
    )
    stored = {row[1]: KnownService(row[0], row[1], row[3] or "", row[2] is not None) for row in rows}
    again = undone(session, operator_id, (one.service_id for one in stored.values() if one.closed))
    stored |= {name: one._replace(undone=True) for name, one in stored.items() if one.service_id in again}
    owned = session.execute(
        select(Service.address, Service.username).where(
            Service.operator_id == operator_id,
            among(Service.address, {one.address for one in found if one.address}),
            Service.closed_at.is_(None),
        )
    )
    numbers = {one for one in subscribers if is_storable(one)}
    people = session.scalars(
        select(Subscriber.reference).where(Subscriber.operator_id == operator_id, among(Subscriber.reference, numbers))
    )
    plans = session.execute(
        select(Plan.name, PlanVersion.facts)
        .join(PlanVersion, PlanVersion.id == Plan.current_version_id)
        .where(Plan.operator_id == operator_id)
    )
    return Known(
        services=stored,
        addresses={str(row[0]): row[1] for row in owned},
        subscribers=frozenset(people),
        plans={row[0]: row[1] for row in plans},
    )


def undone(session: Session, operator_id: int, service_ids: Iterable[int]) -> set[int]:
    """Those of these closed services that an import made which was taken back."""
    wanted = set(service_ids)
    if not wanted:
        return set()
    rows = session.scalars(
        select(ImportRow.outcome["service"].as_integer())
        .join(Import, Import.id == ImportRow.import_id)
        .where(Import.operator_id == operator_id, Import.state == "undone", ImportRow.outcome["undone"].as_boolean())
    )
    return wanted & set(rows)
