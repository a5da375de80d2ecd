"""Standings that another billing system asserts: many in a fixed number of statements, and older never beats newer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from policy.standing import Standing
from sql import audit
from sql.among import among
from sql.checks import EARLIEST, NAME_MAXIMUM_BYTES, checked_text
from sql.errors import Refused
from sql.jobs import defer_review
from sql.models import AssertedStanding, Service, Subscriber
from sql.money.feeds import STANDINGS, heard

ROWS_AT_ONCE = 10_000
SOURCE_MAXIMUM_BYTES = 253
# The other system's clock may be a little fast; what lies further ahead would keep out all that follows.
AHEAD = timedelta(minutes=5)
ASSERTED = tuple(standing for standing in Standing if standing != Standing.CLOSED)
# Said of the same moment, what is better for the customer counts, whichever came first.
_MILDNESS = {standing.value: -rank for rank, standing in enumerate(Standing)}

_STORE = text("""
INSERT INTO asserted_standings AS known (service_id, operator_id, standing, as_of, source, received_at)
SELECT id, :operator, standing, as_of, :source, :now
FROM unnest(CAST(:services AS bigint[]), CAST(:standings AS text[]), CAST(:moments AS timestamptz[]))
    AS said (id, standing, as_of) ORDER BY id
ON CONFLICT (service_id) DO UPDATE SET standing = excluded.standing, as_of = excluded.as_of, source = excluded.source,
    received_at = excluded.received_at
WHERE known.as_of < excluded.as_of OR known.as_of = excluded.as_of AND array_position(CAST(:ranks AS text[]),
    excluded.standing) < array_position(CAST(:ranks AS text[]), known.standing)
