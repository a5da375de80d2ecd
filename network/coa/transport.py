"""Sends requests to many routers and matches the replies: windows, identifiers, retransmission.

    exchange() -> waiting (above the router's window, or no identifier free) -> in flight -> Exchange

Only an authentic reply, the last timeout, cancellation or closing ends a flight. An ICMP error never does: it is
easily forged, and a router that reboots sends some; it only makes the end `unreachable` instead of `no_answer`.
One timer per flight, no task; everything happens in callbacks of one event loop.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self

from network.coa.errors import (
    InvalidTargetError,
    ReplyError,
    SourceAddressError,
    TooManyWaitingError,
    TransportClosedError,
)
from network.coa.exchange import Counters, Ending, Exchange
from network.coa.identifiers import PER_SOCKET, Identifiers
from network.coa.packets import Kind, Reply, Request, decode_reply, sign_request
from network.coa.sockets import SourceSocket
from network.coa.target import Target, canonical_address
from network.coa.turns import Turns

DEFAULT_MAX_SOCKETS: Final = 64  # 16,384 identifiers per router, and as many file descriptors
MAX_SOCKETS: Final = 1024
MAX_WAITING_PER_ROUTER: Final = 65_536  # a whole router's sessions, twice; memory stays bounded
MAX_REPEATS: Final = 32  # slots passed over because the same bytes left from them last; more is a flood of copies
FORGET_ABOVE_ROUTERS: Final = 1024  # quiet routers are forgotten only when there are many


class _Flight:
    """One request between `exchange()` and its end."""

    __slots__ = (
        "chance", "future", "kind", "network_errno", "over", "packet", "payload", "rejected", "router", "sent",
        "slot", "started_at", "started_s", "target", "timer", "tries",
    )  # fmt: skip

    def __init__(self, target: Target, kind: Kind, payload: bytes, router: _Router) -> None:
        self.target = target
        self.kind = kind
        self.payload = payload
        self.router = router
        self.future: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        self.slot = -1
        self.packet = b""
        self.tries = 0
        self.sent = 0
        self.started_at: datetime | None = None
        self.started_s = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.rejected: Counter[str] | None = None
        self.network_errno = 0
        self.over = False


class _Router:
    """What is remembered of one (address, port)."""

    __slots__ = ("endpoint", "identifiers", "in_flight", "waiting", "wake")

    def __init__(self, endpoint: tuple[str, int], max_sockets: int) -> None:
        self.endpoint = endpoint
        self.identifiers = Identifiers(max_sockets)
        self.in_flight: dict[int, _Flight] = {}
        self.waiting: OrderedDict[_Flight, None] = OrderedDict()  # an ordered set: cancelling one is cheap
        self.wake: asyncio.TimerHandle | None = None


class Transport:
    """Asynchronous context manager; `exchange` may be called by any number of tasks of its event loop.

    `source_address`  literal of this machine that every packet leaves from: routers ignore all but their server.
    `max_sockets`     1..1024; each gives 256 identifiers per router and is opened when the others are used up.
    `chance`          gives numbers in [0, 1) for the jitter; pass a seeded one in simulations.

    Entering raises SourceAddressError if packets cannot be sent from there.
    """

    def __init__(
        self,
        source_address: str,
        *,
        max_sockets: int = DEFAULT_MAX_SOCKETS,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.source_address, self._family = canonical_address(source_address)
        if not 1 <= max_sockets <= MAX_SOCKETS:
            raise InvalidTargetError(f"max_sockets must be 1 to {MAX_SOCKETS}, not {max_sockets}.")
        self.counters = Counters()
        self.turns = Turns()
        """One request in flight per session; `verbs` uses it."""
        self._max_sockets = max_sockets
        # Jitter guards nothing, and the system's own source costs a call into the kernel for each packet.
        self._chance = chance or random.Random().random  # noqa: S311
        self._sockets: list[SourceSocket] = []
        self._routers: dict[tuple[str, int], _Router] = {}
        self._forget_above = FORGET_ABOVE_ROUTERS
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._open_socket(self._loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every exchange as `closed` and give the ports back; closing twice is harmless."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        for source in self._sockets:
            loop.remove_reader(source.socket)
            source.close()
        self._sockets.clear()
        for router in self._routers.values():
            if router.wake is not None:
                router.wake.cancel()
            for flight in (*router.in_flight.values(), *router.waiting):
                self._finish(flight, loop.time(), Ending.CLOSED)
            router.waiting.clear()
        self._routers.clear()

    def snapshot(self) -> dict[str, int]:
        """The counters, and how many sockets and exchanges there are now; for logs and metrics."""
        flying = sum(len(router.in_flight) for router in self._routers.values())
        waiting = sum(len(router.waiting) for router in self._routers.values())
        return asdict(self.counters) | {"sockets": len(self._sockets), "in_flight": flying, "waiting": waiting}

    async def exchange(self, target: Target, request: Request) -> Exchange:
        """Send `request` to `target` and wait for the end; retransmissions are the identical bytes (RFC 5176 2.3).

        Cancelling ends it at once: nothing more is sent, and a late reply meets nobody.
        Raises InvalidAttributeError, InvalidTargetError, TooManyWaitingError or TransportClosedError before
        anything is sent, and SourceAddressError if a further socket is needed and cannot be had.
        """
        payload = request.encode_attributes()
        router = self._router_of(target)
        flight = _Flight(target, request.kind, payload, router)
        router.waiting[flight] = None
        self._pump(router)
        try:
            return await flight.future
        finally:
            if not flight.over:
                self._abandon(flight)

    def _router_of(self, target: Target) -> _Router:
        if self._loop is None:
            raise TransportClosedError("The CoA transport is not open; call it inside `async with Transport(...)`.")
        router = self._routers.get(target.endpoint)
        if router is None:
            if canonical_address(target.address)[1] != self._family:
                raise InvalidTargetError(
                    f"{target.address} cannot be reached from {self.source_address}: one is IPv4, the other IPv6."
                )
            self._forget_quiet_routers(self._loop.time())
            router = self._routers[target.endpoint] = _Router(target.endpoint, self._max_sockets)
        if len(router.waiting) >= MAX_WAITING_PER_ROUTER:
            raise TooManyWaitingError(f"{len(router.waiting)} requests wait for {target.address}; wait for them first.")
        return router

    def _forget_quiet_routers(self, now_s: float) -> None:
        if len(self._routers) < self._forget_above:
            return
        for endpoint, router in list(self._routers.items()):
            if not router.waiting and router.identifiers.idle(now_s):
                del self._routers[endpoint]
        # Doubling keeps the cost of looking at all of them small per new router.
        self._forget_above = max(FORGET_ABOVE_ROUTERS, 2 * len(self._routers))

    def _pump(self, router: _Router) -> None:
        """Send what the window and the identifiers allow, in order of arrival."""
        loop = self._loop
        repeats = 0
        while loop is not None and router.waiting:
            flight = next(iter(router.waiting))
            if len(router.in_flight) >= flight.target.window:
                return
            slot = router.identifiers.take(loop.time())
            if slot is None:
                self._wake_when_rested(loop, router)
                return
            packet = self._sign(flight, slot)
            if router.identifiers.repeats(slot, packet[4:20]) and repeats < MAX_REPEATS:
                repeats += 1
                router.identifiers.give_back(slot, loop.time(), doubtful=False)
                continue
            repeats = 0
            del router.waiting[flight]
            flight.slot = slot
            flight.packet = packet
            router.in_flight[slot] = flight
            try:
                while slot // PER_SOCKET >= len(self._sockets):
                    self._open_socket(loop)
            except SourceAddressError as error:
                self._fail(flight, error)
                continue
            self._transmit(loop, flight)

    @staticmethod
    def _sign(flight: _Flight, slot: int) -> bytes:
        target = flight.target
        return sign_request(
            flight.kind, slot % PER_SOCKET, flight.payload, target.secret.reveal(), target.message_authenticator
        )

    def _wake_when_rested(self, loop: asyncio.AbstractEventLoop, router: _Router) -> None:
        at_s = router.identifiers.next_at_s()
        # None means that all are in flight: the end of any of them comes back here.
        if at_s is not None and router.wake is None:
            router.wake = loop.call_at(at_s, self._rested, router)

    def _rested(self, router: _Router) -> None:
        router.wake = None
        self._pump(router)

    def _open_socket(self, loop: asyncio.AbstractEventLoop) -> None:
        source = SourceSocket(self.source_address, self._family)
        loop.add_reader(source.socket, self._readable, source, len(self._sockets))
        self._sockets.append(source)

    def _transmit(self, loop: asyncio.AbstractEventLoop, flight: _Flight) -> None:
        """Send the flight's packet (again) and set its timer; a packet that cannot leave counts as a lost one."""
        index = flight.slot // PER_SOCKET
        now_s = loop.time()
        if flight.started_at is None:
            flight.started_at = datetime.now(UTC)
            flight.started_s = now_s
        number, met = self._sockets[index].send(flight.packet, flight.router.endpoint)
        for error in met:
            self._network_error(index, *error)
        flight.tries += 1
        if number:
            flight.network_errno = number
            self.counters.send_errors += 1
        else:
            flight.sent += 1
            self.counters.sent += 1
            self.counters.retransmitted += flight.sent > 1
        wait_s = flight.target.retransmission.wait_s(flight.tries, self._chance())
        flight.timer = loop.call_at(now_s + wait_s, self._timed_out, flight)

    def _timed_out(self, flight: _Flight) -> None:
        loop = self._loop
        if flight.over or loop is None:
            return
        # After a pause of this process the reply may lie in the socket: look there before blaming the router.
        index = flight.slot // PER_SOCKET
        self._readable(self._sockets[index], index)
        if flight.over:
            return
        if flight.tries < flight.target.retransmission.max_attempts:
            self._transmit(loop, flight)
            return
        self.counters.unanswered += 1
        self._finish(flight, loop.time(), Ending.UNREACHABLE if flight.network_errno else Ending.NO_ANSWER)
        self._pump(flight.router)

    def _readable(self, source: SourceSocket, index: int) -> None:
        loop = self._loop
        if loop is None:
            return
        woken_for_nothing = True
        for data, endpoint in source.datagrams():
            woken_for_nothing = False
            router = self._routers.get(endpoint)
            if router is None:
                self.counters.foreign += 1
                continue
            flight = router.in_flight.get(index * PER_SOCKET + data[1]) if len(data) > 1 else None
            if flight is None:
                self.counters.late_or_duplicate += 1
                continue
            self._receive(loop, flight, data)
        if source.error_pending or woken_for_nothing:
            for error in source.errors():
                self._network_error(index, *error)

    def _receive(self, loop: asyncio.AbstractEventLoop, flight: _Flight, data: bytes) -> None:
        target = flight.target
        try:
            reply = decode_reply(
                data,
                flight.packet,
                target.secret.reveal(),
                require_message_authenticator=target.require_message_authenticator,
            )
        except ReplyError as error:
            self.counters.rejected += 1
            if flight.rejected is None:
                flight.rejected = Counter()
            flight.rejected[error.cause] += 1
            return
        self.counters.answered += 1
        self._finish(flight, loop.time(), Ending.ANSWERED, reply)
        self._pump(flight.router)

    def _network_error(self, index: int, endpoint: tuple[str, int], identifier: int, number: int) -> None:
        self.counters.network_errors += 1
        router = self._routers.get(endpoint)
        flight = router.in_flight.get(index * PER_SOCKET + identifier) if router and identifier >= 0 else None
        if flight is not None:
            flight.network_errno = number

    def _finish(self, flight: _Flight, now_s: float, ending: Ending, reply: Reply | None = None) -> None:
        self._land(flight, now_s, doubtful=ending is not Ending.ANSWERED or flight.sent > 1)
        if flight.started_at is None:
            flight.started_at = datetime.now(UTC)
            flight.started_s = now_s
        took_s = now_s - flight.started_s
        if not flight.future.done():
            flight.future.set_result(
                Exchange(
                    ending=ending,
                    reply=reply,
                    attempts=flight.sent,
                    round_trip_ms=took_s * 1000 if reply else None,
                    started_at=flight.started_at,
                    # By the monotonic clock, so that a corrected wall clock never makes an end before a start.
                    ended_at=flight.started_at + timedelta(seconds=took_s),
                    rejected=tuple(sorted(flight.rejected.items())) if flight.rejected else (),
                    network_errno=flight.network_errno,
                )
            )

    def _fail(self, flight: _Flight, error: Exception) -> None:
        if self._loop is not None:
            self._land(flight, self._loop.time(), doubtful=False)
        if not flight.future.done():
            flight.future.set_exception(error)

    def _abandon(self, flight: _Flight) -> None:
        """The caller is gone: stop the timer, rest the identifier, let the next one fly."""
        if flight.slot < 0:
            flight.over = True
            del flight.router.waiting[flight]
        elif self._loop is not None:
            self._land(flight, self._loop.time(), doubtful=True)
        self._pump(flight.router)

    def _land(self, flight: _Flight, now_s: float, *, doubtful: bool) -> None:
        flight.over = True
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if flight.slot >= 0:
            del flight.router.in_flight[flight.slot]
            flight.router.identifiers.give_back(flight.slot, now_s, doubtful=doubtful)
