"""`ispagents service place`: which router's own configuration holds a service, instead of RADIUS."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from ispagents.errors import Problem
from sql.customers import router_by_name, service_by_username
from sql.models import Router, Service
from sql.placing import adopt, place_service


def place(
    username: str,
    router: Annotated[str | None, typer.Option(help="The router whose configuration holds it from now on.")] = None,
    server: Annotated[str, typer.Option(help="The DHCP or hotspot server there; if not given, any.")] = "",
    radius: Annotated[
        bool, typer.Option("--radius", help="RADIUS controls it again; what is ours there goes.")
    ] = False,
    adopt_items: Annotated[
        bool, typer.Option("--adopt", help="What stands there under its names becomes ours, and is changed as needed.")
    ] = False,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a router's own configuration hold a service: secret, queue, lease or list there, written over its API."""
    if radius == (router is not None) and not (adopt_items and not radius):
        raise Problem("Name the router with --router, or say --radius; one of the two.")
    if radius and (adopt_items or server):
        raise Problem("--adopt and --server are about a router; with --radius there is none.")
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        if router is not None or radius:
            found = router_by_name(session, operator_id, router) if router is not None else None
            place_service(session, service, found, server, actor=common.actor())
        if adopt_items:
            adopt(session, service, actor=common.actor())
        row = _row(session, service)
    common.show_one(row, as_json=as_json)


def _row(session: Session, service: Service) -> dict[str, Any]:
    router = session.get(Router, service.control_router_id) if service.control_router_id is not None else None
    return {
        "username": service.username,
        "router": router.name if router is not None else "",
        "server": service.device.get("server", ""),
        "controlled_by": "the router's own configuration" if router is not None else "RADIUS",
    }
