"""`ispagents timeline`: one ordered story of a customer's line."""

from __future__ import annotations

from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.output import print_lines, printable
from sql.customers import service_by_username
from sql.timeline import MOST
from sql.timeline import timeline as entries


def timeline(
    username: str,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MOST, help="The newest so many.")] = 100,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Tell a service's story, oldest first: money, decisions, packets, sessions, refused logins. Times are UTC."""
    with common.acting(operator) as (session, operator_id):
        found = entries(session, service_by_username(session, operator_id, username), limit)
    if as_json:
        common.print_json([one._asdict() for one in found])
        return
    for one in found:
        print_lines(
            f"{one.at:%Y-%m-%d %H:%M:%S}.{one.at.microsecond // 1000:03d}  {one.kind:<8}  {printable(one.sentence)}"
        )
    if len(found) == limit < MOST:
        print_lines(f"These are the newest {limit}; see more with --limit {min(MOST, 10 * limit)}.")
