"""Processes are killed at any moment while money moves; when it is calm again everything is as it was approved."""

import contextlib
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from machine import eventually, installation
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError

from ispagents.database import embedded, secret_box
from ispagents.demo import isp
from ispagents.demo.field import Field, FieldRouter
from ispagents.demo.isp import Customer
from ispagents.errors import Problem
from ispagents.installation import Installation
from ispagents.settings import DATABASE
from policy.standing import Standing
from simulators.faults import FaultSettings, LineFaults
from simulators.login import LoginResult
from simulators.nas import Nas
from simulators.sessions import Session
from simulators.settings import Client, NasSettings, RadiusServer
from sql.customers import service_by_username
from sql.errors import Refused
from sql.intent import approve, change_by_id
from sql.models import Change, PlanVersion, Service, Subscriber
from sql.money.invoices import issue_invoice
from sql.money.payments import receive_payment
from sql.roles import Role
from sql.sessions import acting_for

SEED = 20261122
CUSTOMERS = 60
ROUNDS = 14
KILLED = ("worker", "edge", "freeradius", "postgresql")
KILLS_EACH = 3  # more would make the supervisor wait longer and longer, as it should
PRICE_MINOR = 2500
ACTOR = "a person"
LOSS = LineFaults(loss=0.01, duplication=0.01, jitter_s=0.002)


class LossyField(Field):
    """Routers on a bad line."""

    def __init__(self, routers: list[FieldRouter], logins: list[LoginResult]) -> None:
        super().__init__(routers)
        self._logins = logins

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
            faults=FaultSettings.both_ways(LOSS, SEED),
            seed=SEED,
        )
        nas = Nas(settings)
        nas.on_login = self._logins.append
        await nas.start()
        router.nas = nas


