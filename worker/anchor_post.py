"""Anchors by mail or webhook: the ends of the audits' chains, told to a place that the database's masters do not hold.

The text is made of the lines of an anchor file (`anchor_file`): saved to a file, `audit verify --anchor` reads it.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from policy.audit_chain import Anchor, anchor, anchor_line
from sql.audit_seal import head_of
from sql.sessions import acting_for, operator_names
from worker.notice_gateway import send

log = structlog.get_logger("worker.anchor_post")

SUBJECT = "ISPAgents: ends of the audit"
LINES_MOST = 200  # of some 170 letters: what a mail or a webhook takes


class AnchorPost:
    """Tells the address (Apprise's form) each end that has moved since it was last told. All ends after a restart."""

    def __init__(self, address: str) -> None:
        """Nothing is told yet."""
        self._address = address
        self._told: dict[int, tuple[int, str]] = {}

    def tell(self, engine: Engine, now: datetime) -> int | None:
        """Tell what has moved. Returns how many ends, or None where something went wrong, which is logged."""
        try:
            moved = self._moved(engine, now)
        except DBAPIError as error:
            log.warning("the audit could not be read for its anchor; trying again", error=str(error.orig).strip())
            return None
        for first in range(0, len(moved), LINES_MOST):
            some = moved[first : first + LINES_MOST]
            answer = send(self._address, SUBJECT, "\n".join(anchor_line(one) for one in some))
            if answer.state != "sent":
                log.error("the audit could not be anchored by its address; trying again", error=answer.explanation)
                return None
            self._told.update({one.operator_id: (one.number, one.hash) for one in some})
        return len(moved)

    def _moved(self, engine: Engine, now: datetime) -> list[Anchor]:
        found = []
        for operator_id in operator_names(engine).values():
            with acting_for(engine, operator_id) as session:
                head = head_of(session, operator_id)
            if head is not None and self._told.get(operator_id) != (head.number, head.hash):
                found.append(anchor(now, operator_id, head.number, head.hash))
        return found
