"""`ispagents timeline`: one ordered story of a customer's line."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.inputs import moment
from ispagents.cli.output import print_lines, printable
from policy.story import Kind
from policy.windows import zone
from sql.customers import service_by_username
from sql.models import Operator
from sql.timeline import MOST, Entry, Position, before_moment, position
from sql.timeline import timeline as entries

INDENT = " " * 8

Kinds = Annotated[list[Kind] | None, typer.Option("--kind", help="Only entries of this kind; may be repeated.")]
Since = Annotated[str, typer.Option("--since", help="Only what happened since 2026-12-05, or ISO 8601.")]
Before = Annotated[
    str, typer.Option("--before", help="The page before an entry's key, or before 2026-12-05, or ISO 8601.")
]


def timeline(
    username: str,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 100,
    kind: Kinds = None,
    since: Since = "",
    before: Before = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell a service's story, oldest first: money, decisions, packets, sessions, refused logins, notes.

    Times are the operator's own, with their offset; --json has them in full.
    """
    with common.acting(operator) as (session, operator_id):
        time_zone = session.get_one(Operator, operator_id).time_zone
        start, end = moment(since, time_zone) if since else None, _before(before, time_zone)
        service = service_by_username(session, operator_id, username)
        found = entries(session, service, limit, since=start, before=end, kinds=kind or ())
    if as_json:
        common.print_json([one._asdict() for one in found])
        return
    for one in found:
        _print(one, time_zone)
    if not found:
        print_lines("Nothing has happened that is asked for.")
    elif len(found) == limit:
        print_lines(f"There may be more before that: go on with --before {found[0].key}")


def _before(text: str, time_zone: str) -> Position | None:
    if not text:
        return None
    return position(text) if "," in text else before_moment(moment(text, time_zone))


def _print(one: Entry, time_zone: str) -> None:
    print_lines(f"{_clock(one.at, time_zone)}  {one.kind.value:<10}  {printable(one.sentence)}")
    for line in one.evidence:
        print_lines(f"{INDENT}{printable(line)}")


def _clock(at: datetime, time_zone: str) -> str:
    local = at.astimezone(zone(time_zone))
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}{local:%z}"
