"""An ISP on routers with a bad line whose processes are killed, and what a person does there meanwhile."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from machine import eventually, installation
from sqlalchemy import Engine, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from ispagents.database import secret_box
from ispagents.demo import isp
from ispagents.demo.field import Field, FieldRouter
from ispagents.demo.isp import Customer
from ispagents.errors import Problem
from ispagents.installation import Installation
from policy.standing import Standing
from simulators.faults import FaultSettings, LineFaults
from simulators.login import LoginResult
from simulators.nas import Nas
from simulators.sessions import Session as Online
from simulators.settings import Client, NasSettings, RadiusServer
from sql.batches import approve_some, batches, waiting_rows
from sql.customers import plan_by_name, service_by_username
from sql.models import Invoice, Operator, PlanVersion, Service, Subscriber
from sql.money.invoices import InvoiceDraft, LineDraft, issue
from sql.money.payments import receive_payment
from sql.money.plan_changes import change_plan_of
from sql.roles import Role
from sql.sessions import acting_for

KILLED = ("worker", "edge", "freeradius", "postgresql")
PRICE_MINOR = 2500
ACTOR = "a person"
LOSS = LineFaults(loss=0.01, duplication=0.01, jitter_s=0.002)
SUSPENDED = (("overdue",), "256k/256k")


class LossyField(Field):
    """Routers on a bad line."""

    def __init__(self, routers: list[FieldRouter], seed: int) -> None:
        super().__init__(routers)
        self._seed = seed
        self.logins: list[LoginResult] = []
        self.happenings = 0  # logins, and packets that the routers got

    def all(self, work: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run coroutines on the routers' loop at once, and wait for all of them."""

        async def together() -> list[Any]:
            return list(await asyncio.gather(*work))

        return self.call(together())

    async def _start(self, router: FieldRouter) -> None:
        settings = NasSettings(
            name=router.name,
            address=router.address,
            radius=(router.radius,),
            secret=router.secret,
            coa_port=0,
            coa_address_list=router.coa_address_list,
            radius_timeout_s=0.5,
            radius_tries=60,  # nobody may be given up: the point is what our side makes of it
            radius_in_flight_max=60,
            faults=FaultSettings.both_ways(LOSS, self._seed),
            seed=self._seed,
        )
        nas = Nas(settings)
        nas.on_login = self._logged_in
        nas.on_received = self._happened
        await nas.start()
        router.nas = nas

    def _logged_in(self, result: LoginResult) -> None:
        self.logins.append(result)
        self.happenings += 1

    def _happened(self, _: object) -> None:
        self.happenings += 1


