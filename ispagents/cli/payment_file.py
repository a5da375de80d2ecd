"""`ispagents payment import` and `apply`: bank statements as CSV, read first and taken in afterwards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import table_bytes, write_rows
from ispagents.cli.inputs import given
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from policy.money.statement import Terms
from sql.files import bad_rows
from sql.models import Operator
from sql.money.imports import Preview, apply_some, preview
from sql.money.incoming import Outcome, Taken

SHOWN = 20
Column = Annotated[str | None, typer.Option(metavar="COLUMN", help="The header of this column in the file.")]


def import_file(
    file: Annotated[Path, typer.Argument(help="A CSV file, with any usual separator.")],
    date: Column = None,
    amount: Column = None,
    reference: Column = None,
    payer: Column = None,
    account: Column = None,
    id_: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="The bank's own id of each row.")] = None,
    currency: Column = None,
    phone: Column = None,
    username: Column = None,
    decimal_comma: Annotated[bool, typer.Option("--decimal-comma", help="Amounts are written 1.234,56.")] = False,
    decimal_point: Annotated[bool, typer.Option("--decimal-point", help="Amounts are written 1,234.56.")] = False,
    date_format: Annotated[str, typer.Option(help="How dates are written, such as %d/%m/%Y.")] = "",
    encoding: Annotated[
        str, typer.Option(help="Such as cp1250; else Unicode, or what is usual where the currency is.")
    ] = "",
    source: Annotated[
        str, typer.Option(help="Which account it is of; the same row of one source counts once.")
    ] = "bank",
    bad: Annotated[
        Path | None, typer.Option("--bad-rows", help="Write the rows that cannot be read there, to be fixed.")
    ] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Read a bank statement and show what it would do; nothing is booked before `payment apply`."""
    if decimal_comma and decimal_point:
        raise Problem("Amounts have a decimal comma or a decimal point; give one of the two.")
    columns = given(
        date=date,
        amount=amount,
        reference=reference,
        payer=payer,
        account=account,
        id=id_,
        currency=currency,
        phone=phone,
        username=username,
    )
    data = table_bytes(file)
    with common.acting(operator) as (session, operator_id):
        mine = session.get_one(Operator, operator_id)
        terms = Terms(
            mine.currency,
            mine.time_zone,
            columns,
            "," if decimal_comma else "." if decimal_point else None,
            date_format,
            encoding=encoding.lower(),
        )
        read = preview(session, mine, data, file_name=file.name, source=source, terms=terms, actor=common.actor())
        row = _previewed(read, mine.currency)
        if bad is not None:
            write_rows(bad, bad_rows(read.bad, read.header), otherwise=", so nothing was stored")
    if not as_json:
        row["bad_rows"] = [f"line {one['line']}: {one['problem']}" for one in row["bad_rows"][:SHOWN]]
    common.show_one(row, as_json=as_json)


def apply_file(
    number: Annotated[int, typer.Argument(min=1, max=common.ID_MAXIMUM, metavar="IMPORT", help="Of `payment import`.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take in a bank statement that was read: sure payments are booked, the others wait for a person."""
    taken: list[Taken] = []
    line: int | None = 0
    while line is not None:
        # A page of rows a transaction; cut off anywhere, the same command goes on where it stood.
        with common.acting(operator) as (session, operator_id):
            mine = session.get_one(Operator, operator_id)
            page, line = apply_some(session, mine, number, after_line=line, actor=common.actor())
        taken += page
    counts = Counter(one.outcome for one in taken)
    row: dict[str, Any] = {"import": number, **{outcome.value: counts[outcome] for outcome in Outcome}}
    row["said"] = "`ispagents payment review list` shows what waits." if counts[Outcome.REVIEW] else "Nothing waits."
    row["refusals"] = [one.explanation for one in taken if one.outcome is Outcome.REFUSED][:SHOWN]
    common.show_one(row, as_json=as_json)


def _previewed(read: Preview, currency: str) -> dict[str, Any]:
    said = f"Nothing is booked yet: `ispagents payment apply {read.stored.id}` does."
    if read.applied_as is not None:
        said = f"This very file was applied as import {read.applied_as}; nothing in it is new."
    return {
        "import": read.stored.id,
        "payments": read.payments,
        "total": money_text(read.total_minor, currency),
        "total_minor": read.total_minor,
        "skipped": read.skipped,
        "bad": len(read.bad),
        "encoding": read.encoding,
        "bad_rows": [{"line": one.row.line, "problem": one.problem} for one in read.bad],
        "said": said,
    }
