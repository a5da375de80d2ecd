"""`ispagents network`: the switch that stops all network writes at once, and how routers answer."""

from __future__ import annotations

from typing import Any

import typer
from sqlalchemy.orm import Session

from ispagents.cli import common
from ispagents.cli.common import JsonOption, OperatorOption
from sql.brakes import set_network_writes, waiting_steps
from sql.models import Operator
from sql.router_health import silent_routers

app = typer.Typer(no_args_is_help=True, help="Stop all network writes at once, and let them go on.")

SILENT_SHOWN = 100


@app.command("stop")
def stop(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Send nothing more to any router. What is on its way finishes; logins and accounting go on."""
    with common.acting(operator) as (session, operator_id):
        new = set_network_writes(session, operator_id, stopped=True, by=common.actor())
        row = _state(session, operator_id)
    said = "All network writes are stopped" if new else "They were stopped already"
    common.show_one({**row, "said": f"{said}; `ispagents network start` lets them go on."}, as_json=as_json)


@app.command("start")
def start(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Let network writes go on; what waited is sent at once, in its order."""
    with common.acting(operator) as (session, operator_id):
        new = set_network_writes(session, operator_id, stopped=False, by=common.actor())
        row = _state(session, operator_id)
    said = "Network writes go on." if new else "They were not stopped."
    common.show_one({**row, "said": said}, as_json=as_json)


@app.command("status")
def status(operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """Say whether network writes are stopped, what waits, and which routers do not answer."""
    with common.acting(operator) as (session, operator_id):
        row = _state(session, operator_id)
        routers = silent_routers(session, operator_id, SILENT_SHOWN)
    if as_json:
        common.print_json({**row, "silent_routers": routers})
        return
    common.show_one(row, as_json=False)
    if routers:
        common.show(
            routers,
            as_json=False,
            title="Routers that do not answer",
            empty="",
            columns=("name", "health", "down_since", "left_alone_until", "answered_at"),
        )


def _state(session: Session, operator_id: int) -> dict[str, Any]:
    found = session.get_one(Operator, operator_id, populate_existing=True)
    return {
        "operator": found.name,
        "network_writes": "stopped" if found.writes_stopped_at is not None else "on",
        "stopped_at": found.writes_stopped_at,
        "stopped_by": found.writes_stopped_by,
        "steps_due": waiting_steps(session, operator_id),
    }
