"""`ispagents batch`: changes of one kind and day that wait, looked at and decided together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import moment
from ispagents.cli.output import money_text, print_lines, printable
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from policy.changes.batch import BatchRow, batch_preview, batch_text
from policy.changes.intent import Intent
from sql.batches import (
    AT_ONCE,
    Decided,
    approve_some,
    approved_ids,
    batch_by_id,
    batches,
    reject_some,
    waiting_rows,
)
from sql.errors import Refused
from sql.intent import change_by_id
from sql.models import Operator
from sql.sessions import database_time
from sql.undo import undo as undo_change

app = typer.Typer(no_args_is_help=True, help="Changes of one kind and day that wait, looked at and decided together.")

EMPTY = "There is no batch yet; one appears when changes wait for people to approve them."
BeforeOption = Annotated[int, typer.Option("--before", min=1, max=common.ID_MAXIMUM, help="Only older batches.")]
UntilOption = Annotated[str, typer.Option(help="Until when billing's word does not count: 2026-12-05, or ISO 8601.")]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever reads it later.")]


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    before: BeforeOption = common.ID_MAXIMUM,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List batches, the newest first."""
    with common.acting(operator) as (session, operator_id):
        rows = [
            {
                "id": one.batch.id,
                "name": one.batch.name,
                "waiting": one.states.get(Intent.AWAITING_APPROVAL.value, 0),
                "approved": one.states.get(Intent.APPROVED.value, 0),
                "rejected": one.states.get(Intent.REJECTED.value, 0),
                "states": one.states,
                "created_at": one.batch.created_at,
            }
            for one in batches(session, operator_id, before=before, limit=limit)
        ]
    more = f"There are more: go on with --before {rows[-1]['id']}." if len(rows) == limit else ""
    columns = ("id", "name", "waiting", "approved", "rejected", "created_at")
    common.show(rows, as_json=as_json, title="Batches", empty=EMPTY, columns=columns, more=more)


@app.command("show")
def show(batch_id: common.Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show what of a batch waits: counts by action, router and plan, the money, and the most unusual first."""
    with common.acting(operator) as (session, operator_id):
        name = batch_by_id(session, operator_id, batch_id).name
        document = batch_preview(waiting_rows(session, operator_id, batch_id))
        owed = money_text(document["owed_minor"], session.get_one(Operator, operator_id).currency)
    if as_json:
        common.print_json({"id": batch_id, "name": name, **document})
        return
    if not document["changes"]:
        print_lines(f"Nothing of batch {batch_id} ({name}) waits any more.")
        print_lines(f"`ispagents change list --batch {batch_id}` shows what became of it.")
        return
    print_lines(f"Batch {batch_id} ({name})\n{batch_text(document, owed)}")
    print_lines(
        f"See each with `ispagents change list --batch {batch_id}`; approve all with `batch approve {batch_id}`, "
        "or reject them with `batch reject`."
    )


@app.command("approve")
def approve(
    batch_id: common.Id,
    yes: Annotated[bool, typer.Option("--yes", help="Approve what the preview says now, without asking.")] = False,
    seen_hash: Annotated[str, typer.Option("--hash", help="Approve only the preview of this hash.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Approve all that waits in a batch, after showing what it will do."""
    if not yes and not seen_hash and (as_json or not sys.stdin.isatty()):
        raise Problem("There is no terminal to ask on; say --yes, or --hash with the hash from `batch show --json`.")
    rows = _waiting(operator, batch_id)
    document = batch_preview(rows)
    if seen_hash and seen_hash != document["hash"]:
        raise Refused(f"Batch {batch_id} has another preview than the one you approved; look at it again.")
    if not yes and not seen_hash:
        show(batch_id, operator)
        if rows and not typer.confirm("Approve all of it?", default=False):
            print_lines(f"Batch {batch_id} was left as it is.")
            return
    seen = {row.change_id: row.preview_hash for row in rows}

    def one_portion(session: Session, operator_id: int, portion: Sequence[int]) -> list[Decided]:
        chosen = [(change_id, seen[change_id]) for change_id in portion]
        return approve_some(session, operator_id, chosen, by=common.actor(), now=database_time(session))

    _report(batch_id, list(_in_portions(operator, list(seen), one_portion)), "approved", as_json=as_json)


@app.command("reject")
def reject(
    batch_id: common.Id, note: ReasonOption = "", operator: OperatorOption = "", as_json: JsonOption = False
) -> None:
    """Reject all that waits in a batch; that stands until something else is wanted."""
    ids = [row.change_id for row in _waiting(operator, batch_id)]

    def one_portion(session: Session, operator_id: int, portion: Sequence[int]) -> list[Decided]:
        return reject_some(session, operator_id, portion, by=common.actor(), note=note)

    _report(batch_id, list(_in_portions(operator, ids, one_portion)), "rejected", as_json=as_json)


@app.command("undo")
def undo(
    batch_id: common.Id,
    until: UntilOption,
    reason: ReasonOption,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give back the access before each approved change of a batch, until a moment; each is a change of its own."""
    end = moment(until, common.time_zone(operator))
    with common.acting(operator) as (session, operator_id):
        batch_by_id(session, operator_id, batch_id)
        ids = approved_ids(session, operator_id, batch_id)

    def one_portion(session: Session, operator_id: int, portion: Sequence[int]) -> list[Decided]:
        return [_undo_one(session, operator_id, change_id, end, reason) for change_id in portion]

    _report(batch_id, list(_in_portions(operator, ids, one_portion)), "undone", as_json=as_json)


def _undo_one(session: Session, operator_id: int, change_id: int, until: datetime, reason: str) -> Decided:
    try:
        undo_change(
            session, change_by_id(session, operator_id, change_id), until=until, reason=reason, by=common.actor()
        )
    except Refused as error:
        return Decided(change_id, done=False, refused=str(error))
    return Decided(change_id, done=True, refused="")


def _waiting(operator: str, batch_id: int) -> list[BatchRow]:
    with common.acting(operator) as (session, operator_id):
        batch_by_id(session, operator_id, batch_id)
        return waiting_rows(session, operator_id, batch_id)


def _in_portions(
    operator: str, ids: Sequence[int], decide: Callable[[Session, int, Sequence[int]], list[Decided]]
) -> Iterator[Decided]:
    """Each portion in a transaction of its own, with a line of progress for people."""
    for start in range(0, len(ids), AT_ONCE):
        with common.acting(operator) as (session, operator_id):
            found = decide(session, operator_id, ids[start : start + AT_ONCE])
        yield from found
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{min(start + AT_ONCE, len(ids))} of {len(ids)}")
            sys.stderr.flush()
    if sys.stderr.isatty() and ids:
        sys.stderr.write("\n")


def _report(batch_id: int, decided: list[Decided], word: str, *, as_json: bool) -> None:
    done = sum(one.done for one in decided)
    refused = [one for one in decided if one.refused]
    joined = len(decided) - done - len(refused)
    if as_json:
        rows: list[dict[str, Any]] = [{"change": one.change_id, "said": one.refused} for one in refused]
        common.print_json({"id": batch_id, word: done, "wait_for_another_person": joined, "refused": rows})
    else:
        for one in refused:
            sys.stderr.write(printable(one.refused) + "\n")
        waits = f" {joined} wait for another person to approve them too." if joined else ""
        print_lines(f"{done} changes of batch {batch_id} are {word}, {len(refused)} were refused.{waits}")
    if refused:
        raise typer.Exit(PROBLEM_EXIT_CODE)
