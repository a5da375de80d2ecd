"""The clock of sessions: what went quiet is closed, and raw accounting has partitions for the months to come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from sql.accounting.quiet import CLOSED_AT_ONCE, close_quiet, close_rebooted, keep_partitions, up_to_date
from sql.sessions import acting_for, operator_names
from worker.threads import Lane, in_lane

log = structlog.get_logger("worker.sessions")

EVERY_S = 30.0
PARTITIONS_EVERY_S = 86_400.0
MONTHS_AHEAD = 2


class SessionWatch:
    """Looks twice a minute; `keep_months`: how long raw accounting is kept."""

    def __init__(self, engine: Engine, keep_months: int) -> None:
        """`engine` is the worker role's."""
        self._engine = engine
        self._keep_months = keep_months
        self._partitions_at = -PARTITIONS_EVERY_S

    async def keep(self) -> None:
        """Look again and again until it is cancelled. What goes wrong is logged and tried again."""
        while True:
            try:
                await in_lane(Lane.BATCH, self.look)
            except (DBAPIError, PoolTimeoutError) as error:
                said = str(getattr(error, "orig", None) or error)
                log.warning("sessions could not be looked at; trying again", error=" ".join(said.split()))
            await asyncio.sleep(EVERY_S)

    def look(self) -> None:
        """Close what is gone, of all operators; once a day see to the partitions."""
        if time.monotonic() - self._partitions_at >= PARTITIONS_EVERY_S:
            with Session(self._engine) as session, session.begin():
                moved = keep_partitions(session, self._keep_months, MONTHS_AHEAD)
            self._partitions_at = time.monotonic()
            log.info("months of raw accounting", made_or_dropped=moved, kept_months=self._keep_months)
        for name, operator_id in operator_names(self._engine).items():
            for close, why in ((close_rebooted, "their router has rebooted"), (close_quiet, "two interims are missed")):
                closed = self._close_all(close, operator_id)
                if closed:
                    log.info("sessions are closed by inference", operator=name, sessions=closed, why=why)

    def _close_all(self, close: Callable[[Session, int], int], operator_id: int) -> int:
        closed, count = 0, CLOSED_AT_ONCE
        while count == CLOSED_AT_ONCE:
            with acting_for(self._engine, operator_id) as session:
                count = close(session, operator_id) if up_to_date(session) else 0
            closed += count
        return closed
