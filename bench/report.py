"""What a bench hands over: a table for people and one JSON object for machines."""

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.targets import TARGETS


def to_stderr(line: str) -> None:
    """How far a bench is, for whoever waits."""
    print(line, file=sys.stderr, flush=True)


def machine() -> str:
    """Processor, cores, memory and kernel: what a figure needs to be compared."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores, {kib / 2**20:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}"
    )


def record(name: str, results: Mapping[str, Any]) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"bench": name, "date": now, "machine": machine(), "results": dict(results)}


def write(name: str, results: Mapping[str, Any], path: Path) -> None:
    """One JSON object; a key that was not measured holds null."""
    path.write_text(json.dumps(record(name, results), indent=2, allow_nan=False) + "\n")


def show(name: str, results: Mapping[str, Any], console: Console | None = None) -> None:
    """The targets of this bench with verdicts, the servers side by side, then every other figure."""
    console = console or Console()
    targets = TARGETS.get(name, ())
    table = Table(title=f"bench {name}: {machine()}")
    for heading in ("what", "key", "measured", "must", "aim", "holds"):
        table.add_column(heading, justify="left" if heading in {"what", "key", "holds"} else "right")
    for target in targets:
        value = results.get(target.key)
        measured = "not measured" if value is None else f"{value:,}"
        table.add_row(target.what, target.key, measured, f"{target.must:g}", f"{target.aim:g}", target.verdict(value))
    console.print(table)
    servers: Mapping[str, Mapping[str, Any]] = results.get("servers", {})
    if servers:
        side_by_side = Table(title="side by side, medians of the rounds")
        columns = list(next(iter(servers.values())))
        for heading in ("", *columns):
            side_by_side.add_column(heading.replace("_", " "), justify="right")
        for key, figures in servers.items():
            side_by_side.add_row(key, *(_cell(figures.get(column)) for column in columns))
        console.print(side_by_side)
    shown = {target.key for target in targets} | {"servers"}
    console.print(", ".join(f"{key} {_cell(value)}" for key, value in results.items() if key not in shown))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return []
