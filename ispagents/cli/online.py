"""`ispagents online`, `sessions` and `usage`: who is online, how sessions ended, and what was used."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.output import bytes_text, moment_text, print_lines
from ispagents.errors import Problem
from policy.usage import local_day
from sql.customers import plan_by_name, router_by_name, service_by_username
from sql.models import Operator
from sql.sessions import database_time
from sql.traffic import (
    DAYS_MAXIMUM,
    HOURS_MAXIMUM,
    OnlineState,
    days_of,
    ending,
    hours_of,
    online,
    sessions_of,
    top,
)

usage_app = typer.Typer(no_args_is_help=True, help="What services have used, by hour or day, and who uses most.")

NOBODY = "Nobody is online."
NOTHING = "Nothing was used in that time."
BAR = 40


def who_is_online(
    router: Annotated[str, typer.Option(help="Only at this router.")] = "",
    plan: Annotated[str, typer.Option(help="Only services of this plan.")] = "",
    state: Annotated[OnlineState | None, typer.Option(help="Only those that have this.")] = None,
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the sessions that are open, page by page."""
    with common.acting(operator) as (session, operator_id):
        found = online(
            session,
            operator_id,
            router_id=router_by_name(session, operator_id, router).id if router else None,
            plan_id=plan_by_name(session, operator_id, plan).id if plan else None,
            state=state,
            after=_key(after) or 0,
            limit=limit,
        )
        rows = [{**row, "used": _used(row)} for row in found]
    common.show(
        rows,
        as_json=as_json,
        title="Online",
        empty=common.NO_MORE if after else NOBODY,
        columns=("id", "username", "router", "plan", "address", "rate_limit", "state", "used", "started_at"),
        more=common.more(rows, limit, "id"),
    )


def sessions(
    username: str,
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List the sessions of a service, the newest first, and why each ended."""
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        found = sessions_of(session, operator_id, service.id, after=_key(after), limit=limit)
        rows = [{**row, "why": ending(row), "used": _used(row)} for row in found]
    common.show(
        rows,
        as_json=as_json,
        title=f"Sessions of {username}",
        empty=common.NO_MORE if after else "It was never online.",
        columns=("id", "router", "mac", "started_at", "ended_at", "used", "why"),
        more=common.more(rows, limit, "id"),
    )


@usage_app.command("show")
def show(
    username: str,
    by: Annotated[str, typer.Option(help="hour or day.")] = "day",
    last: Annotated[int | None, typer.Option(min=1, max=DAYS_MAXIMUM, help="So many hours or days.")] = None,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show what a service has used, with a small plot."""
    if by not in ("hour", "day"):
        raise Problem(f"{by[:60]!r} is neither hour nor day.")
    with common.acting(operator) as (session, operator_id):
        service = service_by_username(session, operator_id, username)
        now = database_time(session)
        if by == "hour":
            number = min(last or 48, HOURS_MAXIMUM)
            rows = hours_of(session, service.id, now - timedelta(hours=number))
        else:
            today = local_day(now, session.get_one(Operator, operator_id).time_zone)
            rows = days_of(session, service.id, today - timedelta(days=(last or 31) - 1))
    if as_json or not rows:
        common.show(rows, as_json=as_json, title="Usage", empty=NOTHING)
        return
    print_lines("\n".join(_plot(rows)))


@usage_app.command("top")
def show_top(
    days: Annotated[int, typer.Option(min=1, max=31, help="Of the last so many days.")] = 1,
    limit: LimitOption = 20,
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """List who has used most."""
    with common.acting(operator) as (session, operator_id):
        today = local_day(database_time(session), session.get_one(Operator, operator_id).time_zone)
        found = top(session, operator_id, today - timedelta(days=days - 1), limit)
        rows = [
            {
                **row,
                "upload": bytes_text(row["upload_bytes"]),
                "download": bytes_text(row["download_bytes"]),
                "used": _used(row),
            }
            for row in found
        ]
    columns = ("username", "upload", "download", "used")
    common.show(rows, as_json=as_json, title="Top users", empty=NOTHING, columns=columns)


def _used(row: dict[str, Any]) -> str:
    return bytes_text(row["upload_bytes"] + row["download_bytes"])


def _plot(rows: list[dict[str, Any]]) -> list[str]:
    most = max(row["upload_bytes"] + row["download_bytes"] for row in rows) or 1
    lines = []
    for row in rows:
        used = row["upload_bytes"] + row["download_bytes"]
        at = row["at"]
        when = moment_text(at) if isinstance(at, datetime) else at.isoformat()
        bar = "#" * max(int(used > 0), used * BAR // most)
        lines.append(f"{when:<24}  {bar:<{BAR}}  {bytes_text(used):>9}  up {bytes_text(row['upload_bytes'])}")
    return lines


def _key(after: str) -> int | None:
    if not after:
        return None
    if not (after.isascii() and after.isdigit() and int(after) <= common.ID_MAXIMUM):
        raise Problem(f"{after[:60]!r} is no key of this list; take the one that the page before ends with.")
    return int(after)
