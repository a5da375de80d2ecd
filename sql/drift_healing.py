"""All that a router should hold, healed at once: what that would be, and the order of a person to do it.

The brake on healing (`sql.healing`) lets a share of the services an hour through, so that people notice first. Here
somebody noticed: they saw the counts, and what they saw is what is healed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from policy.drift.finding import Kind, Mender
from policy.situation import Drifted
from sql import audit
from sql.among import among
from sql.errors import Refused
from sql.models import DriftFinding, Operator, Placement, Router
from sql.placing import Placed, look_at_placements

_GARDEN = (Kind.GARDEN_MISSING, Kind.GARDEN_MISPLACED)
_OF_HELD = (Kind.NOT_PROVISIONED, Kind.CHANGED_BY_HAND, Kind.IN_THE_WAY, Kind.LEFT_BEHIND)


class Healable(NamedTuple):
    """Findings by number: those of services, which the engine writes anew; those of the walled garden, first.

    `kinds` counts the services' findings; `others` are those that stay for `drift fix` or a person, by kind.
    """

    services: tuple[int, ...]
    garden: tuple[int, ...]
    kinds: dict[str, int]
    others: dict[str, int]


def healable(session: Session, router: Router) -> Healable:
    """What of a router's open findings is healed with all; what somebody chose to leave is not."""
    mender = DriftFinding.proposal["mender"].astext
    rows = session.execute(
        select(DriftFinding.id, DriftFinding.kind, mender.label("mender"))
        .where(
            DriftFinding.operator_id == router.operator_id,
            DriftFinding.router_id == router.id,
            DriftFinding.gone_at.is_(None),
            DriftFinding.left_at.is_(None),
        )
        .order_by(DriftFinding.id)
    ).all()
    services = [row for row in rows if row.mender == Mender.ENGINE]
    garden = [row for row in rows if row.mender == Mender.ROUTER and row.kind in _GARDEN]
    taken = {row.id for row in (*services, *garden)}
    return Healable(
        tuple(row.id for row in services),
        tuple(row.id for row in garden),
        dict(Counter(row.kind for row in services)),
        dict(Counter(row.kind for row in rows if row.id not in taken)),
    )


def garden_finding(session: Session, router: Router) -> int | None:
    """The open finding about the rules of a router's walled garden, by number; None where they were as wanted."""
    return session.scalar(
        select(func.min(DriftFinding.id)).where(
            DriftFinding.operator_id == router.operator_id,
            DriftFinding.router_id == router.id,
            DriftFinding.kind.in_([kind.value for kind in _GARDEN]),
            DriftFinding.gone_at.is_(None),
        )
    )


def service_finding(session: Session, one: Placed) -> Drifted | None:
    """The newest open finding about a service on the router that holds it, unless it was read back there since."""
    found = session.scalar(
        select(DriftFinding)
        .where(
            DriftFinding.operator_id == one.router.operator_id,
            DriftFinding.service_id == one.service.id,
            DriftFinding.router_id == one.router.id,
            DriftFinding.kind.in_([kind.value for kind in _OF_HELD]),
            DriftFinding.gone_at.is_(None),
            DriftFinding.left_at.is_(None),
        )
        .order_by(DriftFinding.id.desc())
        .limit(1)
    )
    observed_at = one.placement.observed_at
    if found is None or (observed_at is not None and observed_at >= found.seen_at):
        return None
    return Drifted(found.id, found.cause, found.seen_at, heals=found.proposal.get("mender") == Mender.ENGINE)


def heal_all(session: Session, router: Router, numbers: Sequence[int], *, actor: str) -> int:
    """Let the engine write anew what these findings are about, as far as they are open. Returns how many services.

    Raises Refused while network writes are stopped.
    """
    if session.get_one(Operator, router.operator_id).writes_stopped_at is not None:
        raise Refused("All network writes are stopped; `ispagents network start` lets them go on.")
    found = session.execute(
        select(DriftFinding.service_id, func.min(DriftFinding.id).label("number"))
        .where(
            DriftFinding.operator_id == router.operator_id,
            DriftFinding.router_id == router.id,
            among(DriftFinding.id, numbers),
            DriftFinding.gone_at.is_(None),
            DriftFinding.left_at.is_(None),
            DriftFinding.service_id.is_not(None),
            DriftFinding.proposal["mender"].astext == Mender.ENGINE.value,
        )
        .group_by(DriftFinding.service_id)
        .order_by(DriftFinding.service_id)
    ).all()
    ids = [row.service_id for row in found]
    session.execute(
        update(Placement)
        .where(
            Placement.operator_id == router.operator_id,
            Placement.router_id == router.id,
            among(Placement.service_id, ids),
            Placement.ended_at.is_(None),
        )
        .values(applied_stamp=None)
        .execution_options(synchronize_session=False)
    )
    for row in found:
        audit.record(
            session,
            router.operator_id,
            actor,
            "drift:finding:fix",
            service_id=row.service_id,
            finding=row.number,
            router_id=router.id,
            among=len(found),
        )
    look_at_placements(session, router.operator_id, ids, hurry=False, asked=True)
    return len(ids)
