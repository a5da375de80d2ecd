"""The runs of the billing cycle: one row for each operator and local day, and what it could not bill."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.orm import Session

from sql import audit
from sql.models import BillingProblem, BillingRun, Operator, Service
from sql.money.ledger import local_day

PAGE = 100


class Left(NamedTuple):
    """A service that could not be billed on a day, and why."""

    problem: BillingProblem
    username: str


def begin_run(session: Session, operator_id: int, day: date) -> None:
    """Say that the cycle of a day has begun; one that was begun before goes on."""
    session.execute(
        insert(BillingRun)
        .values(operator_id=operator_id, day=day)
        .on_conflict_do_update(index_elements=["operator_id", "day"], set_={"finished_at": None})
    )


def finish_run(session: Session, operator_id: int, day: date, *, actor: str) -> BillingRun:
    """Say that the cycle of a day has ended; one that did something is told in the audit. Returns its row."""
    session.execute(
        update(BillingRun)
        .where(BillingRun.operator_id == operator_id, BillingRun.day == day)
        .values(finished_at=func.clock_timestamp())
    )
    run = session.scalars(select(BillingRun).where(BillingRun.operator_id == operator_id, BillingRun.day == day)).one()
    if run.invoices or run.closed or run.problems:
        audit.record(
            session,
            operator_id,
            actor,
            "billing:cycle:finish",
            day=day.isoformat(),
            invoices=run.invoices,
            amount_minor=int(run.amount_minor),
            closed=run.closed,
            problems=run.problems,
        )
    return run


def count_run(session: Session, operator_id: int, day: date, *, reminders: int = 0, closed: int = 0) -> None:
    """Add to what the run of a day has done."""
    session.execute(
        update(BillingRun)
        .where(BillingRun.operator_id == operator_id, BillingRun.day == day)
        .values(reminders=BillingRun.reminders + reminders, closed=BillingRun.closed + closed)
    )


def runs(session: Session, operator_id: int, *, before: date | None = None, limit: int = PAGE) -> Sequence[BillingRun]:
    """Runs, the newest day first."""
    mine = select(BillingRun).where(BillingRun.operator_id == operator_id)
    if before is not None:
        mine = mine.where(BillingRun.day < before)
    return session.scalars(mine.order_by(BillingRun.day.desc()).limit(limit)).all()


def problems(session: Session, operator_id: int, *, after: int = 0, limit: int = PAGE) -> list[Left]:
    """What could not be billed and still is not, by service; each with its newest reason."""
    newest = (
        select(BillingProblem)
        .where(
            BillingProblem.operator_id == operator_id,
            BillingProblem.resolved_at.is_(None),
            BillingProblem.service_id > after,
        )
        .ext(distinct_on(BillingProblem.service_id))
        .order_by(BillingProblem.service_id, BillingProblem.day.desc())
        .limit(limit)
    )
    found = session.scalars(newest).all()
    names = dict(
        session.execute(
            select(Service.id, Service.username).where(Service.id.in_([one.service_id for one in found]))
        ).all()
    )
    return [Left(one, names[one.service_id]) for one in found]


def operator_day(session: Session, operator_id: int) -> date:
    """The operator's day now."""
    return local_day(session, session.get_one(Operator, operator_id))
