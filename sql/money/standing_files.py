"""Files of standings from another billing system: read and compared first, taken in afterwards, page by page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from policy.money.csv_table import Columns, Row, find_columns, plain, read_table
from policy.standing import Standing
from policy.windows import zone
from sql import audit, files
from sql.errors import NotFound, Refused
from sql.models import AssertedStanding, Feed, Import, Operator, Service
from sql.money.feeds import STANDINGS
from sql.money.standings import (
    Answer,
    Assertion,
    Outcome,
    assert_standings,
    check_assertion,
    check_source,
    known_standings,
    services_of,
)
from sql.sessions import database_time

AT_ONCE: Final = 5000
KNOWN: Final = {
    "username": ("username", "user name", "user", "login", "service"),
    "reference": ("customer number", "customer", "reference", "account", "subscriber"),
    "standing": ("standing", "status", "state"),
    "as_of": ("as of", "asof", "timestamp", "updated at", "time", "date"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """How a file is to be read: its source, other names of columns, words for standings, and a moment for all rows."""

    source: str
    columns: Mapping[str, str]
    words: Mapping[str, Standing]
    as_of: datetime | None = None


class Line(NamedTuple):
    """A row of the file: what it says, or what is wrong with it."""

    row: Row
    said: Assertion | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do: how many rows would move a service to a standing, say nothing new, or are older."""

    stored: Import
    header: tuple[str, ...]
    moving: Mapping[str, int]
    unchanged: int
    older: int
    bad: tuple[Line, ...]


class Told(NamedTuple):
    """What another system said last of a service."""

    username: str
    said: AssertedStanding


def preview(session: Session, operator: Operator, data: bytes, *, file_name: str, terms: Terms, actor: str) -> Preview:
    """Read a file and store what each row says; no standing moves. Raises TableError, or Refused."""
    files.checked_name(file_name)
    check_source(terms.source)
    needed = (("username", "reference"), ("standing",), *(() if terms.as_of is not None else (("as_of",),)))
    columns = find_columns(read_table(data), KNOWN, needed, terms.columns)
    if not columns.data:
        raise Refused("The file has a header and no rows below it.")
    now = database_time(session)
    header = columns.header.fields
    stored = files.store(
        session, operator, STANDINGS, data, file_name=file_name, source=terms.source, header=header, actor=actor
    )
    counts: Counter[str] = Counter()
    bad: list[Line] = []
    for start in range(0, len(columns.data), AT_ONCE):
        lines = [_read(row, columns, terms, operator, now) for row in columns.data[start : start + AT_ONCE]]
        lines = _compare(session, operator.id, lines, counts)
        files.store_rows(session, stored, [(one, _reading(one)) for one in lines])
        bad += [one for one in lines if one.problem]
    unchanged, older = counts.pop("unchanged", 0), counts.pop("older", 0)
    return Preview(stored, header, dict(counts), unchanged, older, tuple(bad))


def apply_some(
    session: Session, operator: Operator, import_id: int, *, after_line: int, actor: str
) -> tuple[list[Answer], int | None]:
    """Take in the next rows of a file that was read, in one transaction; returns what became of them, and after which
    line to go on (None: that was all, and the file is applied). Cut off anywhere, it may be done again.

    Raises NotFound, or Refused when the very file was applied before.
    """
    stored = import_by_id(session, operator.id, import_id)
    files.lock_to_apply(session, stored, "its standings count")
    page = files.next_page(session, stored, after_line, AT_ONCE)
    said = [_assertion(one) for one in page.readings]
    source = str(stored.settings["source"])
    # A page of bad rows alone is no sign of life.
    answers = assert_standings(session, operator.id, said, source=source, now=database_time(session)) if said else []
    if page.after_line is None:
        files.finish(session, stored, "standing:file:apply", actor=actor)
    return answers, page.after_line


