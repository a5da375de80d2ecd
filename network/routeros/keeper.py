"""One connection for each router: made when first needed, shared by tags, made anew when it broke, closed when idle.

    async with keeper.connection(target) as connection: ...

A failed connect is told to all who waited for it and not repeated by itself: when to try again is the caller's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from network.routeros.connection import Connection, connect
from network.routeros.errors import NotConnectedError, RouterosError, TooManyError
from network.routeros.target import RouterTarget

IDLE_S: Final = 60.0  # a router allows few API sessions, and people want some of them
PROBE_AFTER_S: Final = 10.0  # of silence; a tunnel or a NAT on the way may have forgotten the connection
PROBE_TIMEOUT_S: Final = 5.0
MAX_CONNECTIONS: Final = 512
_PROBE: Final = ("/system/identity/print", "=.proplist=name")


class _Kept:
    """What is known of one router; `users` are those inside `connection`."""

    def __init__(self, target: RouterTarget) -> None:
        self.target = target
        self.opening: asyncio.Task[Connection] | None = None
        self.connection: Connection | None = None
        self.users = 0
        self.idle: asyncio.TimerHandle | None = None


class Keeper:
    """Asynchronous context manager; leaving it closes every connection, and what is on its way becomes unknown.

    `idle_s` is how long an unused connection is kept, `probe_after_s` after how long a silence it is tried first.
    """

    def __init__(
        self, *, idle_s: float = IDLE_S, probe_after_s: float = PROBE_AFTER_S, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        self._idle_s = idle_s
        self._probe_after_s = probe_after_s
        self._max_connections = max_connections
        self._kept: dict[tuple[str, int, str], _Kept] = {}
        self._retired: set[_Kept] = set()
        self._closing: set[asyncio.Task[None] | asyncio.Task[Connection]] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        for kept in (*self._kept.values(), *self._retired):
            self._close(kept)
        self._kept.clear()
        self._retired.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def __len__(self) -> int:
        """How many routers there is a connection for, or one being made."""
        return len(self._kept)

    @asynccontextmanager
    async def connection(self, target: RouterTarget) -> AsyncIterator[Connection]:
        """A connection that was heard of lately. Raises what `connect` raises, and TooManyError."""
        if not self._open:
            raise NotConnectedError("The connections are closed; use the keeper inside `async with`.")
        key = (target.address, target.port, target.username)
        kept = self._kept.get(key)
        if kept is not None and kept.target != target:
            # Another password or certificate counts from now on; who is inside may finish.
            self._retired.add(kept)
            del self._kept[key]
            if not kept.users:
                self._rest(key, kept)
            kept = None
        if kept is None:
            self._make_room()
            kept = self._kept[key] = _Kept(target)
        kept.users += 1
        if kept.idle is not None:
            kept.idle.cancel()
            kept.idle = None
        try:
            yield await self._ready(kept)
        finally:
            kept.users -= 1
            self._rest(key, kept)

    async def _ready(self, kept: _Kept) -> Connection:
        if kept.opening is None and (kept.connection is None or self._doubtful(kept.connection)):
            kept.opening = asyncio.create_task(self._renew(kept))
            kept.opening.add_done_callback(_noticed)
        if kept.opening is not None:
            return await _wait_for(kept.opening, kept.target)
        if kept.connection is None:
            raise NotConnectedError(f"There is no connection to {kept.target.where}.")
        return kept.connection

    def _doubtful(self, connection: Connection) -> bool:
        return not connection.usable or (not connection.load and connection.silent_s > self._probe_after_s)

    async def _renew(self, kept: _Kept) -> Connection:
        """The kept connection if it still answers, else another."""
        try:
            if kept.connection is not None and kept.connection.usable and await _answers(kept.connection):
                return kept.connection
            kept.connection = None
            kept.connection = await connect(kept.target)
            return kept.connection
        finally:
            kept.opening = None

    def _rest(self, key: tuple[str, int, str], kept: _Kept) -> None:
        if kept.users:
            return
        if kept in self._retired:
            self._retired.discard(kept)
            self._close(kept)
        elif self._kept.get(key) is not kept:
            return
        elif kept.opening is None and (kept.connection is None or not kept.connection.usable):
            self._forget(key)
        else:
            kept.idle = asyncio.get_running_loop().call_later(self._idle_s, self._forget, key)

    def _make_room(self) -> None:
        if len(self._kept) < self._max_connections:
            return
        unused = next((key for key, kept in self._kept.items() if not kept.users), None)
        if unused is None:
            raise TooManyError(f"{len(self._kept)} routers are connected; wait for some of them.")
        self._forget(unused)

    def _forget(self, key: tuple[str, int, str]) -> None:
        self._close(self._kept.pop(key))

    def _close(self, kept: _Kept) -> None:
        if kept.idle is not None:
            kept.idle.cancel()
        if kept.opening is not None:
            kept.opening.cancel()
            self._closing.add(kept.opening)
            kept.opening.add_done_callback(self._closing.discard)
        if kept.connection is not None:
            task = asyncio.create_task(kept.connection.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _wait_for(opening: asyncio.Task[Connection], target: RouterTarget) -> Connection:
    """Shielded, since others wait for it too; if the keeper is closed meanwhile, that is no cancellation of ours."""
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        own = asyncio.current_task()
        if opening.cancelled() and (own is None or not own.cancelling()):
            raise NotConnectedError(f"This program stopped connecting to {target.where}.") from None
        raise


def _noticed(opening: asyncio.Task[Connection]) -> None:
    """Whoever waited may be gone; the failure is theirs to hear of, and no one else's."""
    if not opening.cancelled():
        opening.exception()


async def _answers(connection: Connection) -> bool:
    try:
        await connection.send(_PROBE, timeout_s=PROBE_TIMEOUT_S)
    except RouterosError:
        return connection.usable  # a refusal is an answer too
    return True
