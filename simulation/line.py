"""Packets between the worker and routers: lost, doubled, held up. A packet lives for `LATE_S` at most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from network.coa.exchange import Ending, Exchange
from network.coa.packets import Kind, Reply, Request
from network.coa.target import Target
from policy.changes.settle import LATE_S
from simulation.routers import RouterModel, Tag
from simulation.world import Violation, World

Done = Callable[[Exchange], None]
SHORT_S = (0.002, 0.3)
HELD_UP_S = (1.0, LATE_S - 1.0)
# So late that its sender has given it up.
OVERTAKEN_S = (18.0, LATE_S - 1.0)


class Fate(Enum):
    """What a story has in store for all packets of one request."""

    NONE = auto()
    HELD_UP = auto()
    """They arrive, but late."""
    UNHEARD = auto()
    """They arrive, and the answers do not."""
    SPARED = auto()
    """They arrive at once, and the answers too."""


@dataclass(eq=False)
class Flight:
    """A request that waits for its answer. `open` until it is answered, given up, or its sender is dead."""

    router: RouterModel
    target: Target
    request: Request
    number: int
    tag: Tag
    session: str
    done: Done
    started_at: datetime
    sent_at: datetime
    attempts: int = 0
    rejected: int = 0
    open: bool = True
    fate: Fate = Fate.NONE


class Line:
    """All that is on its way."""

    def __init__(self, world: World) -> None:
        """Nothing is under way yet."""
        self._world = world
        self._number = 0
        self._flights: dict[tuple[int, str], Flight] = {}
        self.under_way = 0
        self.fates: dict[tuple[int, str], tuple[Fate, Callable[[], None]]] = {}
        """What the next request about a session will meet, by router and session; and what then begins."""
        self.on_disconnect: Callable[[int, datetime], None] = lambda *_: None

    def begin(self, router: RouterModel, target: Target, request: Request, tag: Tag, done: Done) -> Flight:
        """Send a request. Raises Violation where the same session has one in flight already."""
        self._number += 1
        session = dict(request.attributes)["Acct-Session-Id"]
        key = (router.router_id, session)
        if key in self._flights:
            raise Violation(f"two requests in flight for session {session} of {router.name}")
        flight = Flight(
            router, target, request, self._number, tag, session, done, self._world.worker_now, self._world.now
        )
        if key in self.fates:
            flight.fate, then = self.fates.pop(key)
            then()
        self._flights[key] = flight
        self._send(flight)
        return flight

    def waits_for(self, router: RouterModel, session: str) -> bool:
        """Whether a request about this session waits for its answer."""
        return (router.router_id, session) in self._flights

    @property
    def quiet(self) -> bool:
        """Whether nothing is on its way and nobody waits for an answer."""
        return not self.under_way and not self._flights

    def kill_all(self) -> None:
        """The worker is dead: nothing is sent again and no answer is heard. What is on its way still arrives."""
        for flight in list(self._flights.values()):
            self._close(flight)

    def _close(self, flight: Flight) -> None:
        flight.open = False
        self._flights.pop((flight.router.router_id, flight.session), None)

    def _send(self, flight: Flight) -> None:
        if not flight.open:
            return
        patience = flight.target.retransmission
        if flight.attempts == patience.max_attempts:
            self._end(flight, Ending.NO_ANSWER, None)
            return
        flight.attempts += 1
        self._carry(lambda: self._arrive(flight), flight.fate)
        self._world.after(patience.wait_s(flight.attempts, self._world.random.random()), lambda: self._send(flight))

    def _carry(self, arrive: Callable[[], None], fate: Fate) -> None:
        world = self._world
        if fate == Fate.SPARED:
            self.under_way += 1
            world.after(world.between(*SHORT_S), lambda: self._land(arrive))
            return
        late = HELD_UP_S if world.chance(world.weather.packet_late) else SHORT_S
        delay_s = world.between(*(OVERTAKEN_S if fate == Fate.HELD_UP else late))
        # A network that doubles a packet has both arrive within a moment of one another.
        copies = [0.0, world.between(*SHORT_S)] if world.chance(world.weather.packet_doubled) else [0.0]
        for behind_s in copies:
            if world.chance(world.weather.packet_lost):
                world.counts["packets lost"] += 1
                continue
            self.under_way += 1
            world.after(delay_s + behind_s, lambda: self._land(arrive))

    def _land(self, arrive: Callable[[], None]) -> None:
        self.under_way -= 1
        arrive()

    def _arrive(self, flight: Flight) -> None:
        before = len(flight.router.effects)
        reply = flight.router.receive(flight.request, flight.number, flight.tag, late=not flight.open)
        if not flight.open:
            self._world.counts["late packets"] += 1
        if len(flight.router.effects) > before:
            what = f"{flight.request.kind.value} of step {flight.tag[0]} attempt {flight.tag[1]}"
            late = "" if flight.open else ", after its sender had given it up"
            self._world.say(f"{flight.router.name} does {what} to session {flight.session}{late}")
            self._world.counts["late packets with effect"] += not flight.open
            if flight.request.kind == Kind.DISCONNECT:
                self.on_disconnect(flight.tag[0], flight.sent_at)
        if reply is not None and flight.fate != Fate.UNHEARD:
            self._carry(lambda: self._answer(flight, reply), Fate.SPARED if flight.fate == Fate.SPARED else Fate.NONE)

    def _answer(self, flight: Flight, reply: Reply) -> None:
        if not flight.open:
            return
        if flight.router.quirks.wrong_secret:
            flight.rejected += 1
            return
        self._end(flight, Ending.ANSWERED, reply)

    def _end(self, flight: Flight, ending: Ending, reply: Reply | None) -> None:
        self._close(flight)
        ended_at = self._world.worker_now
        flight.done(
            Exchange(
                ending,
                reply,
                flight.attempts,
                (ended_at - flight.started_at).total_seconds() * 1000 if reply is not None else None,
                flight.started_at,
                ended_at,
                (("bad_authenticator", flight.rejected),) if flight.rejected else (),
            )
        )
