"""`ispagents subscriber import` and `import-apply`: customers and their services as CSV, read first, then taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import table_bytes, write_rows
from ispagents.cli.output import print_lines
from ispagents.cli.router_import import named_pairs
from policy.facts import Method
from sql.files import bad_rows
from sql.models import Operator
from sql.onboarding.openings import Opened
from sql.onboarding.subscriber_files import KNOWN, Preview, Terms, apply_some, preview

SHOWN = 20

Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="COLUMN=HEADER", help=f"The file's header of a column: {', '.join(KNOWN)}."),
]


def import_file(
    file: Annotated[Path, typer.Argument(help="A CSV file: UTF-8, UTF-16 or Windows-1252, any usual separator.")],
    columns: Map = None,
    plan: Annotated[str, typer.Option(help="The plan of rows that name none.")] = "",
    method: Annotated[Method, typer.Option(help="The method of rows that name none.")] = Method.PPPOE,
    date_format: Annotated[str, typer.Option(help="How days are written, such as %d/%m/%Y.")] = "",
    bad: Annotated[
        Path | None,
        typer.Option("--bad-rows", help="Write the rows to be fixed there, passwords and all."),
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read a file of customers and show what it would do; nobody is made before `subscriber import-apply`."""
    terms = Terms(named_pairs(columns, "--map"), plan, method.value, date_format)
    data = table_bytes(file)
    with common.acting(operator) as (session, operator_id):
        mine = session.get_one(Operator, operator_id)
        read = preview(session, mine, data, file_name=file.name, terms=terms, box=common.box(), actor=common.actor())
        row = _previewed(read)
        if bad is not None:
            write_rows(bad, bad_rows(read.bad, read.header), otherwise=", so nothing was stored")
    if as_json:
        common.print_json(row)
        return
    problems = row.pop("problems")
    common.show_one(row, as_json=False)
    for one in problems[:SHOWN]:
        print_lines(f"line {one['line']} is {one['is']}: {one['problem']}")
    if len(problems) > SHOWN:
        print_lines(f"and {len(problems) - SHOWN} more; --bad-rows FILE has all of them.")


def apply_file(
    number: Annotated[
        int, typer.Argument(min=1, max=common.ID_MAXIMUM, metavar="IMPORT", help="Of `subscriber import`.")
    ],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take in the new rows of a file of customers that was read."""
    done: list[Opened] = []
    line: int | None = 0
    while line is not None:
        # A page of rows a transaction; cut off anywhere, the same command goes on where it stood.
        with common.acting(operator) as (session, operator_id):
            mine = session.get_one(Operator, operator_id)
            page, line = apply_some(session, mine, number, after_line=line, box=common.box(), actor=common.actor())
        done += page
    refused = [{"line": one.line, "why": one.refused} for one in done if one.refused]
    row: dict[str, Any] = {
        "import": number,
        "subscribers": sum(one.made_subscriber for one in done),
        "services": sum(one.service is not None for one in done),
        "refused": len(refused),
        "refusals": refused if as_json else [f"line {one['line']}: {one['why']}" for one in refused[:SHOWN]],
    }
    common.show_one(row, as_json=as_json)


def _previewed(read: Preview) -> dict[str, Any]:
    return {
        "import": read.stored.id,
        **read.counts,
        "new_subscribers": read.subscribers,
        "problems": [{"line": one.row.line, "is": one.verdict.value, "problem": one.problem} for one in read.bad],
        "said": f"Nobody is made yet: `ispagents subscriber import-apply {read.stored.id}` takes in the new rows."
        if read.counts.get("new")
        else "No row is new, so there is nobody to be taken in.",
    }
