"""The sealer: committed audit events get their place in their operator's chain, each exactly once.

Writers never wait for it. An event is not sealed yet when the snapshot of the chain's head does not include the event's
transaction, as in `sql/following.py`: one that stayed open while later ones were sealed is not passed over. The head's
row is locked for a batch, so two workers never fork the chain; whoever finds it locked leaves the work to the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from policy.audit_chain import Event, chain_hash, genesis
from sql.errors import Refused
from sql.sessions import acting_for

BATCH_EVENTS = 2000  # one transaction, some 100 ms; its lock and its memory stay small
BEGINNING = "0"  # before every transaction

# Years that have four digits are written out; others (infinity too) as JSON has them, so that no event stops the chain.
_AT = """
CASE WHEN event.at >= '0001-01-01 00:00:00+00' AND event.at < '10000-01-01 00:00:00+00'
    THEN to_char(event.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    ELSE to_jsonb(event.at AT TIME ZONE 'UTC') #>> '{}' END
"""
# The columns of policy.audit_chain.Event, in its order; the table is called `event`.
EVENT_COLUMNS = f"""
event.id, event.operator_id, {_AT} AS at, event.actor, event.event, event.service_id, event.subscriber_id,
event.data::text AS data, event.revision::text AS revision
"""
_LOCK = """
SELECT number, hash, snapshot::text AS snapshot FROM audit_heads WHERE operator_id = :operator
FOR UPDATE SKIP LOCKED
"""
# A snapshot that is ahead of this server comes from another one, by a dump: it says nothing about transactions here.
# A batch is read in the order of its index. Without statistics, as after an import, the planner would rather read and
# sort all that waits, for each batch anew; so it may not.
_LOOK = """
SELECT pg_current_snapshot()::text AS target,
    coalesce(pg_snapshot_xmax(CAST(:seen AS pg_snapshot)) > pg_snapshot_xmax(pg_current_snapshot()), false) AS foreign,
    (SELECT hash FROM audit_seals WHERE operator_id = :operator AND number = :number) AS hash,
    EXISTS (SELECT FROM audit_seals WHERE operator_id = :operator AND number > :number) AS goes_on,
    set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_seqscan', 'off', true)
"""
_EVENTS = f"SELECT {EVENT_COLUMNS} FROM audit_events AS event WHERE event.operator_id = :operator"  # noqa: S608 - columns are constants
_TARGET = """
    AND event.revision < pg_snapshot_xmax(CAST(:target AS pg_snapshot))
    AND pg_visible_in_snapshot(event.revision, CAST(:target AS pg_snapshot))
"""
_UNSEEN = """
    AND event.revision >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))
    AND NOT pg_visible_in_snapshot(event.revision, CAST(:seen AS pg_snapshot))
"""
_PAGE = """
    AND event.revision >= CAST(:revision AS xid8) AND (event.revision, event.id) > (CAST(:revision AS xid8), :id)
ORDER BY event.revision, event.id LIMIT :batch
"""
_SEALED = "SELECT event_id FROM audit_seals WHERE event_id = ANY(:ids)"
_SEAL = """
INSERT INTO audit_seals (operator_id, number, event_id, hash)
SELECT :operator, :number + place, event_id, hash
FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS text[])) WITH ORDINALITY AS sealed (event_id, hash, place)
"""
_MOVE = """
UPDATE audit_heads SET number = :number, hash = :hash, sealed_at = clock_timestamp(),
    snapshot = coalesce(CAST(:snapshot AS pg_snapshot), snapshot)
WHERE operator_id = :operator
"""


class ChainBroken(Refused):
    """The head is not the end of the seals. The sealer adds nothing to such a chain; a person looks at it first."""


class Head(NamedTuple):
    """The end of a chain: how many events are sealed, the hash of the last one, and when."""

    number: int
    hash: str
    sealed_at: datetime


class Round(NamedTuple):
    """How far a round of batches has come: it ends when all that `target` (a snapshot) shows is sealed."""

    target: str
    foreign: bool
    number: int
    revision: str = BEGINNING
    id: int = 0


class Batch(NamedTuple):
    """What a batch did. Without `following` the round is at its end, or somebody else is sealing."""

    sealed: int
    following: Round | None


def operators_to_seal(engine: Engine) -> list[int]:
    """Operators with events that are not sealed yet."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT operator_id FROM operators_to_seal()")).scalars())


