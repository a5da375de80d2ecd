"""`ispagents standing`: what another billing system says of services."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.files import table_bytes, write_rows
from ispagents.cli.inputs import moment
from ispagents.errors import Problem
from policy.money.csv_table import plain
from policy.standing import Standing
from sql.files import bad_rows
from sql.models import Operator
from sql.money.standing_files import (
    KNOWN,
    Preview,
    Terms,
    apply_some,
    count_outcomes,
    forget_source,
    preview,
    sources,
    standings,
)
from sql.money.standings import ASSERTED, Outcome

app = typer.Typer(no_args_is_help=True, help="What another billing system says of services.")

SOURCE = "file"
SHOWN = 20
EMPTY = (
    "No other system has said anything yet; read a file with `ispagents standing import FILE`, and let it count with "
    '`ispagents operator set "My ISP" --standings-from outside`.'
)
NO_SOURCE = "No source has spoken yet."


@app.command("import")
def read(
    file: Annotated[Path, typer.Argument(help="A CSV file: user name or customer number, standing, as of when.")],
    source: Annotated[
        str, typer.Option(help="Which system it comes from; a silent one is told by this name.")
    ] = SOURCE,
    as_of: Annotated[str, typer.Option(help="For a file without such a column: when its words were true.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(help="Which column is what, such as standing=Estado; username, reference, standing or as_of."),
    ] = None,
    word: Annotated[
        list[str] | None, typer.Option(help="Their word for a standing of ours, such as blocked=suspended.")
    ] = None,
    bad_rows_file: Annotated[
        Path | None, typer.Option("--bad-rows", help="Write the rows that cannot be used there, to be fixed.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read a file and say what it would do; nothing counts before `standing apply`."""
    columns, words = _pairs(column, "--column"), _pairs(word, "--word")
    if not set(columns) <= set(KNOWN):
        raise Problem(f"--column knows {', '.join(KNOWN)}; write --column standing=NAME.")
    if not set(words.values()) <= set(ASSERTED):
        raise Problem(f"--word ends in one of {', '.join(ASSERTED)}; write --word blocked=suspended.")
    terms = Terms(
        source,
        columns,
        {plain(theirs): Standing(ours) for theirs, ours in words.items()},
        moment(as_of, common.time_zone(operator)) if as_of else None,
    )
    data = table_bytes(file)
    with common.acting(operator) as (session, operator_id):
        found = preview(
            session,
            session.get_one(Operator, operator_id),
            data,
            file_name=file.name,
            terms=terms,
            actor=common.actor(),
        )
        row = _told(found)
        if bad_rows_file is not None:
            write_rows(bad_rows_file, bad_rows(found.bad, found.header), otherwise=", so nothing was stored")
    if as_json:
        common.show_one(row, as_json=True)
        return
    common.show_one({key: value for key, value in row.items() if key != "problems"}, as_json=False)
    if found.bad:
        common.show(row["problems"], as_json=False, title="Rows that cannot be used", empty="")


@app.command("apply")
def apply(
    import_id: common.Id,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let the standings of a file count; older ones never replace newer ones."""
    counts: Counter[Outcome] = Counter()
    after: int | None = 0
    while after is not None:
        with common.acting(operator) as (session, operator_id):
            mine = session.get_one(Operator, operator_id)
            answers, after = apply_some(session, mine, import_id, after_line=after, actor=common.actor())
        counts.update(count_outcomes(answers))
    row = {"import": import_id, "state": "applied", **{one.value: counts[one] for one in Outcome}}
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List what was said last of each service, by user name."""
    with common.acting(operator) as (session, operator_id):
        found = standings(session, operator_id, after=after, limit=limit)
        rows = [
            {
                "username": one.username,
                "standing": one.said.standing,
                "as_of": one.said.as_of,
                "source": one.said.source,
                "received_at": one.said.received_at,
            }
            for one in found
        ]
    common.show(
        rows,
        as_json=as_json,
        title="Standings",
        empty=EMPTY if not after else common.NO_MORE,
        more=common.more(rows, limit, "username"),
    )


@app.command("sources")
def list_sources(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """List the systems that have spoken, and when each spoke last."""
    with common.acting(operator) as (session, operator_id):
        rows = [{"source": one.source, "last_at": one.last_at} for one in sources(session, operator_id)]
    common.show(rows, as_json=as_json, title="Sources", empty=NO_SOURCE)


@app.command("forget")
def forget(source: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Do not wait for a source any more; whom it spoke of is not suspended before another one speaks of them."""
    with common.acting(operator) as (session, operator_id):
        forget_source(session, operator_id, source, actor=common.actor())
    common.show_one({"source": source, "state": "forgotten"}, as_json=as_json)


def _told(found: Preview) -> dict[str, Any]:
    return {
        "import": found.stored.id,
        "file": found.stored.file_name,
        "source": found.stored.settings["source"],
        "moving": dict(found.moving),
        "unchanged": found.unchanged,
        "older": found.older,
        "bad_rows": len(found.bad),
        "problems": [{"line": one.row.line, "problem": one.problem} for one in found.bad[:SHOWN]],
        "next": f"ispagents standing apply {found.stored.id}",
    }


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts or ()]
    if not all(name.strip() and sign and value.strip() for name, sign, value in pairs):
        raise Problem(
            f"{option} needs a pair such as {'standing=Estado' if option == '--column' else 'blocked=suspended'}."
        )
    return {name.strip(): value.strip() for name, _, value in pairs}
