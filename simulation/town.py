"""A town: an operator, two routers, some customers, an office, people, a worker, two edges, and trouble."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy.orm import Session

from policy.access import Access, Kind, decide
from policy.documents import read_service, service_document
from policy.facts import Facts, Login, Method, ServiceFacts
from simulation.api import ApiKeeper, Loop
from simulation.billing import Billing
from simulation.customers import INTERIM_S, Customers, Device
from simulation.edges import Edges
from simulation.held import Held
from simulation.held_worker import HeldWorker
from simulation.ledger import Account, Document, Line
from simulation.line import Line as Wire
from simulation.people import People
from simulation.plans import PLANS
from simulation.routers import Quirks, RouterModel
from simulation.sagas import Cast, Sagas
from simulation.worker import Worker
from simulation.world import Weather, World
from sql import customers, router_store
from sql.roles import Role
from sql.secrets import SecretBox

BOX = SecretBox([bytes(range(32))])
ACTOR = "set-up"
EVENTS = (3, 9)
SAGAS = (1, 2, 2, 3, 3)
TROUBLES = (2, 6)
LASTS_S = (60.0, 200.0)
KINDS_OF_TROUBLE = ("die", "reboot", "cut", "lag", "clock", "secret", "busy", "switch", "off", "end", "night", "new")
KINDS_A_SEED = 4
# The share of towns that have routers without RADIUS too; drawn beside the other chances, which stay what they are.
HELD_TOWNS = 0.2
# How likely the worker dies at any point of its work on them.
HELD_DEATHS = (0.0, 0.01, 0.04)
CLOCK_JUMPS_S = (-90000.0, -3600.0, -30.0, -2.0, 0.0, 2.0, 30.0, 3600.0, 90000.0)


class Town:
    """Everything that takes part, and the names by which the checks find it."""

    def __init__(self, world: World) -> None:
        """Set up in fair weather; the trouble begins with `live`."""
        self.world = world
        self._weather, world.weather = world.weather, Weather.fair()
        self.lines: list[Line] = []
        self.plan_versions: dict[str, int] = {}
        self.routers: list[RouterModel] = []
        world.operator_id = self._operator()
        world.transact(Role.WEB, self._plans)
        world.transact(Role.WEB, self._routers)
        self._kinds = world.random.sample(KINDS_OF_TROUBLE, KINDS_A_SEED)
        self.wire = Wire(world)
        self.edges = Edges(world, 2)
        self.wire.on_disconnect = self.edges.check_redial
        self.worker = Worker(world, self.wire, self.routers)
        self.customers = Customers(world, self.edges, self.routers, self._was_authorised)
        self.people = People(world, self.lines)
        self.billing = Billing(world, self.lines, self.plan_versions, self.new_line)
        self.worker.reviewed = self._reviewed
        cast = Cast(
            world, self.lines, self.billing, self.people, self.worker, self.customers, self.wire, self._day_passes
        )
        self.sagas = Sagas(cast)
        self.held = self._held() if Random(f"{world.seed}:held").random() < HELD_TOWNS else None  # noqa: S311 - as above
        for _ in range(world.random.randint(2, 4)):
            self.new_line()

    def _held(self) -> Held:
        world = self.world
        held = Held(world, self.lines, self.customers, self.access, BOX)
        self._loop = Loop(world)
        keeper = ApiKeeper(world, self._loop, {router.address: router for router in held.routers})
        worker = HeldWorker(world, self._loop, keeper, BOX)
        self.worker.hold(worker, {router.router_id for router in held.routers})
        for router in held.routers:
            router.worker_dies = worker.dies_now
        self.held_worker = worker
        self.sagas.others = {"vanishes": 8}
        return held

    def close(self) -> None:
        """The end of the seed: nothing is left running."""
        if self.held is not None:
            self.held_worker.close()

    def live(self) -> datetime:
        """Let events and troubles begin; returns when the last of them is over."""
        world = self.world
        world.weather = self._weather
        lasts_s = world.between(*LASTS_S)
        for _ in range(world.random.randint(*EVENTS)):
            world.after(world.between(5.0, lasts_s), self.billing.something)
        for _ in range(world.random.choice(SAGAS)):
            world.after(world.between(5.0, lasts_s), self.sagas.begin)
        for _ in range(int(lasts_s / 45)):
            world.after(world.between(5.0, lasts_s), self.people.look)
        for _ in range(world.random.randint(0, 3)):
            world.after(world.between(20.0, lasts_s), self.people.undo_something)
        for _ in range(world.random.randint(*TROUBLES)):
            world.after(world.between(5.0, lasts_s), self._trouble)
        if self.held is not None:
            self.held.live(lasts_s)
            self.held_worker.dies = world.random.choice(HELD_DEATHS)
        return world.now + timedelta(seconds=lasts_s)

    def calm(self) -> None:
        """All faults end. Routers that lie go on lying, since nothing that we do would change them."""
        world = self.world
        world.say("calm: every fault ends")
        world.weather = Weather.fair()
        world.worker_ahead_s = 0.0
        for router in self.routers:
            router.reachable = True
            router.quirks.wrong_secret = router.quirks.busy = False
        for edge in self.edges.all:
            edge.lags = False
        if self.held is not None:
            self.held.calm()
            self.held_worker.dies, self.held_worker.dies_after_write = 0.0, False
        self.people.switch(stopped=False)
        self.worker.start()

    def new_line(self) -> None:
        """A new customer with a service."""
        world = self.world
        name = f"user{len(self.lines) + 1}"
        plan = world.random.choice(sorted(self.plan_versions))

        def work(session: Session) -> tuple[int, int]:
            subscriber = customers.add_subscriber(
                session, world.operator_id, reference=f"K-{name}", name=name, actor=ACTOR
            )
            service = customers.add_service(
                session,
                world.operator_id,
                subscriber=subscriber,
                plan=customers.plan_by_name(session, world.operator_id, plan),
                username=name,
                password="made-up password",  # noqa: S106 - nobody checks it here
                method="pppoe",
                box=BOX,
                actor=ACTOR,
            )
            return subscriber.id, service.id

        made = world.stored(Role.WEB, work)
        if made is not None:
            line = Line(made[1], name, Account(made[0]), plan)
            self.lines.append(line)
            self.people.know(line)
            self.customers.add(name, made[1], world.random.choice(self.routers))
            world.say(f"{name} is a new customer with the plan {plan}")
            if self.held is not None:
                self.held.new_line(line)

    def admits(self, device: Device) -> bool:
        """Whether the service of a device would get anything at a login now, by what is authorised."""
        rows = self.world.look("SELECT authorised FROM services WHERE id = %s", device.service_id)
        if device.off or not rows or rows[0][0] is None:
            return False
        access = self.access(read_service(rows[0][0]), device.mac, device.home.router_id)
        return access.kind != Kind.DENY

    def access(self, facts: ServiceFacts, mac: str, router_id: int) -> Access:
        """What a login with these facts gets now; the plans are those that an up-to-date replica holds."""
        edge = self.edges.all[0]
        known = Facts(edge.operators[self.world.operator_id], facts, edge.plans[facts.plan_version_id])
        return decide(known, Login(Method.PPPOE, mac, router_id, ""), self.world.now)

    def truths(self) -> Iterator[tuple[Line, Document | None, Document]]:
        """Every service with what is authorised for it and what should be. Who is closed gets no newer version of a
        plan.
        """
        rows = self.world.look(
            "SELECT service.id, service.authorised, version.name FROM services AS service "
            "LEFT JOIN plan_versions AS version ON version.id = (service.authorised->>'plan_version_id')::bigint"
        )
        stored = {service_id: (has, plan) for service_id, has, plan in rows}
        for line in self.lines:
            wanted = service_document(line.truth(self.plan_versions, self.world.now))
            has, plan = stored[line.service_id]
            if line.closed and has is not None and plan == line.plan:
                wanted["plan_version_id"] = has["plan_version_id"]
            yield line, has, wanted

    def _operator(self) -> int:
        world, random = self.world, self.world.random
        automatic = ["open", "restore", "plan", "address"]
        if random.random() < 0.4:
            automatic += ["suspend", "close"]
        elif random.random() < 0.3:
            automatic = ["open"]
        options: dict[str, Any] = {
            "grace_days": 0,
            "automatic_changes": automatic,
            "change_days": 1,
            "brake_free": random.choice((0, 2, 20, 20)),
            "payment_feed_hours": random.choice((None, None, None, 1)),
        }
        if random.random() < 0.3:
            options["approval_rules"] = [{"name": "two people suspend", "people": 2, "kinds": ["suspend", "plan"]}]

        with Session(world.database.web, expire_on_commit=False) as session, session.begin():
            return customers.add_operator(session, name="Town", currency="EUR", actor=ACTOR, **options).id

    def _plans(self, session: Session) -> None:
        for name in self.world.random.sample(sorted(PLANS), 3):
            facts = {"interim_interval_s": int(INTERIM_S), **PLANS[name]}
            plan = customers.add_plan(
                session, self.world.operator_id, name=name, price_minor=1000, facts=facts, actor=ACTOR
            )
            self.plan_versions[name] = plan.current_version_id or 0

    def _routers(self, session: Session) -> None:
        random = self.world.random
        for number in (1, 2):
            takes_coa = random.random() < 0.85
            lists = random.random() < 0.6
            quirks = Quirks(
                lies_about_coa=random.random() < 0.08,
                lies_about_disconnect=random.random() < 0.12,
                refuses_coa=random.random() < 0.15,
                refuses_disconnect=random.random() < 0.12,
                remembers_requests=random.random() < 0.5,
            )
            address = f"10.0.{number}.1"
            stored = router_store.add_router(
                session,
                self.world.operator_id,
                name=f"tower-{number}",
                address=address,
                secret="made-up secret",  # noqa: S106 - nothing is signed here
                box=BOX,
                actor=ACTOR,
                coa_address_list=lists,
                dynamic_authorization=takes_coa,
            )
            self.routers.append(RouterModel(self.world, stored.id, stored.name, address, lists, takes_coa, quirks))

    def _was_authorised(self, service_id: int, document: object) -> bool:
        rows = self.world.look("SELECT to_facts FROM changes WHERE service_id = %s AND state = 'approved'", service_id)
        return any(row[0] == document for row in rows)

    def _reviewed(self) -> None:
        """A review has seen this moment's truth: a rejection of something else is over."""
        for line, has, wanted in self.truths():
            if line.rejected != (has, wanted):
                line.rejected = None

    def _trouble(self) -> None:
        world, random = self.world, self.world.random
        router = random.choice(self.routers)
        match random.choice(self._kinds):
            case "die" if self.worker.running:
                self.worker.die()
            case "reboot" if router.running:
                self.customers.reboot(router, world.between(2, 60), says_so=world.chance(0.3))
            case "cut":
                world.say(f"{router.name} cannot be reached")
                router.reachable = False
                world.after(world.between(5, 200), lambda: _reachable(router))
            case "lag":
                edge = random.choice(self.edges.all)
                edge.lags = True
                world.say(f"{edge.name} lags")
                world.after(world.between(2, 90), lambda: _keeps_up(edge))
            case "clock":
                world.worker_ahead_s = random.choice(CLOCK_JUMPS_S)
                world.say(f"the worker's clock is {world.worker_ahead_s:.0f} s ahead")
            case "secret":
                router.quirks.wrong_secret = not router.quirks.wrong_secret
            case "busy":
                router.quirks.busy = not router.quirks.busy
            case "switch":
                self.people.switch(stopped=True)
                world.after(world.between(5, 60), lambda: self.people.switch(stopped=False))
            case "off":
                device = random.choice(sorted(self.customers.devices.values(), key=lambda one: one.username))
                self.customers.hang_up(device, world.between(5, 200))
            case "end":
                self.people.end_override()
            case "night":
                self._night()
            case "new":
                self.new_line()

    def _night(self) -> None:
        if self.world.chance(0.5):
            self._day_passes()

    def _day_passes(self) -> None:
        """As soon as no packet is on its way and no claim is held: none lives that long."""
        if not self.wire.quiet or self.worker.holds_claims:
            self.world.after(5.0, self._day_passes)
        else:
            self.world.skip(timedelta(hours=25))
            self.world.say("a day passes")


def _reachable(router: RouterModel) -> None:
    router.reachable = True


def _keeps_up(edge: Any) -> None:
    edge.lags = False
