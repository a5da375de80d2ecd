"""The brake on the healing of drift: no more than a share of the sessions in an hour, the rest waits."""

from __future__ import annotations

from datetime import timedelta

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


class Healing:
    """What may be healed now. Asks nothing of the database before the first session that needs it."""

    def __init__(self, session: Session, operator: Operator) -> None:
        """For one operator, within one transaction."""
        self._session = session
        self._operator = operator
        self._run: HealingRun | None = None
        self._most = 0
        self._held = 0

    def take(self) -> bool:
        """Whether one more session may be healed; counts it, or counts that it must wait."""
        if self._run is None:
            self._run, self._most = self._begin()
        if self._run.steps >= self._most:
            self._held += 1
            return False
        self._run.steps += 1
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

    def _begin(self) -> tuple[HealingRun, int]:
        operator = self._operator
        self._session.execute(insert(HealingRun).values(operator_id=operator.id).on_conflict_do_nothing())
        run, now = self._session.execute(
            select(HealingRun, func.clock_timestamp())
            .where(HealingRun.operator_id == operator.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        if run.began_at + RUN <= now:
            run.began_at, run.steps, run.held = now, 0, 0
        if run.steps < operator.brake_free:
            # Enough for every day, without counting the services. When it is used up the next look counts them.
            return run, operator.brake_free
        active = self._session.scalar(
            select(func.count())
            .select_from(Service)
            .where(Service.operator_id == operator.id, Service.closed_at.is_(None))
        )
        return run, allowed(active or 0, brake_terms(operator))
