"""Short stories of things that go wrong together, each at its moment: chance alone meets them once in many seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from policy.changes.enforcement import verify_within_s
from policy.changes.settle import LATE_S
from simulation.billing import Billing
from simulation.customers import INTERIM_S, Customers, Device
from simulation.ledger import Line
from simulation.line import Fate
from simulation.line import Line as Wire
from simulation.people import People
from simulation.plans import PLANS
from simulation.routers import RouterModel
from simulation.worker import Worker
from simulation.world import World

HESITATES_S = (0.5, 25.0)
# When the alarm is raised about a session whose Stop was lost, and how long its customer is away.
ALARM_S = verify_within_s(int(INTERIM_S))
AWAY_S = (ALARM_S - 20.0, ALARM_S + 150.0)
BEFORE_ALARM_S = (40.0, ALARM_S - 100.0)
AFTER_ALARM_S = (ALARM_S + 40.0, ALARM_S + 100.0)
# How long a story waits for somebody whom it suits.
LOOKS_FOR_ONE = 6
LOOKS_AFTER_S = 10.0
# How often each story is told.
STORIES = {
    "cannot_decide": 4,
    "rejected_and_paid": 6,
    "unheard": 30,
    "stops_while_stopped": 5,
    "stops_while_silent": 6,
    "stops_while_stuck": 11,
    "stops_while_refused": 4,
    "dies_and_changes": 4,
    "nobody_decides": 4,
    "overtaken": 12,
    "undone": 2,
}
# These are about somebody who is online where sessions can be changed and ended.
OF_SESSIONS = {
    "unheard",
    "stops_while_stopped",
    "stops_while_silent",
    "stops_while_stuck",
    "stops_while_refused",
    "dies_and_changes",
    "overtaken",
}
# And these where a Disconnect ends a session.
OF_ENDS = {"unheard", "stops_while_refused"}
# These are about somebody who owes nothing yet.
OF_DEBTS = {"rejected_and_paid", "nobody_decides"}


class Cast(NamedTuple):
    """Those who act in a story."""

    world: World
    lines: list[Line]
    billing: Billing
    people: People
    worker: Worker
    customers: Customers
    wire: Wire
    night: Callable[[], None]


class Sagas:
    """Each method begins one story, about one customer."""

    def __init__(self, cast: Cast) -> None:
        """Nothing happens yet."""
        self._world, self._lines, self._billing, self._people = cast[:4]
        self._worker, self._customers, self._wire, self._night = cast[4:]
        self.others: dict[str, int] = {}
        """Stories that only this town knows, and how often each is told."""
        self.pending = 0
        """What is still to happen in the stories that have begun."""

    def begin(self) -> None:
        """One story, about whoever suits it. It waits a while for one, and then gives way to another story."""
        self._tell(self._drawn(list(STORIES | self.others)), LOOKS_FOR_ONE)

    def _drawn(self, names: list[str]) -> str:
        stories = STORIES | self.others
        return self._world.random.choices(names, [stories[name] for name in names])[0]

    def _tell(self, name: str, looks: int) -> None:
        suited = self._suited(name)
        if not suited and looks:
            self._later(LOOKS_AFTER_S, lambda: self._tell(name, looks - 1))
            return
        if not suited:
            told = [other for other in STORIES | self.others if self._suited(other)]
            if not told:
                return
            name = self._drawn(told)
            suited = self._suited(name)
        line = self._world.random.choice(suited)
        self._world.say(f"a story about {line.username}: {name.replace('_', ' ')}")
        getattr(self, f"_{name}")(line, self._customers.devices[line.username])

    def _suited(self, name: str) -> list[Line]:
        return [line for line in self._lines if not line.closed and self._suits(name, line)]

    def _suits(self, name: str, line: Line) -> bool:
        if name in OF_DEBTS:
            return not line.account.overdue(self._world.now)
        device = self._customers.devices[line.username]
        router = device.router if device.session is not None else None
        if name in OF_SESSIONS and (router is None or not router.dynamic_authorization):
            return False
        return name not in OF_ENDS or (router is not None and router.obeys)

    def _cannot_decide(self, line: Line, _: Device) -> None:
        """The truth goes to and fro, faster than packets are answered."""
        delay_s = 0.0
        plans = self._billing.two_plans()
        owes = self._world.chance(0.4)
        for number in range(self._world.random.randint(2, 5)):
            if owes:
                self._later(delay_s, lambda: self._billing.toggle(line))
                self._approve_soon(delay_s)
            else:
                self._take(line, plans[number % 2], delay_s)
            delay_s += self._world.between(*HESITATES_S)

    def _rejected_and_paid(self, line: Line, _: Device) -> None:
        """Somebody says no to a suspension, the customer pays, and is overdue again."""
        world = self._world
        self._billing.owe(line)
        self._later(world.between(4.0, 15.0), self._people.reject_all)
        self._later(world.between(20.0, 30.0), self._people.reject_all)
        self._later(world.between(35.0, 60.0), lambda: self._billing.pay_all(line))
        self._later(world.between(70.0, 120.0), lambda: self._billing.owe(line))

    def _unheard(self, line: Line, device: Device) -> None:
        """The Stop of the session that is ended is lost, and the customer stays away; meanwhile the truth may move."""
        device.unheard_s = self._world.between(*AWAY_S)
        ways = ("stays", "before", "in silence", "after")
        way = self._world.random.choices(ways, (11, 1, 2, 4))[0]
        device.unheard = lambda router: self._goes_unheard(line, way, router)
        if way in ("in silence", "after"):
            device.unheard_s = AWAY_S[1]
        if device.router is not None and device.session is not None:
            # Only the Stop is lost; else a second packet would find the session gone, and that would be the proof.
            self._wire.fates[device.router.router_id, device.session.acct_session_id] = (Fate.SPARED, lambda: None)
        self._billing.readdress(line)
        self._approve_soon(0.0)

    def _goes_unheard(self, line: Line, way: str, router: RouterModel) -> None:
        """The session has ended, and only its router knows."""
        world = self._world
        match way:
            case "before":
                self._later(world.between(*BEFORE_ALARM_S), lambda: self._throw_out(line))
            case "in silence":  # no answer of the router says that the session is gone
                change_s = world.between(*BEFORE_ALARM_S)
                self._later(change_s, lambda: _part(router))
                self._later(change_s, lambda: self._throw_out(line))
                self._later(AFTER_ALARM_S[1], lambda: _reach(router))
            case "after":
                self._later(world.between(*AFTER_ALARM_S), lambda: self._throw_out(line))
        self._later(AWAY_S[1] + 30.0, lambda: None)

    def _stops_while_stopped(self, line: Line, device: Device) -> None:
        """All network writes are stopped, a step waits, and its session ends by itself."""
        world = self._world
        self._people.switch(stopped=True)
        self._throw_out(line)
        self._hang_up(device, world.between(12.0, 30.0))
        self._later(world.between(35.0, 50.0), lambda: self._people.switch(stopped=False))

    def _stops_while_silent(self, line: Line, device: Device) -> None:
        """The router takes no CoA for a while, a step is retried, and its session ends by itself."""
        world = self._world
        router = device.router or device.home
        router.reachable = False
        self._throw_out(line)
        # The later the longer is the wait for the next attempt, in which the session ends.
        ends_s = world.between(40.0, 120.0)
        self._hang_up(device, ends_s)
        self._later(ends_s + world.between(15.0, 30.0), lambda: _reach(router))

    def _stops_while_stuck(self, line: Line, device: Device) -> None:
        """The secret is wrong, so that a step is stuck; then its session ends by itself, or goes on."""
        world = self._world
        router = device.router or device.home
        router.quirks.wrong_secret = True
        self._billing.speed(line.plan, f"{world.random.randint(1, 99)}M/1M")  # a disconnect would end it all the same
        self._approve_soon(0.0)
        if world.chance(0.85):
            self._hang_up(device, world.between(26.0, 55.0))
        self._later(world.between(65.0, 90.0), lambda: _agree(router))

    def _stops_while_refused(self, line: Line, device: Device) -> None:
        """The router ends no session until somebody mends it, and before that the session ends by itself."""
        world = self._world
        router = device.router or device.home
        router.quirks.refuses_disconnect = True
        self._throw_out(line)
        self._hang_up(device, world.between(20.0, 60.0))
        self._later(world.between(65.0, 90.0), lambda: _mend(router))

    def _dies_and_changes(self, line: Line, _: Device) -> None:
        """The worker dies with a step in hand, and when it is back something else is wanted."""
        world = self._world
        self._worker.dies_at_next_claim = True
        first = self._other_plan(line.plan)
        self._take(line, first, 0.0)
        self._take(line, self._other_plan(first), world.between(5.0, 40.0))

    def _vanishes(self, line: Line, _: Device) -> None:
        """The worker dies with a router's configuration half written, and what was before is wanted again."""
        before = line.plan
        self._worker.dies_after_write()
        self._take(line, self._other_plan(before), 0.0)
        self._take(line, before, self._world.between(10.0, 40.0))

    def _nobody_decides(self, line: Line, _: Device) -> None:
        """A suspension waits, and a day passes."""
        self._billing.owe(line)
        self._later(self._world.between(5.0, 30.0), self._night)

    def _undone(self, line: Line, _: Device) -> None:
        """A change is undone, and then the customer wants something else besides."""
        self._take(line, self._billing.two_plans()[0], 0.0)
        self._later(self._world.between(15.0, 25.0), self._people.undo_something)
        self._later(self._world.between(30.0, 40.0), lambda: self._billing.readdress(line))
        self._approve_soon(40.0)

    def _overtaken(self, line: Line, device: Device) -> None:
        """A packet is held up, or its answer is lost; meanwhile what it says is not wanted any more."""
        router, session = device.router, device.session
        if router is None or session is None:
            return
        fate = self._world.random.choice((Fate.HELD_UP, Fate.UNHEARD))
        # The later the better for a packet that comes late, but before the same is sent again.
        back_s = self._world.between(3.0, 14.0)

        def back() -> None:
            self._later(back_s, lambda: self._billing.speed(line.plan, PLANS[line.plan]["rate_limit"]))
            self._approve_soon(back_s)
            self._later(2 * LATE_S, lambda: None)

        self._wire.fates[router.router_id, session.acct_session_id] = (fate, back)
        self._billing.speed(line.plan, f"{self._world.random.randint(1, 99)}M/1M")
        self._approve_soon(0.0)

    def _later(self, delay_s: float, action: Callable[[], object]) -> None:
        self.pending += 1

        def happen() -> None:
            self.pending -= 1
            action()

        self._world.after(delay_s, happen)

    def _change(self, line: Line) -> None:
        """Something of the customer changes that the network must hear of."""
        if self._world.chance(0.5):
            self._billing.toggle(line)
        else:
            self._billing.give(line, self._other_plan(line.plan))
        self._approve_soon(0.0)

    def _other_plan(self, plan: str) -> str:
        return next(other for other in self._billing.two_plans() if other != plan)

    def _throw_out(self, line: Line) -> None:
        """Something changes that mostly takes another session."""
        if self._world.chance(0.7):
            self._billing.readdress(line)
            self._approve_soon(0.0)
        else:
            self._change(line)

    def _take(self, line: Line, plan: str, delay_s: float) -> None:
        self._later(delay_s, lambda: self._billing.give(line, plan))
        self._approve_soon(delay_s)

    def _approve_soon(self, delay_s: float) -> None:
        self._later(delay_s + self._world.between(2.0, 5.0), self._people.approve_all)
        self._later(delay_s + self._world.between(8.0, 15.0), self._people.approve_all)  # what was planned late

    def _hang_up(self, device: Device, delay_s: float) -> None:
        self._later(delay_s, lambda: self._customers.hang_up(device, self._world.between(5.0, 60.0)))


def _part(router: RouterModel) -> None:
    router.reachable = False


def _reach(router: RouterModel) -> None:
    router.reachable = True


def _agree(router: RouterModel) -> None:
    router.quirks.wrong_secret = False


def _mend(router: RouterModel) -> None:
    router.quirks.refuses_disconnect = False
