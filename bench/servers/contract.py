"""What a server must offer to be measured. Our own (`own.py`) and every baseline keep to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from bench.load import ExpectedRate

DISTRIBUTION_POOL: Final = 0
"""In place of a number of threads: the pool that FreeRADIUS ships, 5 growing to 32."""

SECRET: Final = "bench-secret-of-loopback"


class Endpoint(NamedTuple):
    """A server that answers now."""

    address: str
    port: int
    secret: str
    pid: int
    helpers: tuple[int, ...] = ()
    """Processes that work for the answers beside the server (a database); their children count too."""
    log: Path | None = None
    """Shown when the server fails."""


class LoginServer(Protocol):
    """Started, measured and stopped; started again for another number of users or threads after `stop`."""

    @property
    def name(self) -> str:
        """One or two words for the table."""

    @property
    def rate(self) -> ExpectedRate:
        """`plan` when every subscriber gets his plan's rate, `any` when the answer is the same for all."""

    def start(self, users: int, threads: int) -> Endpoint:
        """Returns when subscribers 0 to users-1 (`bench.subscribers`) can log in. Raises ServerError."""

    def stop(self) -> None:
        """Ends every process and removes every file of the last start; harmless when nothing runs."""


class ServerError(Exception):
    """A server under test did not come up or went away; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU of a server and its helpers so far, memory of the server now."""

    server_cpu_s: float
    helpers_cpu_s: float
    rss_mib: float
    pss_mib: float
