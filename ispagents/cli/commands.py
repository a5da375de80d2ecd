"""Mounts every noun on the command line."""

from __future__ import annotations

import typer

from ispagents.cli import operator


def mount(app: typer.Typer) -> None:
    """Add all commands."""
    app.add_typer(operator.app, name="operator")
