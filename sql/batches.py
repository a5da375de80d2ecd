"""Batches: changes that wait together are looked at, approved, rejected and undone together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.changes.batch import BatchRow, routes_of
from policy.changes.intent import Intent
from sql.among import among
from sql.errors import NotFound, Refused
from sql.intent import Desk, reject
from sql.models import Batch, Change, PlanVersion, Service, Step
from sql.money.settling import open_invoices

AT_ONCE = 200


class BatchCount(NamedTuple):
    """A batch with how many of its changes are in which state."""

    batch: Batch
    states: dict[str, int]


class Decided(NamedTuple):
    """What became of one change of a batch; `refused` is the sentence why not, "" where it was decided."""

    change_id: int
    done: bool
    refused: str


def batches(session: Session, operator_id: int, *, before: int, limit: int) -> list[BatchCount]:
    """Batches with their counts, the newest first."""
    found = session.scalars(
        select(Batch).where(Batch.operator_id == operator_id, Batch.id < before).order_by(Batch.id.desc()).limit(limit)
    ).all()
    counts: dict[int, dict[str, int]] = {}
    rows = session.execute(
        select(Change.batch_id, Change.state, func.count())
        .where(Change.operator_id == operator_id, Change.batch_id.in_([one.id for one in found]))
        .group_by(Change.batch_id, Change.state)
    )
    for batch_id, state, count in rows:
        counts.setdefault(batch_id or 0, {})[state] = count
    return [BatchCount(one, counts.get(one.id, {})) for one in found]


def outcomes(session: Session, operator_id: int, batch_id: int) -> tuple[dict[str, int], dict[str, int]]:
    """What became of a batch: how many of its changes are in which state, and how many of their steps."""
    mine = (Change.operator_id == operator_id, Change.batch_id == batch_id)
    decided = select(Change.state, func.count()).where(*mine).group_by(Change.state).order_by(Change.state)
    steps = (
        select(Step.state, func.count())
        .join(Change, Change.id == Step.change_id)
        # Said of the service too, since that is what steps are found by.
        .where(*mine, Step.operator_id == operator_id, Step.service_id == Change.service_id)
        .group_by(Step.state)
        .order_by(Step.state)
    )
    changes, done = ({row[0]: row[1] for row in session.execute(one)} for one in (decided, steps))
    return changes, done


def batch_by_id(session: Session, operator_id: int, batch_id: int) -> Batch:
    """The batch of this number. Raises NotFound."""
    found = session.scalar(select(Batch).where(Batch.operator_id == operator_id, Batch.id == batch_id))
    if found is None:
        raise NotFound(f"There is no batch {batch_id}; `ispagents batch list` shows those there are.")
    return found


def waiting_rows(session: Session, operator_id: int, batch_id: int) -> list[BatchRow]:
    """The changes of a batch that still wait, in three queries however many there are."""
    rows = session.execute(
        select(
            Change.id,
            Change.kind,
            Change.preview,
            Change.preview_hash,
            Change.to_facts["plan_version_id"].as_integer(),
            Service.username,
            Service.subscriber_id,
        )
        .join(Service, Service.id == Change.service_id)
        .where(
            Change.operator_id == operator_id,
            Change.batch_id == batch_id,
            Change.state == Intent.AWAITING_APPROVAL.value,
        )
        .order_by(Change.id)
    ).all()
    plans = _plan_names(session, {row[4] for row in rows})
    owed = {
        subscriber_id: sum(one.open_minor for one in found)
        for subscriber_id, found in open_invoices(session, operator_id, list({row[6] for row in rows})).items()
    }
    return [
        BatchRow(
            change_id=change_id,
            kind=kind,
            username=username,
            plan=plans.get(plan, ""),
            consequence=document["consequence"],
            routes=routes_of(document),
            odd=tuple(document.get("odd", ())),
            open_minor=owed.get(subscriber_id, 0),
            preview_hash=digest,
        )
        for change_id, kind, document, digest, plan, username, subscriber_id in rows
    ]


def approve_some(
    session: Session, operator_id: int, seen: Sequence[tuple[int, str]], *, by: str, now: datetime
) -> list[Decided]:
    """Approve these changes as they were seen (id and hash); one that has moved is refused and stops no other."""
    changes = _locked(session, operator_id, [change_id for change_id, _ in seen])
    desk = Desk(session, operator_id, now)
    desk.load(list(changes.values()))
    answers = desk.approve([(changes[one], digest) for one, digest in seen if one in changes], by)
    return [_decided(change_id, answers.get(change_id)) for change_id, _ in seen]


def _decided(change_id: int, answer: bool | Refused | None) -> Decided:
    if answer is None:
        return Decided(change_id, done=False, refused=f"There is no change {change_id} any more.")
    if isinstance(answer, Refused):
        return Decided(change_id, done=False, refused=str(answer))
    return Decided(change_id, done=answer, refused="")


def reject_some(session: Session, operator_id: int, change_ids: Sequence[int], *, by: str, note: str) -> list[Decided]:
    """Reject these changes; one that was decided meanwhile stays as it is."""
    result = []
    for change_id, change in _locked(session, operator_id, list(change_ids)).items():
        try:
            reject(session, change, by=by, note=note)
        except Refused as error:
            result.append(Decided(change_id, done=False, refused=str(error)))
        else:
            result.append(Decided(change_id, done=True, refused=""))
    return result


def approved_ids(session: Session, operator_id: int, batch_id: int) -> list[int]:
    """The changes of a batch that were approved."""
    mine = (Change.operator_id == operator_id, Change.batch_id == batch_id, Change.state == Intent.APPROVED.value)
    return list(session.scalars(select(Change.id).where(*mine).order_by(Change.id)))


def _locked(session: Session, operator_id: int, change_ids: list[int]) -> dict[int, Change]:
    """The changes, locked after their services: the order in which a review locks the two."""
    mine = (Change.operator_id == operator_id, among(Change.id, change_ids))
    owners = select(Change.service_id).where(*mine)
    session.execute(
        select(Service.id).where(Service.id.in_(owners)).order_by(Service.id).with_for_update(key_share=True)
    )
    rows: Any = session.scalars(
        select(Change)
        .where(*mine)
        .order_by(Change.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {change.id: change for change in rows}


def _plan_names(session: Session, plan_version_ids: set[int]) -> dict[int, str]:
    rows = session.execute(select(PlanVersion.id, PlanVersion.name).where(PlanVersion.id.in_(plan_version_ids)))
    return {row.id: row.name for row in rows}
