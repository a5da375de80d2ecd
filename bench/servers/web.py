"""Our web process on the embedded database of a state folder, as the supervisor starts it."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from bench.servers import process
from bench.servers.contract import Endpoint
from ispagents.state_folder import StateFolder

ADDRESS: Final = "127.0.0.1"
START_PATIENCE_S: Final = 60.0
HEALTH_TIMEOUT_S: Final = 3.0


class Web:
    """Runs between `start` and `stop`."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, state: StateFolder) -> Endpoint:
        """Returns when it answers. Raises ServerError."""
        port, log = process.free_port(), state.log / "web.log"
        command = [sys.executable, "-m", "ispagents.wiring.web", "--state", str(state.path)]
        settings = [f"ISPAGENTS_WEB_ADDRESS={ADDRESS}", f"ISPAGENTS_WEB_PORT={port}"]
        self._process = process.spawn(["setpriv", "--pdeathsig=KILL", "env", *settings, *command], log, _home())
        # What answers are processes of its own, which the first one starts.
        endpoint = Endpoint(ADDRESS, port, "", self._process.pid, helpers=(self._process.pid,), log=log)
        for _ in process.wait_until_alive(self._process, log, START_PATIENCE_S):
            if _answers(endpoint):
                break
        return endpoint

    def stop(self) -> None:
        """End it; harmless when it does not run."""
        process.end(self._process)
        self._process = None


def _home() -> Path:
    """Where the packages are, should they not be installed."""
    return Path(__file__).parent.parent.parent


def _answers(endpoint: Endpoint) -> bool:
    url = f"http://{endpoint.address}:{endpoint.port}/health"
    try:
        with urllib.request.urlopen(url, timeout=HEALTH_TIMEOUT_S):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
