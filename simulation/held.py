"""Services that routers hold without RADIUS: their customers, the office that moves them about, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy.orm import Session

from policy.access import Access, Kind
from policy.documents import read_service
from policy.errors import PolicyError
from policy.facts import Method, ServiceFacts
from policy.routeros.difference import proved
from policy.routeros.menus import PPP_SECRET, QUEUE
from policy.routeros.objects import Item
from policy.routeros.style import read_style
from policy.routeros.wanted import Line as RouterLine
from policy.routeros.wanted import removal_items, wanted_items
from policy.standing import Standing
from simulation.customers import REDIAL_S, Customers
from simulation.held_routers import STYLES, HeldRouter
from simulation.ledger import Line
from simulation.world import World
from sql import customers, placing, router_store
from sql.errors import Refused
from sql.models import Router, Service
from sql.roles import Role
from sql.secrets import SecretBox

CLERK = "clerk"
PASSWORD = "made-up password"  # noqa: S105 - what every service begins with
POLL_S = (3.0, 20.0)
HELD_OF_ONE = 0.7
EVENTS = (2, 7)
TROUBLES = (2, 7)

_HELD = """
SELECT id, authorised, control_router_id FROM services
WHERE authorised IS NOT NULL AND control_router_id IS NOT NULL ORDER BY 1
"""
# Nobody can tell an engine that believes what it proved once, but by looking: what the scheduled search for drift does.
_PLACED = "SELECT service_id FROM placements WHERE router_id = %s AND ended_at IS NULL"
_DOUBT = "UPDATE placements SET applied_stamp = NULL WHERE service_id = ANY(%s) AND router_id = %s AND ended_at IS NULL"
_KNOWN = """
SELECT EXISTS (SELECT FROM placements JOIN services ON services.id = placements.service_id
    JOIN steps ON steps.placement_id = placements.id AND steps.state = 'started'
    WHERE services.username = %s AND placements.applied_stamp IS NOT NULL AND steps.attempts = 1)
