"""`ispagents change`: what waits for approval, what was decided, and what was done for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer
from sqlalchemy import select
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.output import moment_text, print_lines, printable
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from policy.changes import preview
from policy.changes.intent import ChangeKind, Intent
from policy.explanations import explain
from sql import intent
from sql.errors import NotFound, Refused
from sql.listing import Attempted, change_key, changes, steps_of
from sql.models import Change, Service
from sql.sessions import database_time

app = typer.Typer(no_args_is_help=True, help="Changes: what waits for approval, what was decided, what was done.")

EMPTY = "There is no change yet; one appears when billing, a plan or a service asks for another access."
Ids = Annotated[list[int] | None, typer.Argument(min=1, max=common.ID_MAXIMUM, show_default=False)]


class Seen(NamedTuple):
    """A change as a person was shown it."""

    change_id: int
    service_id: int
    text: str
    preview_hash: str


@app.command("list")
def list_all(
    state: Annotated[Intent | None, typer.Option(help="Only those in this state.")] = None,
    kind: Annotated[ChangeKind | None, typer.Option(help="Only those of this kind.")] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Only those of this batch.", show_default=False)
    ] = None,
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List changes: those that wait for approval lead, then the newest."""
    chosen, wanted = state.value if state else "", kind.value if kind else ""
    with common.acting(operator) as (session, operator_id):
        found = changes(session, operator_id, state=chosen, kind=wanted, batch_id=batch, after=after, limit=limit)
        rows = [_row(change, username) for change, username in found]
    common.show(
        rows,
        as_json=as_json,
        title="Changes",
        empty=EMPTY if not (chosen or wanted or batch or after) else "There is no such change.",
        columns=("id", "kind", "username", "state", "consequence", "created_at"),
        more=common.more(rows, limit, "key"),
    )


