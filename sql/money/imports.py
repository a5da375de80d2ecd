"""Bank statements: stored with each row's reading first, taken in afterwards, a page of rows a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from policy.money.csv_table import read_table
from policy.money.incoming import Incoming, IncomingKind
from policy.money.statement import Read, Terms, read_statement
from sql import audit
from sql.checks import checked_text
from sql.errors import NotFound, Refused
from sql.models import Import, ImportRow, Operator
from sql.money.incoming import AT_ONCE, Taken, checked_source, refusal, take_in
from sql.sessions import database_time

FILE_NAME_MAXIMUM_BYTES: Final = 1024
FIELD_MAXIMUM_LETTERS: Final = 4096
SHOWN: Final = 20


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


def preview(
    session: Session, operator: Operator, data: bytes, *, file_name: str, source: str, terms: Terms, actor: str
) -> Preview:
    """Read a file and store what each row says; nothing is booked. Raises TableError, or Refused."""
    checked_source(source)
    checked_text("name of the file", file_name, FILE_NAME_MAXIMUM_BYTES)
    statement = read_statement(read_table(data), terms)
    if not statement.rows:
        raise Refused("The file has a header and no rows below it.")
    now = database_time(session)
    rows = [_judged(one, now) for one in statement.rows]
    digest = sha256(data).hexdigest()
    applied = session.scalar(
        select(Import.id).where(
            Import.operator_id == operator.id,
            Import.kind == "payments",
            Import.content_hash == digest,
            Import.state == "applied",
        )
    )
    stored = Import(
        operator_id=operator.id,
        kind="payments",
        file_name=file_name,
        content_hash=digest,
        settings={"source": source, "header": list(statement.header.fields)},
        created_by=actor,
    )
    session.add(stored)
    session.flush()
    for start in range(0, len(rows), AT_ONCE):
        session.execute(
            insert(ImportRow), [_stored(operator.id, stored.id, one) for one in rows[start : start + AT_ONCE]]
        )
    good = [one.payment for one in rows if one.payment is not None]
    return Preview(
        stored,
        statement.header.fields,
        len(good),
        sum(bool(one.skipped) for one in rows),
        sum(one.amount_minor for one in good),
        tuple(one for one in rows if one.problem),
        applied,
    )


def apply_some(
    session: Session, operator: Operator, import_id: int, *, after_line: int, actor: str
) -> tuple[list[Taken], int | None]:
    """Take in the next rows of a file that was read, in one transaction; returns what became of them, and after which
    line to go on (None: that was all, and the file is applied). Cut off anywhere, it is done again from the beginning:
    each row counts once. Raises NotFound, or Refused when the very file was applied before.
    """
    stored = import_by_id(session, operator.id, import_id)
    session.refresh(stored, with_for_update={"key_share": True})
    if stored.state != "previewed":
        raise Refused(f"Import {import_id} is {stored.state} already; its payments are booked, or wait for a person.")
    twin = session.scalar(
        select(Import.id).where(
            Import.operator_id == operator.id,
            Import.kind == stored.kind,
            Import.content_hash == stored.content_hash,
            Import.state == "applied",
        )
    )
    if twin is not None:
        raise Refused(f"This very file was applied as import {twin}; nothing in it is new.")
    page = session.execute(
        select(ImportRow.line, ImportRow.reading)
        .where(ImportRow.import_id == import_id, ImportRow.line > after_line)
        .order_by(ImportRow.line)
        .limit(AT_ONCE)
    ).all()
    payments = [_incoming(row.reading) for row in page if row.reading and "external_id" in row.reading]
    taken = take_in(session, operator, payments, str(stored.settings["source"]), actor=actor, import_id=import_id)
    if len(page) == AT_ONCE:
        return taken, page[-1].line
    stored.state, stored.applied_by, stored.applied_at = "applied", actor, func.now()
    session.flush()
    audit.record(session, operator.id, actor, "payment:file:apply", number=import_id, file=stored.file_name)
    return taken, None


def import_by_id(session: Session, operator_id: int, import_id: int) -> Import:
    """A file that was read. Raises NotFound."""
    found = session.scalar(
        select(Import).where(Import.operator_id == operator_id, Import.id == import_id, Import.kind == "payments")
    )
    if found is None:
        raise NotFound(f"There is no import {import_id}; `ispagents payment import FILE` makes one.")
    return found


def bad_rows(rows: Sequence[Read], header: Sequence[str]) -> list[list[str]]:
    """The rows to fix, below the file's own header, each with what is wrong with it."""
    return [[*header, "problem"]] + [
        [*one.row.fields, *[""] * (len(header) - len(one.row.fields)), f"line {one.row.line}: {one.problem}"]
        for one in rows
    ]


def _judged(one: Read, now: datetime) -> Read:
    """The row, with what only the truth's clock can say against it."""
    if one.payment is None:
        return one
    why = refusal(one.payment, now)
    return Read(one.row, problem=why) if why else one


def _stored(operator_id: int, import_id: int, one: Read) -> dict[str, Any]:
    reading: dict[str, Any] | None = None
    if one.payment is not None:
        reading = {**asdict(one.payment), "occurred_at": one.payment.occurred_at.isoformat()}
    elif one.skipped:
        reading = {"skipped": one.skipped}
    return {
        "operator_id": operator_id,
        "import_id": import_id,
        "line": one.row.line,
        "fields": [field[:FIELD_MAXIMUM_LETTERS] for field in one.row.fields],
        "reading": reading,
        "problem": one.problem,
    }


def _incoming(reading: dict[str, Any]) -> Incoming:
    return Incoming(
        **{
            **reading,
            "occurred_at": datetime.fromisoformat(reading["occurred_at"]),
            "kind": IncomingKind(reading["kind"]),
        }
    )
