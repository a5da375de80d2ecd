"""The brake on the healing of drift: no more than a share of the sessions in an hour, the rest waits."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.changes.brakes import allowed
from sql import audit
from sql.approving import brake_terms
from sql.models import Operator, Service
from sql.models.changes import HealingRun

# Drift of many sessions at once has one cause, such as a router that lost its memory or a restored backup. In this time
# people notice the alarm before the next share is touched.
RUN = timedelta(hours=1)


def held_until(session: Session, operator: Operator, now: datetime) -> datetime | None:
    """Until when the brake holds back what would be healed; None where nothing waits for it."""
    run = session.get(HealingRun, operator.id)
    if run is None or not run.held or run.began_at + RUN <= now:
        return None
    return run.began_at + RUN


class Healing:
    """What may be healed now. Asks nothing of the database before the first session that needs it."""

    def __init__(self, session: Session, operator: Operator) -> None:
        """For one operator, within one transaction."""
        self._session = session
        self._operator = operator
        self._run: HealingRun | None = None
        self._most: int | None = None
        self._held = 0

    def take(self) -> bool:
        """Whether one more session may be healed; counts it, or counts that it must wait."""
        run = self._run = self._run or self._begin()
        if run.steps >= self._operator.brake_free and run.steps >= self._allowed():
            self._held += 1
            return False
        run.steps += 1
        return True

    def end(self) -> None:
        """Say what waits, once in each run."""
        if self._run is None or not self._held:
            return
        if not self._run.held:
            audit.record(
                self._session,
                self._operator.id,
                "worker",
                "drift:brake:hold",
                healed=self._run.steps,
                waiting=self._held,
                until=str(self._run.began_at + RUN),
                why="More sessions than the brake allows have another access than the authorised one, and no change is "
                "under way. The rest waits for the next hour.",
            )
        self._run.held = max(self._run.held, self._held)
        self._session.flush()

    def _begin(self) -> HealingRun:
        operator_id = self._operator.id
        self._session.execute(insert(HealingRun).values(operator_id=operator_id).on_conflict_do_nothing())
        found = self._session.execute(
            select(HealingRun, func.clock_timestamp().label("now"))
            .where(HealingRun.operator_id == operator_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        run: HealingRun = found.HealingRun
        if run.began_at + RUN <= found.now:
            run.began_at, run.steps, run.held = found.now, 0, 0
        return run

    def _allowed(self) -> int:
        """What the brake allows in this run. The services are counted only when what is free is used up."""
        if self._most is None:
            active = self._session.scalar(
                select(func.count())
                .select_from(Service)
                .where(Service.operator_id == self._operator.id, Service.closed_at.is_(None))
            )
            self._most = allowed(active or 0, brake_terms(self._operator))
        return self._most
