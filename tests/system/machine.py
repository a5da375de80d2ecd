"""Running the whole machine from tests: commands as subprocesses, and installations in this process."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fixtures_postgres import temporary_state

from ispagents import processes
from ispagents.installation import Installation, running
from ispagents.settings import load

ROOT = Path(__file__).parents[2]
ANY_PORT = {"ISPAGENTS_RADIUS_AUTH_PORT": "0", "ISPAGENTS_RADIUS_ACCT_PORT": "0", "ISPAGENTS_WEB_PORT": "0"}
DEADLINE_S = 180.0  # generous: it only bounds how long a failing test takes


def eventually(
    condition: Callable[[], Any],
    what: Callable[[], object] = lambda: "it did not become true",
    deadline_s: float = DEADLINE_S,
) -> Any:
    """Wait until a condition is true, and return what it gave; `what` says what is wrong where it stays false."""
    deadline = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)
    return found


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `ispagents` as a person would."""
    return subprocess.Popen(
        [str(Path(sys.executable).with_name("ispagents")), *arguments],
        env={**os.environ, **environment},
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@contextmanager
def folder() -> Iterator[Path]:
    """A state folder's path below /tmp, with nothing of it left in the end."""
    parent = Path(tempfile.mkdtemp(prefix="ispagents-system-", dir="/tmp"))
    parent.chmod(0o711)
    state = parent / "state"
    try:
        yield state
    finally:
        processes.end(processes.left_over(state), still_ours=processes.is_alive, first=processes.signal.SIGKILL)
        shutil.rmtree(parent)


@contextmanager
def installation() -> Iterator[Installation]:
    """A running installation with free ports."""
    ports = {"radius_auth_port": 0, "radius_acct_port": 0, "web_port": 0}
    with temporary_state("ispagents-system-") as state:
        said: list[str] = []
        with running(state, load(state.path, **ports), said.append) as found:
            yield found
