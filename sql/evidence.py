"""What attempts showed, kept: one statement for all that came back together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from sql.attempts import Attempt, Outcome

# By the database's clock, and never before the claim: nothing was sent then.
_STORE = text("""
UPDATE evidence SET sent = row.sent,
    started_at = greatest(evidence.started_at, :now - make_interval(secs => row.ago_s)),
    ended_at = :now, outcome = row.outcome, cause = row.cause, explanation = row.explanation, reply = row.reply,
    packets = row.packets, round_trip_ms = row.round_trip_ms
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row (step_id bigint, attempt integer, sent jsonb,
    ago_s double precision, outcome text, cause text, explanation text, reply jsonb, packets integer,
    round_trip_ms double precision)
WHERE evidence.step_id = row.step_id AND evidence.attempt = row.attempt
""")


def store_evidence(
    session: Session, outcomes: Sequence[Outcome[Attempt]], now: datetime, worker_now: datetime | None
) -> None:
    """Complete the rows that were begun with the claims; all of it ended `now`, by the database's clock.

    How long ago it began is told by the worker's clock alone, which says `worker_now` at this moment.
    """
    rows = [_row(one, worker_now or one.ended_at) for one in outcomes]
    session.execute(_STORE, {"now": now, "rows": json.dumps(rows)})


def _row(one: Outcome[Attempt], worker_now: datetime) -> dict[str, Any]:
    return {
        "step_id": one.claimed.step_id,
        "attempt": one.claimed.attempt,
        "sent": one.sent,
        "ago_s": max((worker_now - one.started_at).total_seconds(), 0.0),
        "outcome": one.outcome,
        "cause": one.cause,
        "explanation": one.explanation,
        "reply": one.reply,
        "packets": one.packets,
        "round_trip_ms": one.round_trip_ms,
    }
