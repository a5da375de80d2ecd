"""What an import of a router made is taken back: its marks go, its services close, and the router stays as it is.

In three steps, each of which may be done again: nothing more becomes ours there (`begin_undo`), the marks are taken
away by whoever may speak to the router, and then the services close (`finish_undo`). In another order closing would
remove what carries our marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from policy.changes.enforcement import OPEN_STATES
from policy.changes.intent import ChangeKind, Intent
from policy.routeros.wanted import service_tag
from policy.wording import short
from sql import audit
from sql.among import among
from sql.errors import Refused
from sql.jobs import defer_review
from sql.models import Change, Import, ImportRow, Invoice, Payment, Placement, Service, Step
from sql.onboarding.openings import REVIEW, store_outcomes
from sql.placing import look_at_placements
from sql.sessions import database_time

SAID_MOST: Final = 5
# How a service comes in: for the first time, or again after an import of it was taken back.
_COMING = (ChangeKind.OPEN, ChangeKind.RESTORE)
_STANDS = (Intent.APPROVED, Intent.AWAITING_APPROVAL)


class Made(NamedTuple):
    """A service that an import made. `happened`: what has happened to it since, or "": it can be taken back."""

    line: int
    service_id: int
    username: str
    happened: str = ""

    @property
    def tag(self) -> str:
        """Its mark on the router."""
        return service_tag(self.service_id)


def begin_undo(session: Session, stored: Import, *, rest: bool) -> list[Made]:
    """What can be taken back: from now on nothing more of it becomes ours. Raises Refused where something has happened
    to one of them since, unless the `rest` is to be taken back without those.
    """
    session.refresh(stored, with_for_update={"key_share": True})
    if stored.state != "applied":
        raise Refused(f"Import {stored.id} is {stored.state}; only an applied one can be taken back.")
    made = _made(session, stored)
    happened = [one for one in made if one.happened]
    if happened and not rest:
        said = "; ".join(f"{short(one.username)}: {one.happened}" for one in happened[:SAID_MOST])
        more = f" and {len(happened) - SAID_MOST} more" if len(happened) > SAID_MOST else ""
        raise Refused(f"Something has happened since: {said}{more}. --rest takes back the others alone.")
    going = [one for one in made if not one.happened]
    mine = (among(Placement.service_id, [one.service_id for one in going]), Placement.ended_at.is_(None))
    placements = session.scalars(update(Placement).where(*mine).values(adopt=False).returning(Placement.id)).all()
    open_steps = select(func.count()).where(among(Step.placement_id, placements), Step.state.in_(OPEN_STATES))
    if session.scalar(open_steps):
        raise Refused("The worker is still marking what is theirs on the router; try again in a minute.")
    return going


def finish_undo(session: Session, stored: Import, going: Sequence[Made], *, actor: str) -> None:
    """The marks are gone: close the services. The subscribers stay, without a service."""
    session.refresh(stored, with_for_update={"key_share": True})
    if stored.state != "applied":
        raise Refused(f"Import {stored.id} is {stored.state} already.")
    ids = [one.service_id for one in going]
    # The reviews first: the order in which the worker locks the two.
    session.execute(REVIEW, {"operator": stored.operator_id, "services": ids})
    now = database_time(session)
    session.execute(
        update(Service)
        .where(Service.operator_id == stored.operator_id, among(Service.id, ids), Service.closed_at.is_(None))
        .values(closed_at=now, standing="closed", control_router_id=None)
    )
    for one in going:
        audit.record(
            session, stored.operator_id, actor, "service:line:close", service_id=one.service_id, import_number=stored.id
        )
    if going:
        store_outcomes(session, stored, {one.line: {"service": one.service_id, "undone": True} for one in going})
        defer_review(session, stored.operator_id)
        look_at_placements(session, stored.operator_id, ids)
    stored.state, stored.undone_by, stored.undone_at = "undone", actor, func.now()
    session.flush()
    audit.record(session, stored.operator_id, actor, "router:import:undo", number=stored.id, services=len(going))


def _made(session: Session, stored: Import) -> list[Made]:
    rows = session.execute(
        select(ImportRow.line, ImportRow.outcome)
        .where(ImportRow.import_id == stored.id, ImportRow.outcome["service"].as_string().is_not(None))
        .order_by(ImportRow.line)
    ).all()
    outcomes = {row[1]["service"]: (row[0], row[1]) for row in rows if row[1]}
    services = session.scalars(
        select(Service)
        .where(Service.operator_id == stored.operator_id, among(Service.id, outcomes))
        .order_by(Service.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all()
    changed = _changed(session, stored, outcomes)
    paying = _with_money(session, stored, {service.subscriber_id for service in services})
    found = []
    for service in services:
        line, outcome = outcomes[service.id]
        happened = (
            _own(service, stored, outcome) or changed.get(service.id, "") or paying.get(service.subscriber_id, "")
        )
        found.append(Made(line, service.id, service.username, happened))
    return found


def _own(service: Service, stored: Import, outcome: dict[str, Any]) -> str:
    """What a service itself says of what has happened."""
    if service.closed_at is not None:
        return "it is closed already"
    if service.plan_id != outcome["plan"]:
        return "it has another plan"
    if service.subscriber_id != outcome["subscriber"]:
        return "it belongs to another customer"
    held = stored.router_id if stored.settings["adopt"] else None
    return "" if service.control_router_id == held else "it is controlled by something else"


def _changed(session: Session, stored: Import, services: dict[int, Any]) -> dict[int, str]:
    """Those that were changed since, or are about to be, beside their coming in."""
    rows = session.execute(
        select(Change.service_id, func.max(Change.id))
        .where(
            Change.operator_id == stored.operator_id,
            among(Change.service_id, services),
            Change.kind.not_in(_COMING),
            Change.state.in_(_STANDS),
            Change.created_at > stored.applied_at,
        )
        .group_by(Change.service_id)
    )
    return {row[0]: f"change {row[1]} is about it" for row in rows}


def _with_money(session: Session, stored: Import, subscribers: set[int]) -> dict[int, str]:
    """The customers who were billed or have paid since."""
    billed = select(Invoice.subscriber_id).where(
        Invoice.operator_id == stored.operator_id,
        among(Invoice.subscriber_id, subscribers),
        Invoice.issued_at > stored.applied_at,
    )
    paid = select(Payment.subscriber_id).where(
        Payment.operator_id == stored.operator_id,
        among(Payment.subscriber_id, subscribers),
        Payment.created_at > stored.applied_at,
    )
    found = dict.fromkeys(session.scalars(paid), "its customer has paid")
    return found | dict.fromkeys(session.scalars(billed), "its customer has an invoice")
