"""What is stored already, as a comparison needs it: a fixed number of queries, however many customers there are."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.inspection.compare import Known, KnownService
from policy.inspection.found import FoundService
from sql.among import among
from sql.models import Plan, PlanVersion, Router, Service, Subscriber


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


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can hold a text: valid UTF-8 without a zero byte."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
