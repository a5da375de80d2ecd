"""`ispagents simulate`: hands its arguments to the package `simulation`, which stands on top of everything else."""

from __future__ import annotations

from importlib import import_module

import typer

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def simulate(context: typer.Context) -> None:
    """Live through the whole life of changes with virtual time and seeded faults; says what is wrong, if anything."""
    # By name, not by import: simulation imports this package, and only a simulation needs its machinery.
    app = import_module("simulation.command").app
    code = app(args=context.args, prog_name="ispagents simulate", standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)
