"""A migrated database of each test's own, with an engine for every role, and a small ISP to fill it with."""

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from database_server import TEMPLATE, DatabaseServer
from fixtures_postgres import temporary_state
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from ispagents.database import Databases, embedded, migrate_now, prepare_embedded
from policy.changes.enforcement import Enforcement
from sql import customers, intent, reviews, router_store
from sql.attempts import Claimed, Outcome
from sql.models import Change, Invoice, Operator, Payment, Plan, Router, Service, Step, Subscriber
from sql.models import Session as Online
from sql.money.invoices import issue_invoice
from sql.money.payments import receive_payment
from sql.roles import Role, create_database, grant_connections
from sql.secrets import SecretBox
from sql.sessions import acting_for

BOX = SecretBox([bytes(range(32))])
ACTOR = "a test"
_numbers = itertools.count(1)


@dataclass
class Database:
    """One test's database. Engines are opened when they are first asked for."""

    name: str
    server: DatabaseServer
    databases: Databases
    engines: dict[Role, Engine] = field(default_factory=dict)

    def engine(self, role: Role) -> Engine:
        """The engine of a role."""
        if role not in self.engines:
            self.engines[role] = self.databases.engine(role, pool=10)
        return self.engines[role]

    def acting(self, operator_id: int, role: Role = Role.WEB) -> AbstractContextManager[Session]:
        """A transaction of a role for an operator."""
        return acting_for(self.engine(role), operator_id)

    @contextmanager
    def as_superuser(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection that no wall stops, to look at what is really there."""
        conninfo = self.server.server.conninfo(self.name, "postgres")
        with psycopg.connect(conninfo, autocommit=True) as connection:
            yield connection

    def isp(self, name: str = "", **options: Any) -> "Isp":
        """A new operator."""
        with Session(self.engine(Role.WEB), expire_on_commit=False) as session, session.begin():
            operator = customers.add_operator(
                session, name=name or f"ISP {next(_numbers)}", currency="EUR", actor=ACTOR, **options
            )
            return Isp(self, operator.id)


@dataclass
class Isp:
    """An operator, and short words for what people and the network do there."""

    database: Database
    operator_id: int

    def web(self) -> AbstractContextManager[Session]:
        """A transaction as the web role."""
        return self.database.acting(self.operator_id)

    def worker(self) -> AbstractContextManager[Session]:
        """A transaction as the worker role."""
        return self.database.acting(self.operator_id, Role.WORKER)

    def plan(self, name: str = "Home 50", **facts: Any) -> Plan:
        """A new plan."""
        with self.web() as session:
            return customers.add_plan(
                session,
                self.operator_id,
                name=name,
                facts={"rate_limit": "10M/50M", **facts},
                price_minor=1500,
                actor=ACTOR,
            )

    def subscriber(self, reference: str = "", name: str = "Zofia Kowalska") -> Subscriber:
        """A new subscriber."""
        with self.web() as session:
            return customers.add_subscriber(
                session, self.operator_id, reference=reference or f"K-{next(_numbers)}", name=name, actor=ACTOR
            )

    def service(
        self, username: str = "zofia", plan: Plan | None = None, subscriber: Subscriber | None = None, **options: Any
    ) -> Service:
        """A new service, with a plan and a subscriber of its own where none is given."""
        plan = plan or self.plan(f"Plan {next(_numbers)}")
        subscriber = subscriber or self.subscriber()
        with self.web() as session:
            return customers.add_service(
                session,
                self.operator_id,
                subscriber=subscriber,
                plan=plan,
                username=username,
                box=BOX,
                actor=ACTOR,
                **({"password": "made-up password", "method": "pppoe"} | options),
            )

    def router(self, name: str = "tower", address: str = "", **options: Any) -> Router:
        """A new router."""
        address = address or f"10.{next(_numbers) % 250}.{next(_numbers) % 250}.1"
        with self.web() as session:
            return router_store.add_router(
                session,
                self.operator_id,
                name=name,
                address=address,
                secret="made-up secret",
                box=BOX,
                actor=ACTOR,
                **options,
            )

    def invoice(self, subscriber: Subscriber | int, amount_minor: int = 1500, due_days: float = -30) -> Invoice:
        """An invoice, long overdue unless said otherwise."""
        with self.web() as session:
            return issue_invoice(
                session,
                session.get_one(Subscriber, subscriber if isinstance(subscriber, int) else subscriber.id),
                amount_minor=amount_minor,
                due_at=datetime.now(UTC) + timedelta(days=due_days),
                description="",
                actor=ACTOR,
            )

    def pay(self, subscriber: Subscriber | int, amount_minor: int = 1500, **more: Any) -> tuple[Payment, bool]:
        """A payment."""
        with self.web() as session:
            return receive_payment(
                session,
                session.get_one(Subscriber, subscriber if isinstance(subscriber, int) else subscriber.id),
                amount_minor=amount_minor,
                method="cash",
                actor=ACTOR,
                **more,
            )

    def review(self, now: datetime | None = None) -> int:
        """What the worker does with reviews that are due."""
        with self.worker() as session:
            return reviews.review(session, self.operator_id, now or datetime.now(UTC))

    def changes(self, service: Service) -> list[Change]:
        """The changes of a service, oldest first."""
        with self.worker() as session:
            return list(session.query(Change).filter_by(service_id=service.id).order_by(Change.id))

    def fresh(self, service: Service) -> Service:
        """The service as it is stored now."""
        with self.worker() as session:
            return session.get_one(Service, service.id)

    def approve(self, change: Change, seen_hash: str = "") -> None:
        """A person approves a change."""
        with self.web() as session:
            found = intent.change_by_id(session, self.operator_id, change.id)
            intent.approve(session, found, by=ACTOR, seen_hash=seen_hash or found.preview_hash, now=datetime.now(UTC))

    def online(self, service: Service, router: Router, stamp: str | None, key: str = "", **more: Any) -> int:
        """An open session, as edge would have stored it. Returns its id."""
        number = next(_numbers)
        with self.database.engine(Role.EDGE).begin() as connection:
            return int(
                connection.execute(
                    text(
                        "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, "
                        "acct_session_id, method, mac, framed_address, class_stamp, applied_stamp, started_at, "
                        "last_seen_at) VALUES (:operator, :router, :service, :key, :username, :session, 'pppoe', "
                        ":mac, '10.9.9.9', :stamp, :stamp, now(), now()) RETURNING id"
                    ),
                    {
                        "operator": self.operator_id,
                        "router": router.id,
                        "service": service.id,
                        "key": key or f"key-{number}",
                        "username": service.username,
                        "session": f"8000{number:04}",
                        "mac": more.get("mac", "00:11:22:33:44:55"),
                        "stamp": stamp,
                    },
                ).scalar_one()
            )

    def steps(self, service: Service) -> list[Step]:
        """The steps of a service, oldest first."""
        with self.worker() as session:
            return list(session.query(Step).filter_by(service_id=service.id).order_by(Step.id))

    def session(self, session_id: int) -> Online:
        """A session as it is stored now."""
        with self.worker() as session:
            return session.get_one(Online, session_id)

    def operator(self) -> Operator:
        """The operator as it is stored now."""
        with self.worker() as session:
            return session.get_one(Operator, self.operator_id)


def outcome(claimed: Claimed, state: Enforcement, said: str = "applied", **more: Any) -> Outcome[Claimed]:
    """How an attempt ended, as the worker would store it."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "claimed": claimed,
        "state": state,
        "outcome": said,
        "cause": "",
        "explanation": f"The router said: {said}.",
        "sent": [list(pair) for pair in claimed.attributes],
        "reply": [],
        "packets": 1,
        "round_trip_ms": 1.5,
        "started_at": now,
        "ended_at": now,
    }
    return Outcome(**(values | more))


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer]:
    """A server for the whole session, with the template database."""
    with temporary_state() as state, state.lock():
        postgres = embedded(state)
        server = postgres.start()
        prepare_embedded(server)
        found = DatabaseServer(state, server)
        with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as superuser:
            create_database(superuser, TEMPLATE)
        with psycopg.connect(server.conninfo(TEMPLATE, "postgres"), autocommit=True) as superuser:
            grant_connections(superuser, TEMPLATE)
        migrate_now(found.databases(TEMPLATE))
        yield found
        postgres.stop()


@contextmanager
def new_database(server: DatabaseServer) -> Iterator[Database]:
    """A migrated, empty database; nothing of what was done to it is left for the next one."""
    name = server.lend()
    found = Database(name, server, server.databases(name))
    try:
        yield found
    finally:
        for engine in found.engines.values():
            engine.dispose()
        server.take_back(name)


@pytest.fixture
def database(database_server: DatabaseServer) -> Iterator[Database]:
    """A migrated, empty database of the test's own."""
    with new_database(database_server) as found:
        yield found
