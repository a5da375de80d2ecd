"""`ispagents router api`: how a router's API is reached, and how things are done on that router."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import why
from ispagents.cli.inputs import SECRET_LETTERS, given, json_object, read_secret
from ispagents.errors import Problem
from sql.customers import router_by_name
from sql.models import Router
from sql.router_store import api_port, clear_api, set_api

app = typer.Typer(no_args_is_help=True, help="The API of a router (RouterOS), and the style in which it is configured.")

# A style with the most hosts that a walled garden takes has some 70 kB.
STYLE_MAXIMUM_BYTES = 256 * 1024


class Security(StrEnum):
    """How we know that it is the router, before it is told a password."""

    VERIFIED = "verified"
    PINNED = "pinned"
    PLAIN = "plain"


SecurityOption = Annotated[
    Security | None,
    typer.Option(
        help="verified: by an authority that this machine trusts; pinned: by --fingerprint; plain: no TLS, "
        "everybody on the way reads along."
    ),
]
Fingerprint = Annotated[
    str | None, typer.Option(help="SHA-256 of the router's certificate, as it prints it; with or without colons.")
]


@app.command("set")
def change(
    name: str,
    user: Annotated[str | None, typer.Option(help="The user's name on the router.")] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Read the password from a file.")
    ] = None,
    generate_password: Annotated[
        bool, typer.Option("--generate-password", help="Make a password and print it once.")
    ] = False,
    address: Annotated[str | None, typer.Option(help="Where the API listens; empty for the router's address.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 for the usual one: 8729 with TLS, 8728 without.")
    ] = None,
    security: SecurityOption = None,
    server_name: Annotated[str | None, typer.Option(help="verified: the name in the certificate.")] = None,
    fingerprint: Fingerprint = None,
    old_login: Annotated[bool | None, typer.Option(help="For RouterOS before 6.43: login by challenge.")] = None,
    style: Annotated[Path | None, typer.Option(help="A JSON file that says how things are done there.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Set how the API is reached; what is not named stays. The first time it asks for the password, hidden."""
    options = given(
        username=user,
        address=address,
        port=port,
        security=security.value if security else None,
        server_name=server_name,
        fingerprint=fingerprint,
        old_login=old_login,
        style=read_style_file(style) if style is not None else None,
    )
    named = generate_password or password_stdin or password_file is not None
    if not options and not named:
        raise Problem("Nothing was named that should change; see `ispagents router api set --help`.")
    with common.acting(operator) as (session, operator_id):
        is_first = router_by_name(session, operator_id, name).api_password is None
    if named or (is_first and user is not None):
        letters = SECRET_LETTERS if generate_password else 0
        options["password"], _ = read_secret(
            "password", from_stdin=password_stdin, file=password_file, generate=letters
        )
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        set_api(session, router, box=common.box(), actor=common.actor(), **options)
        session.refresh(router)
        row = {"name": router.name, **api_row(router)}
    shown = {"password": options["password"]} if generate_password else {}
    common.show_one({**row, **shown}, as_json=as_json)


@app.command("show")
def show(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show how the API is reached, and the style; the password is never shown."""
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        row = {"name": router.name, **api_row(router)}
    common.show_one(row, as_json=as_json)


@app.command("clear")
def clear(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Forget how the API is reached: nothing asks it any more."""
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        clear_api(session, router, actor=common.actor())
    common.show_one({"name": name, "said": "The router's API is not asked any more."}, as_json=as_json)


def api_row(router: Router) -> dict[str, Any]:
    """A router's API as it is shown, with its style."""
    known = router.api_username is not None
    return {
        "api": api_words(router),
        "api_address": str(router.api_address or router.address) if known else None,
        "api_port": api_port(router) if known else None,
        "api_security": router.api_security if known else None,
        "api_server_name": router.api_server_name,
        "api_fingerprint": router.api_fingerprint,
        "api_old_login": router.api_old_login,
        "api_user": router.api_username,
        "style": router.style,
    }


def api_words(router: Router) -> str:
    """How the API is reached, in a few words; "" where it is not."""
    return router.api_security if router.api_username is not None else ""


def read_style_file(file: Path) -> dict[str, Any]:
    """The style document of a file. Raises Problem."""
    try:
        with file.open("rb") as opened:
            data = opened.read(STYLE_MAXIMUM_BYTES + 1)
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Problem(f"The file {str(file)!r} with the style is not valid UTF-8.") from error
    except (OSError, ValueError) as error:
        raise Problem(f"The file {str(file)!r} with the style cannot be read: {why(error)}.") from error
    if len(data) > STYLE_MAXIMUM_BYTES:
        raise Problem(f"The file {str(file)!r} is larger than {STYLE_MAXIMUM_BYTES} bytes; a style is a small one.")
    return json_object(text, "--style")
