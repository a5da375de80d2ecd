"""`ispagents token`: programs that may use the API."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from sql.api_tokens import Scope, add_token, end_token, tokens
from sql.models import ApiToken

app = typer.Typer(no_args_is_help=True, help="Programs that may use the API.")

EMPTY = "There is no token yet; make one with `ispagents token add NAME --scope payments`."


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Which program it is for.")],
    scope: Annotated[list[Scope], typer.Option(help="What it is for; may be given more than once.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown once, now; only its hash is kept."""
    with common.acting(operator) as (session, operator_id):
        token, shown = add_token(session, operator_id, name=name, scopes=scope, actor=common.actor())
        row = {**_row(token), "token": shown}
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """List tokens by name, those that ended too, and when each was used last."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in tokens(session, operator_id)]
    common.show(rows, as_json=as_json, title="Tokens", empty=EMPTY)


@app.command("end")
def end(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End a token: it opens nothing any more, at once."""
    with common.acting(operator) as (session, operator_id):
        token = end_token(session, operator_id, name, actor=common.actor())
        row = {"name": token.name, "state": "ended"}
    common.show_one(row, as_json=as_json)


def _row(token: ApiToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": token.scopes,
        "state": "open" if token.ended_at is None else "ended",
        "created_by": token.created_by,
        "last_used_at": token.last_used_at,
    }
