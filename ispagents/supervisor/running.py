"""One started process as the event loop sees it: its output, its end, its signals.

Built on Popen and a pidfd instead of asyncio's subprocesses: those report an exit only after a grandchild has closed
the output as well (which versions of Python do is a long story), and they reap before the group can be ended safely.
"""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from ispagents.supervisor.logs import ChildLog

PIECE_BYTES: Final = 65_536
LAST_PIECES: Final = 64  # read after the end, since a grandchild of another group may go on writing for ever


class Running:
    """A process in a session of its own, so that Ctrl-C reaches only the supervisor, which stops in order."""

    def __init__(self, command: Sequence[str], *, cwd: str, env: Mapping[str, str], log: ChildLog) -> None:
        """Start the process. Must be called on the event loop's thread. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        self._log = log
        log.begin()
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        self.pid = self._popen.pid
        self._handle = os.pidfd_open(self.pid)
        self.exited: asyncio.Future[int] = self._loop.create_future()
        self._loop.add_reader(self._handle, self._on_exit)
        self._output = self._popen.stdout.fileno() if self._popen.stdout else -1
        os.set_blocking(self._output, False)
        self._loop.add_reader(self._output, self._on_output)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; does nothing when the process has ended."""
        if not self.exited.done():
            signal.pidfd_send_signal(self._handle, number)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the end; says whether it came in time."""
        await asyncio.wait({self.exited}, timeout=timeout_s)
        return self.exited.done()

    def _on_output(self) -> bool:
        """Take a piece of output; says whether there may be more at once."""
        try:
            data = os.read(self._output, PIECE_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._log.feed(data)
        else:
            self._loop.remove_reader(self._output)
        return bool(data)

    def _on_exit(self) -> None:
        self._loop.remove_reader(self._handle)
        self._end_group()
        for _ in range(LAST_PIECES):
            if not self._on_output():
                break
        self._log.finish()
        self._loop.remove_reader(self._output)
        if self._popen.stdout:
            self._popen.stdout.close()
        os.close(self._handle)
        self.exited.set_result(self._popen.wait())

    def _end_group(self) -> None:
        """End what the process left in its group. It is a zombie still, so its number cannot mean another group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def describe(status: int) -> str:
    """Say in words how a process ended, from what Popen returns."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
