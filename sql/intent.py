"""Decisions on changes: people approve or reject exactly what they saw, rules approve; then the network is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.access import Access
from policy.changes.intent import MOVES, ChangeKind, Intent
from policy.changes.moves import move
from policy.changes.preview import Draft, preview, preview_hash
from policy.documents import access_document, read_service
from policy.facts import ServiceFacts
from policy.stamp import stamp
from sql import audit
from sql.approving import Judge
from sql.errors import NotFound, Refused
from sql.jobs import defer_enforce, driver_connection
from sql.live import live_sessions
from sql.models import Approval, Change, KnownAccess, Operator, Service
from sql.wanted import Decider, authorised_facts

REVIEWS_AT_ONCE = 500


def approve(session: Session, change: Change, *, by: str, seen_hash: str, now: datetime) -> bool:
    """A person approves exactly the preview of `seen_hash`. False: another person must approve it too.

    Raises Refused where something has moved since, or where nobody may do this now.
    """
    if change.state != Intent.AWAITING_APPROVAL:
        raise Refused(f"Change {change.id} is {_words(change.state)} already and cannot be approved.")
    if seen_hash != change.preview_hash:
        raise Refused(f"Change {change.id} has another preview than the one you approved; look at it again.")
    service = _locked_service(session, change)
    operator = session.get_one(Operator, change.operator_id)
    if service.authorised != change.from_facts:
        raise Refused(
            f"Change {change.id} started from an access that has changed since; it will be planned anew, look again."
        )
    _refuse_stale(session, operator, service, change, now)
    why = Judge(session, operator, now).hindrance(ChangeKind(change.kind), service.id)
    if why:
        raise Refused(f"Change {change.id} cannot be approved now. {why}")
    if not _enough_people(session, change, by):
        return False
    authorise(session, operator, service, change, now, by=by, rule=None)
    return True


class StalePreview(Refused):
    """The preview was renewed; the caller commits it and tells the person to look again."""


def reject(session: Session, change: Change, *, by: str, note: str) -> None:
    """A person says no; the rejection stands until the wanted access changes."""
    if change.state != Intent.AWAITING_APPROVAL:
        raise Refused(f"Change {change.id} is {_words(change.state)} already and cannot be rejected.")
    _move(change, Intent.REJECTED)
    change.decided_at, change.decided_by, change.note = func.clock_timestamp(), by, note
    session.flush()
    audit.record(
        session, change.operator_id, by, "change:approval:reject", service_id=change.service_id, change=change.id
    )


def change_by_id(session: Session, operator_id: int, change_id: int) -> Change:
    """The change of this number, locked together with its service. Raises NotFound."""
    mine = (Change.operator_id == operator_id, Change.id == change_id)
    # The service before the change: the order in which a review locks the two.
    owner = select(Change.service_id).where(*mine).scalar_subquery()
    session.execute(select(Service.id).where(Service.id == owner).with_for_update(key_share=True))
    change = session.scalar(
        select(Change).where(*mine).with_for_update(key_share=True).execution_options(populate_existing=True)
    )
    if change is None:
        raise NotFound(f"There is no change {change_id}; `ispagents change list` shows those there are.")
    return change


def renew_authorised(session: Session, operator_id: int, now: datetime, most: int = REVIEWS_AT_ONCE) -> list[int]:
    """Services whose authorised access changed by itself (window edge, prepaid end): their new stamp. Returns ids."""
    services = session.scalars(
        select(Service)
        .where(Service.operator_id == operator_id, Service.authorised_until <= now)
        .order_by(Service.id)
        .limit(most)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    if not services:
        return []
    operator = session.get_one(Operator, operator_id)
    decider = Decider(session, operator)
    facts = {service.id: read_service(service.authorised or {}) for service in services}
    decider.load({one.plan_version_id for one in facts.values()})
    accesses = [decider.access(facts[service.id], now) for service in services]
    remember(session, operator_id, accesses)
    for service, access in zip(services, accesses, strict=True):
        service.authorised_stamp, service.authorised_until = stamp(access), access.valid_until
    session.flush()
    return [service.id for service in services]


def remember(session: Session, operator_id: int, accesses: list[Access]) -> None:
    """Keep accesses by their stamps, so that a session's stamp can be read later."""
    rows = {
        stamp(access): {
            "operator_id": operator_id,
            "stamp": stamp(access),
            "document": access_document(access._replace(session_timeout_s=0, total_limit_bytes=0, valid_until=None)),
        }
        for access in accesses
    }
    if rows:
        session.execute(insert(KnownAccess).values([rows[key] for key in sorted(rows)]).on_conflict_do_nothing())


