"""`ispagents ledger`: the journal, its balances, and its export."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.files import write_rows
from ispagents.cli.inputs import typed_day
from ispagents.cli.output import money_text
from ispagents.errors import Problem
from policy.money.currency import written
from sql.customers import subscriber_by_reference
from sql.models import Operator
from sql.money import journal
from sql.money.journal import Booked
from sql.money.ledger import local_day

app = typer.Typer(no_args_is_help=True, help="The journal: double entry, never changed, and balances as its sums.")

# A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
HEADER = (
    *("entry", "line", "booked_on", "kind", "account", "method", "debit", "credit", "currency", "customer_number"),
    *("customer", "invoice", "payment", "plan", "reverses_entry", "booked_by", "created_at"),
)


@app.command("show")
def show(
    subscriber: Annotated[str, typer.Argument(help="The customer number.")],
    before: Annotated[
        int | None, typer.Option(min=1, max=common.ID_MAXIMUM, help="Go on before this entry, the last one shown.")
    ] = None,
    limit: LimitOption = common.ROWS,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a customer's entries, the newest first; debits are positive, credits negative."""
    with common.acting(operator) as (session, operator_id):
        found = subscriber_by_reference(session, operator_id, subscriber)
        lines = journal.of_subscriber(session, found, before=before, limit=limit)
    rows = [_row(one) for one in lines]
    more = ""
    if len({row["entry"] for row in rows}) == limit:
        more = f"There may be more: go on with --before {rows[-1]['entry']}"
    common.show(
        rows,
        as_json=as_json,
        title=f"Journal of {subscriber}",
        empty=common.NO_MORE if before else f"Nothing was booked for {subscriber!r} yet.",
        columns=("entry", "booked_on", "kind", "account", "amount", "invoice", "payment", "booked_by"),
        more=more,
    )


@app.command("balances")
def balances(
    until: Annotated[str | None, typer.Option(help="At the end of this day; today if not given.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """What each account holds; debits are positive, credits negative, and all together are nothing."""
    day = typed_day(until) if until else None
    with common.acting(operator) as (session, operator_id):
        last = day or local_day(session, session.get_one(Operator, operator_id))
        rows = [
            {**row, "balance": money_text(row["balance_minor"], row["currency"])}
            for row in journal.balances(session, operator_id, last)
        ]
    columns = ("account", "method", "balance")
    common.show(rows, as_json=as_json, title=f"Balances, {last}", empty="Nothing is booked yet.", columns=columns)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="The CSV file to write (UTF-8); one that is there is replaced.")],
    start: Annotated[str, typer.Option("--from", help="The first day, such as 2026-11-01.")],
    until: Annotated[str | None, typer.Option("--until", help="The last day; today if not given.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the journal of some days as CSV, for an accountant or a spreadsheet; of any length."""
    first = typed_day(start)
    with common.acting(operator) as (session, operator_id):
        today = local_day(session, session.get_one(Operator, operator_id))
        last = typed_day(until) if until else today
        _check(first, last)
        lines = _cells(journal.of_days(session, operator_id, first, last))
        count = write_rows(file, chain([HEADER], lines)) - 1
    common.show_one({"file": str(file), "from": first, "until": last, "lines": count}, as_json=as_json)


def _check(first: date, last: date) -> None:
    if first > last:
        raise Problem(f"The export would end ({last}) before it begins ({first}).")


def _cells(lines: Iterable[Booked]) -> Iterator[Sequence[Any]]:
    for one in lines:
        amount = written(abs(one.amount_minor), one.currency)
        debit, credit = (amount, "") if one.amount_minor > 0 else ("", amount)
        yield [
            *(one.entry, one.line, one.booked_on, one.kind, one.account, safe(one.method), debit, credit),
            *(one.currency, safe(one.reference), safe(one.name), one.invoice or "", one.payment or ""),
            *(safe(one.plan or ""), one.reverses or "", safe(one.booked_by), one.created_at.isoformat()),
        ]


def safe(text: str) -> str:
    """Foreign text as a cell that no spreadsheet takes for a formula."""
    return "'" + text if text.lstrip(" ").startswith(_FORMULAS) else text


def _row(one: Booked) -> dict[str, Any]:
    return {
        "entry": one.entry,
        "line": one.line,
        "booked_on": one.booked_on,
        "kind": one.kind,
        "account": f"{one.account} ({one.method})" if one.method else one.account,
        "amount": money_text(one.amount_minor, one.currency),
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "invoice": one.invoice,
        "payment": one.payment,
        "plan": one.plan,
        "reverses": one.reverses,
        "booked_by": one.booked_by,
    }