def seal(engine: Engine, operator_id: int) -> int:
    """Seal all events that are committed now, batch by batch. Returns how many. Raises ChainBroken."""
    batch = seal_batch(engine, operator_id)
    total = batch.sealed
    while batch.following is not None:
        batch = seal_batch(engine, operator_id, batch.following)
        total += batch.sealed
    return total


def seal_batch(engine: Engine, operator_id: int, going_on: Round | None = None) -> Batch:
    """Seal at most BATCH_EVENTS events in a transaction of its own. Raises ChainBroken.

    Killed at any moment it leaves a whole chain: seals and head are stored together or not at all.
    """
    with acting_for(engine, operator_id) as session:
        operator = {"operator": operator_id}
        session.execute(
            text("INSERT INTO audit_heads (operator_id) VALUES (:operator) ON CONFLICT DO NOTHING"), operator
        )
        head = session.execute(text(_LOCK), operator).one_or_none()
        if head is None:
            return Batch(0, None)
        look = session.execute(text(_LOOK), {**operator, "seen": head.snapshot, "number": head.number}).one()
        if (look.hash or "") != head.hash or look.goes_on:
            raise ChainBroken(
                f"The audit of operator {operator_id} does not end where its head says (number {head.number}), so "
                "nothing is added to it; run `ispagents audit verify` to see what was altered."
            )
        # Another worker's batch came between: begin again, since its events may stand before the place reached.
        if going_on is None or going_on.number != head.number:
            going_on = Round(look.target, look.foreign, head.number)
        events = _events(session, operator_id, going_on, head.snapshot)
        if not events and going_on.revision == BEGINNING:
            return Batch(0, None)
        return _store(session, operator_id, head.hash, going_on, events)


def head_of(session: Session, operator_id: int) -> Head | None:
    """The end of an operator's chain, or None before its first event was sealed."""
    row = session.execute(
        text("SELECT number, hash, sealed_at FROM audit_heads WHERE operator_id = :operator AND number > 0"),
        {"operator": operator_id},
    ).one_or_none()
    return Head(row.number, row.hash, row.sealed_at) if row is not None else None


def _events(session: Session, operator_id: int, this: Round, seen: str | None) -> list[Event]:
    conditions = "" if this.foreign else _TARGET + (_UNSEEN if seen is not None else "")
    values: dict[str, Any] = {
        "operator": operator_id,
        "target": this.target,
        "seen": seen,
        "revision": this.revision,
        "id": this.id,
        "batch": BATCH_EVENTS,
    }
    return [Event(*row) for row in session.execute(text(_EVENTS + conditions + _PAGE), values)]


def _store(session: Session, operator_id: int, before: str, this: Round, events: list[Event]) -> Batch:
    # A snapshot of another server, or one that somebody moved back, shows events again that have their seal.
    sealed = set(session.execute(text(_SEALED), {"ids": [event.id for event in events]}).scalars())
    fresh = [event for event in events if event.id not in sealed]
    hashes = []
    last = before or genesis(operator_id)
    for event in fresh:
        last = chain_hash(last, event)
        hashes.append(last)
    if fresh:
        ids = [event.id for event in fresh]
        session.execute(text(_SEAL), {"operator": operator_id, "number": this.number, "ids": ids, "hashes": hashes})
    number = this.number + len(fresh)
    full = len(events) == BATCH_EVENTS
    session.execute(
        text(_MOVE),
        {
            "operator": operator_id,
            "number": number,
            "hash": last if number else "",
            "snapshot": None if full else this.target,
        },
    )
    if not full:
        return Batch(len(fresh), None)
    return Batch(len(fresh), this._replace(number=number, revision=events[-1].revision, id=events[-1].id))
