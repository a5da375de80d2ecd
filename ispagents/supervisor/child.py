"""What the supervisor runs, and what it knows about it."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from ispagents.processes import User

ALARMING: Final = r"(?i:\b(warn|warning|critical|fatal|panic|error)\b)|\b\w+(Error|Exception|Warning):|^Traceback\b"

Probe = Callable[[], bool] | Callable[[], Awaitable[bool]]


class ChildState(StrEnum):
    """Where a child is in its life."""

    STARTING = "starting"  # the process was started and is not ready yet
    RUNNING = "running"  # it was seen to be ready
    RESTARTING = "restarting"  # it died; the next start comes after a pause
    FAILED = "failed"  # it died several times in a row; it is still tried again, with the longest pause
    STOPPING = "stopping"
    STOPPED = "stopped"  # on request; it stays so until it is started


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to keep running.

    A program that must not run as root is started as its `user`; were it started as root and dropped its rights by
    itself, the kernel would forget its death signal and it would outlive a killed supervisor.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    inherit_environment: bool = True  # False: `env` is all it gets
    user: User | None = None
    working_folder: Path = Path("/")
    depends_on: tuple[str, ...] = ()  # ready before its first start, stopped after it; never awaited at a restart
    before_start: Callable[[], None] | None = None  # before every start, on a thread; a Problem fails the child at once
    ready: Probe | None = None  # asked until true; must answer within seconds; None: ready as soon as it has started
    ready_timeout_s: float = 60.0  # then it is killed, and that counts as a death
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10.0  # then SIGKILL
    death_signal: signal.Signals = signal.SIGKILL  # what the kernel sends it when the supervisor dies
    shown: str = ALARMING  # lines of its output that match also appear on the terminal


@dataclass
class Watched:
    """What is known about a child at this moment; the content of `run/status.json`."""

    log: Path
    since: datetime  # of the state, UTC
    state: ChildState = ChildState.STOPPED
    pid: int | None = None
    restarts: int = 0  # starts after a death, since the supervisor runs
    reason: str = ""  # why it is restarting or has failed, in plain words

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "pid": self.pid,
            "restarts": self.restarts,
            "since": self.since.isoformat(timespec="milliseconds"),
            "reason": self.reason,
            "log": str(self.log),
        }
