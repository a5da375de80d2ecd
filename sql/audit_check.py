"""Whether an operator's audit is what was sealed: the first event that is not, named with number, id and time.

The chain is read from its beginning, a page at a time, and each hash is computed again. What a seal covers never
changes, so pages need no common snapshot: events that are added meanwhile stand behind the end that was read first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from policy.audit_chain import Anchor, Event, chain_hash, genesis, is_known
from sql.audit_seal import EVENT_COLUMNS

PAGE_EVENTS = 5000
WAITING_PAGE_EVENTS = 50_000  # only counted; nothing of them is read
# The worker seals every few seconds. An event's time is a little before its commit, and no transaction of ours is open
# for so long: statements end after two minutes.
SEALED_WITHIN = timedelta(minutes=10)

Progress = Callable[[int, int], None]


class Finding(NamedTuple):
    """The first thing that is wrong. Number, event and time are None where there is none to name."""

    number: int | None
    event_id: int | None
    at: str | None
    said: str


class Verdict(NamedTuple):
    """What a verification found: how many events are sealed and right, how many wait, and what is wrong, if any."""

    sealed: int
    waiting: int
    hash: str
    finding: Finding | None


class _Sealed(NamedTuple):
    number: int
    hash: str
    event_id: int
    sealed_at: str
    event: Event | None


_END = """
SELECT coalesce(max(head.number), 0) AS number, coalesce(max(head.hash), '') AS hash, count(*) AS heads,
    (SELECT coalesce(max(number), 0) FROM audit_seals WHERE operator_id = :operator) AS last
