"""`ispagents hold`: promises not to suspend a service before a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import moment
from sql.customers import service_by_username
from sql.holds import add_hold, end_hold
from sql.listing import holds
from sql.models import Hold

app = typer.Typer(no_args_is_help=True, help="Promises not to suspend a service before a moment.")

EMPTY = "There is no hold; grant one with `ispagents hold add USERNAME --until 2026-12-05 --reason 'pays on Friday'`."


@app.command("add")
def add(
    username: str,
    until: Annotated[str, typer.Option(help="2026-12-05, or ISO 8601 with an offset.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")],
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Do not suspend a service before a moment."""
    end = moment(until, common.time_zone(operator))
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        hold = add_hold(session, service, until=end, reason=reason, actor=common.actor())
        session.refresh(hold)
        row = _row(hold, service.username)
    common.show_one(row, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List holds, the newest first."""
    with common.acting(operator) as (session, operator_id):
        rows = [_row(hold, name) for hold, name in holds(session, operator_id, after=after, limit=limit)]
    common.show(
        rows,
        as_json=as_json,
        title="Holds",
        empty=common.nothing(EMPTY, search="", after=after),
        columns=("id", "username", "state", "until", "reason", "granted_by"),
        more=common.more(rows, limit, "id"),
    )


@app.command("end")
def end(hold_id: common.Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End a hold now."""
    with common.acting(operator) as (session, operator_id):
        hold = end_hold(session, operator_id, hold_id, actor=common.actor())
        session.refresh(hold)
        row = {"id": hold.id, "state": "ended", "ended_at": hold.ended_at}
    common.show_one(row, as_json=as_json)


def _row(hold: Hold, username: str) -> dict[str, Any]:
    return {
        "id": hold.id,
        "username": username,
        "state": _state(hold),
        "until": hold.until,
        "reason": hold.reason,
        "granted_by": hold.granted_by,
        "created_at": hold.created_at,
        "ended_at": hold.ended_at,
    }


def _state(hold: Hold) -> str:
    if hold.ended_at is not None:
        return "ended"
    return "over" if hold.until is not None and hold.until <= datetime.now(UTC) else "holds"
