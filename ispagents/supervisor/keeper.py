"""The life of one child: start, ready, death, pause, start again; until it is told to stop."""

import asyncio
import contextlib
import inspect
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ispagents import processes
from ispagents.errors import Problem
from ispagents.supervisor.child import Child, ChildState, Watched
from ispagents.supervisor.logs import ChildLog, Say
from ispagents.supervisor.running import Running, describe

PROBE_EVERY_S: Final = 0.05
FAILED_AFTER: Final = 4  # deaths in a row; about two seconds with the default pauses
STEADY_S: Final = 60.0  # a child that ran this long starts with a clean sheet
FORCE_WAIT_S: Final = 5.0  # between the death signal and SIGKILL
LAST_LINE_CHARACTERS: Final = 200


@dataclass(frozen=True)
class Pause:
    """How long to wait before the next start: longer after each death in a row, up to a limit."""

    first_s: float = 0.2
    factor: float = 2.0
    limit_s: float = 30.0

    def after(self, deaths: int) -> float:
        """Return the seconds to wait after so many deaths in a row (1 or more)."""
        steps = min(deaths - 1, 64)  # beyond that the limit holds anyway, and a float would overflow
        return min(self.limit_s, self.first_s * self.factor**steps)


class Keeper:
    """Keeps one child running. Lives on the supervisor's event loop; nothing here may be called from elsewhere."""

    def __init__(
        self,
        child: Child,
        *,
        state: Path,
        log: Path,
        pause: Pause,
        say: Say,
        tell: Say,
        changed: Callable[[], None],
        hurry: asyncio.Event,
    ) -> None:
        self.child = child
        self.watched = Watched(log=log, since=datetime.now(UTC))
        self._mark = {processes.SUPERVISED_BY: str(state)}
        self._log = ChildLog(child.name, log, child.shown, say)
        self._pause = pause
        self._tell = tell
        self._changed = changed
        self._hurry = hurry
        self._commands = asyncio.Lock()
        self._moved = asyncio.Event()
        self._stop_asked = asyncio.Event()
        self._running: Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._hopeless = False

    async def start(self) -> None:
        """Start the child unless it runs, and wait until it is ready. Raises Problem when it fails or is stopped."""
        async with self._commands:
            if self._task is None or self._task.done():
                self._stop_asked.clear()
                self._move(ChildState.STARTING)
                self._task = asyncio.create_task(self._keep(), name=self.child.name)
        await self._until(ChildState.RUNNING, ChildState.FAILED, ChildState.STOPPED)
        if self.watched.state is ChildState.FAILED:
            raise Problem(f"{self.child.name} did not start: {self.watched.reason} Its log is {self.watched.log}.")
        if self.watched.state is ChildState.STOPPED:
            raise Problem(f"{self.child.name} was stopped before it was ready: start it again.")

    async def stop(self) -> None:
        """Stop the child, by force after its limit or when hurried, and keep it stopped."""
        async with self._commands:
            self._stop_asked.set()
            if self._task is None:
                return
            if self._running is not None:
                self._move(ChildState.STOPPING)
                await self._end(self._running)
            await self._task

    async def send(self, number: signal.Signals) -> None:
        """Send the child a signal, and after SIGKILL see it gone. Raises Problem when it does not run."""
        running = self._running
        if running is None:
            raise Problem(f"{self.child.name} is not running: start it first.")
        running.send(number)
        if number is signal.SIGKILL:
            await running.wait(FORCE_WAIT_S)

    async def _end(self, running: Running) -> None:
        running.send(self.child.stop_signal)
        await _first_of(running.exited, asyncio.ensure_future(self._hurry.wait()), timeout_s=self.child.stop_timeout_s)
        if running.exited.done():
            return
        if not self._hurry.is_set():
            self._tell(self.child.name, f"did not stop within {self.child.stop_timeout_s:g} s and is killed")
        await self._force(running)

    async def _force(self, running: Running) -> None:
        running.send(self.child.death_signal)
        if not await running.wait(FORCE_WAIT_S):
            running.send(signal.SIGKILL)
            await running.exited

    async def _keep(self) -> None:
        deaths = 0
        while True:
            began = asyncio.get_running_loop().time()
            self._hopeless = False
            reason = await self._live()
            if self._stop_asked.is_set():
                break
            lived_s = asyncio.get_running_loop().time() - began
            deaths = 1 if lived_s >= STEADY_S and not self._hopeless else deaths + 1
            if self._hopeless:
                deaths = max(deaths, FAILED_AFTER)
            await self._rest(reason, deaths)
            if self._stop_asked.is_set():
                break
            self.watched.restarts += 1
            self._move(ChildState.STARTING)
        self._move(ChildState.STOPPED)
        self._tell(self.child.name, "stopped")

    async def _rest(self, reason: str, deaths: int) -> None:
        """Say that it died, and wait before the next start; a stop ends the waiting."""
        delay_s = self._pause.limit_s if self._hopeless else self._pause.after(deaths)
        failed = deaths >= FAILED_AFTER
        self._move(ChildState.FAILED if failed else ChildState.RESTARTING, reason)
        self._tell(self.child.name, f"{reason} It is started again in {delay_s:g} s.")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop_asked.wait(), delay_s)

    async def _live(self) -> str:
        """Run the process once, from its preparation to its end; returns in a sentence why it ended."""
        try:
            if self.child.before_start is not None:
                await asyncio.to_thread(self.child.before_start)
            if self._stop_asked.is_set():
                return ""
            self._running = running = Running(
                self._command(), cwd=str(self.child.working_folder), env=self._environment(), log=self._log
            )
        except Problem as problem:
            self._hopeless = True
            return str(problem)
        except Exception as error:  # noqa: BLE001 - one child's fault must not end the keeper of that child
            return f"could not be started ({type(error).__name__}: {error})."
        self.watched.pid = running.pid
        self._move(ChildState.STARTING)
        try:
            return await self._watch(running)
        finally:
            self._running = None
            self.watched.pid = None

    async def _watch(self, running: Running) -> str:
        began = asyncio.get_running_loop().time()
        probing = asyncio.create_task(self._until_ready())
        answered = await _first_of(running.exited, probing, timeout_s=self.child.ready_timeout_s)
        ready = answered and not running.exited.done()
        if ready and not self._stop_asked.is_set():
            self._move(ChildState.RUNNING)
            took_s = asyncio.get_running_loop().time() - began
            self._tell(self.child.name, f"ready after {took_s:.1f} s (process {running.pid})")
        elif not running.exited.done() and not self._stop_asked.is_set():
            self._hopeless = True
            await self._force(running)
            return f"was not ready within {self.child.ready_timeout_s:g} s and was ended."
        status = await running.exited
        last = self._log.last_line[:LAST_LINE_CHARACTERS]
        return f"{describe(status)} (last line: {last})." if last else f"{describe(status)}."

    async def _until_ready(self) -> None:
        """Ask the probe until it says yes. An error from it means not yet."""
        probe = self.child.ready
        while probe is not None:
            try:
                answer = await probe() if inspect.iscoroutinefunction(probe) else await asyncio.to_thread(probe)
            except Exception:  # noqa: BLE001 - what a probe meets before readiness is its own affair
                answer = False
            if answer:
                return
            await asyncio.sleep(PROBE_EVERY_S)

    def _command(self) -> list[str]:
        words = processes.as_user(self.child.user, death_signal=self.child.death_signal)
        return [*words, *self.child.command]

    def _environment(self) -> dict[str, str]:
        base = dict(os.environ) if self.child.inherit_environment else {}
        return {**base, **self.child.env, **self._mark}

    def _move(self, state: ChildState, reason: str = "") -> None:
        self.watched.state = state
        self.watched.reason = reason
        self.watched.since = datetime.now(UTC)
        self._moved.set()
        self._moved = asyncio.Event()
        self._changed()

    async def _until(self, *states: ChildState) -> None:
        while self.watched.state not in states:
            await self._moved.wait()


async def _first_of(exited: asyncio.Future[int], other: asyncio.Future[Any], *, timeout_s: float) -> bool:
    """Wait for the process's end or something else, and says whether the latter happened; it is not awaited further."""
    waited: set[asyncio.Future[Any]] = {exited, other}
    await asyncio.wait(waited, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    happened = other.done()
    other.cancel()
    return happened
