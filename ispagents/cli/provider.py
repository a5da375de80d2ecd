"""`ispagents provider`: payment providers that tell of payments by webhook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.inputs import SECRET_LETTERS, read_secret
from ispagents.database import provider_box
from ispagents.errors import Problem
from sql.models import PaymentProvider
from sql.money.providers import add_provider, end_provider, providers
from web.hooks.registry import kinds

app = typer.Typer(no_args_is_help=True, help="Payment providers that tell of payments by webhook.")

EMPTY = "There is no payment provider yet; add one with `ispagents provider add NAME --kind signed --generate-secret`."


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="A short name, such as stripe; it is the source of its payments.")],
    kind: Annotated[str, typer.Option(help="How it signs: signed (our own scheme), stripe, or a plugin's name.")],
    secret_stdin: Annotated[bool, typer.Option("--secret-stdin", help="Read the secret from standard input.")] = False,
    secret_file: Annotated[Path | None, typer.Option(help="Read the secret from a file.")] = None,
    generate_secret: Annotated[bool, typer.Option("--generate-secret", help="Make one and print it once.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a provider; prints the path of its webhook's address, which the provider must be given."""
    if kind not in kinds():
        raise Problem(f"The kind {kind!r} is not known; use one of {', '.join(kinds())}.")
    letters = SECRET_LETTERS if generate_secret else 0
    secret, generated = read_secret("secret", from_stdin=secret_stdin, file=secret_file, generate=letters)
    box = provider_box(common.state_folder())
    with common.acting(operator) as (session, operator_id):
        provider = add_provider(
            session, operator_id, name=name, kind=kind, secret=secret, box=box, actor=common.actor()
        )
        row = _row(provider)
    common.show_one({**row, **({"secret": secret} if generated else {})}, as_json=as_json)


@app.command("list")
def list_all(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """List providers by name, those that ended too."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(one) for one in providers(session, operator_id)]
    common.show(rows, as_json=as_json, title="Payment providers", empty=EMPTY)


@app.command("end")
def end(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End a provider: its address answers no more, at once."""
    with common.acting(operator) as (session, operator_id):
        provider = end_provider(session, operator_id, name, actor=common.actor())
        row = {"name": provider.name, "state": "ended"}
    common.show_one(row, as_json=as_json)


def _row(provider: PaymentProvider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "kind": provider.kind,
        "state": "open" if provider.ended_at is None else "ended",
        "address_path": f"/hooks/{provider.token}",
    }
