"""`ispagents router`: the NAS devices. A secret is never an argument: others can read those."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import SECRET_LETTERS, given, read_secret
from ispagents.cli.router_api import Fingerprint, SecurityOption, api_row
from ispagents.errors import Problem
from sql import abilities
from sql.customers import router_by_name
from sql.listing import routers
from sql.models import Node, Router
from sql.router_health import add_health
from sql.router_store import add_router, change_router, node_by_name, remove_router

app = typer.Typer(
    no_args_is_help=True,
    help="The routers (NAS): they send RADIUS here and take CoA, or are configured over their API.",
)

EMPTY = "There is no router yet; add one with `ispagents router add NAME --address 192.0.2.1 --generate-secret`."

FromStdin = Annotated[bool, typer.Option("--secret-stdin", help="Read the RADIUS secret from standard input.")]
FromFile = Annotated[Path | None, typer.Option("--secret-file", help="Read the RADIUS secret from a file.")]
Generate = Annotated[bool, typer.Option("--generate-secret", help="Make a RADIUS secret and print it once.")]
CoaAddress = Annotated[str | None, typer.Option(help="Where CoA goes; the address if not given.")]
CoaPort = Annotated[int | None, typer.Option(min=1, max=65535, help="3799 or 1700 on RouterOS.")]
NasAddress = Annotated[str | None, typer.Option(help="What it says in NAS-IP-Address, where that differs.")]
AddressList = Annotated[bool | None, typer.Option(help="Whether a CoA was seen changing address lists there.")]
Signed = Annotated[
    bool | None,
    typer.Option(help="Refuse Access-Requests without Message-Authenticator; RouterOS 7.15 and later sends it."),
]
SignCoa = Annotated[bool | None, typer.Option(help="Send Message-Authenticator with CoA.")]
Dynamic = Annotated[bool | None, typer.Option(help="Whether it takes CoA and Disconnect at all.")]
Window = Annotated[int | None, typer.Option(min=1, max=4096, help="CoA packets on the way at once.")]
NodeName = Annotated[str | None, typer.Option("--node", help="The RADIUS node whose address it takes CoA from.")]


@app.command("add")
def add(
    name: str,
    address: Annotated[str, typer.Option(help="Where its RADIUS packets come from.")],
    secret_stdin: FromStdin = False,
    secret_file: FromFile = None,
    generate_secret: Generate = False,
    coa_address: CoaAddress = None,
    coa_port: CoaPort = None,
    nas_address: NasAddress = None,
    coa_address_list: AddressList = None,
    require_message_authenticator: Signed = None,
    coa_message_authenticator: SignCoa = None,
    dynamic_authorization: Dynamic = None,
    coa_window: Window = None,
    node: NodeName = None,
    no_radius: Annotated[
        bool, typer.Option("--no-radius", help="It asks no RADIUS here and is configured over its API alone.")
    ] = False,
    api_user: Annotated[str | None, typer.Option(help="The user's name for its API.")] = None,
    api_password_stdin: Annotated[
        bool, typer.Option("--api-password-stdin", help="Read the password for its API from standard input.")
    ] = False,
    api_password_file: Annotated[
        Path | None, typer.Option("--api-password-file", help="Read the password for its API from a file.")
    ] = None,
    generate_api_password: Annotated[
        bool, typer.Option("--generate-api-password", help="Make a password for its API and print it once.")
    ] = False,
    api_security: SecurityOption = None,
    api_fingerprint: Fingerprint = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add a router; without an option for its secret it asks for it, hidden. See `router api set` for its API."""
    options = given(
        coa_address=coa_address,
        coa_port=coa_port,
        nas_address=nas_address,
        coa_address_list=coa_address_list,
        require_message_authenticator=require_message_authenticator,
        coa_message_authenticator=coa_message_authenticator,
        dynamic_authorization=dynamic_authorization,
        coa_window=coa_window,
    )
    if no_radius and (secret_stdin or secret_file is not None or generate_secret):
        raise Problem("A router with --no-radius has no RADIUS secret; leave one of the two out.")
    api_secret = (api_password_stdin, api_password_file, generate_api_password)
    api_options = given(security=api_security.value if api_security else None, fingerprint=api_fingerprint)
    api = _first_api(api_user, api_secret, api_options, needed=no_radius)
    if secret_stdin and api_password_stdin:
        raise Problem("Standard input holds the RADIUS secret or the API's password, not both; use a file for one.")
    letters = SECRET_LETTERS if generate_secret else 0
    secret: str | None = None
    if not no_radius:
        secret, _ = read_secret("secret", from_stdin=secret_stdin, file=secret_file, generate=letters)
    with common.acting(operator) as (session, operator_id):
        router = add_router(
            session,
            operator_id,
            name=name,
            address=address,
            secret=secret,
            box=common.box(),
            actor=common.actor(),
            api=api,
            **options,
            **_node(session, node),
        )
        session.refresh(router)
        row = _row(router, node)
    made = {"secret": secret} if generate_secret else {}
    if api is not None and generate_api_password:
        made["api_password"] = api["password"]
    common.show_one({**row, **made}, as_json=as_json)