@app.command("show")
def show(change_id: common.Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a change: preview, decision, steps, and the evidence of every attempt."""
    with common.acting(operator) as (session, operator_id):
        change, username = _find(session, operator_id, change_id)
        row = {**_row(change, username), "approved_by": intent.approvers(session, change)}
        text = _text(change)
        steps = [_step(one) for one in steps_of(session, change)]
        document, digest = change.preview, change.preview_hash
    if as_json:
        common.print_json({**row, "preview": document, "preview_hash": digest, "steps": steps})
        return
    print_lines(f"Change {change_id} is {row['state'].replace('_', ' ')}. Cause: {printable(row['cause'])}\n{text}")
    if row["decided_at"] is not None:
        by = row["decided_by"] or (f"the rule: {row['rule']}" if row["rule"] else "the worker")
        print_lines(f"Decided {moment_text(row['decided_at'])} by {by}. {row['note']}".rstrip())
    else:
        if row["held_back"]:
            print_lines(f"No rule approved it: {row['held_back']}")
        people = "Two different people must" if row["needs_approvals"] > 1 else "Somebody must"
        said = f" {' and '.join(row['approved_by'])} did." if row["approved_by"] else ""
        print_lines(f"{people} approve it with `ispagents change approve {change_id}`, or reject it.{said}")
    for step in steps:
        _print_step(step)


@app.command("approve")
def approve(
    change_ids: Ids = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve what the preview says now, without asking.")] = False,
    seen_hash: Annotated[str, typer.Option("--hash", help="Approve only the preview of this hash.")] = "",
    all_waiting: Annotated[bool, typer.Option("--all-waiting", help="All that wait; narrow it with --kind.")] = False,
    kind: Annotated[ChangeKind | None, typer.Option(help="With --all-waiting: only this kind.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Approve changes, each in a transaction of its own, after showing what each will do."""
    ids = change_ids or []
    if bool(ids) == all_waiting:
        raise Problem("Name the changes to approve, or say --all-waiting; `ispagents change list` shows them.")
    if kind is not None and not all_waiting:
        raise Problem("--kind goes with --all-waiting only.")
    if seen_hash and (len(ids) != 1 or yes):
        raise Problem("--hash goes with exactly one change, and without --yes.")
    if not yes and not seen_hash and (as_json or not sys.stdin.isatty()):
        raise Problem("There is no terminal to ask on; say --yes, or --hash with the hash from `change show --json`.")
    results = []
    for change_id in ids or _waiting(operator, kind):
        result = _approve_one(operator, change_id, yes=yes, seen_hash=seen_hash, quiet=as_json)
        results.append(result)
        if not as_json:
            target = sys.stdout if result["approved"] or result["joined"] else sys.stderr
            target.write(printable(result["said"]) + "\n")
    if as_json:
        common.print_json(results)
    elif not results:
        print_lines("No change waits for approval.")
    if not all(result["approved"] or result["declined"] or result["joined"] for result in results):
        raise typer.Exit(PROBLEM_EXIT_CODE)


@app.command("reject")
def reject(
    change_id: common.Id,
    note: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Reject a change; that stands until something else is wanted."""
    with common.acting(operator) as (session, operator_id):
        change = intent.change_by_id(session, operator_id, change_id)
        intent.reject(session, change, by=common.actor(), note=note)
    said = "Rejected; that stands until something else is wanted."
    common.show_one({"id": change_id, "state": Intent.REJECTED.value, "said": said}, as_json=as_json)


def _waiting(operator: str, kind: ChangeKind | None) -> Iterator[int]:
    """Those that wait at this moment, the newest first, a page at a time."""
    after = ""
    while True:
        with common.acting(operator) as (session, operator_id):
            page = changes(
                session,
                operator_id,
                state=Intent.AWAITING_APPROVAL.value,
                kind=kind.value if kind is not None else "",
                after=after,
            )
        if not page:
            return
        yield from (change.id for change, _ in page)
        after = change_key(page[-1][0])


def _approve_one(operator: str, change_id: int, *, yes: bool, seen_hash: str, quiet: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"id": change_id, "approved": False, "declined": False, "joined": False}
    try:
        seen = _see(operator, change_id)
        if not quiet:
            print_lines(seen.text)
        if not yes and not seen_hash and not typer.confirm("Approve?", default=False):
            return {**result, "declined": True, "said": f"Change {change_id} was left as it is."}
        answer = _approve(operator, seen, seen_hash or seen.preview_hash)
    except Refused as error:
        answer = error
    if isinstance(answer, Refused):
        return {**result, "said": str(answer)}
    if not answer:
        return {**result, "joined": True, "said": f"You approved change {change_id}; another person must do so too."}
    return {**result, "approved": True, "said": f"Change {change_id} is approved."}


def _see(operator: str, change_id: int) -> Seen:
    with common.acting(operator) as (session, operator_id):
        change, _ = _find(session, operator_id, change_id)
        if change.state != Intent.AWAITING_APPROVAL.value:
            raise Refused(f"Change {change_id} is {change.state.replace('_', ' ')} already and cannot be approved.")
        return Seen(change.id, change.service_id, _text(change), change.preview_hash)


def _approve(operator: str, seen: Seen, seen_hash: str) -> Refused | bool:
    """Approve in a transaction; a renewed preview is committed and returned as the refusal that it is.

    False: another person must approve it too.
    """
    with common.acting(operator) as (session, operator_id):
        change = intent.change_by_id(session, operator_id, seen.change_id)
        try:
            return intent.approve(session, change, by=common.actor(), seen_hash=seen_hash, now=database_time(session))
        except intent.StalePreview as error:
            return error


def _find(session: Session, operator_id: int, change_id: int) -> tuple[Change, str]:
    row = session.execute(
        select(Change, Service.username)
        .join(Service, Service.id == Change.service_id)
        .where(Change.operator_id == operator_id, Change.id == change_id)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no change {change_id}; `ispagents change list` shows those there are.")
    return row[0], row[1]


def _text(change: Change) -> str:
    """The preview to read; a router's name may hold anything, so its letters cannot make lines of their own."""
    document = dict(change.preview)
    document["sessions"] = [
        {key: printable(value) if isinstance(value, str) else value for key, value in session.items()}
        for session in document["sessions"]
    ]
    return preview.text(document)


def _row(change: Change, username: str) -> dict[str, Any]:
    return {
        "id": change.id,
        "key": change_key(change),
        "kind": change.kind,
        "username": username,
        "state": change.state,
        "cause": change.cause,
        "consequence": change.preview["consequence"],
        "created_at": change.created_at,
        "decided_at": change.decided_at,
        "decided_by": change.decided_by,
        "rule": change.rule,
        "note": change.note,
        "batch": change.batch_id,
        "requested_by": change.requested_by,
        "undoes": change.undoes_change_id,
        "needs_approvals": change.needs_approvals,
        "held_back": change.held_back,
    }


def _step(one: Attempted) -> dict[str, Any]:
    step = one.step
    return {
        "id": step.id,
        "router": one.router,
        "route": step.route,
        "why": step.why,
        "state": step.state,
        "proof": step.proof,
        "explanation": step.explanation,
        "attempts": [
            {
                "attempt": attempt.attempt,
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
                "outcome": attempt.outcome,
                "cause": attempt.cause,
                "explanation": attempt.explanation,
                "explained": explain(attempt.cause, router=one.router)._asdict() if attempt.cause else None,
                "packets": attempt.packets,
                "round_trip_ms": attempt.round_trip_ms,
                "sent": attempt.sent,
                "reply": attempt.reply,
            }
            for attempt in one.evidence
        ],
    }


def _print_step(step: dict[str, Any]) -> None:
    proof = f", proof: {step['proof']}" if step["proof"] else ""
    print_lines(f"Step {step['id']}: {step['route']} to {printable(step['router'])} is {step['state']}{proof}.")
    print_lines(f"  {printable(step['why'])}")
    for attempt in step["attempts"]:
        took = f", {attempt['round_trip_ms']:.1f} ms" if attempt["round_trip_ms"] is not None else ""
        print_lines(
            f"  attempt {attempt['attempt']} at {moment_text(attempt['started_at'])}: "
            f"{attempt['outcome'] or 'on its way'}{took}. {printable(attempt['explanation'])}".rstrip()
        )
        if attempt["explained"] is not None:
            print_lines(f"      likely: {printable(attempt['explained']['likely'])}")
            print_lines(f"      next:   {printable(attempt['explained']['next_step'] or 'nothing')}")
        for name, value in attempt["sent"]:
            print_lines(f"      sent {name} = {printable(value)}")
        for pair in attempt["reply"] or []:
            print_lines(f"      reply {printable(' = '.join(str(part) for part in pair))}")
