"""`ispagents router script`: the RouterOS commands that connect a router, and those that take them back."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import why
from ispagents.cli.inputs import LETTERS, SECRET_LETTERS
from ispagents.cli.output import print_lines, show_one
from ispagents.errors import Problem
from policy.routeros.bootstrap import GROUP, Bootstrap
from policy.routeros.garden import read_garden
from policy.routeros.script import connect_script, undo_script
from sql.customers import router_by_name
from sql.models import Node, Router
from sql.router_store import PLAIN, api_port, change_router, set_api


class Release(StrEnum):
    """Releases whose commands differ."""

    SIX = "6"
    SEVEN = "7"


class Asks(StrEnum):
    """What asks RADIUS."""

    PPP = "ppp"
    HOTSPOT = "hotspot"
    DHCP = "dhcp"


def bootstrap_script(
    name: str,
    release: Annotated[Release, typer.Option("--for", help="The RouterOS of the router.")] = Release.SEVEN,
    undo: Annotated[bool, typer.Option("--undo", help="The script that takes the other one back.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write it into this new file, which nobody else may read.")] = None,
    new_secrets: Annotated[
        bool, typer.Option("--new-secrets", help="Make another RADIUS secret and API password; they are shown once.")
    ] = False,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make another API password; the RADIUS secret stays.")
    ] = False,
    no_api: Annotated[bool, typer.Option("--no-api", help="Leave the router's API alone.")] = False,
    read_passwords: Annotated[
        bool,
        typer.Option(
            "--read-passwords", help="Let the API's user read passwords back, as `router inspect` needs for an import."
        ),
    ] = False,
    server: Annotated[str, typer.Option(help="This machine's address, as the router sees it.")] = "",
    service: Annotated[
        list[Asks] | None, typer.Option(help="What asks RADIUS; ppp and hotspot if not given. Can be repeated.")
    ] = None,
    ntp: Annotated[list[str] | None, typer.Option(help="A time server for the router; at most two.")] = None,
    time_zone: Annotated[str, typer.Option(help="The time zone of the router, such as Europe/Warsaw.")] = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Print the commands that connect a router: RADIUS, CoA, API, walled garden, clock. They can be run again."""
    if undo and (new_secrets or new_password):
        raise Problem("The undo holds no secrets; leave --new-secrets and --new-password out.")
    if no_api and (new_password or read_passwords):
        raise Problem("--no-api leaves the API alone; leave --new-password and --read-passwords out.")
    with _new_file(out) as file:
        with common.acting(operator) as (session, operator_id):
            router = router_by_name(session, operator_id, name)
            if undo:
                made, script = [], undo_script(router.name, int(release))
            else:
                wanted = Bootstrap(
                    name=router.name,
                    release=int(release),
                    server=_server(session, router, server),
                    address=str(router.nas_address or router.address),
                    read_passwords=read_passwords,
                    garden=read_garden(router.style),
                    ntp=tuple(ntp or ()),
                    time_zone=time_zone,
                    **_radius(router, service, new=new_secrets),
                    **_api(router, none=no_api, new=new_secrets or new_password),
                )
                script = connect_script(wanted)
                made = _store(session, router, wanted)
        if file is not None:
            file.write(script)
    _print({"name": name, "for": release.value, "undo": undo, "made": made}, script, out, as_json=as_json)


def _print(row: dict[str, Any], script: str, out: Path | None, *, as_json: bool) -> None:
    if as_json:
        common.print_json({**row, **({"script": script} if out is None else {"file": str(out)})})
    elif out is None:
        print_lines(script.rstrip("\n"))
    else:
        shown = {"file": str(out), "said": "Copy it to the router, /import it there, and delete both."}
        show_one({**row, **shown}, as_json=False)


def _radius(router: Router, services: list[Asks] | None, *, new: bool) -> dict[str, Any]:
    if services and router.secret is None and not new:
        raise Problem(f"The router {router.name!r} has no RADIUS secret; --new-secrets makes one.")
    if services is None:
        services = [Asks.PPP, Asks.HOTSPOT] if router.secret is not None else []
    settings = common.settings()
    return {
        "services": tuple(dict.fromkeys(one.value for one in services)),
        "secret": _secret() if new and services else None,
        # A port of 0 takes any free one, which no router could know: trials only.
        "auth_port": settings.radius_auth_port or 1812,
        "acct_port": settings.radius_acct_port or 1813,
        "coa_port": router.coa_port,
    }


def _api(router: Router, *, none: bool, new: bool) -> dict[str, Any]:
    if none or not (new or router.api_username):
        return {}
    return {
        "api_user": router.api_username or GROUP,
        "password": _secret() if new else None,
        "api_port": api_port(router),
        "api_plain": router.api_security == PLAIN,
    }


def _store(session: Session, router: Router, wanted: Bootstrap) -> list[str]:
    """Keep what was made, sealed; what it was, in words."""
    made = []
    if wanted.secret is not None:
        change_router(session, router, box=common.box(), actor=common.actor(), secret=wanted.secret)
        made.append("RADIUS secret")
    if wanted.password is not None:
        new = {"username": wanted.api_user, "password": wanted.password}
        set_api(session, router, box=common.box(), actor=common.actor(), **new)
        made.append("API password")
    return made


def _server(session: Session, router: Router, said: str) -> str:
    """Our address, as the router sees it. Raises Problem where none is known that a router could reach."""
    node = session.get(Node, router.node_id) if router.node_id is not None else None
    found = said or (str(node.address) if node is not None else common.settings().node_address)
    try:
        address = ipaddress.ip_address(found)
    except ValueError as error:
        raise Problem(f"{found!r} is not an address; give this machine's own as the router sees it.") from error
    if address.is_unspecified or (address.is_loopback and not said):
        raise Problem(
            f"No router reaches {found}, which is the address of this node; say --server ADDRESS, "
            "or set ISPAGENTS_NODE_ADDRESS."
        )
    return str(address)


def _secret() -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(SECRET_LETTERS))


@contextmanager
def _new_file(path: Path | None) -> Iterator[TextIOWrapper | None]:
    """A file that did not exist, for us alone; it is removed where what follows fails. Raises Problem."""
    if path is None:
        yield None
        return
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Problem(f"The file {str(path)!r} is there already; name a new one.") from error
    except (OSError, ValueError) as error:
        raise Problem(f"The file {str(path)!r} cannot be written: {why(error)}.") from error
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            yield file
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
