"""`ispagents audit`: who did what, and whether the record of it is what was sealed."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import moment
from ispagents.cli.output import print_lines
from ispagents.errors import Problem, explained
from policy.audit_chain import Anchor, anchor
from policy.errors import PolicyError
from sql.audit_check import Finding, Verdict, verify_anchors
from sql.audit_check import verify as verify_chain
from sql.audit_export import events, lines
from sql.audit_seal import head_of
from sql.customers import service_by_username
from sql.models import Operator
from worker import anchor_file

app = typer.Typer(no_args_is_help=True, help="The audit: who did what, and proof that nothing of it was altered.")

TOLD_EVERY_EVENTS = 100_000  # progress, a line each: some seconds
BROKEN_EXIT_CODE = 1

AnchorOption = Annotated[
    Path | None, typer.Option("--anchor", help="Also hold it against the anchors of this file.", show_default=False)
]
AnchorArgument = Annotated[Path, typer.Argument(metavar="FILE", help="One line of JSON is added.", show_default=False)]
ExportArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="A new file; standard output if not given.", show_default=False)
]


@app.command("list")
def list_all(
    event: Annotated[str, typer.Option(help="Only events whose name begins with this, such as plan: .")] = "",
    username: Annotated[str, typer.Option(help="Only what concerns the service of this user name.")] = "",
    actor: Annotated[str, typer.Option(help="Only what this one did, such as cli:anna.")] = "",
    since: Annotated[str, typer.Option(help="Only from this moment on, such as 2026-12-05.")] = "",
    before: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Go on before this id.", show_default=False)
    ] = None,
    limit: LimitOption = common.ROWS,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List events, the newest first. Those without a number are not sealed yet."""
    with common.acting(operator) as (session, operator_id):
        zone = session.get_one(Operator, operator_id).time_zone
        page = events(
            session,
            operator_id,
            event=event,
            actor=actor,
            service=service_by_username(session, operator_id, username) if username else None,
            since=moment(since, zone) if since else None,
            before=before,
            limit=limit,
        )
        rows = [_row(*found) for found in page.found]
    go_on = f"There may be more: go on with --before {page.before}" if page.before is not None else ""
    filtered = event or username or actor or since or before
    nothing = "There is no such event." if filtered else "There is no event yet; everything that people do makes one."
    common.show(
        rows,
        as_json=as_json,
        title="Audit",
        empty=f"None found so far. {go_on}" if go_on else nothing,
        columns=("id", "number", "at", "event", "actor", "username", "data"),
        more=go_on,
    )


@app.command("verify")
def verify(anchors: AnchorOption = None, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Verify that no event was altered, removed or moved since it was sealed. Exit code 1 when something was.

    Without --anchor an end that was cut off cleanly, or a chain that was computed anew as a whole, looks right.
    """
    if anchors is not None:
        _look_into(anchors)
    with common.acting(operator) as (session, operator_id):
        verdict = verify_chain(session, operator_id, lambda *done: None if as_json else _progress(*done))
        finding, held = verdict.finding, 0
        if finding is None and anchors is not None:
            held, finding = verify_anchors(session, operator_id, _anchors(anchors, operator_id))
    if as_json:
        common.print_json(_result(verdict, finding, held))
    else:
        print_lines(finding.said if finding is not None else _whole(verdict, held, anchors))
    if finding is not None:
        raise typer.Exit(BROKEN_EXIT_CODE)


@app.command("export")
def export(
    file: ExportArgument = None,
    after: Annotated[int, typer.Option(min=0, max=common.ID_MAXIMUM, help="Only after this number.")] = 0,
    operator: OperatorOption = "",
) -> None:
    """Write all events as lines of JSON, in the order in which they were sealed; those that wait come last.

    policy/audit_chain.py says how to compute the hashes; sixty lines of any language can check them.
    """
    with common.acting(operator) as (session, operator_id):
        found = lines(session, operator_id, after)
        first = list(itertools.islice(found, 1))  # a number that is not there is told before a file is made
        if file is None:
            sys.stdout.writelines(f"{line}\n" for line in itertools.chain(first, found))
            return
        count = _write(file, itertools.chain(first, found))
    print_lines(f"{count} events are in {file}.")


@app.command("anchor")
def anchor_now(file: AnchorArgument, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Add the end of the chain, as it is now, to a file that should lie outside this machine."""
    with explained(file, "name a file that this user may write"), anchor_file.opened(file) as target:
        with common.acting(operator) as (session, operator_id):
            head = head_of(session, operator_id)
        if head is None:
            raise Problem("Nothing is sealed yet, so there is no end to anchor; the worker seals within seconds.")
        one = anchor(datetime.now(UTC), operator_id, head.number, head.hash)
        target.add(one)
    said = f"Number {one.number} is anchored; keep the file where nobody who can write the database can write it."
    common.show_one({**one._asdict(), "file": str(file), "said": said}, as_json=as_json)


def _row(event: Any, username: str | None, number: int | None) -> dict[str, Any]:
    return {
        "id": event.id,
        "number": number,
        "at": event.at,
        "event": event.event,
        "actor": event.actor,
        "username": username,
        "service_id": event.service_id,
        "subscriber_id": event.subscriber_id,
        "data": event.data,
    }


def _progress(done: int, total: int) -> None:
    if done // TOLD_EVERY_EVENTS > (done - 1) // TOLD_EVERY_EVENTS:
        sys.stderr.write(f"{done} of {total} events verified\n")


def _look_into(file: Path) -> None:
    """Refuse a file that cannot be read before a minute is spent on the chain."""
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise Problem(f"The anchor file {str(file)!r} cannot be read: {error.strerror}.") from error


def _anchors(file: Path, operator_id: int) -> Iterator[Anchor]:
    """The anchors of a file. Raises Problem where it has none of this operator: that proves nothing."""
    found = None
    try:
        for found in anchor_file.read(file, operator_id):
            yield found
    except PolicyError as error:
        raise Problem(f"The anchors cannot be used: {error}.") from error
    if found is None:
        raise Problem(
            f"The file {str(file)!r} has no anchor of this operator (number {operator_id}); "
            "add one with `ispagents audit anchor FILE`."
        )


def _whole(verdict: Verdict, held: int, anchors: Path | None) -> str:
    said = f"The audit is whole: {verdict.sealed} events are sealed, and none was altered, removed or moved."
    if verdict.waiting:
        said += f" {verdict.waiting} newer wait to be sealed."
    if anchors is not None:
        return f"{said} It agrees with {held} anchors."
    return f"{said} Only --anchor FILE would also find an end that was cut off, or a whole that was computed anew."


def _result(verdict: Verdict, finding: Finding | None, held: int) -> dict[str, Any]:
    found = finding if finding is not None else Finding(None, None, None, "")
    return {
        "whole": finding is None,
        "sealed": verdict.sealed,
        "waiting": verdict.waiting,
        "hash": verdict.hash,
        "anchors": held,
        "finding": found._asdict() if finding is not None else None,
    }


def _write(file: Path, found: Iterator[str]) -> int:
    """Write lines to a new file, for its owner's eyes; a file that could not be finished is removed."""
    count = 0
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Problem(f"There is a file {str(file)!r} already; name another.") from error
    except OSError as error:
        raise Problem(f"The file {str(file)!r} cannot be made: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            for line in found:
                opened.write(f"{line}\n")
                count += 1
    except BaseException:
        with contextlib.suppress(OSError):
            file.unlink()
        raise
    return count