FROM audit_heads AS head WHERE operator_id = :operator
"""
_PAGE = f"""
SELECT seal.number, seal.hash, seal.event_id, to_char(seal.sealed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
    {EVENT_COLUMNS}
FROM audit_seals AS seal
LEFT JOIN audit_events AS event ON event.id = seal.event_id AND event.operator_id = seal.operator_id
WHERE seal.operator_id = :operator AND seal.number > :after AND seal.number <= :until
ORDER BY seal.number LIMIT :rows
"""  # noqa: S608 - columns are constants
_UPPER = """
SELECT max(id) FROM (
    SELECT id FROM audit_events WHERE operator_id = :operator AND id > :after ORDER BY id LIMIT :rows) AS page
"""
# A head's snapshot shows only what was sealed, unless it comes from another server, by a dump. What no server has given
# out yet is no transaction's number. Everything else may wait a while, by its own time.
_WAITING = """
WITH head AS (
    SELECT snapshot FROM audit_heads WHERE operator_id = :operator
        AND pg_snapshot_xmax(snapshot) <= pg_snapshot_xmax(pg_current_snapshot())
), waiting AS (
    SELECT event.id, coalesce(pg_visible_in_snapshot(event.revision, (SELECT snapshot FROM head)), false) AS passed,
        event.at NOT BETWEEN now() - CAST(:within AS interval) AND now() + CAST(:within AS interval) AS late
    FROM audit_events AS event
    WHERE event.operator_id = :operator AND event.id > :after AND event.id <= :upper AND NOT EXISTS (
        SELECT FROM audit_seals AS seal WHERE seal.operator_id = :operator AND seal.event_id = event.id
            AND seal.event_id > :after AND seal.event_id <= :upper)
)
SELECT count(*) AS waiting, min(id) FILTER (WHERE passed) AS passed, min(id) FILTER (WHERE late) AS late FROM waiting
"""
_EVENT = f"SELECT {EVENT_COLUMNS} FROM audit_events AS event WHERE event.operator_id = :operator AND event.id = :id"  # noqa: S608 - columns are constants
_HASHES = "SELECT number, hash, event_id FROM audit_seals WHERE operator_id = :operator AND number = ANY(:numbers)"


def verify(session: Session, operator_id: int, progress: Progress | None = None) -> Verdict:
    """Verify the whole chain, then that nothing was left out of it. `progress` is told events done, and of how many.

    Raises nothing for what is wrong: that is the verdict.
    """
    end = session.execute(text(_END), {"operator": operator_id}).one()
    sealed, last, finding = _chain(session, operator_id, end.last, progress)
    if finding is None:
        finding = _head_finding(end, sealed, last)
    waiting = 0
    if finding is None:
        waiting, finding = _waiting(session, operator_id)
    return Verdict(sealed, waiting, last, finding)


def verify_anchors(session: Session, operator_id: int, anchors: Iterator[Anchor]) -> tuple[int, Finding | None]:
    """Hold a chain that is whole in itself against its anchors, in their order. How many there are; what is wrong."""
    count = 0
    while page := list(islice(anchors, PAGE_EVENTS)):
        numbers = [one.number for one in page]
        rows = session.execute(text(_HASHES), {"operator": operator_id, "numbers": numbers})
        seals = {row.number: row for row in rows}
        for one in page:
            count += 1
            seal = seals.get(one.number)
            if seal is None:
                said = f"The end of the audit is cut off: number {one.number}, anchored at {one.at}, is gone."
                return count, Finding(one.number, None, one.at, said)
            if seal.hash != one.hash:
                said = (
                    f"The audit was rewritten: number {one.number} (event {seal.event_id}) has another hash than the "
                    f"one anchored at {one.at}, so it or an event before it was altered and sealed anew."
                )
                return count, Finding(one.number, seal.event_id, one.at, said)
    return count, None


def _chain(
    session: Session, operator_id: int, until: int, progress: Progress | None
) -> tuple[int, str, Finding | None]:
    """Compute every hash again. How many are right, the last right one, and the first thing that is wrong."""
    done, before = 0, genesis(operator_id)
    while done < until:
        for seal in _page(session, operator_id, done, until):
            if seal.number != done + 1 or seal.event is None or chain_hash(before, seal.event) != seal.hash:
                later = _page(session, operator_id, seal.number, until)
                return done, before, _finding(done + 1, before, seal, later)
            done, before = seal.number, seal.hash
        if progress is not None:
            progress(done, until)
    return done, before, None


def _page(session: Session, operator_id: int, after: int, until: int) -> list[_Sealed]:
    values = {"operator": operator_id, "after": after, "until": until, "rows": PAGE_EVENTS}
    return [_sealed(row) for row in session.execute(text(_PAGE), values)]


def _sealed(row: Sequence[Any]) -> _Sealed:
    number, value, event_id, sealed_at, *columns = tuple(row)
    return _Sealed(number, value, event_id, sealed_at, Event(*columns) if columns[0] is not None else None)


def _finding(expected: int, before: str, seal: _Sealed, later: list[_Sealed]) -> Finding:
    """What is wrong with the seal that stands where `expected` should; `later` are those that stand behind it."""
    event = seal.event
    if seal.number != expected:
        said = (
            f"Number {expected} is missing from the audit, with the event that it sealed; the next one is number "
            f"{seal.number}, event {seal.event_id}{f' of {event.at}' if event else ''}."
        )
        return Finding(expected, None, None, said)
    if event is None:
        said = f"Event {seal.event_id} (number {expected}) is missing; it was sealed at {seal.sealed_at}."
        return Finding(expected, seal.event_id, None, said)
    name = f"Event {event.id} (number {expected}) of {event.at}"
    moved = next((one for one in later if one.event and chain_hash(before, one.event) == seal.hash), None)
    if not is_known(seal.hash):
        said = f"{name} has a seal of a kind that this version does not know; it was altered, or made by a newer one."
    elif moved is not None:
        said = f"{name} was put in the place of event {moved.event_id}, which stands at number {moved.number} now."
    else:
        said = f"{name} is not what was sealed at {seal.sealed_at}: it or its seal was altered."
    return Finding(expected, event.id, event.at, said)


def _head_finding(end: Row[Any], sealed: int, last: str) -> Finding | None:
    """The head's row against the last seal."""
    if end.number > sealed:
        said = (
            f"Number {sealed + 1} is missing, the end of the audit: {end.number} events were sealed, {sealed} are left."
        )
        return Finding(sealed + 1, None, None, said)
    if end.number < sealed:
        said = (
            f"Number {end.number + 1} stands behind the end of the audit, whose head says that {end.number} events "
            f"were sealed, not {sealed}; the head was altered, or the seals behind it were put in."
        )
        return Finding(end.number + 1, None, None, said)
    if sealed and end.hash != last:
        said = f"The head of the audit has another hash than number {sealed}, its last event; it was altered."
        return Finding(sealed, None, None, said)
    return None


def _waiting(session: Session, operator_id: int) -> tuple[int, Finding | None]:
    """How many events have no seal, and the first that should have one."""
    count, after = 0, 0
    first: tuple[int, bool] | None = None
    while True:
        values = {"operator": operator_id, "after": after, "rows": WAITING_PAGE_EVENTS, "within": SEALED_WITHIN}
        upper = session.execute(text(_UPPER), values).scalar_one()
        if upper is None:
            break
        page = session.execute(text(_WAITING), {**values, "upper": upper}).one()
        count += page.waiting
        wrong = [one for one in (page.passed, page.late) if one is not None]
        if wrong and first is None:
            first = (min(wrong), min(wrong) == page.passed)
        after = upper
    return count, _waiting_finding(session, operator_id, count, *first) if first is not None else None


def _waiting_finding(session: Session, operator_id: int, count: int, event_id: int, passed: bool) -> Finding:
    event = Event(*session.execute(text(_EVENT), {"operator": operator_id, "id": event_id}).one())
    others = f"{count} events have" if count != 1 else "1 event has"
    if passed:
        said = (
            f"Event {event.id} of {event.at} has no seal, though everything of its time was sealed: it was put in "
            f"later, or its seal was removed; {others} no seal."
        )
    else:
        said = (
            f"Event {event.id} of {event.at} is not sealed yet, as it should be within "
            f"{SEALED_WITHIN.seconds // 60} minutes; {others} no seal. Does the worker run?"
        )
    return Finding(None, event.id, event.at, said)
