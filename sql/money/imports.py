"""Bank statements: stored with each row's reading first, taken in afterwards, a page of rows a transaction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.orm import Session

from policy.money.csv_table import read_table
from policy.money.incoming import Incoming, IncomingKind
from policy.money.statement import Read, Terms, read_statement, usual_encoding
from sql import files
from sql.errors import NotFound, Refused
from sql.models import Import, Operator
from sql.money.incoming import AT_ONCE, Taken, checked_source, refusal, take_in
from sql.sessions import database_time

KIND: Final = "payments"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file would do: its rows by what they are, what the payments sum up to, and the bad ones."""

    stored: Import
    header: tuple[str, ...]
    payments: int
    skipped: int
    total_minor: int
    bad: tuple[Read, ...]
    applied_as: int | None
    encoding: str


def preview(
    session: Session, operator: Operator, data: bytes, *, file_name: str, source: str, terms: Terms, actor: str
) -> Preview:
    """Read a file and store what each row says; nothing is booked. Raises TableError, or Refused."""
    checked_source(source)
    files.checked_name(file_name)
    table = read_table(data, terms.encoding, usual_encoding(terms.currency))
    statement = read_statement(table, terms)
    if not statement.rows:
        raise Refused("The file has a header and no rows below it.")
    now = database_time(session)
    rows = [_judged(one, now) for one in statement.rows]
    applied = files.applied_as(session, operator.id, KIND, files.digest(data))
    header = statement.header.fields
    stored = files.store(session, operator, KIND, data, file_name=file_name, source=source, header=header, actor=actor)
    for start in range(0, len(rows), AT_ONCE):
        files.store_rows(session, stored, [(one, _reading(one)) for one in rows[start : start + AT_ONCE]])
    good = [one.payment for one in rows if one.payment is not None]
    return Preview(
        stored,
        header,
        len(good),
        sum(bool(one.skipped) for one in rows),
        sum(one.amount_minor for one in good),
        tuple(one for one in rows if one.problem),
        applied,
        table.encoding,
    )


def apply_some(
    session: Session, operator: Operator, import_id: int, *, after_line: int, actor: str
) -> tuple[list[Taken], int | None]:
    """Take in the next rows of a file that was read, in one transaction; returns what became of them, and after which
    line to go on (None: that was all, and the file is applied). Cut off anywhere, it is done again from the beginning:
    each row counts once. Raises NotFound, or Refused when the very file was applied before.
    """
    stored = import_by_id(session, operator.id, import_id)
    files.lock_to_apply(session, stored, "its payments are booked, or wait for a person")
    page = files.next_page(session, stored, after_line, AT_ONCE)
    payments = [_incoming(one) for one in page.readings if "external_id" in one]
    taken = take_in(session, operator, payments, str(stored.settings["source"]), actor=actor, import_id=import_id)
    if page.after_line is None:
        files.finish(session, stored, "payment:file:apply", actor=actor)
    return taken, page.after_line


def import_by_id(session: Session, operator_id: int, import_id: int) -> Import:
    """A file that was read. Raises NotFound."""
    found = files.found(session, operator_id, KIND, import_id)
    if found is None:
        raise NotFound(f"There is no import {import_id}; `ispagents payment import FILE` makes one.")
    return found


def _judged(one: Read, now: datetime) -> Read:
    """The row, with what only the truth's clock can say against it."""
    if one.payment is None:
        return one
    why = refusal(one.payment, now)
    return Read(one.row, problem=why) if why else one


def _reading(one: Read) -> dict[str, Any] | None:
    if one.payment is not None:
        return {**asdict(one.payment), "occurred_at": one.payment.occurred_at.isoformat()}
    return {"skipped": one.skipped} if one.skipped else None


def _incoming(reading: dict[str, Any]) -> Incoming:
    return Incoming(
        **{
            **reading,
            "occurred_at": datetime.fromisoformat(reading["occurred_at"]),
            "kind": IncomingKind(reading["kind"]),
        }
    )
