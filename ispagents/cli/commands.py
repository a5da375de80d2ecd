"""Mounts every noun on the command line."""

from __future__ import annotations

import typer

from ispagents.cli import (
    change,
    db,
    hold,
    invoice,
    operator,
    payment,
    plan,
    router,
    service,
    subscriber,
    timeline,
)

NOUNS = {
    "operator": operator.app,
    "plan": plan.app,
    "subscriber": subscriber.app,
    "service": service.app,
    "router": router.app,
    "invoice": invoice.app,
    "payment": payment.app,
    "hold": hold.app,
    "change": change.app,
    "db": db.app,
}


def mount(app: typer.Typer) -> None:
    """Add all commands."""
    for name, commands in NOUNS.items():
        app.add_typer(commands, name=name)
    app.command("timeline")(timeline.timeline)
