"""The router's RADIUS client: identifiers, retransmission, the second server, and what counts as an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from simulators import packets
from simulators.clock import Clock, Timer
from simulators.faults import Line
from simulators.packets import Reply
from simulators.settings import IDENTIFIERS_PER_SOCKET, AccountingOutcome, Counters, NasSettings
from simulators.udp import Address, Cable, UdpPort

# (identifier, seconds since the event) to the bytes of the request
Build = Callable[[int, int], bytes]
_AUTH_REPLIES = (packets.ACCESS_ACCEPT, packets.ACCESS_REJECT, packets.ACCESS_CHALLENGE)
_ACCT_REPLIES = (packets.ACCOUNTING_RESPONSE,)


@dataclass(frozen=True, slots=True)
class Answer:
    """A genuine reply and how long it took since the first send."""

    reply: Reply
    round_trip_ms: float


class _Slot:
    """One identifier of one socket."""

    __slots__ = ("exchange", "identifier", "port")

    def __init__(self, port: UdpPort, identifier: int) -> None:
        self.port = port
        self.identifier = identifier
        self.exchange: _Exchange | None = None


class _Exchange:
    """One request on its way, over all its sends."""

    __slots__ = (
        "build",
        "created_s",
        "done",
        "first_sent_s",
        "is_auth",
        "packet",
        "server",
        "server_index",
        "slot",
        "timer",
        "tries",
    )

    def __init__(self, build: Build, done: Callable[[Answer | None], None], created_s: float, is_auth: bool) -> None:
        self.build = build
        self.done = done
        self.created_s = created_s
        self.is_auth = is_auth
        self.first_sent_s = 0.0
        self.packet = b""
        self.server: Address = ("", 0)
        self.server_index = 0
        self.tries = 0
        self.slot: _Slot | None = None
        self.timer: Timer | None = None


class RadiusClient:
    """Sends Access-Requests and accounting records, a bounded number at a time; the rest waits its turn."""

    def __init__(
        self,
        settings: NasSettings,
        counters: Counters,
        clock: Clock,
        cable: Cable,
        happened: Callable[[], None],
    ) -> None:
        """`happened` is called whenever a request has ended or a reply was of no use."""
        self._settings = settings
        self._servers = settings.servers
        self._key = settings.key
        self._happened = happened
        self._counters = counters
        self._clock = clock
        self._cable = cable
        faults = settings.faults
        self._inbound = Line(faults.inbound, faults.seed, f"{settings.name}:radius:in", clock)
        self._outbound = Line(faults.outbound, faults.seed, f"{settings.name}:radius:out", clock)
        self._ports: list[UdpPort] = []
        self._slots: dict[UdpPort, list[_Slot]] = {}
        self._free: deque[_Slot] = deque()
        self._waiting: deque[_Exchange] = deque()
        self._in_flight = 0
        self._records_open = 0
        self._idle_waiters: list[asyncio.Future[None]] = []

    def open(self) -> None:
        """Bind the sockets; OSError when the address is not one of this machine."""
        for _ in range(self._settings.radius_sockets):
            slots: list[_Slot] = []
            port = UdpPort(
                (self._settings.address, 0),
                partial(self._received, slots),
                cable=self._cable,
                inbound=self._inbound,
                outbound=self._outbound,
            )
            slots.extend(_Slot(port, identifier) for identifier in range(IDENTIFIERS_PER_SOCKET))
            self._ports.append(port)
            self._slots[port] = slots
        # Identifier by identifier over all sockets, so that each rests as long as possible before it is used again
        self._free.extend(slot for group in zip(*self._slots.values(), strict=True) for slot in group)

    def close(self) -> None:
        """Give up everything on its way and close the sockets."""
        self.reset()
        for port in self._ports:
            port.close()
        self._ports.clear()
        self._slots.clear()
        self._free.clear()

    def authenticate(self, build: Build) -> asyncio.Future[Answer | None]:
        """Send an Access-Request; the future gets the answer, or None when no server answered."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        self._submit(_Exchange(build, done, self._clock.now(), is_auth=True))
        return future

    def account(self, build: Build) -> asyncio.Future[AccountingOutcome]:
        """Send an accounting record until it is acknowledged or given up."""
        future: asyncio.Future[AccountingOutcome] = asyncio.get_running_loop().create_future()
        self._records_open += 1

        def done(answer: Answer | None) -> None:
            self._records_open -= 1
            if not future.done():
                future.set_result(AccountingOutcome.ACKNOWLEDGED if answer else AccountingOutcome.GIVEN_UP)
            if not self._records_open:
                self._wake_idle()

        self._submit(_Exchange(build, done, self._clock.now(), is_auth=False))
        return future

    async def idle(self) -> None:
        """Wait until no accounting record is waiting or on its way."""
        if self._records_open:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def reset(self) -> None:
        """Forget every request, as a reboot does. Those who wait are told that nobody answered."""
        lost = list(self._waiting)
        self._waiting.clear()
        lost += [slot.exchange for slots in self._slots.values() for slot in slots if slot.exchange is not None]
        for exchange in lost:
            self._release(exchange)
            exchange.done(None)

    def _wake_idle(self) -> None:
        waiters, self._idle_waiters = self._idle_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _submit(self, exchange: _Exchange) -> None:
        self._counters.requests += 1
        self._waiting.append(exchange)
        self._pump()

    def _pump(self) -> None:
        while self._waiting and self._free and self._in_flight < self._settings.radius_in_flight_max:
            exchange = self._waiting.popleft()
            self._seize(exchange)
            exchange.first_sent_s = self._clock.now()
            self._transmit(exchange)

    def _seize(self, exchange: _Exchange) -> None:
        slot = self._free.popleft()
        slot.exchange = exchange
        exchange.slot = slot
        self._in_flight += 1

    def _release(self, exchange: _Exchange) -> None:
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None
        if exchange.slot is not None:
            exchange.slot.exchange = None
            self._free.append(exchange.slot)
            exchange.slot = None
            self._in_flight -= 1

    def _transmit(self, exchange: _Exchange) -> None:
        slot = exchange.slot
        if slot is None:
            raise RuntimeError("an exchange is sent only while it holds an identifier")
        delay_s = int(self._clock.now() - exchange.created_s)
        if not exchange.is_auth or not exchange.packet:
            exchange.packet = exchange.build(slot.identifier, delay_s)
        server = self._servers[exchange.server_index]
        exchange.server = (server.address, server.auth_port if exchange.is_auth else server.acct_port)
        exchange.timer = self._clock.call_later(self._settings.radius_timeout_s, partial(self._timed_out, exchange))
        slot.port.send(exchange.packet, exchange.server)

    def _timed_out(self, exchange: _Exchange) -> None:
        exchange.timer = None
        self._counters.timeouts += 1
        exchange.tries += 1
        if exchange.tries >= self._settings.radius_tries:
            exchange.tries = 0
            exchange.server_index += 1
        if exchange.server_index >= len(self._servers):
            if not exchange.is_auth:
                self._counters.acct_given_up += 1
            self._finish(exchange, None)
            return
        self._counters.resends += 1
        if not exchange.is_auth:
            # RFC 2866 section 5.2: a new Acct-Delay-Time makes a new packet, and that needs a new identifier
            self._release(exchange)
            self._seize(exchange)
        self._transmit(exchange)

    def _finish(self, exchange: _Exchange, answer: Answer | None) -> None:
        self._release(exchange)
        exchange.done(answer)
        self._happened()
        self._pump()

    def _received(self, slots: list[_Slot], data: bytes, source: Address) -> None:
        exchange = slots[data[1]].exchange if len(data) >= packets.HEADER_BYTES else None
        if exchange is None or exchange.server != source:
            self._counters.late_replies += 1
            self._happened()
            return
        must_sign = exchange.is_auth and self._settings.require_message_auth
        codes = _AUTH_REPLIES if exchange.is_auth else _ACCT_REPLIES
        reply = packets.check_reply(data, exchange.packet[4:20], self._key, codes, must_sign=must_sign)
        if reply is None:
            self._counters.bad_replies += 1
            self._happened()
            return
        if not exchange.is_auth:
            self._counters.acct_acked += 1
        self._finish(exchange, Answer(reply, (self._clock.now() - exchange.first_sent_s) * 1000.0))
