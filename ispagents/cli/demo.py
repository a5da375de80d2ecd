"""`ispagents demo`: the whole machine with a small ISP, and the main job told and checked."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from ispagents.cli import common
from ispagents.installation import running, wished_or_any
from ispagents.settings import load
from ispagents.state_folder import StateFolder

ANY_PORT = {"radius_auth_port": 0, "radius_acct_port": 0, "web_port": 0}


def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Play the story in a state folder of its own, check it, and leave.")
    ] = False,
) -> None:
    """Run everything with a small ISP and tell the story of a payment. Stays up for you until Ctrl-C."""
    from ispagents.demo.story import scene, tell  # noqa: PLC0415 - the simulators; no other command needs them

    console = Console(highlight=False)
    if once:
        raise typer.Exit(0 if _once(console) else 1)
    state = common.demo_state_folder()
    settings = wished_or_any(load(state.path))
    with (
        running(state, settings, lambda text: _say(console, text)) as installation,
        scene(installation, console, fixed_addresses=True) as stage,
    ):
        tell(stage)
        _say(console, "the ISP stays up; try these in another terminal, and stop it here with Ctrl-C:")
        for command in ("status", "service list", "change list", "subscriber show C0001", "timeline pppoe0001"):
            console.print(Text(f"    ispagents {command}"))
        installation.supervisor.wait()


def _once(console: Console) -> bool:
    from ispagents.demo.story import scene, tell  # noqa: PLC0415 - as above

    parent = Path(tempfile.mkdtemp(prefix="ispagents-demo-", dir=_roomy()))
    parent.chmod(0o711)
    state = StateFolder(parent / "state")
    held = False
    try:
        settings = common.settings(**ANY_PORT)
        with (
            running(state, settings, lambda text: _say(console, text)) as installation,
            scene(installation, console, fixed_addresses=False) as stage,
        ):
            held = tell(stage)
    finally:
        if held:
            shutil.rmtree(parent, ignore_errors=True)
        else:
            _say(console, f"the state folder {state.path} was kept, with its logs")
    return held


def _roomy() -> str:
    """Below /tmp every user may pass, which PostgreSQL's and FreeRADIUS's own users need."""
    return os.environ.get("TMPDIR", "/tmp") if os.geteuid() != 0 else "/tmp"  # noqa: S108 - mkdtemp makes it safe


def _say(console: Console, text: str) -> None:
    console.print(Text(f"ispagents: {text}"), soft_wrap=True)