RETURNING service_id
""")


class Outcome(StrEnum):
    """What became of one assertion. `applied`: it is what counts now, or counted already."""

    APPLIED = "applied"
    OLDER = "older"
    UNKNOWN = "unknown"
    NONSENSE = "nonsense"


class Assertion(NamedTuple):
    """One row: a service by its user name, or all services of a customer by the customer number, as of a moment."""

    standing: str
    as_of: datetime
    username: str = ""
    reference: str = ""


class Answer(NamedTuple):
    """What became of a row, in one sentence where it was not applied."""

    outcome: Outcome
    explanation: str = ""


class _Said(NamedTuple):
    standing: str
    as_of: datetime

    @property
    def weight(self) -> tuple[datetime, int]:
        """What beats another word on the same service."""
        return self.as_of, _MILDNESS[self.standing]


def assert_standings(
    session: Session, operator_id: int, rows: Sequence[Assertion], *, source: str, now: datetime
) -> list[Answer]:
    """Take in what a source says, row by row, and note that it spoke. Answers in the order of the rows.

    Run twice, or in another order, the same rows end in the same standings. No rows at all mean that the source lives
    and has nothing new. Raises Refused for a source without a name, or for more than ROWS_AT_ONCE rows.
    """
    check_source(source)
    if len(rows) > ROWS_AT_ONCE:
        raise Refused(f"At most {ROWS_AT_ONCE} standings are taken in at once; send the rest in another call.")
    owned = services_of(session, operator_id, rows)
    answers = [_checked(row, owned[place], now) for place, row in enumerate(rows)]
    said: dict[int, _Said] = {}
    for place, row in enumerate(rows):
        if answers[place] is None:
            one = _Said(row.standing, row.as_of)
            for service_id in owned[place]:
                said[service_id] = max(said.get(service_id, one), one, key=lambda it: it.weight)
    counts = _store(session, operator_id, said, source=source, now=now)
    if not rows or said:
        heard(session, operator_id, STANDINGS, source, now)
    if said:
        defer_review(session, operator_id)
    return [
        answer or _compared(row, [counts[service_id] for service_id in owned[place]])
        for place, (row, answer) in enumerate(zip(rows, answers, strict=True))
    ]


def services_of(session: Session, operator_id: int, rows: Sequence[Assertion]) -> list[list[int]]:
    """The services that each row is about, closed ones left out; two queries, however many rows."""
    names = {row.username for row in rows if row.username and not row.reference}
    references = {row.reference for row in rows if row.reference and not row.username}
    open_ones = (Service.operator_id == operator_id, Service.closed_at.is_(None))
    by_name: dict[str, int] = {}
    by_reference: dict[str, list[int]] = {}
    if names:
        found = select(Service.username, Service.id).where(*open_ones, among(Service.username, _storable(names)))
        by_name = {row.username: row.id for row in session.execute(found)}
    if references:
        owned = (
            select(Subscriber.reference, Service.id)
            .join(Service, Service.subscriber_id == Subscriber.id)
            .where(
                Subscriber.operator_id == operator_id, among(Subscriber.reference, _storable(references)), *open_ones
            )
        )
        for row in session.execute(owned):
            by_reference.setdefault(row.reference, []).append(row.id)
    return [[by_name[row.username]] if row.username in by_name else by_reference.get(row.reference, []) for row in rows]


def known_standings(session: Session, operator_id: int, service_ids: Sequence[int]) -> dict[int, AssertedStanding]:
    """What was asserted last of these services."""
    mine = (AssertedStanding.operator_id == operator_id, among(AssertedStanding.service_id, service_ids))
    rows = session.scalars(select(AssertedStanding).where(*mine).execution_options(populate_existing=True))
    return {one.service_id: one for one in rows}


def check_source(source: str) -> None:
    """Raises Refused for a source that cannot be named so."""
    if not checked_text("source", source, SOURCE_MAXIMUM_BYTES).strip():
        raise Refused("The source must have a name, such as the other system's.")


def check_assertion(row: Assertion, now: datetime) -> str:
    """Why a row is nonsense, as a sentence; "" where it is not."""
    if bool(row.username) == bool(row.reference):
        return "It must name either a user name or a customer number."
    if row.standing not in ASSERTED:
        closed = " A service is closed here, by `ispagents service close`." if row.standing == Standing.CLOSED else ""
        return f"The standing {row.standing[:60]!r} is none of {', '.join(ASSERTED)}.{closed}"
    if row.as_of.tzinfo is None:
        return "The time that it is as of needs an offset, such as 2026-12-05T18:00+01:00."
    if row.as_of > now + AHEAD:
        return "It is as of a moment in the future; compare the clock of the other system."
    if row.as_of < EARLIEST:
        return f"It is as of a moment before {EARLIEST.year}."
    return ""


def _checked(row: Assertion, owned: list[int], now: datetime) -> Answer | None:
    problem = check_assertion(row, now)
    if problem:
        return Answer(Outcome.NONSENSE, problem)
    if not owned:
        who = f"user name {row.username[:60]!r}" if row.username else f"customer number {row.reference[:60]!r}"
        return Answer(Outcome.UNKNOWN, f"There is no open service with the {who}.")
    return None


def _compared(row: Assertion, counts: list[_Said]) -> Answer:
    mine = _Said(row.standing, row.as_of)
    if mine in counts:
        return Answer(Outcome.APPLIED)
    newest = max(counts, key=lambda it: it.weight)
    when = f"{newest.as_of:%Y-%m-%d %H:%M:%S %Z}".rstrip()
    return Answer(Outcome.OLDER, f"The standing {newest.standing}, as of {when}, is known and counts.")


def _store(
    session: Session, operator_id: int, said: dict[int, _Said], *, source: str, now: datetime
) -> dict[int, _Said]:
    """Store what is newer. Returns what counts of each service afterwards."""
    if not said:
        return {}
    ids = sorted(said)
    before = {one: row.standing for one, row in known_standings(session, operator_id, ids).items()}
    stored = set(
        session.scalars(
            _STORE,
            {
                "operator": operator_id,
                "source": source,
                "now": now,
                "services": ids,
                "standings": [said[one].standing for one in ids],
                "moments": [said[one].as_of for one in ids],
                "ranks": [standing.value for standing in Standing],
            },
        )
    )
    for one in ids:
        if one in stored and before.get(one, Standing.CURRENT.value) != said[one].standing:
            _tell(session, operator_id, one, said[one], source)
    # Somebody else may have said something newer in the meantime.
    lost = [one for one in ids if one not in stored]
    after = known_standings(session, operator_id, lost) if lost else {}
    return {one: said[one] if one in stored else _Said(after[one].standing, after[one].as_of) for one in ids}


def _tell(session: Session, operator_id: int, service_id: int, said: _Said, source: str) -> None:
    data: dict[str, Any] = {"standing": said.standing, "as_of": said.as_of.isoformat(), "source": source}
    audit.record(session, operator_id, source, "service:standing:assert", service_id=service_id, **data)


def _storable(names: set[str]) -> list[str]:
    """Those that a column can hold at all; the others are nobody's."""
    return [name for name in names if len(name) <= NAME_MAXIMUM_BYTES and "\0" not in name and _is_unicode(name)]


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