@dataclass
class World:
    """The installation, the routers, the customers, and what a person does. What was decided is kept to be compared."""

    machine: Installation
    field: LossyField
    operator_id: int
    customers: list[Customer]
    seed: int
    chance: random.Random
    engine: Engine
    kills: list[tuple[int, str]]  # at which happening what is killed
    killed: Counter[str] = field(default_factory=Counter)
    paid: set[str] = field(default_factory=set)
    plans: dict[str, str] = field(default_factory=dict)
    done: int = 0  # transactions of people

    def insist(self, work: Any) -> Any:
        """Do something in a transaction; while the database is away a person tries again. `work` may run twice."""

        def tried() -> Any:
            self.kill_what_is_due()
            try:
                with acting_for(self.engine, self.operator_id) as session:
                    found = work(session)
            except OperationalError as error:
                if isinstance(error.orig, psycopg.errors.DeadlockDetected):
                    raise
                return None
            return (found,)

        found = eventually(tried)[0]
        self.done += 1
        return found

    def kill_what_is_due(self) -> None:
        """Kill a process, whatever it is doing, when as much has happened as was drawn for it."""
        while self.kills and self.kills[0][0] <= self.field.happenings + self.done:
            _, name = self.kills.pop(0)
            with contextlib.suppress(Problem):  # it is dead from the last time
                self.machine.supervisor.kill_child(name)
                self.killed[name] += 1

    # -- what people do ----------------------------------------------------------------------------------------------

    def owe(self, customers: list[Customer]) -> None:
        """An invoice of last month for each."""

        def work(session: Session) -> None:
            names = [customer.username for customer in customers]
            billed = select(Invoice).where(Invoice.subscriber_id == Subscriber.id).exists()
            subscribers = session.scalars(
                select(Subscriber)
                .join(Service, Service.subscriber_id == Subscriber.id)
                .where(Service.username.in_(names), ~billed)
            ).all()
            due_at = session.scalar(text("SELECT now() - interval '10 days'"))
            drafts = [InvoiceDraft(one, due_at, [LineDraft("plain", "Internet", PRICE_MINOR)]) for one in subscribers]
            issue(session, session.get_one(Operator, self.operator_id), drafts, actor=ACTOR)

        self.insist(work)

    def pay(self, username: str) -> None:
        """A payment that counts once however often it is told."""

        def work(session: Session) -> None:
            service = service_by_username(session, self.operator_id, username)
            receive_payment(
                session,
                session.get_one(Subscriber, service.subscriber_id),
                amount_minor=PRICE_MINOR,
                method="transfer",
                actor=ACTOR,
                external_id=f"payment of {username}",
            )

        self.insist(work)
        self.paid.add(username)

    def change_plan(self, username: str) -> None:
        """Another plan than the one there is."""
        plan = self.chance.choice(sorted(set(isp.PLANS) - {self.plans[username]}))

        def work(session: Session) -> None:
            service = service_by_username(session, self.operator_id, username)
            wanted = plan_by_name(session, self.operator_id, plan)
            if service.plan_id != wanted.id:  # it may be stored, and the answer lost
                change_plan_of(session, service, wanted, at_period_end=False, actor=ACTOR)

        self.insist(work)
        self.plans[username] = plan

    def approve_all(self) -> int:
        """Approve whatever waits for a person, as it is seen now; returns how many waited."""

        def seen(session: Session) -> list[tuple[int, str]]:
            found = batches(session, self.operator_id, before=2**62, limit=100)
            return [
                (row.change_id, row.preview_hash)
                for one in found
                for row in waiting_rows(session, self.operator_id, one.batch.id)
            ]

        def approve(session: Session) -> None:
            # What has moved since is refused, planned anew, and approved at the next look.
            now = session.scalar(text("SELECT now()"))
            approve_some(session, self.operator_id, some, by=ACTOR, now=now)

        waiting = self.insist(seen)
        for start in range(0, len(waiting), 50):
            some = waiting[start : start + 50]
            self.insist(approve)
        return len(waiting)

    # -- what the world looks like -----------------------------------------------------------------------------------

    def authorised(self) -> dict[str, tuple[bool, str, str]]:
        """Of each name: whether it is suspended, its plan, and that plan's rate, as the network is told."""

        def work(session: Session) -> dict[str, tuple[bool, str, str]]:
            plans = {one.id: (one.name, one.facts["rate_limit"]) for one in session.scalars(select(PlanVersion))}
            return {
                service.username: (
                    service.authorised["standing"] == Standing.SUSPENDED,
                    *plans[service.authorised["plan_version_id"]],
                )
                for service in session.scalars(select(Service).where(Service.authorised.is_not(None)))
            }

        found: dict[str, tuple[bool, str, str]] = self.insist(work)
        return found

    def live(self) -> list[Online]:
        """All sessions that are up."""
        return [
            session
            for router in self.field.routers
            for session in self.field.read(lambda router=router: list(router.running.sessions))  # type: ignore[misc] # mypy cannot type it
        ]

    def count(self, query: str) -> int:
        """A number from the database."""
        return int(self.insist(lambda session: session.execute(text(query)).scalar_one()))

    def wrong(self) -> list[str]:
        """What is not yet as it should be: decided, done, and at the routers."""
        authorised, live = self.authorised(), self.live()
        wanted = {one.username: (one.username not in self.paid, self.plans[one.username]) for one in self.customers}
        wrong = [
            f"{name}: {authorised[name]}, not {want}" for name, want in wanted.items() if authorised[name][:2] != want
        ]
        for one in live:
            suspended, _, rate = authorised[one.client.login_name]
            due = SUSPENDED if suspended else (("paid",), rate)
            if (one.address_lists, one.rate_limit) != due:
                wrong.append(f"{one.client.login_name}: {one.address_lists} {one.rate_limit} instead of {due}")
        if len(live) != len(self.customers):
            wrong.append(f"{len(live)} sessions are up")
        for what, query in {
            "changes wait": "SELECT count(*) FROM changes WHERE state = 'awaiting_approval'",
            "reviews are due": "SELECT count(*) FROM reviews WHERE due_at <= now()",
            "steps are open": "SELECT count(*) FROM steps WHERE state IN ('waiting', 'started', 'retrying', 'stuck')",
        }.items():
            if number := self.count(query):
                wrong.append(f"{number} {what}")
        return wrong


def kills(chance: random.Random, each: int, until: int) -> list[tuple[int, str]]:
    """Each process so often, at moments drawn from a number of happenings."""
    names = [name for name in KILLED for _ in range(each)]
    chance.shuffle(names)
    return list(zip(sorted(chance.sample(range(until), len(names))), names, strict=True))


@contextlib.contextmanager
def world(seed: int) -> Iterator[World]:
    """A running machine with a small ISP whose customers are all online. Nothing is killed yet."""
    with installation() as machine:
        engine = machine.databases.engine(Role.WEB, pool=4)
        box = secret_box(machine.state)
        operator_id = isp.load(engine, box)
        settings = machine.settings
        radius = RadiusServer(settings.radius_address, settings.radius_auth_port, settings.radius_acct_port)
        routers = [
            FieldRouter("tower-1", "127.88.1.1", coa_address_list=True, radius=radius),
            FieldRouter("tower-2", "127.88.2.1", coa_address_list=False, radius=radius),
        ]
        found = LossyField(routers, seed)
        try:
            found.start()
            isp.register(engine, operator_id, box, routers)
            customers = isp.customers(engine, operator_id, box)
            one = World(machine, found, operator_id, customers, seed, random.Random(seed), engine, [])
            one.plans = {customer.username: customer.plan for customer in customers}
            eventually(lambda: one.count("SELECT count(*) FROM services WHERE authorised IS NULL") == 0)
            eventually(lambda: one.count("SELECT max(services) FROM nodes") == len(customers))
            results = found.all([routers[each.router].running.keep_online(client_of(each)) for each in customers])
            assert all(result.accepted for result in results)
            yield one
        finally:
            found.stop()
            engine.dispose()


def client_of(customer: Customer) -> Client:
    """A customer's device; it redials by itself."""
    method: Any = customer.method
    return Client(
        username="" if method == "hotspot_mac" else customer.username,
        password=customer.password,
        mac=customer.username if method == "hotspot_mac" else customer.mac,
        method=method,
        redial_s=0.2,
        upload_bps=800_000,
        download_bps=8_000_000,
    )