def import_by_id(session: Session, operator_id: int, import_id: int) -> Import:
    """A file that was read. Raises NotFound."""
    found = files.found(session, operator_id, STANDINGS, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id} of standings; `ispagents standing import FILE` makes one.")
    return found


def standings(session: Session, operator_id: int, *, after: str, limit: int) -> list[Told]:
    """What another system said last, by user name."""
    rows = session.execute(
        select(Service.username, AssertedStanding)
        .join(AssertedStanding, AssertedStanding.service_id == Service.id)
        .where(Service.operator_id == operator_id, Service.username > after)
        .order_by(Service.username)
        .limit(limit)
    )
    return [Told(username, said) for username, said in rows]


def sources(session: Session, operator_id: int) -> list[Feed]:
    """The sources of standings, and when each spoke last."""
    mine = (Feed.operator_id == operator_id, Feed.kind == STANDINGS)
    return list(session.scalars(select(Feed).where(*mine).order_by(Feed.source)))


def forget_source(session: Session, operator_id: int, source: str, *, actor: str) -> None:
    """A source that will not speak any more is not waited for. Raises NotFound."""
    mine = (Feed.operator_id == operator_id, Feed.kind == STANDINGS, Feed.source == source)
    found = session.scalar(select(Feed).where(*mine))
    if found is None:
        raise NotFound(f"There is no source {source!r}; `ispagents standing sources` shows those there are.")
    session.delete(found)
    session.flush()
    audit.record(session, operator_id, actor, "standing:source:forget", source=source)


def _read(row: Row, columns: Columns, terms: Terms, operator: Operator, now: datetime) -> Line:
    word = columns.text(row, "standing")
    standing = terms.words.get(plain(word), word.lower())
    try:
        as_of = _moment(columns.text(row, "as_of"), operator.time_zone) or terms.as_of
    except ValueError:
        return Line(row, problem=f"{columns.text(row, 'as_of')[:60]!r} is not a moment; write 2026-12-05T18:00+01:00.")
    if as_of is None:
        return Line(row, problem="It does not say as of when it is.")
    said = Assertion(standing, as_of, columns.text(row, "username"), columns.text(row, "reference"))
    if said.username and said.reference:
        said = said._replace(reference="")  # one service says more than all of a customer's
    problem = check_assertion(said, now)
    return Line(row, problem=problem) if problem else Line(row, said)


def _moment(text: str, time_zone: str) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=zone(time_zone))


def _compare(session: Session, operator_id: int, lines: list[Line], counts: Counter[str]) -> list[Line]:
    """Count what each row would do, and give those that are about nobody a problem."""
    said = [one.said for one in lines if one.said is not None]
    owned = dict(zip(said, services_of(session, operator_id, said), strict=True))
    known = known_standings(session, operator_id, sorted({one for some in owned.values() for one in some}))
    found = []
    for line in lines:
        services = owned.get(line.said, []) if line.said is not None else []
        if line.said is not None and not services:
            found.append(Line(line.row, problem="There is no open service of this name or customer number."))
            continue
        found.append(line)
        for service_id in services:
            before = known.get(service_id)
            assert line.said is not None  # noqa: S101 - it has services
            if before is not None and line.said.as_of < before.as_of:
                counts["older"] += 1
            elif line.said.standing == (before.standing if before is not None else Standing.CURRENT):
                counts["unchanged"] += 1
            else:
                counts[line.said.standing] += 1
    return found


def _reading(one: Line) -> dict[str, Any] | None:
    return {**one.said._asdict(), "as_of": one.said.as_of.isoformat()} if one.said is not None else None


def _assertion(reading: dict[str, Any]) -> Assertion:
    return Assertion(**{**reading, "as_of": datetime.fromisoformat(reading["as_of"])})


def count_outcomes(answers: Sequence[Answer]) -> dict[Outcome, int]:
    """How many rows ended how."""
    return dict(Counter(one.outcome for one in answers))
