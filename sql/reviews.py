"""Reviews: what billing, plans and people ask for now becomes changes, each with its preview."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.access import Access
from policy.changes.configured import HeldService
from policy.changes.intent import MOVES, ChangeKind, Intent
from policy.changes.kind import kind_of
from policy.changes.moves import move
from policy.changes.preview import Draft, LiveSession, preview, preview_hash
from policy.documents import service_document
from policy.facts import ServiceFacts
from policy.reasons import sentence
from policy.stamp import stamp
from sql import audit
from sql.among import among
from sql.approving import Judge
from sql.authorising import REVIEWS_AT_ONCE, Granted, authorise
from sql.intent import draft_of, leave
from sql.live import held_services, live_sessions
from sql.models import Batch, Change, Operator, Override, Service
from sql.wanted import Decider, Wanted, authorised_facts, wanted

# What a brake, a silent feed or a router that is down held back is looked at again after this long.
LOOK_AGAIN = timedelta(minutes=5)

# The newest first: who has just paid waits for an answer, and tonight's ten thousand suspensions do not.
# (Materialised: a plan may ask a subquery again for each row, and each time it would lock and find other ones.)
_TAKE_REVIEWS = text("""
WITH newest AS MATERIALIZED (
    SELECT service_id FROM reviews WHERE operator_id = :operator AND due_at <= :now
    ORDER BY due_at DESC LIMIT :most FOR UPDATE SKIP LOCKED)
