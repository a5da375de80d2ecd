"""Decisions on changes: people approve or reject exactly what they saw; what rules approve, reviews hand on."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from policy.changes.configured import HeldService
from policy.changes.intent import MOVES, ChangeKind, Intent
from policy.changes.moves import move
from policy.changes.preview import Draft, LiveSession, preview, preview_hash
from policy.documents import read_service
from policy.facts import ServiceFacts
from policy.quota import overshoot_words
from sql import audit
from sql.among import among
from sql.approving import Judge
from sql.authorising import Granted, authorise
from sql.errors import NotFound, Refused
from sql.live import held_services, live_sessions
from sql.models import Approval, Change, Operator, Service
from sql.wanted import Decider, authorised_facts


class Desk:
    """Where a person's approvals are carried out, in one transaction; what many of them need is read once."""

    def __init__(self, session: Session, operator_id: int, now: datetime) -> None:
        """For one operator at one moment."""
        self._session = session
        self._operator = session.get_one(Operator, operator_id)
        self._now = now
        self._decider = Decider(session, self._operator)
        self._judge = Judge(session, self._operator, now)
        self._services: dict[int, Service] = {}
        self._live: dict[int, tuple[LiveSession, ...]] = {}
        self._held: dict[int, tuple[HeldService, ...]] = {}

    def load(self, changes: list[Change]) -> None:
        """Read what these changes are about; they are locked by the caller."""
        services = [change.service_id for change in changes]
        rows = self._session.scalars(
            select(Service)
            .where(Service.operator_id == self._operator.id, among(Service.id, services))
            .order_by(Service.id)
            .with_for_update(key_share=True)
            .execution_options(populate_existing=True)
        )
        self._services = {service.id: service for service in rows}
        self._live = live_sessions(self._session, self._operator.id, services)
        self._held = held_services(self._session, self._operator.id, services)
        self._judge.load(services)
        documents = [one for change in changes for one in (change.from_facts, change.to_facts) if one]
        self._decider.load({read_service(one).plan_version_id for one in documents}, services)

    def approve(self, seen: list[tuple[Change, str]], by: str) -> dict[int, bool | Refused]:
        """Approve changes as they were seen, in a fixed number of statements. By id: as `approve`, or why not."""
        result: dict[int, bool | Refused] = {}
        fit = []
        for change, seen_hash in seen:
            try:
                self._check(change, seen_hash)
            except Refused as error:
                result[change.id] = error
            else:
                fit.append(change)
        granted = []
        for change, answer in _people(self._session, fit, by):
            result[change.id] = answer
            if answer is True:
                access = self._decider.access(read_service(change.to_facts), self._now)
                granted.append(Granted(change, self._services[change.service_id], access))
        authorise(self._session, self._operator.id, granted, by)
        return result

    def _check(self, change: Change, seen_hash: str) -> None:
        if change.state != Intent.AWAITING_APPROVAL:
            raise Refused(f"Change {change.id} is {_words(change.state)} already and cannot be approved.")
        if seen_hash != change.preview_hash:
            raise Refused(f"Change {change.id} has another preview than the one you approved; look at it again.")
        service = self._services[change.service_id]
        if service.authorised != change.from_facts:
            raise Refused(
                f"Change {change.id} started from an access that has changed since; it is planned anew, look again."
            )
        self._refuse_stale(service, change)
        why = self._judge.hindrance(ChangeKind(change.kind), service.id)
        if why:
            raise Refused(f"Change {change.id} cannot be approved now. {why}")

    def _refuse_stale(self, service: Service, change: Change) -> None:
        draft = draft_of(
            self._decider,
            ChangeKind(change.kind),
            service.username,
            authorised_facts(service),
            read_service(change.to_facts),
            self._now,
        )
        current = preview(draft, self._live.get(service.id, ()), self._now, self._held.get(service.id, ()))
        if preview_hash(current) == change.preview_hash:
            return
        change.preview, change.preview_hash = current, preview_hash(current)
        self._session.flush()
        raise StalePreview(
            f"Change {change.id} would now do something else than its preview said ({current['consequence']}); "
            "the preview is renewed, look at it again and approve that."
        )


def approve(session: Session, change: Change, *, by: str, seen_hash: str, now: datetime) -> bool:
    """A person approves exactly the preview of `seen_hash`. False: another person must approve it too.

    Raises Refused where something has moved since, or where nobody may do this now.
    """
    desk = Desk(session, change.operator_id, now)
    desk.load([change])
    answer = desk.approve([(change, seen_hash)], by)[change.id]
    if isinstance(answer, Refused):
        raise answer
    return answer


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


# An earlier yes of the same person to another preview is replaced.
_SAY_YES = text("""
INSERT INTO approvals (operator_id, change_id, person, preview_hash)
SELECT :operator, row.change, :person, row.hash
FROM unnest(CAST(:changes AS bigint[]), CAST(:hashes AS text[])) AS row (change, hash)
ON CONFLICT (change_id, person) DO UPDATE SET preview_hash = excluded.preview_hash, at = clock_timestamp()
""")


def approvers(session: Session, change: Change) -> list[str]:
    """The people who approved the preview that this change has now, in order."""
    mine = (Approval.change_id == change.id, Approval.preview_hash == change.preview_hash)
    return list(session.scalars(select(Approval.person).where(*mine).order_by(Approval.at)))


def draft_of(
    decider: Decider, kind: ChangeKind, username: str, before: ServiceFacts | None, after: ServiceFacts, now: datetime
) -> Draft:
    """What a preview of this change is made of."""
    from_access = decider.access(before, now) if before is not None else None
    overshoot = overshoot_words(decider.plan(after.plan_version_id))
    return Draft(kind, username, before, from_access, after, decider.access(after, now), overshoot)


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


def _people(session: Session, changes: list[Change], by: str) -> list[tuple[Change, bool | Refused]]:
    """Store this person's yes to each; whether as many different people as it needs have said it to this preview."""
    if not changes:
        return []
    ids = [change.id for change in changes]
    before = _yes(session, ids)
    answers: list[tuple[Change, bool | Refused]] = []
    new = []
    for change in changes:
        people = {person for person, digest in before.get(change.id, ()) if digest == change.preview_hash}
        if by in people:
            again = f"You have approved change {change.id} already; another person must approve it too."
            answers.append((change, Refused(again)))
            continue
        new.append(change)
        answers.append((change, len(people) + 1 >= change.needs_approvals))
    if new:
        session.execute(
            _SAY_YES,
            {
                "operator": new[0].operator_id,
                "person": by,
                "changes": [change.id for change in new],
                "hashes": [change.preview_hash for change in new],
            },
        )
    for change, answer in answers:
        if answer is False:
            audit.record(
                session, change.operator_id, by, "change:approval:join", service_id=change.service_id, change=change.id
            )
    return answers


def _yes(session: Session, change_ids: list[int]) -> dict[int, list[tuple[str, str]]]:
    rows = session.execute(
        select(Approval.change_id, Approval.person, Approval.preview_hash).where(among(Approval.change_id, change_ids))
    )
    found: dict[int, list[tuple[str, str]]] = {}
    for row in rows:
        found.setdefault(row.change_id, []).append((row.person, row.preview_hash))
    return found


def _move(change: Change, to: Intent) -> None:
    change.state = move(MOVES, Intent(change.state), to).value


def _words(state: str) -> str:
    return state.replace("_", " ")
