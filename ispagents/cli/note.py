"""`ispagents note`: what support wants to remember of a customer's line."""

from __future__ import annotations

from typing import Annotated

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from sql.customers import service_by_username
from sql.notes import add_note

app = typer.Typer(no_args_is_help=True, help="Notes of support; `ispagents timeline USERNAME --kind note` shows them.")


@app.callback()
def notes() -> None:
    """Keep `add` a command of its own, as with every other noun."""


@app.command("add")
def add(
    username: str,
    note: Annotated[str, typer.Argument(metavar="TEXT", help="At most 2,000 letters.", show_default=False)],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a note on a service. It becomes part of the audit and is never changed or removed."""
    with common.acting(operator) as (session, operator_id):
        add_note(session, service_by_username(session, operator_id, username), note, actor=common.actor())
    common.show_one({"username": username, "note": note, "said": "Noted."}, as_json=as_json)