DELETE FROM reviews USING newest WHERE reviews.service_id = newest.service_id
RETURNING reviews.service_id
""")
_REVIEW_LATER = text("""
INSERT INTO reviews (service_id, operator_id, due_at)
SELECT * FROM unnest(CAST(:services AS bigint[]), CAST(:operators AS bigint[]), CAST(:moments AS timestamptz[]))
ON CONFLICT (service_id) DO UPDATE SET due_at = least(reviews.due_at, excluded.due_at)
""")


class Asked(NamedTuple):
    """A service whose wanted facts differ from the authorised ones."""

    one: Wanted
    before: ServiceFacts | None
    draft: Draft


def review(session: Session, operator_id: int, now: datetime, most: int = REVIEWS_AT_ONCE) -> int:
    """Take up to `most` reviews that are due and make the changes they ask for. Returns how many were taken."""
    taken = session.execute(_TAKE_REVIEWS, {"operator": operator_id, "now": now, "most": most}).scalars().all()
    if not taken:
        return 0
    operator = session.get_one(Operator, operator_id)
    _end_overrides(session, operator_id, list(taken), now)
    found = wanted(session, operator, sorted(taken), now)
    _store_standings(session, operator_id, found)
    again = _make_changes(session, operator, found, now)
    for one in found:
        if one.review_at is not None:
            again[one.service.id] = min(one.review_at, again.get(one.service.id, one.review_at))
    if again:
        services = list(again)
        session.execute(
            _REVIEW_LATER,
            {
                "services": services,
                "operators": [operator_id] * len(services),
                "moments": [again[service] for service in services],
            },
        )
    return len(taken)


def _end_overrides(session: Session, operator_id: int, service_ids: list[int], now: datetime) -> None:
    session.execute(
        update(Override)
        .where(
            Override.operator_id == operator_id,
            among(Override.service_id, service_ids),
            Override.ended_at.is_(None),
            Override.until <= now,
        )
        .values(ended_at=Override.until)
    )


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


def _make_changes(session: Session, operator: Operator, found: list[Wanted], now: datetime) -> dict[int, datetime]:
    """Make, decide and end changes. Returns the services whose waiting change is to be looked at again, and when."""
    decider = Decider(session, operator)
    pairs = [(one, authorised_facts(one.service)) for one in found]
    decider.load(
        {one.facts.plan_version_id for one, _ in pairs} | {before.plan_version_id for _, before in pairs if before},
        [one.service.id for one, _ in pairs],
    )
    latest = _latest_changes(session, [one.service.id for one in found])
    judge = Judge(session, operator, now)
    asked: list[Asked] = []
    waiting: list[tuple[Wanted, Change]] = []
    for one, before in pairs:
        last = latest.get(one.service.id)
        if one.facts == before:
            _end_rejection(session, last)
            _supersede(session, last, "what is wanted is what is authorised again")
        elif last is not None and _stands(last, one.service, one.facts, now - timedelta(days=operator.change_days)):
            if last.state == Intent.AWAITING_APPROVAL:
                waiting.append((one, last))
        else:
            _end(session, last, now - timedelta(days=operator.change_days))
            kind = kind_of(before, one.facts)
            asked.append(Asked(one, before, draft_of(decider, kind, one.service.username, before, one.facts, now)))
    judge.load([one.service.id for one, _ in pairs])
    changes = _store(session, operator, asked, now)
    _decide(session, operator, judge, [*waiting, *changes], decider, now)
    held = [change for _, change in (*waiting, *changes) if change.state == Intent.AWAITING_APPROVAL]
    return {change.service_id: _look_again(change, operator, judge, now) for change in held}


def _stands(last: Change, service: Service, facts: ServiceFacts, oldest: datetime) -> bool:
    """Whether the latest change already says this: it waits for a person, or a person said no to just that."""
    if last.to_facts != service_document(facts) or last.from_facts != service.authorised:
        return False
    if last.state == Intent.AWAITING_APPROVAL:
        return last.created_at > oldest
    return last.state == Intent.REJECTED


def _end_rejection(session: Session, last: Change | None) -> None:
    """What somebody said no to is not wanted any more. When it is wanted again, people are asked again."""
    if last is None or last.state != Intent.REJECTED:
        return
    # When, by whom and why it was rejected stays.
    last.state = move(MOVES, Intent.REJECTED, Intent.SUPERSEDED).value
    audit.record(
        session,
        last.operator_id,
        "worker",
        "change:intent:supersede",
        service_id=last.service_id,
        change=last.id,
        why="what was rejected is not wanted any more, so the rejection is over",
    )


def _end(session: Session, last: Change | None, oldest: datetime) -> None:
    if last is None:
        return
    if last.created_at <= oldest:
        leave(session, last, Intent.EXPIRED, "nobody decided in time; it is planned anew with a fresh preview")
    else:
        _supersede(session, last, "a newer truth asks for something else")


def _supersede(session: Session, last: Change | None, why: str) -> None:
    if last is not None:
        leave(session, last, Intent.SUPERSEDED, why)


def _look_again(change: Change, operator: Operator, judge: Judge, now: datetime) -> datetime:
    expires = change.created_at + timedelta(days=operator.change_days)
    if not change.held_back:
        return expires
    return min(expires, judge.allowed_at(ChangeKind(change.kind), change.service_id) or now + LOOK_AGAIN)


def _store(session: Session, operator: Operator, asked: list[Asked], now: datetime) -> list[tuple[Wanted, Change]]:
    """The changes of one review with their previews: a fixed number of statements, however many there are."""
    if not asked:
        return []
    live = live_sessions(session, operator.id, [one.one.service.id for one in asked])
    held = held_services(session, operator.id, [one.one.service.id for one in asked])
    changes = [
        _change(operator, one, live.get(one.one.service.id, ()), held.get(one.one.service.id, ()), now) for one in asked
    ]
    session.add_all(changes)
    session.flush()
    for one, change in zip(asked, changes, strict=True):
        audit.record(
            session,
            operator.id,
            change.requested_by if change.requested_by != "billing" else "worker",
            "change:intent:plan",
            service_id=change.service_id,
            subscriber_id=one.one.service.subscriber_id,
            change=change.id,
            kind=change.kind,
        )
    return [(one.one, change) for one, change in zip(asked, changes, strict=True)]


def _change(
    operator: Operator, asked: Asked, live: tuple[LiveSession, ...], held: tuple[HeldService, ...], now: datetime
) -> Change:
    one, draft = asked.one, asked.draft
    document = preview(draft, live, now, held)
    return Change(
        operator_id=operator.id,
        service_id=one.service.id,
        kind=draft.kind.value,
        cause=_cause(one, draft.to_access),
        from_facts=one.service.authorised,
        to_facts=service_document(one.facts),
        from_stamp=stamp(draft.from_access) if draft.from_access is not None else None,
        to_stamp=stamp(draft.to_access),
        preview=document,
        preview_hash=preview_hash(document),
        state=Intent.AWAITING_APPROVAL.value,
        requested_by=one.override.granted_by if one.override is not None else "billing",
        undoes_change_id=one.override.undoes_change_id if one.override is not None else None,
        created_at=now,
    )


def _cause(one: Wanted, access: Access) -> str:
    if one.override is not None:
        return f"{one.override.granted_by} gives back an earlier access until {one.override.until:%Y-%m-%d %H:%M} UTC."
    return f"billing says {one.standing.value}. {sentence(access.reason)}"


def _decide(
    session: Session,
    operator: Operator,
    judge: Judge,
    changes: list[tuple[Wanted, Change]],
    decider: Decider,
    now: datetime,
) -> None:
    """Let rules approve what they may; the rest waits for people, in batches."""
    granted = []
    batches: dict[str, int] = {}
    local = now.astimezone(ZoneInfo(operator.time_zone))
    for one, change in changes:
        kind = ChangeKind(change.kind)
        said = judge.verdict(kind, decider.plan_name(one.facts.plan_version_id), change.service_id)
        if said.people == 0:
            access = decider.access(one.facts, now)
            granted.append(Granted(change, one.service, access, said.rule))
            continue
        change.held_back = said.held_back
        if change.batch_id is None:
            change.needs_approvals = said.people
            name = f"{kind.value} {local:%Y-%m-%d}"
            if name not in batches:
                batches[name] = _batch(session, operator.id, name)
            change.batch_id = batches[name]
    session.flush()
    authorise(session, operator.id, granted, by=None)


def _batch(session: Session, operator_id: int, name: str) -> int:
    values = {"operator_id": operator_id, "name": name, "requested_by": "billing"}
    session.execute(insert(Batch).values(values).on_conflict_do_nothing(index_elements=["operator_id", "name"]))
    return session.scalars(select(Batch.id).where(Batch.operator_id == operator_id, Batch.name == name)).one()


def _latest_changes(session: Session, service_ids: list[int]) -> dict[int, Change]:
    newest = select(func.max(Change.id)).where(among(Change.service_id, service_ids)).group_by(Change.service_id)
    rows = session.scalars(select(Change).where(Change.id.in_(newest)))
    return {change.service_id: change for change in rows}
