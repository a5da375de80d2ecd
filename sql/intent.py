"""Wanted becomes authorised: reviews make changes, changes are approved, and only then the network may be told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.access import Access
from policy.changes.approval import ApprovalTerms, approving_rule
from policy.changes.intent import MOVES, ChangeKind, Intent
from policy.changes.kind import kind_of
from policy.changes.moves import move
from policy.changes.preview import Draft, preview, preview_hash
from policy.documents import access_document, read_service, service_document
from policy.facts import ServiceFacts
from policy.reasons import sentence
from policy.stamp import stamp
from sql import audit
from sql.errors import NotFound, Refused
from sql.jobs import defer_enforce, driver_connection
from sql.live import live_sessions
from sql.models import Change, KnownAccess, Operator, Service
from sql.wanted import Decider, Wanted, authorised_facts, wanted

REVIEWS_AT_ONCE = 500

_TAKE_REVIEWS = text("""
DELETE FROM reviews WHERE service_id IN (
    SELECT service_id FROM reviews WHERE operator_id = :operator AND due_at <= :now
    ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING service_id
""")
_REVIEW_LATER = text("""
INSERT INTO reviews (service_id, operator_id, due_at)
SELECT * FROM unnest(CAST(:services AS bigint[]), CAST(:operators AS bigint[]), CAST(:moments AS timestamptz[]))
ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at)
""")


def review(session: Session, operator_id: int, now: datetime, most: int = REVIEWS_AT_ONCE) -> int:
    """Take up to `most` reviews that are due and make the changes they ask for. Returns how many were taken."""
    taken = session.execute(_TAKE_REVIEWS, {"operator": operator_id, "now": now, "most": most}).scalars().all()
    if not taken:
        return 0
    operator = session.get_one(Operator, operator_id)
    found = wanted(session, operator, sorted(taken), now)
    _store_standings(session, operator_id, found)
    later = [(one.service.id, one.review_at) for one in found if one.review_at is not None]
    if later:
        session.execute(
            _REVIEW_LATER,
            {
                "services": [row[0] for row in later],
                "operators": [operator_id] * len(later),
                "moments": [row[1] for row in later],
            },
        )
    _make_changes(session, operator, found, now)
    return len(taken)


def approve(session: Session, change: Change, *, by: str, seen_hash: str, now: datetime) -> None:
    """A person approves exactly the preview of `seen_hash`. Raises Refused where something has moved since."""
    if change.state != Intent.AWAITING_APPROVAL:
        raise Refused(f"Change {change.id} is {_words(change.state)} already and cannot be approved.")
    if seen_hash != change.preview_hash:
        raise Refused(f"Change {change.id} has another preview than the one you approved; look at it again.")
    service = _locked_service(session, change)
    operator = session.get_one(Operator, change.operator_id)
    current = _fresh_preview(session, operator, service, change, now)
    if service.authorised != change.from_facts:
        raise Refused(
            f"Change {change.id} started from an access that has changed since; it will be planned anew, look again."
        )
    if preview_hash(current) != change.preview_hash:
        change.preview, change.preview_hash = current, preview_hash(current)
        session.flush()
        raise StalePreview(
            f"Change {change.id} would now do something else than its preview said ({current['consequence']}); "
            "the preview is renewed, look at it again and approve that."
        )
    _authorise(session, operator, service, change, now, by=by, rule=None)


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


def _store_standings(session: Session, operator_id: int, found: list[Wanted]) -> None:
    moved = [one for one in found if one.service.standing != one.standing.value]
    for one in moved:
        one.service.standing = one.standing.value
        audit.record(
            session,
            operator_id,
            "billing",
            "service:standing:change",
            service_id=one.service.id,
            subscriber_id=one.service.subscriber_id,
            standing=one.standing.value,
        )
    session.flush()


def _make_changes(session: Session, operator: Operator, found: list[Wanted], now: datetime) -> None:
    decider = Decider(session, operator)
    pairs = [(one, authorised_facts(one.service)) for one in found]
    decider.load(
        {one.facts.plan_version_id for one, _ in pairs} | {before.plan_version_id for _, before in pairs if before}
    )
    latest = _latest_changes(session, [one.service.id for one in found])
    terms = ApprovalTerms(frozenset(ChangeKind(kind) for kind in operator.automatic_changes))
    enforce: list[int] = []
    for one, before in pairs:
        last = latest.get(one.service.id)
        if one.facts == before:
            _supersede(session, last, "what is wanted is what is authorised again")
            continue
        document = service_document(one.facts)
        if _stands(last, one.service, document):
            continue
        _supersede(session, last, "a newer truth asks for something else")
        change = _draft(session, operator, decider=decider, one=one, before=before, now=now)
        rule = approving_rule(ChangeKind(change.kind), terms)
        if rule is not None:
            _authorise(session, operator, one.service, change, now, by=None, rule=rule, decider=decider)
            enforce.append(one.service.id)
    if enforce:
        defer_enforce(driver_connection(session), operator.id, enforce)


def _stands(last: Change | None, service: Service, to_facts: dict[str, Any]) -> bool:
    """Whether the latest change already says this: it waits for a person, or a person said no to just that."""
    return (
        last is not None
        and last.state in (Intent.AWAITING_APPROVAL, Intent.REJECTED)
        and last.to_facts == to_facts
        and last.from_facts == service.authorised
    )


def _draft(
    session: Session, operator: Operator, *, decider: Decider, one: Wanted, before: ServiceFacts | None, now: datetime
) -> Change:
    kind = kind_of(before, one.facts)
    from_access = decider.access(before, now) if before is not None else None
    to_access = decider.access(one.facts, now)
    draft = Draft(kind, one.service.username, before, from_access, one.facts, to_access)
    document = preview(draft, live_sessions(session, operator.id, one.service.id), now)
    change = Change(
        operator_id=operator.id,
        service_id=one.service.id,
        kind=kind.value,
        cause=f"billing says {one.standing.value}. {sentence(to_access.reason)}",
        from_facts=one.service.authorised,
        to_facts=service_document(one.facts),
        from_stamp=stamp(from_access) if from_access is not None else None,
        to_stamp=stamp(to_access),
        preview=document,
        preview_hash=preview_hash(document),
        state=Intent.AWAITING_APPROVAL.value,
    )
    session.add(change)
    session.flush()
    audit.record(
        session,
        operator.id,
        "worker",
        "change:intent:plan",
        service_id=one.service.id,
        subscriber_id=one.service.subscriber_id,
        change=change.id,
        kind=kind.value,
    )
    return change


def _fresh_preview(
    session: Session, operator: Operator, service: Service, change: Change, now: datetime
) -> dict[str, Any]:
    decider = Decider(session, operator)
    before = authorised_facts(service)
    after = read_service(change.to_facts)
    draft = Draft(
        ChangeKind(change.kind),
        service.username,
        before,
        decider.access(before, now) if before is not None else None,
        after,
        decider.access(after, now),
    )
    return preview(draft, live_sessions(session, operator.id, service.id), now)


def _authorise(
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


def _latest_changes(session: Session, service_ids: list[int]) -> dict[int, Change]:
    newest = select(func.max(Change.id)).where(Change.service_id.in_(service_ids)).group_by(Change.service_id)
    rows = session.scalars(select(Change).where(Change.id.in_(newest)))
    return {change.service_id: change for change in rows}


def _supersede(session: Session, change: Change | None, why: str) -> None:
    if change is None or change.state != Intent.AWAITING_APPROVAL:
        return
    session.execute(
        update(Change)
        .where(Change.id == change.id, Change.state == Intent.AWAITING_APPROVAL)
        .values(
            state=move(MOVES, Intent.AWAITING_APPROVAL, Intent.SUPERSEDED).value,
            decided_at=func.clock_timestamp(),
            note=why,
        )
    )
    session.refresh(change)
    audit.record(
        session,
        change.operator_id,
        "worker",
        "change:intent:supersede",
        service_id=change.service_id,
        change=change.id,
        why=why,
    )


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
