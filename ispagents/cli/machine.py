"""Mounts the commands that run and look at this machine; the nouns are in `commands`."""

from __future__ import annotations

import typer

from ispagents.cli import bench, demo, simulate, status, up


def mount(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up")(up.up)
    app.command("status")(status.status)
    app.command("demo")(demo.demo)
    app.command("bench", context_settings=bench.SETTINGS)(bench.bench)
    app.command("simulate", context_settings=simulate.SETTINGS)(simulate.simulate)
