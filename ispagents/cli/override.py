"""`ispagents override`: earlier accesses that people gave back for a while; and `ispagents change undo`, which does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer

from ispagents.cli import common
from ispagents.cli.batch import BeforeOption, ReasonOption, UntilOption
from ispagents.cli.common import JsonOption, LimitOption, OperatorOption
from ispagents.cli.inputs import moment
from sql.intent import change_by_id
from sql.models import Override, Service
from sql.undo import end_override, overrides
from sql.undo import undo as undo_change

app = typer.Typer(no_args_is_help=True, help="Earlier accesses that people gave back for a while.")

EMPTY = "There is no override; `ispagents change undo ID --until 2026-12-05 --reason '...'` makes one."


def undo(
    change_id: common.Id,
    until: UntilOption,
    reason: ReasonOption,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Give back the access before a change, until a moment; it becomes a change of its own, approved like any other."""
    end = moment(until, common.time_zone(operator))
    with common.acting(operator) as (session, operator_id):
        change = change_by_id(session, operator_id, change_id)
        made = undo_change(session, change, until=end, reason=reason, by=common.actor())
        session.refresh(made)
        row = _row(made, session.get_one(Service, made.service_id).username)
    common.show_one({**row, "said": "It is planned now; `ispagents change list` shows it."}, as_json=as_json)


@app.command("list")
def list_all(
    limit: LimitOption = common.ROWS,
    before: BeforeOption = common.ID_MAXIMUM,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List overrides, the newest first."""
    with common.acting(operator) as (session, operator_id):
        found = overrides(session, operator_id, before=before, limit=limit)
        rows = [_row(override, username) for override, username in found]
    more = f"There are more: go on with --before {rows[-1]['id']}." if len(rows) == limit else ""
    columns = ("id", "username", "state", "until", "reason", "granted_by", "undoes_change")
    common.show(rows, as_json=as_json, title="Overrides", empty=EMPTY, columns=columns, more=more)


@app.command("end")
def end(override_id: common.Id, operator: OperatorOption = "", as_json: JsonOption = False) -> None:
    """End an override now; billing's word counts again."""
    with common.acting(operator) as (session, operator_id):
        found = end_override(session, operator_id, override_id, by=common.actor())
        session.refresh(found)
        row = {"id": found.id, "state": "ended", "ended_at": found.ended_at}
    common.show_one(row, as_json=as_json)


def _row(override: Override, username: str) -> dict[str, Any]:
    return {
        "id": override.id,
        "username": username,
        "state": _state(override),
        "until": override.until,
        "reason": override.reason,
        "granted_by": override.granted_by,
        "undoes_change": override.undoes_change_id,
        "facts": override.facts,
        "created_at": override.created_at,
        "ended_at": override.ended_at,
    }


def _state(override: Override) -> str:
    if override.ended_at is not None:
        return "ended"
    return "over" if override.until <= datetime.now(UTC) else "holds"
