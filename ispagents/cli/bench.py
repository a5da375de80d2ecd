"""`ispagents bench`: hands its arguments to the package `bench`, which stands on top of everything else."""

from __future__ import annotations

from importlib import import_module

import typer

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def bench(context: typer.Context) -> None:
    """Measure logins and CoA side by side with the alternatives: `bench auth`, `bench coa`."""
    # By name, not by import: bench imports this package, and only a bench needs its machinery.
    app = import_module("bench.command").app
    code = app(args=context.args, prog_name="ispagents bench", standalone_mode=False)
    raise typer.Exit(code if isinstance(code, int) else 0)
