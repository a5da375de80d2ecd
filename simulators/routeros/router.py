"""One simulated RouterOS API, to start in a test: inside a running event loop, or on a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self, TypeVar

from simulators.clock import Clock, LoopClock
from simulators.nas import Nas
from simulators.routeros.device import Device
from simulators.routeros.joined import JoinedNas
from simulators.routeros.server import ApiServer
from simulators.routeros.settings import ApiFaults, Break, RouterOsSettings
from simulators.routeros.trouble import Trouble

T = TypeVar("T")
CALL_TIMEOUT_S = 30.0


class LoopThread:
    """An event loop on a thread of its own, for tests that are no coroutines."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)

    def stop(self) -> None:
        """End the loop and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class RouterOs:
    """A router's API. ``async with RouterOs(...)`` runs on the caller's loop, ``with RouterOs(...)`` on a thread.

    What a test does to the router or asks it goes through `do`, from wherever the test runs.
    """

    def __init__(
        self, settings: RouterOsSettings | None = None, clock: Clock | None = None, nas: Nas | None = None
    ) -> None:
        """Join a NAS by `nas`: then start this on its loop, and its sessions are this router's."""
        self.settings = settings or RouterOsSettings()
        self.clock: Clock = clock or (nas.clock if nas is not None else LoopClock())
        self._device = Device(self.settings, self.clock)
        if nas is not None:
            self._device.joined = JoinedNas(self._device, nas)
        self._trouble = Trouble(self.settings, self.clock)
        self._device.on_reboot.append(self._trouble.rebooted)
        self._server = ApiServer(self._device, self._trouble)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen; OSError when an address or port cannot be had, RuntimeError when it runs already."""
        if self._loop is not None:
            raise RuntimeError(f"the router {self.settings.identity} is already started")
        await self._server.start()
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Close every socket. Stopping twice does no harm."""
        await self._server.stop()
        self._loop = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        self._thread = LoopThread(f"routeros-{self.settings.identity}")
        try:
            self._thread.call(self.start())
        except BaseException:
            self._thread.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._thread.call(self.stop())
            self._thread.stop()
            self._thread = None

    # -- where it is ---------------------------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Return the address it listens on."""
        return self.settings.address

    @property
    def port(self) -> int:
        """Return the port of the plain API."""
        return self._server.port("api")

    @property
    def tls_port(self) -> int:
        """Return the port of api-ssl; KeyError without a certificate."""
        return self._server.port("api-ssl")

    @property
    def ports(self) -> list[int]:
        """Return all ports it listens on, the plain API's first."""
        return self._server.ports

    # -- what a test does ----------------------------------------------------------------------------------------------

    def do(self, action: Callable[[Device], T]) -> T:
        """Look at the device, or do something to it as somebody at the router would, where nothing changes meanwhile.

        Raises what `action` raises.
        """
        loop = self._loop
        if loop is None or not loop.is_running() or _is_on(loop):
            return action(self._device)

        async def done() -> T:
            return action(self._device)

        return asyncio.run_coroutine_threadsafe(done(), loop).result(CALL_TIMEOUT_S)

    def rows(self, menu: str, **wanted: str) -> list[dict[str, str]]:
        """Return copies of a menu's rows with these values, ids included; underscores stand for hyphens."""
        return self.do(lambda device: [{".id": row.id, **row.printed()} for row in device[menu].having(**wanted)])

    def add(self, menu: str, **fields: str) -> str:
        """Add a row as somebody at the terminal would, and return its id; underscores stand for hyphens."""

        def added(device: Device) -> str:
            table = device[menu]
            values, _ = device.store.read(table, _named(fields))
            return device.add(table, values).id

        return self.do(added)

    def set(self, menu: str, row_id: str, **fields: str) -> None:
        """Change a row by hand, found by its id or name; LookupError when there is none."""

        def changed(device: Device) -> None:
            table = device[menu]
            row = next(iter(table)) if table.menu.single else table.get(row_id)
            if row is None:
                raise LookupError(f"{menu} has no row {row_id}")
            values, unset = device.store.read(table, _named(fields))
            device.change(table, row, values, unset)

        self.do(changed)

    def remove(self, menu: str, row_id: str) -> None:
        """Remove a row by hand; LookupError when there is none."""

        def removed(device: Device) -> None:
            row = device[menu].get(row_id)
            if row is None:
                raise LookupError(f"{menu} has no row {row_id}")
            device.remove(device[menu], row)

        self.do(removed)

    def break_next(self, command: str, how: Break) -> None:
        """Have the next command that begins so (`/ppp/secret/add`, `/ip` or `/`) go wrong in this way."""
        self.do(lambda _: self._trouble.order(command, how))

    def switch_faults(self, **changes: Any) -> None:
        """Change `settings.faults` of the running router, all but the seed."""

        def switched(_: Device) -> None:
            self._trouble.faults = replace(self._trouble.faults, **changes)

        self.do(switched)

    @property
    def faults(self) -> ApiFaults:
        """Return the faults in force."""
        return self._trouble.faults

    def reboot(self) -> None:
        """Reboot: connections drop, dynamic rows and their ids are lost, the uptime begins anew."""
        self.do(lambda device: device.reboot())

    def drop_connections(self) -> None:
        """Drop every connection without a word."""
        self.do(lambda _: self._server.drop_all())


def _named(fields: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in fields.items()}


@contextmanager
def many(routers: Iterable[RouterOs]) -> Iterator[list[RouterOs]]:
    """Run many routers on one thread, for tests and benches of a hundred."""
    thread = LoopThread("routeros-many")
    started: list[RouterOs] = []
    try:
        for router in routers:
            thread.call(router.start())
            started.append(router)
        yield started
    finally:
        for router in started:
            thread.call(router.stop())
        thread.stop()


def _is_on(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
