"""`ispagents status`: every process, port, URL, database and folder, for people and for programs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.text import Text
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ispagents.cli import common
from ispagents.cli.common import JsonOption
from ispagents.database import find
from ispagents.errors import Problem
from ispagents.installation import details_file
from sql.roles import Role

SKEW_RED_S = 5.0
SILENT_RED_S = 10.0
SPOOL_LOW_BYTES = 512 * 2**20
SPOOL_LATE_S = 300.0


def status(as_json: JsonOption = False) -> None:
    """Say what runs, where, and how it is. Exit code 1 when something is wrong."""
    found = collect()
    if as_json:
        common.print_json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(1)


def collect() -> dict[str, Any]:
    """Everything that `status --json` prints. Raises Problem when nothing runs."""
    state = common.state_folder()
    kept = state.read_status() if state.path.is_dir() else None
    holder = state.holder() if state.path.is_dir() else None
    if kept is None or holder is None or not details_file(state).exists():
        raise Problem(
            f"ISPAgents is not running with the state folder {state.path}; start it with `ispagents up` "
            "(or `ispagents demo`), or name another folder with --state."
        )
    found: dict[str, Any] = {**json.loads(details_file(state).read_text()), **kept}
    found["problems"] = [
        f"{name} is {child['state']}: {child.get('reason') or 'see ' + child['log']}"
        for name, child in found.get("children", {}).items()
        if child["state"] != "running"
    ]
    found["problems"] += [
        f"{name} is running but frozen (process {child['pid']} is stopped); send it SIGCONT, or restart it"
        for name, child in found.get("children", {}).items()
        if child["state"] == "running" and _is_frozen(child["pid"])
    ]
    found["nodes"], found["changes"] = [], {}
    try:
        found["nodes"], found["changes"] = _database_says()
        found["problems"] += _change_problems(found["changes"])
    except (SQLAlchemyError, Problem) as error:
        found["problems"].append(f"the database does not answer: {str(error).splitlines()[0]}")
    for node in found["nodes"]:
        found["problems"] += _node_problems(node)
    return found


def _is_frozen(pid: int) -> bool:
    """Whether a process was stopped by a signal: it answers nobody and dies of nothing."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return False
    return fields[0] in ("T", "t")


def _change_problems(changes: dict[str, int]) -> list[str]:
    sentences = {
        "stuck_steps": "changes that live sessions could not be given: {}; `ispagents change show ID` says why",
        "unbilled_services": "services that could not be billed: {}; `ispagents billing problems` says why",
        "late_billing_runs": "operators whose billing is three hours late: {}; see the worker's log",
        "late_steps": "changes on their way to routers for more than a minute: {}; they are tried again",
        "waiting_reviews": "services that have waited for the worker for more than a minute: {}; see its log",
        "unverified_steps": "live sessions that still have the earlier access, although their router acknowledged the "
        "change: {}; `ispagents change list` and `ispagents change show ID` say which and what to try",
        "silent_routers": "routers that do not answer CoA while changes wait for them: {}; `ispagents network status`",
        "offline_routers": "routers that do not answer their API: {}; `ispagents router health` says which and why",
        "open_findings": "things on routers or in accounting that are not as billing says: {}; `ispagents drift list`",
        "stopped_operators": "operators who have stopped all network writes, so that their changes wait: {}; "
        "`ispagents network start` lets them go on",
        "silent_payment_feeds": "operators who have had no payment for longer than is set, so that nobody is suspended "
        "there: {}; see whether payments still come in",
        "silent_standing_feeds": "operators who have not heard from their billing system for longer than is set, so "
        "that nobody is suspended there: {}; `ispagents standing list` says since when",
        "failed_notices": "notices that could not be sent within a day: {}; `ispagents notice list --failed` says why",
        "unknown_notices": "notices that may or may not have been sent, since the worker or the gateway gave no "
        "answer: {}; `ispagents notice list --failed` shows them",
        "late_notices": "notices that have waited for more than ten minutes: {}; see the worker's log",
    }
    return [sentences[name].format(count) for name, count in changes.items() if count]


def _database_says() -> tuple[list[dict[str, Any]], dict[str, int]]:
    databases = find(common.state_folder(), common.settings())
    engine = databases.engine(Role.WEB, pool=1)
    try:
        with engine.connect() as connection:
            rows = connection.execute(
                text("""
                SELECT name, host(address) AS address, generation, snapshot::text AS snapshot, services, lag_s,
                    clock_skew_s, spool_waiting AS spool_waiting_bytes, spool_free_bytes, spool_oldest_s, spool_refuses,
                    reported_at
                FROM nodes ORDER BY name
                """)
            )
            nodes = [dict(row) for row in rows.mappings()]
            changes = connection.execute(text("SELECT * FROM machine_health()")).mappings().one()
            notices = connection.execute(text("SELECT * FROM notice_health()")).mappings().one()
            feeds = connection.execute(text("SELECT * FROM feed_health()")).mappings().one()
            billing = connection.execute(text("SELECT * FROM billing_health()")).mappings().one()
            return nodes, {**changes, **notices, **feeds, **billing}
    finally:
        engine.dispose()


def _node_problems(node: dict[str, Any]) -> list[str]:
    problems = []
    silent_s = (datetime.now(UTC) - node["reported_at"]).total_seconds()
    if silent_s > SILENT_RED_S:
        problems.append(f"edge of {node['name']} has not reported for {silent_s:.0f} s")
    if abs(node["clock_skew_s"]) > SKEW_RED_S:
        problems.append(f"the clock of {node['name']} is {node['clock_skew_s']:.1f} s off the database's")
    if node["spool_refuses"]:
        problems.append(
            f"the disk of {node['name']} is full, so accounting is not acknowledged and routers send it again; "
            "make room"
        )
    elif node["spool_free_bytes"] is not None and node["spool_free_bytes"] < SPOOL_LOW_BYTES:
        problems.append(
            f"the disk of {node['name']} is nearly full: {node['spool_free_bytes'] >> 20} MiB are left, and below 16 "
            "accounting is not taken any more; make room"
        )
    if node["spool_oldest_s"] > SPOOL_LATE_S:
        problems.append(
            f"accounting on {node['name']} has waited for {node['spool_oldest_s'] / 60:.0f} minutes: who is online is "
            "known, but bytes are still being counted"
        )
    return problems


def _print(found: dict[str, Any]) -> None:
    console = Console(highlight=False)

    def line(name: str, value: str, style: str = "") -> None:
        console.print(Text(f"{name:<16}") + Text(value, style=style), soft_wrap=True)

    for name, child in found.get("children", {}).items():
        style = "green" if child["state"] == "running" else "bold red"
        line(name, f"{child['state']}, pid {child['pid']}, restarts {child['restarts']}, log {child['log']}", style)
    radius = found["radius"]
    line("RADIUS", f"{radius['address']}, authentication {radius['auth_port']}, accounting {radius['acct_port']}")
    line("web pages", found["web"]["url"])
    for role, url in found["databases"].items():
        line("database " + role.removeprefix("ispagents_"), url)
    for name, folder in found["folders"].items():
        line(name, folder)
    for node in found["nodes"]:
        line(
            "node",
            f"{node['name']}: {node['services']} services in replica {node['generation']}, last catch-up "
            f"{node['lag_s'] * 1000:.0f} ms, clock {node['clock_skew_s']:+.3f} s, "
            f"{node['spool_waiting_bytes']} bytes of accounting wait",
        )
    for problem in found["problems"]:
        line("problem", problem, "bold red")
