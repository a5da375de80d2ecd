"""`ispagents up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from ispagents.cli import common
from ispagents.installation import running, web_url
from ispagents.settings import load


def up() -> None:
    """Run everything on this machine: database, edge, FreeRADIUS, worker and web. Ctrl-C stops it."""
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(Text(f"ispagents: {text}"))

    state = common.own_state_folder()
    with running(state, load(state.path), say) as installation:
        settings = installation.settings
        if settings.freeradius == "own":
            say(
                f"RADIUS on {settings.radius_address}, authentication port {settings.radius_auth_port}, "
                f"accounting port {settings.radius_acct_port}"
            )
        else:
            say("RADIUS is the FreeRADIUS that was here before; `ispagents freeradius doctor` examines it")
        say(f"web on {web_url(settings)}")
        say(f"state in {installation.state.path}; logs in {installation.state.log}")
        say("everything is up; Ctrl-C stops it")
        installation.supervisor.wait()
    say("everything has stopped")
