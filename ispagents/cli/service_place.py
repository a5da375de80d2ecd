"""`ispagents service place`: which router's own configuration holds services, instead of RADIUS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.cli.files import file_bytes
from ispagents.cli.output import print_lines
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from sql.customers import plan_by_name, router_by_name, service_by_username
from sql.models import Router, Service
from sql.placing import LOOKED_AT_ONCE, adopt, place_service
from sql.placing_many import Placing, judge, place_some

FILE_MAXIMUM_BYTES = 8 * 1024 * 1024
SHOWN = 20

Names = Annotated[
    list[str] | None, typer.Argument(metavar="USERNAME...", show_default=False, help="One service, or several.")
]


def place(
    usernames: Names = None,
    router: Annotated[str | None, typer.Option(help="The router whose configuration holds it from now on.")] = None,
    server: Annotated[str, typer.Option(help="The DHCP or hotspot server there; if not given, any.")] = "",
    radius: Annotated[
        bool, typer.Option("--radius", help="RADIUS controls it again; what is ours there goes.")
    ] = False,
    adopt_items: Annotated[
        bool, typer.Option("--adopt", help="What stands there under its names becomes ours, and is changed as needed.")
    ] = False,
    plan: Annotated[str, typer.Option(help="All open services of this plan, instead of names.")] = "",
    file: Annotated[Path | None, typer.Option(help="A file with a user name on each line, instead of names.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Of several: place them without asking.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what would be placed.")] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a router's own configuration hold services: secret, queue, lease or list there, written over its API.

    Several names, --plan or --file place many at once, after counts and one question.
    """
    names = usernames or []
    if sum((bool(names), bool(plan), file is not None)) != 1:
        raise Problem("Name services, or a --plan, or a --file of user names; one of the three.")
    if radius and (adopt_items or server or router is not None):
        raise Problem("--router, --adopt and --server are about a router; with --radius there is none.")
    if len(names) == 1 and not preview:
        _place_one(names[0], router, server, radius=radius, adopt_items=adopt_items, operator=operator, as_json=as_json)
        return
    if router is None or adopt_items:
        raise Problem(
            "Many at once are given to a router with --router; say --radius and --adopt for one service at a time."
        )
    if not yes and not preview and (as_json or not sys.stdin.isatty()):
        raise Problem("There is no terminal to ask on; say --yes, or --preview to see what would be placed.")
    if file is not None:
        names = _names_of(file)
    with common.acting(operator) as (session, operator_id):
        holder = router_by_name(session, operator_id, router)
        chosen = plan_by_name(session, operator_id, plan) if plan else None
        judged = judge(session, operator_id, holder, names=names, plan=chosen, server=server)
    if not as_json:
        _show(judged, router)
    asked = not preview and judged.ids and (yes or typer.confirm(f"Let {router} hold these {len(judged.ids)}?"))
    late = _place_many(operator, router, judged.ids, server) if asked else []
    _report(judged, late, router, placed=bool(asked), as_json=as_json)


def _place_one(
    username: str,
    router: str | None,
    server: str,
    *,
    radius: bool,
    adopt_items: bool,
    operator: str,
    as_json: bool,
) -> None:
    if router is None and not radius and not adopt_items:
        raise Problem("Name the router with --router, or say --radius; one of the two.")
    if server and router is None:
        raise Problem("--server is about a router; name it with --router.")
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        if router is not None or radius:
            found = router_by_name(session, operator_id, router) if router is not None else None
            place_service(session, service, found, server, actor=common.actor())
        if adopt_items:
            adopt(session, service, actor=common.actor())
        row = _row(session, service)
    common.show_one(row, as_json=as_json)


def _place_many(operator: str, router: str, ids: Sequence[int], server: str) -> list[tuple[str, str]]:
    """Each portion in a transaction of its own; cut off anywhere, the same command goes on with the rest."""
    refused: list[tuple[str, str]] = []
    for start in range(0, len(ids), LOOKED_AT_ONCE):
        some = ids[start : start + LOOKED_AT_ONCE]
        with common.acting(operator) as (session, operator_id):
            holder = router_by_name(session, operator_id, router)
            refused += place_some(session, operator_id, holder, some, server, actor=common.actor())
    return refused


def _show(judged: Placing, router: str) -> None:
    for words, counts in (("by method", judged.methods), ("now held by", judged.now_on)):
        if counts:
            print_lines(f"{words}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}")
    print_lines(
        f"{len(judged.ids)} would be held by {router}, {judged.there} are already, {len(judged.refused)} cannot be."
    )
    for name, why in judged.refused[:SHOWN]:
        print_lines(f"  {name}: {why}")
    if len(judged.refused) > SHOWN:
        print_lines(f"  and {len(judged.refused) - SHOWN} more; --json has all of them.")


def _report(judged: Placing, late: list[tuple[str, str]], router: str, *, placed: bool, as_json: bool) -> None:
    refused = [*judged.refused, *late]
    count = len(judged.ids) - len(late) if placed else 0
    if as_json:
        common.print_json(
            {
                "router": router,
                "would_place": len(judged.ids),
                "placed": count,
                "there_already": judged.there,
                "methods": judged.methods,
                "now_held_by": judged.now_on,
                "refused": [{"username": name, "why": why} for name, why in refused],
            }
        )
    elif placed:
        for name, why in late[:SHOWN]:
            print_lines(f"  {name}: {why}")
        print_lines(f"{router} holds {count} more services from now on; `ispagents drift list` has what hinders any.")
    elif judged.ids:
        print_lines("Nothing was changed.")
    if refused:
        raise typer.Exit(PROBLEM_EXIT_CODE if not judged.ids and not judged.there else 1)


def _names_of(file: Path) -> list[str]:
    """The user names of a file, one on each line. Raises Problem."""
    data = file_bytes(file, FILE_MAXIMUM_BYTES)
    if len(data) > FILE_MAXIMUM_BYTES:
        raise Problem(f"The file {str(file)!r} is larger than {FILE_MAXIMUM_BYTES} bytes; place fewer at once.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"The file {str(file)!r} is not valid UTF-8.") from error
    names = [line.removesuffix("\r") for line in text.split("\n")]
    found = [name for name in names if name]
    if not found:
        raise Problem(f"The file {str(file)!r} holds no user name; write one on each line.")
    return found


def _row(session: Session, service: Service) -> dict[str, Any]:
    router = session.get(Router, service.control_router_id) if service.control_router_id is not None else None
    return {
        "username": service.username,
        "router": router.name if router is not None else "",
        "server": service.device.get("server", ""),
        "controlled_by": "the router's own configuration" if router is not None else "RADIUS",
    }
