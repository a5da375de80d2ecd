"""A MikroTik access router: a RADIUS client and a CoA server over real UDP sockets, on one event loop.

``python -m simulators.nas --help`` runs one from the command line.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Self

from simulators import attributes, packets
from simulators.accounting import Accounting
from simulators.attributes import Pair
from simulators.clock import Clock, LoopClock, Wheel
from simulators.coa_server import CoaServer, Received
from simulators.companion import Companion, LocalTerms
from simulators.faults import Line
from simulators.login import Attempt, LoginResult, NotAdmittedError, grouped, result_of
from simulators.pools import PoolEmptyError, Pools
from simulators.radius_client import RadiusClient
from simulators.services import Call, Calls, identity, is_hotspot
from simulators.sessions import Session, SessionTable
from simulators.settings import AccountingOutcome, Client, Counters, NasSettings, TerminateCause
from simulators.udp import Cable, UdpPort

# Settings that are read at each use and may change while the router runs; the others are wired at construction
SWITCHES = frozenset(
    {
        "accept_incoming",
        "ack_without_effect",
        "check_coa_source",
        "coa_address_list",
        "coa_identify_by",
        "coa_requires",
        "coa_sources",
        "coa_unsupported",
        "refuses_malformed_rate_limit",
        "require_message_authenticator_on_coa",
        "session_timeout_restarts_on_coa",
    }
)


class Nas:
    """One router. Start it inside a running event loop; every verb is safe to call from that loop alone."""

    def __init__(self, settings: NasSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or LoopClock()
        self.counters = Counters()
        self.sessions = SessionTable()
        self.received: deque[Received] = deque(maxlen=settings.received_kept)
        self.companion = Companion()  # or the RouterOS API of the same router
        self.on_received: Callable[[Received], None] | None = None  # called with every CoA and Disconnect
        self.on_login: Callable[[LoginResult], None] | None = None  # called with every login, redials too
        self._random = random.Random(f"{settings.seed}:{settings.name}:requests")
        self._cable = Cable()
        self._calls = Calls(settings.boot)
        self._pools = Pools(settings.pool, settings.pools)
        self._wheel = Wheel(self.clock)
        self._redials = Wheel(self.clock)  # the clients' own: they outlive a reboot of the router
        self._radius = RadiusClient(settings, self.counters, self.clock, self._cable, self._happened)
        self._accounting = Accounting(settings, self._radius, self.clock)
        self._coa_port: UdpPort | None = None
        self._coa: CoaServer | None = None
        self._dialling: set[asyncio.Task[LoginResult]] = set()
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind the sockets; OSError when an address or port cannot be had, and then nothing is left open."""
        if self._coa_port is not None:
            raise RuntimeError(f"router {self.settings.name} is already started")
        faults, name = self.settings.faults, self.settings.name
        try:
            self._radius.open()
            port = UdpPort(
                (self.settings.address, self.settings.coa_port),
                self._take_coa,
                cable=self._cable,
                inbound=Line(faults.inbound, faults.seed, f"{name}:coa:in", self.clock),
                outbound=Line(faults.outbound, faults.seed, f"{name}:coa:out", self.clock),
            )
        except OSError:
            self._radius.close()
            raise
        self._coa_port = port
        self._coa = CoaServer(self, port.send)

    async def stop(self) -> None:
        """Close everything without a word to anybody, as a process that ends. Stopping twice does no harm."""
        if self._coa_port is None:
            return
        self._coa_port.close()
        self._coa_port, self._coa = None, None
        self._wheel.clear()
        self._redials.clear()
        self._radius.close()
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        for _, future in self._watchers:
            future.cancel()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def coa_port(self) -> int:
        """Return the port that takes CoA and Disconnect, the real one where the setting is 0."""
        return self._coa_port.address[1] if self._coa_port is not None else self.settings.coa_port

    @property
    def packets_not_sent(self) -> int:
        """Return how many packets the kernel did not take, its buffer being full."""
        return self._cable.packets_not_sent

    @property
    def boot(self) -> int:
        """Return the boot counter; its last hex digit is the third symbol of Acct-Session-Id."""
        return self._calls.boot

    def switch(self, **changes: Any) -> None:
        """Change settings of a running router, those in SWITCHES; ValueError for any other."""
        fixed = sorted(set(changes) - SWITCHES)
        if fixed:
            raise ValueError(f"{', '.join(fixed)} cannot change while the router runs; start another one")
        self.settings = replace(self.settings, **changes)

    def reboot(self) -> None:
        """Lose every session without a Stop and without Accounting-Off; clients that redial come back by themselves."""
        lost = list(self.sessions)
        self.sessions.clear()
        self._wheel.clear()
        self._pools.clear()
        self._calls.reboot()
        if self._coa is not None:
            self._coa.forget()
        self.companion.rebooted()
        for session in lost:
            session.online = False
            self._redial_later(session.client)
        self._radius.reset()
        self._happened()

    def cut(self) -> None:
        """Drop every packet in both directions: a router without power or line. Sessions stay as they are."""
        self._cable.connected = False

    def restore(self) -> None:
        """Join the cable again."""
        self._cable.connected = True

    # -- clients ---------------------------------------------------------------------------------------------------

    async def login(self, client: Client) -> LoginResult:
        """Ask the RADIUS servers and bring the client online if they accept; Start follows without being awaited.

        Raises ValueError for a client whose values fit into no attribute, RuntimeError when the router is stopped.
        """
        if self._coa_port is None:
            raise RuntimeError(f"router {self.settings.name} is not started")
        terms = self.companion.terms(client)
        if terms is not None:  # local users win: RADIUS is not asked at all
            return self._done(self._let_in(client, terms))
        try:
            attempt = Attempt(self.settings, client, self._calls, self._pools, self._random)
        except PoolEmptyError as error:
            return self._done(LoginResult(accepted=False, problem=str(error)))
        boot = self.boot
        answer = await self._radius.authenticate(attempt.request())
        if boot != self.boot or self._coa_port is None:
            return self._done(LoginResult(accepted=False, timed_out=True, problem="the router went down meanwhile"))
        if answer is None:
            attempt.give_back()
            return self._done(LoginResult(accepted=False, timed_out=True, problem="no RADIUS server answered"))
        reply = answer.reply
        if reply.code != packets.ACCESS_ACCEPT:
            attempt.give_back()
            self.counters.rejects += 1
            return self._done(result_of(reply, answer.round_trip_ms, None))
        self.counters.accepts += 1
        try:
            session = attempt.admit(reply, self.clock)
        except NotAdmittedError as error:
            attempt.give_back()
            return self._done(result_of(reply, answer.round_trip_ms, None, str(error)))
        self._bring_online(session)
        self._accounting.record(session, "Start")
        return self._done(result_of(reply, answer.round_trip_ms, session))

    async def keep_online(self, client: Client) -> LoginResult:
        """Log in, and have a client with `redial_s` try again by itself for as long as it is refused."""
        result = await self.login(client)
        if not result.accepted:
            self._redial_later(client)
        return result

    def add_session(
        self,
        client: Client,
        *,
        address: str = "",
        reply: Iterable[Pair] = (),
        class_value: bytes = b"",
        accounting: bool = True,
        local: bool = False,
    ) -> Session:
        """Bring a client online without RADIUS and without a Start, for benches; `reply` is what was "accepted".

        With `accounting` False its interims and its Stop are not sent either. `local`: by the router's own secret.
        """
        address = address or client.host_ip
        leases = []
        if not address:
            address = self._pools.take()
            leases.append(("", address))
        call = Call(self._calls.next_port(client.method), client.host_ip or address if is_hotspot(client) else "")
        common = attributes.encode_all(identity(self.settings, client, call))
        session = Session(client, call, common, self.clock, address=address)
        session.leases = leases
        session.attributes = grouped(tuple((name, str(value)) for name, value in reply))
        session.class_values = (class_value,) if class_value else ()
        session.accounting, session.local = accounting, local
        self._bring_online(session)
        return session

    async def logout(
        self, session: Session, cause: TerminateCause = TerminateCause.USER_REQUEST
    ) -> AccountingOutcome | None:
        """End a session and wait for its Stop; None when there was nothing to end or nothing to send."""
        sent = self.terminate(session, cause)
        return None if sent is None else await sent

    async def interim(self, session: Session) -> AccountingOutcome:
        """Send an Interim-Update now and wait for it; ValueError when the session is over."""
        if not session.online:
            raise ValueError(f"session {session.session_id} is over, it sends no interim")
        return await self._accounting.record(session, "Interim-Update")

    async def idle(self) -> None:
        """Wait until every accounting record has been acknowledged or given up."""
        await self._radius.idle()

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait until `happened()` is true; looked at after every login, record, reply, CoA and end of session."""
        if not happened():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watchers.append((happened, future))
            await future

    # -- what the CoA server asks for --------------------------------------------------------------------------------

    def terminate(self, session: Session, cause: TerminateCause) -> asyncio.Future[AccountingOutcome] | None:
        """End a session and send its Stop without waiting; None when it is over already or has no accounting."""
        if not session.online:
            return None
        session.settle()
        session.online = False
        session.ended_by = cause
        self.sessions.remove(session)
        self.companion.went(session)
        for pool, address in session.leases:
            self._pools.give_back(pool, address)
        sent = None
        if session.accounting:
            sent = self._accounting.record(session, "Stop", cause)
        if cause is not TerminateCause.USER_REQUEST:
            self._redial_later(session.client)
        self._happened()
        return sent

    def changed(self, session: Session, names: frozenset[str]) -> None:
        """Follow a change by CoA: new timeouts, and limits that may now be reached."""
        if "Session-Timeout" in names:
            restarts = self.settings.session_timeout_restarts_on_coa
            self._watch_deadline(session, self.clock.now() if restarts else session.started_s)
        if "Idle-Timeout" in names:
            self._watch_idle(session)
        self.companion.changed(session)
        self._check_limits(session)

    def note(self, received: Received) -> None:
        """Keep the record of a CoA or Disconnect."""
        self.received.append(received)
        if self.on_received is not None:
            self.on_received(received)
        self._happened()

    # -- inside ------------------------------------------------------------------------------------------------------

    def _take_coa(self, data: bytes, source: tuple[str, int]) -> None:
        if self._coa is not None:
            self._coa.handle(data, source)

    def _done(self, result: LoginResult) -> LoginResult:
        if self.on_login is not None:
            self.on_login(result)
        self._happened()
        return result

    def _let_in(self, client: Client, terms: LocalTerms) -> LoginResult:
        """Bring a client online by the router's own terms; RADIUS hears nothing of it."""
        if terms.refused:
            return LoginResult(accepted=False, problem=terms.refused)
        try:
            session = self.add_session(client, address=terms.address, reply=terms.reply, accounting=False, local=True)
        except PoolEmptyError as error:
            return LoginResult(accepted=False, problem=str(error))
        return LoginResult(accepted=True, attributes=terms.reply, session=session)

    def _bring_online(self, session: Session) -> None:
        self.sessions.add(session)
        self.companion.came(session)
        session.watch(self._check_limits)
        self._watch_deadline(session, session.started_s)
        self._watch_idle(session)
        interval_s = self._interim_interval_s(session)
        if interval_s > 0 and session.accounting:
            self._wheel.add(interval_s, partial(self._interim_due, session, interval_s))

    def _interim_interval_s(self, session: Session) -> float:
        """Return seconds between interims: PPP takes the server's unless 0, hotspot only where the profile says so."""
        received = int(session.first("Acct-Interim-Interval") or 0)
        obeys = session.client.method == "pppoe" or (
            is_hotspot(session.client) and self.settings.hotspot_interim_received
        )
        return float(received) if received and obeys else self.settings.interim_update_s

    def _interim_due(self, session: Session, interval_s: float) -> None:
        if session.online:
            self._accounting.record(session, "Interim-Update")
            self._wheel.add(interval_s, partial(self._interim_due, session, interval_s))
            self._check_limits(session)

    def _check_limits(self, session: Session) -> None:
        if session.online and session.limit_reached():
            self.terminate(session, TerminateCause.NAS_REQUEST)

    def _watch_deadline(self, session: Session, from_s: float) -> None:
        timeout_s = session.session_timeout_s
        session.deadline_s = from_s + timeout_s if timeout_s else None
        if session.deadline_s is not None:
            self._wheel.add(session.deadline_s - self.clock.now(), partial(self._deadline_due, session))

    def _deadline_due(self, session: Session) -> None:
        # A deadline moved later by CoA has a timer of its own
        if session.deadline_s is not None and self.clock.now() >= session.deadline_s:
            self.terminate(session, TerminateCause.SESSION_TIMEOUT)

    def _watch_idle(self, session: Session) -> None:
        if session.idle_timeout_s and not session.idle_watched:
            session.idle_watched = True
            self._wheel.add(session.idle_timeout_s, partial(self._idle_due, session))

    def _idle_due(self, session: Session) -> None:
        session.idle_watched = False
        timeout_s = session.idle_timeout_s
        if not session.online or not timeout_s:
            return
        session.settle()
        if self.clock.now() - session.last_traffic_s >= timeout_s:
            self.terminate(session, TerminateCause.IDLE_TIMEOUT)
        else:
            self._watch_idle(session)

    def _redial_later(self, client: Client) -> None:
        if client.redial_s is not None and self._coa_port is not None:
            self._redials.add(client.redial_s, partial(self._redial, client))

    def _redial(self, client: Client) -> None:
        task = asyncio.get_running_loop().create_task(self.keep_online(client))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    def _happened(self) -> None:
        if not self._watchers:
            return
        for watcher in [entry for entry in self._watchers if entry[1].done() or entry[0]()]:
            self._watchers.remove(watcher)
            if not watcher[1].done():
                watcher[1].set_result(None)


if __name__ == "__main__":
    from simulators.nas_command import main  # only for the command: the command itself imports this module

    sys.exit(main())
