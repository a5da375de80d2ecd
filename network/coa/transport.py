"""Sends requests to many routers and matches the replies: windows, identifiers, retransmission.

    exchange() -> waiting (above the router's window, or no identifier free) -> in flight -> Exchange

Only an authentic reply, the last timeout, cancellation or closing ends a flight. An ICMP error never does: it is
easily forged, and a router that reboots sends some; it only makes the end `unreachable` instead of `no_answer`.
One timer for all flights, no task; everything happens in callbacks of one event loop. What is to be sent is
collected and leaves in short bursts: a server that is woken for every packet makes each of them dearer to send.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
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
from network.coa.flights import Deadlines, Flight, Router
from network.coa.identifiers import PER_SOCKET
from network.coa.packets import Reply, Request, decode_reply, sign_request
from network.coa.sockets import SourceSocket
from network.coa.target import Target, canonical_address
from network.coa.turns import Turns

DEFAULT_MAX_SOCKETS: Final = 64  # 16,384 identifiers per router, and as many file descriptors
MAX_SOCKETS: Final = 1024
MAX_WAITING_PER_ROUTER: Final = 65_536  # a whole router's sessions, twice; memory stays bounded
MAX_REPEATS: Final = 32  # slots passed over because the same bytes left from them last; more is a flood of copies
BURST: Final = 16  # packets collected before they are sent; more would leave the server idle meanwhile
FORGET_ABOVE_ROUTERS: Final = 1024  # quiet routers are forgotten only when there are many


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
        self._slots = 0  # of the open sockets, for one router
        self._routers: dict[tuple[str, int], Router] = {}
        self._forget_above = FORGET_ABOVE_ROUTERS
        self._outgoing: list[Flight] = []  # in flight, and not sent yet
        self._deadlines = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at_s = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._open_sockets(self._loop, 0)
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
        now_s, now = loop.time(), datetime.now(UTC)
        for source in self._sockets:
            loop.remove_reader(source.socket)
            source.close()
        self._sockets.clear()
        self._slots = 0
        if self._alarm is not None:
            self._alarm.cancel()
        for router in self._routers.values():
            if router.wake is not None:
                router.wake.cancel()
            for flight in (*router.in_flight.values(), *router.waiting):
                self._finish(flight, now_s, now, Ending.CLOSED)
            router.waiting.clear()
        self._routers.clear()
        self._outgoing.clear()
        self._deadlines = Deadlines()

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
        loop = self._loop
        if loop is None:
            raise TransportClosedError("The CoA transport is not open; call it inside `async with Transport(...)`.")
        router = self._routers.get(target.endpoint)
        if router is None:
            router = self._new_router(loop, target)
        flight = Flight(target, request.kind, payload, router, loop)
        if router.waiting or not self._start(loop, flight):
            self._queue(flight)
        try:
            return await flight.future
        finally:
            if not flight.over:
                self._abandon(flight)

    def _new_router(self, loop: asyncio.AbstractEventLoop, target: Target) -> Router:
        if canonical_address(target.address)[1] != self._family:
            raise InvalidTargetError(
                f"{target.address} cannot be reached from {self.source_address}: one is IPv4, the other IPv6."
            )
        self._forget_quiet_routers(loop.time())
        router = self._routers[target.endpoint] = Router(target.endpoint, self._max_sockets)
        return router

    @staticmethod
    def _queue(flight: Flight) -> None:
        waiting = flight.router.waiting
        if len(waiting) >= MAX_WAITING_PER_ROUTER:
            address, _ = flight.router.endpoint
            raise TooManyWaitingError(f"{len(waiting)} requests wait for {address}; wait for them first.")
        waiting[flight] = None

    def _forget_quiet_routers(self, now_s: float) -> None:
        if len(self._routers) < self._forget_above:
            return
        for endpoint, router in list(self._routers.items()):
            if not router.waiting and router.identifiers.idle(now_s):
                del self._routers[endpoint]
        # Doubling keeps the cost of looking at all of them small per new router.
        self._forget_above = max(FORGET_ABOVE_ROUTERS, 2 * len(self._routers))

    def _pump(self, router: Router) -> None:
        """Start what the window and the identifiers allow, in order of arrival."""
        loop = self._loop
        while loop is not None and router.waiting:
            flight = next(iter(router.waiting))
            if not self._start(loop, flight):
                return
            del router.waiting[flight]

    def _start(self, loop: asyncio.AbstractEventLoop, flight: Flight) -> bool:
        """Sign and send soon; False, and nothing done, while the window is full or no identifier is free."""
        target, router = flight.target, flight.router
        if len(router.in_flight) >= target.window:
            return False
        identifiers, repeats = router.identifiers, 0
        while True:
            slot = identifiers.take(loop.time())
            if slot is None:
                self._wake_when_rested(loop, router)
                return False
            packet = sign_request(
                flight.kind, slot % PER_SOCKET, flight.payload, target.secret.reveal(), target.message_authenticator
            )
            if not identifiers.repeats(slot, packet[4:20]) or repeats == MAX_REPEATS:
                break
            repeats += 1
            identifiers.give_back(slot, loop.time(), doubtful=False)
        flight.slot = slot
        flight.packet = packet
        router.in_flight[slot] = flight
        if slot >= self._slots:
            try:
                self._open_sockets(loop, slot)
            except SourceAddressError as error:
                self._fail(flight, error)
                return True
        outgoing = self._outgoing
        if not outgoing:
            loop.call_soon(self._flush)
        outgoing.append(flight)
        if len(outgoing) >= BURST:
            self._flush()
        return True

    def _wake_when_rested(self, loop: asyncio.AbstractEventLoop, router: Router) -> None:
        at_s = router.identifiers.next_at_s()
        # None means that all are in flight: the end of any of them comes back here.
        if at_s is not None and router.wake is None:
            router.wake = loop.call_at(at_s, self._rested, router)

    def _rested(self, router: Router) -> None:
        router.wake = None
        self._pump(router)

    def _open_sockets(self, loop: asyncio.AbstractEventLoop, slot: int) -> None:
        """Open as many as there must be for `slot`."""
        while slot >= self._slots:
            source = SourceSocket(self.source_address, self._family)
            loop.add_reader(source.socket, self._readable, source, len(self._sockets))
            self._sockets.append(source)
            self._slots += PER_SOCKET

    def _flush(self) -> None:
        """Send what was collected."""
        outgoing, self._outgoing = self._outgoing, []
        if self._loop is not None:
            now_s = self._loop.time()
            for flight in outgoing:
                # A cancelled one is not over before its caller has run again.
                if not (flight.over or flight.future.done()):
                    self._transmit(self._loop, flight, now_s)

    def _transmit(self, loop: asyncio.AbstractEventLoop, flight: Flight, now_s: float) -> None:
        """Send the flight's packet (again) and set its deadline; a packet that cannot leave counts as a lost one."""
        if not flight.tries:
            flight.started_s = now_s
        flight.tries += 1
        index = flight.slot // PER_SOCKET
        number, met = self._sockets[index].send(flight.packet, flight.router.endpoint)
        for error in met:
            self._network_error(index, *error)
        counters = self.counters
        if number:
            flight.network_errno = number
            counters.send_errors += 1
        else:
            counters.sent += 1
            if flight.sent:
                counters.retransmitted += 1
            flight.sent += 1
        at_s = now_s + flight.target.retransmission.wait_s(flight.tries, self._chance())
        self._deadlines.set(at_s, flight)
        if at_s < self._alarm_at_s:
            self._set_alarm(loop, at_s)

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = loop.call_at(at_s, self._alarmed)
        self._alarm_at_s = at_s

    def _alarmed(self) -> None:
        loop = self._loop
        if loop is None:
            return
        self._alarm, self._alarm_at_s = None, math.inf
        now_s = loop.time()
        try:
            while (flight := self._deadlines.take(now_s)) is not None:
                self._timed_out(loop, flight)
        finally:
            at_s = self._deadlines.next_at_s()
            if at_s is not None and at_s < self._alarm_at_s:
                self._set_alarm(loop, at_s)

    def _timed_out(self, loop: asyncio.AbstractEventLoop, flight: Flight) -> None:
        # After a pause of this process the reply may lie in the socket: look there before blaming the router.
        index = flight.slot // PER_SOCKET
        self._readable(self._sockets[index], index)
        if flight.over:
            return
        if flight.tries < flight.target.retransmission.max_attempts:
            self._transmit(loop, flight, loop.time())
            return
        self.counters.unanswered += 1
        ending = Ending.UNREACHABLE if flight.network_errno else Ending.NO_ANSWER
        self._finish(flight, loop.time(), datetime.now(UTC), ending)
        self._pump(flight.router)

    def _readable(self, source: SourceSocket, index: int) -> None:
        loop = self._loop
        if loop is None:
            return
        found = source.datagrams()
        # One look at the clocks for all of them: they were here already, and what is said below takes time.
        now_s, now = loop.time(), datetime.now(UTC)
        for data, sender in found:
            router = self._routers.get(sender[:2])
            if router is None:
                self.counters.foreign += 1
                continue
            flight = router.in_flight.get(index * PER_SOCKET + data[1]) if len(data) > 1 else None
            if flight is None:
                self.counters.late_or_duplicate += 1
                continue
            target = flight.target
            try:
                reply = decode_reply(data, flight.packet, target.secret.reveal(), target.require_message_authenticator)
            except ReplyError as error:
                self._reject(flight, error)
                continue
            self.counters.answered += 1
            self._finish(flight, now_s, now, Ending.ANSWERED, reply)
            if router.waiting:
                self._pump(router)
        if source.error_pending or not found:
            for seen in source.errors():
                self._network_error(index, *seen)

    def _reject(self, flight: Flight, error: ReplyError) -> None:
        self.counters.rejected += 1
        if flight.rejected is None:
            flight.rejected = Counter()
        flight.rejected[error.cause] += 1

    def _network_error(self, index: int, endpoint: tuple[str, int], identifier: int, number: int) -> None:
        self.counters.network_errors += 1
        router = self._routers.get(endpoint)
        flight = router.in_flight.get(index * PER_SOCKET + identifier) if router and identifier >= 0 else None
        if flight is not None:
            flight.network_errno = number

    def _finish(self, flight: Flight, now_s: float, now: datetime, ending: Ending, reply: Reply | None = None) -> None:
        """End the flight at this moment, given by the monotonic and by the wall clock."""
        self._land(flight, now_s, reply is None or flight.sent > 1)
        if flight.future.done():
            return
        took_s = now_s - flight.started_s if flight.tries else 0.0
        flight.future.set_result(
            Exchange(
                ending,
                reply,
                flight.sent,
                took_s * 1000 if reply is not None else None,
                # By the monotonic clock, so that a corrected wall clock never makes an end before a start.
                now - timedelta(0, took_s),
                now,
                tuple(sorted(flight.rejected.items())) if flight.rejected else (),
                flight.network_errno,
            )
        )

    def _fail(self, flight: Flight, error: Exception) -> None:
        if self._loop is not None:
            self._land(flight, self._loop.time(), doubtful=False)
        if not flight.future.done():
            flight.future.set_exception(error)

    def _abandon(self, flight: Flight) -> None:
        """The caller is gone: rest the identifier, let the next one fly."""
        if flight.slot < 0:
            flight.over = True
            del flight.router.waiting[flight]
        elif self._loop is not None:
            self._land(flight, self._loop.time(), doubtful=True)
        self._pump(flight.router)

    def _land(self, flight: Flight, now_s: float, doubtful: bool) -> None:
        flight.over = True
        if flight.slot >= 0:
            del flight.router.in_flight[flight.slot]
            flight.router.identifiers.give_back(flight.slot, now_s, doubtful)
