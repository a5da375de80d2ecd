"""ISPAgents' own server: FreeRADIUS with radius_module on a replica, as `ispagents` sets it up."""

from typing import Final

from bench.servers.contract import LoginServer

THREADS: Final = 4  # the number that we ship, and no other: our own settings do not compete


def own_server() -> LoginServer | None:
    """A new server that is not started yet; None while it is not built, and the bench then measures the baselines."""
    return None