def authorise(
    session: Session,
    operator: Operator,
    service: Service,
    change: Change,
    now: datetime,
    *,
    by: str | None,
    rule: str | None,
    decider: Decider | None = None,
) -> None:
    """Write what the network is given from now on, and the change as approved."""
    facts = read_service(change.to_facts)
    decider = decider or Decider(session, operator)
    access = decider.access(facts, now)
    remember(session, operator.id, [access])
    _move(change, Intent.APPROVED)
    change.decided_at, change.decided_by, change.rule = func.clock_timestamp(), by, rule
    change.revision = func.pg_current_xact_id()
    service.authorised = change.to_facts
    service.authorised_stamp, service.authorised_until = stamp(access), access.valid_until
    service.authorised_at, service.authorised_change_id = func.now(), change.id
    session.flush()
    audit.record(
        session,
        operator.id,
        by or f"rule: {rule}",
        "change:approval:grant",
        service_id=service.id,
        subscriber_id=service.subscriber_id,
        change=change.id,
        kind=change.kind,
    )
    if by is not None:
        defer_enforce(driver_connection(session), operator.id, [service.id])


def draft_of(
    decider: Decider, kind: ChangeKind, username: str, before: ServiceFacts | None, after: ServiceFacts, now: datetime
) -> Draft:
    """What a preview of this change is made of."""
    from_access = decider.access(before, now) if before is not None else None
    return Draft(kind, username, before, from_access, after, decider.access(after, now))


def leave(session: Session, change: Change, to: Intent, why: str) -> None:
    """A change that waits is not needed any more: superseded or expired, with the reason."""
    if change.state != Intent.AWAITING_APPROVAL:
        return
    session.execute(
        update(Change)
        .where(Change.id == change.id, Change.state == Intent.AWAITING_APPROVAL)
        .values(
            state=move(MOVES, Intent.AWAITING_APPROVAL, to).value,
            decided_at=func.clock_timestamp(),
            note=why,
        )
    )
    session.refresh(change)
    audit.record(
        session,
        change.operator_id,
        "worker",
        "change:intent:supersede" if to == Intent.SUPERSEDED else "change:intent:expire",
        service_id=change.service_id,
        change=change.id,
        why=why,
    )


def _refuse_stale(session: Session, operator: Operator, service: Service, change: Change, now: datetime) -> None:
    current = _fresh_preview(session, operator, service, change, now)
    if preview_hash(current) == change.preview_hash:
        return
    change.preview, change.preview_hash = current, preview_hash(current)
    session.flush()
    raise StalePreview(
        f"Change {change.id} would now do something else than its preview said ({current['consequence']}); "
        "the preview is renewed, look at it again and approve that."
    )


def _fresh_preview(
    session: Session, operator: Operator, service: Service, change: Change, now: datetime
) -> dict[str, Any]:
    draft = draft_of(
        Decider(session, operator),
        ChangeKind(change.kind),
        service.username,
        authorised_facts(service),
        read_service(change.to_facts),
        now,
    )
    return preview(draft, live_sessions(session, operator.id, [service.id]).get(service.id, ()), now)


def _enough_people(session: Session, change: Change, by: str) -> bool:
    """Store this person's yes; whether as many different people as are needed said it to this preview."""
    row = {
        "operator_id": change.operator_id,
        "change_id": change.id,
        "person": by,
        "preview_hash": change.preview_hash,
        "at": func.clock_timestamp(),
    }
    mine = (Approval.change_id == change.id, Approval.person == by)
    if session.scalar(select(Approval.preview_hash).where(*mine)) == change.preview_hash:
        raise Refused(f"You have approved change {change.id} already; another person must approve it too.")
    session.execute(
        insert(Approval)
        .values(row)
        .on_conflict_do_update(
            index_elements=["change_id", "person"],
            set_={"preview_hash": change.preview_hash, "at": func.clock_timestamp()},
        )
    )
    same = (Approval.change_id == change.id, Approval.preview_hash == change.preview_hash)
    people = session.scalar(select(func.count()).select_from(Approval).where(*same)) or 0
    if people >= change.needs_approvals:
        return True
    audit.record(
        session, change.operator_id, by, "change:approval:join", service_id=change.service_id, change=change.id
    )
    return False


def _locked_service(session: Session, change: Change) -> Service:
    return session.scalars(
        select(Service)
        .where(Service.operator_id == change.operator_id, Service.id == change.service_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()


def _move(change: Change, to: Intent) -> None:
    change.state = move(MOVES, Intent(change.state), to).value


def _words(state: str) -> str:
    return state.replace("_", " ")