"""


class Holding(NamedTuple):
    """A service that a router should hold, and as what."""

    line: Line
    facts: ServiceFacts
    router: HeldRouter


class Held:
    """All of it. `access` decides on authorised facts at a router."""

    def __init__(
        self,
        world: World,
        lines: list[Line],
        home: Customers,
        access: Callable[[ServiceFacts, str, int], Access],
        box: SecretBox,
    ) -> None:
        """Two routers; nobody is held yet."""
        self._world = world
        self._lines = lines
        self._home = home
        self._access = access
        self._box = box
        self.passwords: dict[int, str] = {}
        self.secrets = [PASSWORD]
        """Every password that there ever was."""
        self._agreed: set[tuple[int, int]] = set()
        self.at: dict[int, HeldRouter] = {}
        styles = [world.random.choice(STYLES) for _ in range(2)]
        self.routers = [
            HeldRouter(world, f"hill-{number}", f"10.9.{number}.1", style)
            for number, style in zip((1, 2), styles, strict=True)
        ]
        world.transact(Role.WEB, self._store)
        for router in self.routers:
            router.known_before = self._known_before

    def new_line(self, line: Line) -> None:
        """Perhaps a router is to hold this one."""
        self.passwords[line.service_id] = PASSWORD
        if self._world.chance(HELD_OF_ONE):
            self.place(line, self._world.random.choice(self.routers))

    def live(self, lasts_s: float) -> None:
        """Let things happen."""
        world = self._world
        for router in self.routers:
            router.breaks = world.random.choice((0.0, 0.05, 0.15))
            router.slow = world.random.choice((0.0, 0.05, 0.3))
        for _ in range(world.random.randint(*EVENTS)):
            world.after(world.between(1.0, lasts_s), self.something)
        for _ in range(world.random.randint(*TROUBLES)):
            world.after(world.between(1.0, lasts_s), self._trouble)
        self._poll()

    def calm(self) -> None:
        """Faults end, people clear away what is in the way, and what was changed by hand is found."""
        for router in self.routers:
            router.breaks = router.slow = 0.0
            router.reachable, router.locked_out = True, False
            if router.device[QUEUE].rows_max is not None:
                router.device[QUEUE].rows_max = None
                router.hang_up_all()  # who came while there was no room for a queue has none
            for line in self._lines:
                agreed = (line.service_id, router.router_id) in self._agreed
                router.remove_foreign(PPP_SECRET, line.username, agreed=agreed)

    def tell_of_drift(self) -> None:
        """The search for drift finds what somebody changed by hand, and people let go what the brake would hold."""
        world = self._world
        world.transact(Role.WEB, lambda s: customers.set_operator(s, world.operator_id, brake_free=20, actor=CLERK))
        for router in self.routers:
            held = {row[0] for row in world.look(_PLACED, router.router_id)}
            router.remove_orphans(held)
            if router.touched:
                touched, router.touched = sorted(router.touched), set()
                self._world.look(_DOUBT + " RETURNING id", touched, router.router_id)

    def something(self) -> None:
        """The office does something."""
        line = self._world.random.choice(self._lines)
        choice = self._world.random.choices((self._move, self._password, self._style, self._adopt), (6, 2, 2, 2))[0]
        choice(line)

    def place(self, line: Line, router: HeldRouter | None) -> None:
        """From now on this router holds the service; None: RADIUS."""

        def work(session: Session) -> bool:
            service = session.get_one(Service, line.service_id)
            held_by = session.get_one(Router, router.router_id) if router is not None else None
            placing.place_service(session, service, held_by, "", actor=CLERK)
            return True

        if not self._world.stored(Role.WEB, work):
            return
        self._world.say(f"{line.username} is held by {router.name if router is not None else 'RADIUS'} from now on")
        self._world.counts["placed"] += 1
        before = self.at.pop(line.service_id, None)
        if before is not None:
            before.hang_up(line.username)
        device = self._home.devices[line.username]
        if router is not None:
            self.at[line.service_id] = router
            device.held = True
            self._home.hang_up(device, 0.0)
        elif device.held:
            device.held = device.off = False
            self._home.redial(device, REDIAL_S)

    def holdings(self) -> list[Holding]:
        """What each router should hold now, by what is authorised."""
        lines = {line.service_id: line for line in self._lines}
        routers = {router.router_id: router for router in self.routers}
        found = [
            Holding(lines[service_id], read_service(authorised), routers[router_id])
            for service_id, authorised, router_id in self._world.look(_HELD)
        ]
        return [one for one in found if one.facts.standing != Standing.CLOSED]

    def access(self, one: Holding) -> Access:
        """What it gets now."""
        return self._access(one.facts, "", one.router.router_id)

    def wrong(self, router: HeldRouter, items: dict[str, tuple[Item, ...]]) -> dict[int, list[str]]:
        """What is not as it should be on a router, in sentences by service."""
        held = {one.line.service_id: one for one in self.holdings() if one.router is router}
        found: dict[int, list[str]] = {}
        for line in self._lines:
            known = RouterLine(line.service_id, line.username, Method.PPPOE, self.passwords[line.service_id])
            one = held.get(line.service_id)
            wanted = removal_items(known)
            if one is not None:
                facts = one.facts
                known = known._replace(address=facts.address, routes=facts.routes)
                try:
                    wanted = wanted_items(known, self.access(one), read_style(router.style))
                except PolicyError:
                    continue
            sentences = proved(wanted, items)
            if sentences:
                found[line.service_id] = sentences
        return found

    def all_wrong(self) -> list[str]:
        """What is not as it should be on any of them."""
        return [
            f"{router.name}, service {service_id}: {' '.join(sentences)}"
            for router in self.routers
            for service_id, sentences in self.wrong(router, router.items()).items()
        ]

    def offline(self) -> list[str]:
        """Those who may be online and are not."""
        return [
            f"{one.line.username} is offline at {one.router.name}"
            for one in self.holdings()
            if self.access(one).kind != Kind.DENY and not one.router.device.standing(one.line.username).online
        ]

    def _store(self, session: Session) -> None:
        for router in self.routers:
            api = {"username": "ispagents", "password": "made-up for the api", "security": "plain"}
            stored = router_store.add_router(
                session,
                self._world.operator_id,
                name=router.name,
                address=router.address,
                secret=None,
                box=self._box,
                actor=CLERK,
                api={**api, "style": router.style},
            )
            router.router_id = stored.id

    def _poll(self) -> None:
        """Whoever is not online dials."""
        for line in self._lines:
            router = self.at.get(line.service_id)
            if router is not None:
                router.login(line.username, self.passwords[line.service_id])
        self._world.after(self._world.between(*POLL_S), self._poll)

    def _known_before(self, username: str) -> bool:
        return bool(self._world.look(_KNOWN, username)[0][0])

    def _move(self, line: Line) -> None:
        places: list[HeldRouter | None] = [*self.routers, None]
        if not line.closed:
            self.place(line, self._world.random.choice(places))

    def _password(self, line: Line) -> None:
        new = f"{PASSWORD} {len(self.secrets)}"

        def work(session: Session) -> bool:
            service = session.get_one(Service, line.service_id)
            customers.set_password(session, service, new, box=self._box, actor=CLERK)
            return True

        if not line.closed and self._world.stored(Role.WEB, work):
            self.secrets.append(new)
            self.passwords[line.service_id] = new
            self._world.say(f"{line.username} has another password")

    def _style(self, _: Line) -> None:
        router, style = self._world.random.choice(self.routers), self._world.random.choice(STYLES)

        def work(session: Session) -> bool:
            stored = session.get_one(Router, router.router_id)
            router_store.set_api(session, stored, box=self._box, actor=CLERK, style=style)
            return True

        if self._world.stored(Role.WEB, work):
            router.style = style
            self._world.say(f"{router.name} is used in another style: {style}")

    def _adopt(self, line: Line) -> None:
        """Somebody set the customer up by hand there, and agrees that it is ours from now on."""
        router = self.at.get(line.service_id)
        if router is None or line.closed:
            return

        def work(session: Session) -> bool:
            placing.adopt(session, session.get_one(Service, line.service_id), actor=CLERK)
            return True

        try:
            done = self._world.stored(Role.WEB, work)
        except Refused:
            done = False
        if done:
            router.adopted(line.username)
            self._agreed.add((line.service_id, router.router_id))  # what comes there later is adopted too
            self._world.say(f"what {router.name} has of {line.username} is adopted")

    def _trouble(self) -> None:
        world = self._world
        router = world.random.choice(self.routers)
        match world.random.choice(("meddle", "meddle", "foreign", "reboot", "cut", "drop", "lock", "full")):
            case "meddle":
                router.meddle()
            case "foreign":
                line = world.random.choice(self._lines)
                if router.add_foreign(PPP_SECRET, name=line.username, password="theirs"):  # noqa: S106 - made up
                    world.say(f"somebody sets {line.username} up by hand at {router.name}")
            case "reboot" if router.running:
                router.reboot()
            case "cut":
                world.say(f"{router.name} cannot be reached")
                router.reachable = False
                world.after(world.between(5, 200), lambda: _reachable(router))
            case "drop":
                router.drop_connections()
            case "lock":
                world.say(f"{router.name} has another password for its API")
                router.locked_out = True
                world.after(world.between(5, 200), lambda: _lets_in(router))
            case "full":
                world.say(f"{router.name} takes no more queues")
                router.device[QUEUE].rows_max = len(router.device[QUEUE])


def _reachable(router: HeldRouter) -> None:
    router.reachable = True


def _lets_in(router: HeldRouter) -> None:
    router.locked_out = False
