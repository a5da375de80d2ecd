"""`ispagents router health`: each way to each router, in a table; of one router everything, with its last hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from ispagents.cli import common
from ispagents.cli.common import AfterOption, JsonOption, LimitOption, OperatorOption
from ispagents.cli.router import EMPTY
from policy.wording import span
from sql.customers import router_by_name
from sql.listing import routers
from sql.router_checks import health_rows, hours
from sql.sessions import database_time

HOURS = 24
HOURS_MAXIMUM = 90 * 24
_NOTHING = "-"


def router_health(
    name: Annotated[str | None, typer.Argument(show_default=False, help="One router, with all that is known.")] = None,
    history_hours: Annotated[
        int, typer.Option("--hours", min=0, max=HOURS_MAXIMUM, help="Of one router: so many hours of its past.")
    ] = HOURS,
    limit: LimitOption = common.ROWS,
    after: AfterOption = "",
    operator: OperatorOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say how routers answer: RADIUS, CoA and API, since when, how fast, and what to look at."""
    if name is not None:
        _one(name, history_hours, operator, as_json=as_json)
        return
    with common.acting(operator) as (session, operator_id):
        found = [router for router, _ in routers(session, operator_id, after=after, limit=limit)]
        rows = health_rows(session, found)
    common.show(
        rows if as_json else [_short(row) for row in rows],
        as_json=as_json,
        title="Routers",
        empty=common.nothing(EMPTY, search="", after=after),
        more=common.more(rows, limit, "name"),
    )


def _one(name: str, history_hours: int, operator: str, *, as_json: bool) -> None:
    with common.acting(operator) as (session, operator_id):
        router = router_by_name(session, operator_id, name)
        (row,) = health_rows(session, [router])
        since = database_time(session) - timedelta(hours=history_hours)
        history = hours(session, router, since) if history_hours else []
    if as_json:
        common.print_json({**row, "history": history})
        return
    common.show_one(_told(row), as_json=False)
    ways = [{"way": way, **path} for way, path in row["paths"].items()]
    columns = ("way", "state", "since", "succeeded_at", "failed_at", "failures_in_a_row", "latency_ms", "circuit")
    common.show(ways, as_json=False, title="Ways", empty="", columns=columns)
    if history:
        common.show(history, as_json=False, title="Hours (UTC)", empty="")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A router in a line of a table."""
    api, facts = row["paths"].get("api", {}), row["facts"]
    states = {way: row["paths"].get(way, {}).get("state", _NOTHING) for way in ("radius", "coa", "api")}
    return {
        "name": row["name"],
        **states,
        "ms": api.get("latency_ms"),
        "cpu": facts.get("cpu_percent"),
        "version": facts.get("version"),
        "up": _up(facts),
        "look_at": _look_at(row),
    }


def _told(row: dict[str, Any]) -> dict[str, Any]:
    facts = row["facts"]
    hour = facts.get("radius_hour") or {}
    return {
        "name": row["name"],
        "state": row["state"],
        "look_at": _look_at(row),
        "version": facts.get("version"),
        "board": facts.get("board"),
        "up": _up(facts),
        "cpu_percent": facts.get("cpu_percent"),
        "clock_skew_s": facts.get("clock_skew_s"),
        "certificate_ends_at": facts.get("certificate_ends_at"),
        "radius_timeouts_this_hour": hour.get("timeouts"),
        "radius_bad_replies_this_hour": hour.get("bad_replies"),
        "self_test": row["self_test"],
    }


def _up(facts: dict[str, Any]) -> str:
    seconds = facts.get("uptime_s")
    return "" if seconds is None else span(timedelta(seconds=seconds))


def _look_at(row: dict[str, Any]) -> str:
    """The errors of its ways, then the notes."""
    errors = [f"{way}: {path['error']}" for way, path in row["paths"].items() if path["error"]]
    return " ".join([*errors, *row["notes"]])
