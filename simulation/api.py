"""The way to a router's API in virtual time: commands and answers that are lost, cut off, or carried out too late.

The connection is a double of `network.routeros.connection`, over a simulated router without sockets; what the wire does
to bytes is for `tests/contract`. Everything above it, the verbs and the worker, is the real thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeVarTuple, Unpack

from network.routeros.errors import (
    LoginRefusedError,
    NotSentError,
    RouterosError,
    UnknownOutcomeError,
    UnreachableError,
)
from network.routeros.link import Reply
from network.routeros.target import RouterTarget
from network.routeros.traps import Trap, classify
from network.routeros.words import encode
from simulation.world import World
from simulators.routeros.commands import Answer, Request, read_request
from simulators.routeros.traps import TrapError
from simulators.routeros.words import SENTENCE_BYTES_MAX, Decoder

if TYPE_CHECKING:
    from simulation.held_routers import HeldRouter

Ts = TypeVarTuple("Ts")

SHORT_S = (0.001, 0.05)
# A lost packet of a stream is sent again for a minute, by the kernel, even when the program that sent it is dead.
LATE_S = (0.5, 55.0)
# A reset is heard of within this time; where nothing comes back, only the command's own time ends the wait.
RESET_S = (0.0, 0.5)
CONNECT_S = 10.0


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose time is the world's: it runs only when the world lets it, until all tasks wait."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def time(self) -> float:
        """Seconds of the world."""
        return self._world.elapsed_s

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As the base does; the world sees to it that the loop runs then."""
        handle = super().call_at(when, callback, *args, context=context)
        self._world.after(max(when - self.time(), 0.0) + 0.001, self.settle)
        return handle

    def settle(self) -> None:
        """Run until there is nothing to do but to wait. Harmless once it is closed."""
        ready = not self.is_closed()
        while ready:
            self.call_soon(self.stop)
            self.run_forever()
            ready = bool(self._ready)  # type: ignore[attr-defined] # asyncio has no public word for "all tasks wait"


class Fate(Enum):
    """What becomes of one command."""

    DONE = auto()
    BEFORE = auto()
    """The connection ends before it is carried out."""
    AFTER = auto()
    """It is carried out, and the connection ends before the answer."""
    SILENT = auto()
    """It is carried out, and no answer ever comes."""
    TRAP = auto()
    """The router is interrupted and says so."""
    REBOOT = auto()
    """It is carried out, and the router reboots."""


@dataclass(eq=False)
class _Sent:
    """A command that waits for its answer."""

    request: Request
    future: asyncio.Future[Reply]
    sent_s: float


