"""All keepers together, on an event loop that has a thread of its own.

Why a thread: the caller (the command line, the story of the demo, a test) stays ordinary blocking code and calls
methods here, while children are watched all the time. Why always the same one: the kernel sends a child its death
signal when the *thread* that started it ends.
"""

import asyncio
import graphlib
import os
import signal
import threading
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final, Self, TypeVar

from ispagents import processes
from ispagents.errors import Problem
from ispagents.state_folder import StateFolder
from ispagents.supervisor import control
from ispagents.supervisor.child import Child, ChildState
from ispagents.supervisor.keeper import Keeper, Pause
from ispagents.supervisor.logs import RotatingFile, Say, say_on_terminal

STOPPING_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
OURSELVES: Final = "supervisor"

T = TypeVar("T")


class Supervisor:
    """Keeps children running from `with` to its end; hold the state folder's lock around it.

    In the main thread SIGINT and SIGTERM raise KeyboardInterrupt wherever the caller is, and the `with` block takes
    it: everything is stopped in order, and what follows the block sees `interrupted`. A second signal hurries that.
    """

    def __init__(self, state: StateFolder, *, say: Say = say_on_terminal, pause: Pause | None = None) -> None:
        self.state = state
        self._say = say
        self._pause = pause or Pause()
        self._journal = RotatingFile(state.log / f"{OURSELVES}.log")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=OURSELVES, daemon=True)
        self._hurry = asyncio.Event()
        self._stop_requested = threading.Event()
        self._keepers: dict[str, Keeper] = {}
        self._started_at = datetime.now(UTC)
        self._control: asyncio.Server | None = None
        self._old_handlers: dict[signal.Signals, Any] = {}
        self._unwritten = False
        self.interrupted = False  # by SIGINT or SIGTERM

    def __enter__(self) -> Self:
        if self.state.holder() != os.getpid():
            raise RuntimeError("hold the lock of the state folder around the supervisor")
        self._end_left_overs()
        self._thread.start()
        try:
            self._control = self._call(control.serve(self._socket, self._act))
        except BaseException:
            self._close_loop()
            raise
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING_SIGNALS:
                self._old_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            self.stop()
        finally:
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            self._call(self._close_control())
            self._close_loop()
        return self.interrupted and kind is not None and issubclass(kind, KeyboardInterrupt)

    # --- for the caller, from any thread but the supervisor's own ---

    def start(self, *children: Child) -> None:
        """Add children and start them, each after those it depends on, and wait until all are ready.

        Raises Problem when one fails; the others stay as they are until the `with` block ends.
        """
        self._call(self._start_all(children))

    def wait(self) -> None:
        """Block until Ctrl-C or SIGTERM, which leave the `with` block, or until `request_stop`."""
        self._stop_requested.wait()

    def request_stop(self) -> None:
        """Make `wait` return."""
        self._stop_requested.set()

    def stop(self) -> None:
        """Stop all children, each after those that depend on it."""
        self._stop_requested.set()  # from now on a signal hurries
        self._call(self._stop_all())

    def hurry(self) -> None:
        """End with force what is being stopped."""
        self._loop.call_soon_threadsafe(self._hurry.set)

    def stop_child(self, name: str) -> None:
        """Stop one child and keep it stopped; those that depend on it run on."""
        self._call(self._act("stop", name))

    def start_child(self, name: str) -> None:
        """Start a stopped child and wait until it is ready. Raises Problem when it fails."""
        self._call(self._act("start", name))

    def restart_child(self, name: str) -> None:
        """Stop a child, start it and wait until it is ready. Raises Problem when it fails."""
        self._call(self._act("restart", name))

    def kill_child(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a child a signal behind the supervisor's back, so to speak: it sees a death and restarts it.

        After SIGKILL the process is gone when this returns. Raises Problem when it does not run.
        """
        self._call(self._kill(name, number))

    def status(self) -> dict[str, Any]:
        """Return what `run/status.json` holds."""
        return self._call(self._act("status", ""))

    # --- on the loop ---

    async def _start_all(self, children: tuple[Child, ...]) -> None:
        self._add(children)
        tasks: dict[str, asyncio.Task[None]] = {}

        async def start_one(child: Child) -> None:
            for name in child.depends_on:
                await (tasks[name] if name in tasks else self._keepers[name].start())
            await self._keepers[child.name].start()

        for child in children:
            tasks[child.name] = asyncio.create_task(start_one(child))
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _add(self, children: tuple[Child, ...]) -> None:
        known = {
            **{name: keeper.child for name, keeper in self._keepers.items()},
            **{one.name: one for one in children},
        }
        if len(known) != len(self._keepers) + len(children):
            raise ValueError("every child needs a name of its own")
        order = {name: set(child.depends_on) for name, child in known.items()}
        tuple(graphlib.TopologicalSorter(order).static_order())  # raises CycleError
        if missing := {name for needed in order.values() for name in needed} - known.keys():
            raise ValueError(f"no child is called {sorted(missing)}")
        for child in children:
            self._keepers[child.name] = Keeper(
                child,
                state=self.state.path,
                log=self.state.log / f"{child.name}.log",
                pause=self._pause,
                say=self._say,
                tell=self._tell,
                changed=self._write_status,
                hurry=self._hurry,
            )

    async def _stop_all(self) -> None:
        tasks: dict[str, asyncio.Task[None]] = {}

        async def stop_one(keeper: Keeper) -> None:
            above = [one.child.name for one in self._keepers.values() if keeper.child.name in one.child.depends_on]
            await asyncio.gather(*(tasks[name] for name in above))
            await keeper.stop()

        for name, keeper in self._keepers.items():
            tasks[name] = asyncio.create_task(stop_one(keeper))
        await asyncio.gather(*tasks.values())
        self._write_status()

    async def _act(self, command: str, name: str) -> dict[str, Any]:
        if command != "status":
            keeper = self._keeper(name)
            if command in {"stop", "restart"}:
                await keeper.stop()
            if command in {"start", "restart"}:
                if self._stop_requested.is_set():
                    raise Problem("The supervisor is stopping: start it again with 'ispagents up'.")
                await keeper.start()
        return self._status()

    async def _kill(self, name: str, number: signal.Signals) -> None:
        await self._keeper(name).send(number)

    def _keeper(self, name: str) -> Keeper:
        try:
            return self._keepers[name]
        except KeyError:
            known = ", ".join(sorted(self._keepers)) or "none yet"
            raise Problem(f"No process is called '{name}'; there are: {known}.") from None

    def _status(self) -> dict[str, Any]:
        children = {name: keeper.watched.as_json() for name, keeper in self._keepers.items()}
        stopped = all(keeper.watched.state is ChildState.STOPPED for keeper in self._keepers.values())
        return {
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat(timespec="milliseconds"),
            "state": "stopped" if stopped and self._stop_requested.is_set() else "running",
            "children": children,
        }

    def _write_status(self) -> None:
        try:
            self.state.write_status(self._status())
            self._unwritten = False
        except OSError as error:
            if not self._unwritten:  # a full disk is said once, and must not stop anything
                self._tell(OURSELVES, f"{self.state.status_file} cannot be written ({error}).")
            self._unwritten = True

    async def _close_control(self) -> None:
        if self._control is not None:
            self._control.close()
        self._socket.unlink(missing_ok=True)

    # --- around the loop ---

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _close_loop(self) -> None:
        async def finish() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            await asyncio.get_running_loop().shutdown_default_executor()

        self._call(finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def _socket(self) -> Path:
        return self.state.sockets / control.SOCKET_NAME

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form of a handler
        if self._stop_requested.is_set():
            self.hurry()
            return
        self._stop_requested.set()
        self.interrupted = True
        raise KeyboardInterrupt

    def _end_left_overs(self) -> None:
        """End what a killed supervisor of this folder left. The kernel should have sent them the death signal."""
        pids = processes.left_over(self.state.path)
        mark = str(self.state.path)
        rest = processes.end(
            pids,
            still_ours=lambda pid: processes.carries(pid, processes.SUPERVISED_BY, mark),
            first=signal.SIGKILL,
        )
        if rest:
            raise Problem(f"Process {rest[0]} of an earlier run does not end: look at it, or restart the machine.")
        if pids:
            self._tell(OURSELVES, f"ended {len(pids)} processes that an earlier run left behind")

    def _tell(self, name: str, text: str) -> None:
        """Tell a person, and keep it in the supervisor's own log."""
        self._say(name, text)
        self._journal.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {name}: {text}\n".encode())