@dataclass
class World:
    """The installation, the routers, the customers, and what a person does."""

    machine: Installation
    field: LossyField
    operator_id: int
    everybody: list[Customer]
    logins: list[LoginResult]
    chance: random.Random
    engine: Any
    kills: Counter[str] = field(default_factory=Counter)

    @property
    def customers(self) -> list[Customer]:
        """Those who are online."""
        return self.everybody[:CUSTOMERS]

    def insist(self, work: Any) -> Any:
        """Do something in a transaction; while the database is away a person tries again."""

        def tried() -> Any:
            try:
                with acting_for(self.engine, self.operator_id) as session:
                    return (work(session),)
            except OperationalError:
                return None

        return eventually(tried)[0]

    def owe(self, customer: Customer) -> None:
        """An invoice of last month."""

        def work(session: Any) -> None:
            service = service_by_username(session, self.operator_id, customer.username)
            subscriber = session.get_one(Subscriber, service.subscriber_id)
            due_at = session.scalar(text("SELECT now() - interval '10 days'"))
            issue_invoice(
                session, subscriber, amount_minor=PRICE_MINOR, due_at=due_at, description="Internet", actor=ACTOR
            )

        self.insist(work)

    def pay(self, customer: Customer, number: int) -> None:
        """A payment that counts once however often it is told."""

        def work(session: Any) -> None:
            service = service_by_username(session, self.operator_id, customer.username)
            subscriber = session.get_one(Subscriber, service.subscriber_id)
            receive_payment(
                session,
                subscriber,
                amount_minor=PRICE_MINOR,
                method="transfer",
                actor=ACTOR,
                external_id=f"payment {number}",
            )

        self.insist(work)

    def approve_all(self) -> int:
        """Approve whatever waits for a person; returns how many waited."""
        waiting = self.insist(
            lambda session: session.scalars(select(Change.id).where(Change.state == "awaiting_approval")).all()
        )
        for change_id in waiting:

            def work(session: Any, change_id: int = change_id) -> None:
                change = change_by_id(session, self.operator_id, change_id)
                # A stale preview is renewed, and approved at the next look.
                with contextlib.suppress(Refused):
                    now = session.scalar(text("SELECT now()"))
                    approve(session, change, by=ACTOR, seen_hash=change.preview_hash, now=now)

            self.insist(work)
        return len(waiting)

    def kill(self) -> None:
        """Kill one of the processes, whatever it is doing."""
        name = self.chance.choice(KILLED)
        if self.kills[name] < KILLS_EACH:
            with contextlib.suppress(Problem):
                self.machine.supervisor.kill_child(name)
                self.kills[name] += 1

    def live(self) -> list[Session]:
        """All sessions that are up."""
        return [
            session
            for router in self.field.routers
            for session in self.field.read(lambda router=router: list(router.running.sessions))  # type: ignore[misc] # mypy cannot type it
        ]

    def due(self) -> dict[str, tuple[tuple[str, ...], str]]:
        """What the authorised facts say each name should have: lists and rate."""

        def work(session: Any) -> dict[str, tuple[tuple[str, ...], str]]:
            rates = {one.id: one.facts["rate_limit"] for one in session.scalars(select(PlanVersion))}
            return {
                service.username: (("overdue",), "256k/256k")
                if service.authorised["standing"] == Standing.SUSPENDED
                else (("paid",), rates[service.authorised["plan_version_id"]])
                for service in session.scalars(select(Service).where(Service.authorised.is_not(None)))
            }

        found: dict[str, tuple[tuple[str, ...], str]] = self.insist(work)
        return found

    def count(self, query: str) -> int:
        """A number from the database."""
        return int(self.insist(lambda session: session.execute(text(query)).scalar_one()))

    def wrong(self) -> list[str]:
        """What is not yet as it should be."""
        due, live = self.due(), self.live()
        wrong = [
            f"{one.client.login_name}: {one.address_lists} {one.rate_limit} instead of {due[one.client.login_name]}"
            for one in live
            if (one.address_lists, one.rate_limit) != due[one.client.login_name]
        ]
        if len(live) != CUSTOMERS:
            wrong.append(f"{len(live)} sessions are up")
        for what, query in {
            "changes wait": "SELECT count(*) FROM changes WHERE state = 'awaiting_approval'",
            "reviews are due": "SELECT count(*) FROM reviews WHERE due_at <= now()",
            "steps are open": "SELECT count(*) FROM steps WHERE state IN ('waiting', 'started', 'retrying', 'stuck')",
        }.items():
            if number := self.count(query):
                wrong.append(f"{number} {what}")
        return wrong


@contextlib.contextmanager
def world() -> Any:
    """A running machine with a small ISP whose customers are online."""
    with installation() as machine:
        engine = machine.databases.engine(Role.WEB, pool=4)
        box = secret_box(machine.state)
        operator_id = isp.load(engine, box)
        settings, logins = machine.settings, list[LoginResult]()
        radius = RadiusServer(settings.radius_address, settings.radius_auth_port, settings.radius_acct_port)
        routers = [
            FieldRouter("tower-1", "127.88.1.1", coa_address_list=True, radius=radius),
            FieldRouter("tower-2", "127.88.2.1", coa_address_list=False, radius=radius),
        ]
        found = LossyField(routers, logins)
        try:
            found.start()
            isp.register(engine, operator_id, box, routers)
            customers = isp.customers(engine, operator_id, box)
            one = World(machine, found, operator_id, customers, logins, random.Random(SEED), engine)
            eventually(lambda: one.count("SELECT count(*) FROM services WHERE authorised IS NULL") == 0)
            eventually(lambda: one.count("SELECT max(services) FROM nodes") == len(customers))
            for customer in one.customers:
                dial(one, customer)
            yield one
        finally:
            found.stop()
            engine.dispose()


def dial(one: World, customer: Customer) -> None:
    """Bring a customer online; their device redials by itself from now on."""
    method: Any = customer.method
    client = Client(
        username="" if method == "hotspot_mac" else customer.username,
        password=customer.password,
        mac=customer.username if method == "hotspot_mac" else customer.mac,
        method=method,
        redial_s=0.2,
        upload_bps=800_000,
        download_bps=8_000_000,
    )
    assert one.field.login(customer.router, client).accepted