@app.command("set")
def change(
    name: str,
    address: Annotated[str | None, typer.Option(help="Where its RADIUS packets come from.")] = None,
    secret_stdin: FromStdin = False,
    secret_file: FromFile = None,
    generate_secret: Generate = False,
    coa_address: CoaAddress = None,
    coa_port: CoaPort = None,
    nas_address: NasAddress = None,
    coa_address_list: AddressList = None,
    require_message_authenticator: Signed = None,
    coa_message_authenticator: SignCoa = None,
    dynamic_authorization: Dynamic = None,
    coa_window: Window = None,
    node: NodeName = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Change a router's addresses, abilities or secret; what is not named stays."""
    options = given(
        address=address,
        coa_address=coa_address,
        coa_port=coa_port,
        nas_address=nas_address,
        coa_address_list=coa_address_list,
        require_message_authenticator=require_message_authenticator,
        coa_message_authenticator=coa_message_authenticator,
        dynamic_authorization=dynamic_authorization,
        coa_window=coa_window,
    )
    secret: str | None = None
    letters = SECRET_LETTERS if generate_secret else 0
    if letters or secret_stdin or secret_file is not None:
        secret, _ = read_secret("secret", from_stdin=secret_stdin, file=secret_file, generate=letters)
        options["secret"] = secret
    if not options and node is None:
        raise Problem("Nothing was named that should change; see `ispagents router set --help`.")
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        change_router(session, router, box=common.box(), actor=common.actor(), **options, **_node(session, node))
        session.refresh(router)
        row = _row(router, _node_name(session, router))
    common.show_one({**row, **({"secret": secret} if generate_secret else {})}, as_json=as_json)


@app.command("remove")
def remove(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Stop knowing a router; its sessions and evidence stay."""
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        remove_router(session, router, actor=common.actor())
    common.show_one({"name": name, "said": "Removed: its logins are no longer answered."}, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the routers by name."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(router, node) for router, node in routers(session, operator_id, after=after, limit=limit)]
        rows = add_health(session, operator_id, rows)
    common.show(
        rows,
        as_json=as_json,
        title="Routers",
        empty=common.nothing(EMPTY, search="", after=after),
        columns=(
            "name",
            "address",
            "radius",
            "coa_address",
            "coa_port",
            "dynamic_authorization",
            "api",
            "node",
            "health",
        ),
        more=common.more(rows, limit, "name"),
    )


@app.command("show")
def show(name: str, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Show a router's addresses, API and abilities; its secrets are never shown."""
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        (row,) = add_health(session, operator_id, [_row(router, _node_name(session, router))])
        found = abilities.learnt(session, router)
    said = found if as_json else [abilities.sentence(one) for one in found]
    common.show_one({**row, "learnt": said}, as_json=as_json)


def _first_api(
    user: str | None, secret: tuple[bool, Path | None, bool], options: dict[str, Any], *, needed: bool
) -> dict[str, Any] | None:
    """What is set of a new router's API; None where nothing was said of it. Raises Problem."""
    from_stdin, file, generate = secret
    if user is None:
        if needed:
            raise Problem("A router with --no-radius is reached over its API; name its user with --api-user.")
        if options or from_stdin or file is not None or generate:
            raise Problem("An API needs a user; name it with --api-user.")
        return None
    letters = SECRET_LETTERS if generate else 0
    password, _ = read_secret("api-password", from_stdin=from_stdin, file=file, generate=letters)
    return {"username": user, "password": password, **options}


def _node(session: Session, name: str | None) -> dict[str, Any]:
    return {} if name is None else {"node_id": node_by_name(session, name).id if name else None}


def _node_name(session: Session, router: Router) -> str | None:
    return session.get_one(Node, router.node_id).name if router.node_id is not None else None


def _row(router: Router, node: str | None) -> dict[str, Any]:
    return {
        "name": router.name,
        "address": str(router.address),
        "radius": router.secret is not None,
        "coa_address": str(router.coa_address),
        "coa_port": router.coa_port,
        "nas_address": str(router.nas_address) if router.nas_address else "",
        "dynamic_authorization": router.dynamic_authorization,
        "coa_address_list": router.coa_address_list,
        "require_message_authenticator": router.require_message_authenticator,
        "coa_message_authenticator": router.coa_message_authenticator,
        "coa_window": router.coa_window,
        "node": node,
        **api_row(router),
    }