class ApiConnection:
    """As `network.routeros.connection.Connection`, from this end."""

    def __init__(self, world: World, loop: Loop, router: HeldRouter, target: RouterTarget) -> None:
        """Logged in."""
        self.target = target
        self._world = world
        self._loop = loop
        self._router = router
        self._ended: tuple[str, str] | None = None
        self._hung_up = False
        self._sent: list[_Sent] = []
        self._last_arrival_s = 0.0
        router.connections.append(self)

    @property
    def usable(self) -> bool:
        """Whether it is still there, as far as this side knows."""
        return self._ended is None

    def ask(
        self, words: Sequence[str], *, timeout_s: float | None = None, max_rows: int | None = None
    ) -> asyncio.Future[Reply]:
        """Send a command; the future has its reply, or raises."""
        del max_rows  # no menu here comes near it
        payload = encode((*words, ".tag=1"))
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self._ended is not None:
            future.set_exception(NotSentError(*self._ended))
            return future
        decoder = Decoder()
        decoder.limit_bytes = SENTENCE_BYTES_MAX
        (heard,) = decoder.feed(payload)
        sent = _Sent(read_request(heard), future, self._loop.time())
        self._sent.append(sent)
        world = self._world
        delay_s = world.between(*(LATE_S if world.chance(self._router.slow) else SHORT_S))
        # A stream: what was sent first arrives first.
        self._last_arrival_s = max(self._last_arrival_s, self._loop.time() + delay_s)
        world.after(self._last_arrival_s - self._loop.time(), lambda: self._arrive(sent))
        patience_s = timeout_s or self.target.limits.command_timeout_s
        world.after(patience_s, lambda: self._give_up(sent, patience_s))
        return future

    async def send(self, words: Sequence[str], *, timeout_s: float | None = None, max_rows: int | None = None) -> Reply:
        """Send a command and wait for its whole reply."""
        return await self.ask(words, timeout_s=timeout_s, max_rows=max_rows)

    def forget(self) -> None:
        """The worker is dead: nobody waits for anything. What is on its way still arrives."""
        self._ended = self._ended or ("dropped", "The worker died.")
        self._sent.clear()

    def hang_up(self) -> None:
        """The router ends it: what arrives from now on is not read, and this side hears of it in a moment."""
        if not self._hung_up:
            self._hung_up = True
            why = f"{self.target.where} ended the connection."
            self._world.after(self._world.between(*RESET_S), lambda: self._end("closed", why))

    def _end(self, why: str, sentence: str) -> None:
        if self._ended is not None:
            return
        self._ended = (why, sentence)
        for one in self._sent:
            if not one.future.done():
                said = f"{sentence} Whether the command was carried out is unknown."
                one.future.set_exception(UnknownOutcomeError(why, said))
        self._sent.clear()
        self._loop.settle()

    def _give_up(self, sent: _Sent, patience_s: float) -> None:
        if sent in self._sent:
            self._end("timeout", f"{self.target.where} did not answer within {patience_s:g} s, and was hung up on.")

    def _arrive(self, sent: _Sent) -> None:
        router = self._router
        if self._hung_up or not (router.running and router.reachable):
            return
        fate = router.fate(sent.request)
        if fate == Fate.BEFORE:
            self.hang_up()
            return
        late = self._ended is not None
        outcome = TrapError("failure: interrupted") if fate == Fate.TRAP else router.carry_out(sent.request, late=late)
        if fate == Fate.REBOOT:
            router.reboot()
        if fate in (Fate.AFTER, Fate.REBOOT):
            self.hang_up()
        elif fate != Fate.SILENT:
            self._world.after(self._world.between(*SHORT_S), lambda: self._answer(sent, outcome))

    def _answer(self, sent: _Sent, outcome: Answer | TrapError) -> None:
        if self._hung_up or sent not in self._sent or not self._router.reachable:
            return
        if self._router.worker_dies(sent.request.verb):
            return
        self._sent.remove(sent)
        if isinstance(outcome, TrapError):
            error: RouterosError = classify([Trap(outcome.message, str(outcome.category or ""))])
            sent.future.set_exception(error)
        else:
            took_ms = (self._loop.time() - sent.sent_s) * 1000
            sent.future.set_result(Reply([dict(row) for row in outcome.rows], dict(outcome.done), took_ms))
        self._loop.settle()


class ApiKeeper:
    """As `network.routeros.keeper.Keeper`: one connection for each router."""

    def __init__(self, world: World, loop: Loop, routers: dict[str, HeldRouter]) -> None:
        """`routers` by their addresses."""
        self._world = world
        self._loop = loop
        self._routers = routers
        self._kept: dict[str, ApiConnection] = {}

    def forget(self) -> None:
        """The worker is dead."""
        for one in self._kept.values():
            one.forget()
        self._kept.clear()

    @asynccontextmanager
    async def connection(self, target: RouterTarget) -> AsyncIterator[ApiConnection]:
        """A connection. Raises UnreachableError and LoginRefusedError."""
        kept = self._kept.get(target.address)
        if kept is None or not kept.usable:
            kept = self._kept[target.address] = await self._connect(target)
        yield kept

    async def _connect(self, target: RouterTarget) -> ApiConnection:
        router = self._routers[target.address]
        await self.pause(SHORT_S)
        if not router.reachable:
            await self.pause((CONNECT_S, CONNECT_S))
            raise UnreachableError(f"{target.where} did not let us in within {CONNECT_S:g} s.")
        if not router.running:
            raise UnreachableError(f"{target.where} refused the connection.")
        if router.locked_out:
            raise LoginRefusedError(f"{target.where} does not let {target.username!r} in.")
        return ApiConnection(self._world, self._loop, router, target)

    async def pause(self, seconds: tuple[float, float]) -> None:
        """Some time passes."""
        await asyncio.sleep(self._world.between(*seconds))