def test_nothing_approved_is_lost_or_done_twice_whatever_is_killed():
    """Sessions have what is authorised, every byte is counted once, no step is open, and no secret was written down."""
    with world() as one:
        number = 0
        for _ in range(ROUNDS):
            for customer in one.chance.sample(one.customers, 4):
                number += 1
                if one.chance.random() < 0.6:
                    one.owe(customer)
                else:
                    one.pay(customer, number)
                if one.chance.random() < 0.5:
                    one.kill()
            one.approve_all()
        assert sum(one.kills.values()) >= ROUNDS / 2, "the seed kills too seldom"
        eventually(lambda: not one.approve_all() and not one.wrong(), lambda: f"seed {SEED}: {one.wrong()}")

        bytes_are_counted_once(one)
        refused = "SELECT count(*) FROM steps WHERE state = 'refused'"
        assert one.count(refused) == 0
        secrets_stay_where_they_belong(one)


def bytes_are_counted_once(one: World) -> None:
    """Every session that ever was is one row with its own counters, and usage is their sum."""
    for router in one.field.routers:
        for session in one.field.read(lambda router=router: list(router.running.sessions)):  # type: ignore[misc] # as above
            one.field.call(router.running.interim(session))
        one.field.call(router.running.idle())
    query = "SELECT username, acct_session_id, upload_bytes, download_bytes FROM sessions"

    def stored() -> Counter[tuple[Any, ...]]:
        return Counter(map(tuple, one.insist(lambda session: session.execute(text(query)).all())))

    def uncounted() -> list[str]:
        rows = {row[:2]: row[2:] for row in stored()}
        said = [
            (result.session.client.login_name, result.session.session_id, result.session)
            for result in one.logins
            if result.session is not None
        ]
        assert len(said) >= CUSTOMERS
        wrong = [f"{len(rows)} rows for {len(said)} sessions"] if len(rows) != len(said) else []
        for name, session_id, session in said:
            up, down = rows.get((name, session_id), (-1, -1))
            # A session that is up goes on counting; what it had said before is what must be there.
            enough = up > 0 if session.online else (up, down) == (session.upload_octets, session.download_octets)
            if not enough or up > session.upload_octets or down > session.download_octets:
                wrong.append(f"{name} {session_id}: {up}, {down} of {session.upload_octets}, {session.download_octets}")
        return wrong

    eventually(lambda: not uncounted(), lambda: f"seed {SEED}: {uncounted()}")
    assert max(stored().values()) == 1
    both = "SELECT sum(upload_bytes + download_bytes) FROM"
    assert one.count(f"{both} usage_hours") == one.count(f"{both} sessions")
    assert one.count("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == len(one.live())


def secrets_stay_where_they_belong(one: World) -> None:
    """No file but the replica and no row of the database holds a password or a router's secret in clear."""
    secrets = {customer.password for customer in one.everybody} | {router.secret for router in one.field.routers}
    wanted = [secret.encode() for secret in secrets if secret]
    state = one.machine.state
    found = []
    for path in state.path.rglob("*"):
        if path.is_file() and state.replica not in path.parents and (content := read(path)):
            found += [f"{path.relative_to(state.path)}" for secret in wanted if secret in content]
    assert found == []
    server = embedded(state).running_server()
    assert server is not None
    with psycopg.connect(server.conninfo(DATABASE, "postgres"), autocommit=True) as superuser:
        tables = superuser.execute("SELECT schemaname, relname FROM pg_stat_user_tables").fetchall()
        assert len(tables) > 20
        for schema, table in tables:
            with superuser.cursor().copy(f'COPY "{schema}"."{table}" TO STDOUT') as copy:
                content = b"\n".join(bytes(block) for block in copy)
            assert not [table for secret in wanted if secret in content]


def read(path: Path) -> bytes:
    """A file's bytes; one that was removed meanwhile has none."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
