"""Files that other systems write: what each row says is stored first, and taken in afterwards, once, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from policy.money.csv_table import Row
from sql import audit
from sql.checks import checked_text
from sql.errors import Refused
from sql.models import Import, ImportRow, Operator

FILE_NAME_MAXIMUM_BYTES: Final = 1024
FIELD_MAXIMUM_LETTERS: Final = 4096


class ReadRow(Protocol):
    """A row that was read, and what is wrong with it."""

    @property
    def row(self) -> Row:
        """The row as it stands in the file."""

    @property
    def problem(self) -> str:
        """Why it cannot be used, or ""."""


class Page(NamedTuple):
    """What the next rows say, those that say something; and after which line to go on (None: that was all)."""

    readings: list[dict[str, Any]]
    after_line: int | None


def checked_name(file_name: str) -> str:
    """The name of a file. Raises Refused."""
    return checked_text("name of the file", file_name, FILE_NAME_MAXIMUM_BYTES)


def digest(data: bytes) -> str:
    """What tells a file from another: its content."""
    return sha256(data).hexdigest()


def store(
    session: Session,
    operator: Operator,
    kind: str,
    data: bytes,
    *,
    file_name: str,
    source: str,
    header: Sequence[str],
    actor: str,
) -> Import:
    """Remember that a file was read; its rows follow by `store_rows`."""
    stored = Import(
        operator_id=operator.id,
        kind=kind,
        file_name=file_name,
        content_hash=digest(data),
        settings={"source": source, "header": list(header)},
        created_by=actor,
    )
    session.add(stored)
    session.flush()
    return stored


def store_rows(session: Session, stored: Import, rows: Iterable[tuple[ReadRow, dict[str, Any] | None]]) -> None:
    """Store some rows, each with what it says (None: it has a problem), in one statement."""
    session.execute(
        insert(ImportRow),
        [
            {
                "operator_id": stored.operator_id,
                "import_id": stored.id,
                "line": one.row.line,
                "fields": [field[:FIELD_MAXIMUM_LETTERS] for field in one.row.fields],
                "reading": reading,
                "problem": one.problem,
            }
            for one, reading in rows
        ],
    )


def applied_as(session: Session, operator_id: int, kind: str, content_hash: str) -> int | None:
    """The number under which the very same content was applied, if it was."""
    return session.scalar(
        select(Import.id).where(
            Import.operator_id == operator_id,
            Import.kind == kind,
            Import.content_hash == content_hash,
            Import.state == "applied",
        )
    )


def found(session: Session, operator_id: int, kind: str, import_id: int) -> Import | None:
    """A file of this kind that was read."""
    return session.scalar(
        select(Import).where(Import.operator_id == operator_id, Import.id == import_id, Import.kind == kind)
    )


def lock_to_apply(session: Session, stored: Import, what_became: str) -> None:
    """Let nobody else apply this file meanwhile. Raises Refused when it, or the very same content, was applied before.

    `what_became`: the end of that sentence, what became of its rows.
    """
    session.refresh(stored, with_for_update={"key_share": True})
    if stored.state != "previewed":
        raise Refused(f"Import {stored.id} is {stored.state} already; {what_became}.")
    twin = applied_as(session, stored.operator_id, stored.kind, stored.content_hash)
    if twin is not None:
        raise Refused(f"This very file was applied as import {twin}; nothing in it is new.")


def next_page(session: Session, stored: Import, after_line: int, most: int) -> Page:
    """The rows after a line, at most so many."""
    rows = session.execute(
        select(ImportRow.line, ImportRow.reading)
        .where(ImportRow.import_id == stored.id, ImportRow.line > after_line)
        .order_by(ImportRow.line)
        .limit(most)
    ).all()
    return Page([row.reading for row in rows if row.reading], rows[-1].line if len(rows) == most else None)


def finish(session: Session, stored: Import, event: str, *, actor: str) -> None:
    """All rows are taken in: the file is applied, for good."""
    stored.state, stored.applied_by, stored.applied_at = "applied", actor, func.now()
    session.flush()
    audit.record(session, stored.operator_id, actor, event, number=stored.id, file=stored.file_name)


def bad_rows(rows: Iterable[ReadRow], header: Sequence[str]) -> list[list[str]]:
    """The rows to fix, below the file's own header, each with what is wrong with it."""
    return [[*header, "problem"]] + [
        [*one.row.fields, *[""] * (len(header) - len(one.row.fields)), f"line {one.row.line}: {one.problem}"]
        for one in rows
    ]
