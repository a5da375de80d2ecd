"""`ispagents spool`: accounting records that could not be taken in, and why; they are kept until somebody helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import Id, JsonOption, LimitOption
from ispagents.errors import Problem
from sql.models import SpoolReject
from sql.rejects import ask_again, reject_by_id, rejects
from sql.roles import Role

app = typer.Typer(no_args_is_help=True, help="Accounting records that could not be taken in, and why.")

EMPTY = "Nothing is set aside: every record was taken in."
COLUMNS = ("id", "at", "node", "file", "state", "reason")


@app.command("rejects")
def list_all(
    everything: Annotated[bool, typer.Option("--all", help="Also those that were taken in later.")] = False,
    before: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Go on before this id, the last one shown.")
    ] = None,
    limit: LimitOption = common.ROWS,
    as_json: JsonOption = False,
) -> None:
    """List the records that were set aside, the newest first."""
    with _web() as session:
        rows = [_row(one) for one in rejects(session, before=before, limit=limit, everything=everything)]
    empty = common.NO_MORE if before else EMPTY
    more = f"There may be more: go on with --before {rows[-1]['id']}" if len(rows) == limit else ""
    common.show(rows, as_json=as_json, title="Set aside", empty=empty, columns=COLUMNS, more=more)


@app.command("show")
def show(reject: Id, as_json: JsonOption = False) -> None:
    """Show one of them as it was written."""
    with _web() as session:
        found = reject_by_id(session, reject)
        row = _row(found) | {"record": found.record}
    common.show_one(row, as_json=as_json)


@app.command("replay")
def replay(
    rejects_given: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]...", min=1, max=common.ID_MAXIMUM, show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are set aside.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Have records taken in again, after their cause was mended. A record that was taken in once counts once."""
    ids = rejects_given or []
    if bool(ids) == everything:
        raise Problem("Say which records to take in again (their ids), or --all of them.")
    with _web() as session:
        for one in ids:
            reject_by_id(session, one)
        count = ask_again(session, ids=ids, actor=common.actor())
    said = "edge takes them in within seconds; what is refused again stands in `ispagents spool rejects`"
    common.show_one({"again": count, "said": said if count else "None of them is set aside."}, as_json=as_json)


@contextmanager
def _web() -> Iterator[Session]:
    """A transaction that acts for nobody: these are the machine's own, of no operator."""
    engine = common.databases().engine(Role.WEB, pool=1)
    try:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session
    finally:
        engine.dispose()


def _row(one: SpoolReject) -> dict[str, Any]:
    return {
        "id": one.id,
        "at": one.created_at,
        "node": one.node,
        "file": one.file,
        "state": one.state,
        "reason": one.reason,
        "asked_by": one.asked_by,
        "replayed_at": one.replayed_at,
    }
