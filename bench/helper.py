"""A module of the bench in a process of its own, so that what it costs is not in what is measured.

It reads a line of JSON and prints one for each, and ends when its input does; so it ends with us, too.
"""

import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import bench
from bench.servers.contract import ServerError


class Helper:
    """The process, from `__init__` to `stop`."""

    def __init__(self, module: str, task: object) -> None:
        """Start `python -m MODULE`, whose first line is the task. Raises ServerError."""
        self._module = module
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=Path(bench.__file__).parent.parent,
        )
        self.tell(task)

    def tell(self, what: object) -> None:
        """Hand it a line. Raises ServerError."""
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(what) + "\n")
                self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def hear(self) -> Any:
        """Its next line, as soon as there is one. Raises ServerError."""
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise self._ended()
        return json.loads(line)

    def has_said(self) -> bool:
        """Whether `hear` would not wait; for whoever has heard every line before."""
        output = self._process.stdout
        return output is None or bool(select.select([output], [], [], 0)[0])

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._process.kill()
        self._process.communicate()

    def _ended(self) -> ServerError:
        return ServerError(f"{self._module} ended; its error stands above")
