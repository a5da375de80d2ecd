"""ISPAgents' own server: FreeRADIUS with radius_module on a replica, as `ispagents` sets it up."""

from typing import Final

from bench.servers.contract import LoginServer

POOLS: Final = (4,)  # the number of threads that we ship, and no other: this is no contest of settings


def own_server() -> LoginServer | None:
    """A new server that is not started yet; None while it is not built, and the bench then measures the baselines."""
    return None
