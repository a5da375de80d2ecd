"""A small town for the worker: services in the database, their sessions at simulated routers, and the worker itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from fixtures_database import BOX, Database, Isp

from network.coa.target import Retransmission, Target
from network.coa.transport import Transport
from simulators.nas import Nas
from simulators.sessions import Session
from simulators.settings import Client, NasSettings
from sql.models import Plan, Router, Service
from sql.roles import Role
from worker import enforce as enforce_module
from worker import planning
from worker.enforce import RouterWorker

DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
HERE = "127.0.0.1"
SUSPENDED = {"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"}
SECRET = "made-up secret"  # what fixtures_database gives every router
COA, DISCONNECT = 43, 40


async def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until a condition is true, and return what it gave."""
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition did not become true"
        await asyncio.sleep(0.01)
    return found


def impatient(monkeypatch: pytest.MonkeyPatch, first_timeout_s: float = 0.05, max_attempts: int = 2) -> None:
    """Let silence be told after a moment instead of 17 seconds."""
    patience = Retransmission(first_timeout_s=first_timeout_s, max_attempts=max_attempts)
    monkeypatch.setattr(enforce_module, "Target", partial(Target, retransmission=patience))


@dataclass
class Home:
    """A customer online."""

    service: Service
    session: Session
    session_id: int
    nas: Nas

    def has(self) -> tuple[tuple[str, ...], str]:
        """What the router applies to the session: its lists and its rate."""
        return self.session.address_lists, self.session.rate_limit


PAID = (("paid",), "10M/50M")
OVERDUE = (("overdue",), "256k/256k")


@dataclass
class Town:
    """An operator with routers and customers online."""

    database: Database
    isp: Isp
    plan: Plan
    nases: dict[int, Nas] = field(default_factory=dict)
    count: int = 0

    @asynccontextmanager
    async def tower(self, *, coa_address_list: bool = True, **options: Any) -> AsyncIterator[Router]:
        """A running router, as the database knows it. `options` are the simulator's."""
        address = f"127.77.{len(self.nases)}.1"
        settings: dict[str, Any] = {"coa_address_list": coa_address_list, "secret": SECRET} | options
        nas = Nas(NasSettings(name=address, address=address, radius=((HERE, 9, 9),), coa_port=0, **settings))
        async with nas:
            router = self.isp.router(address, address, coa_port=nas.coa_port, coa_address_list=coa_address_list)
            self.nases[router.id] = nas
            yield router

    def home(self, router: Router, nas: Nas | None = None) -> Home:
        """A customer online at a router with what the plan gives."""
        self.count += 1
        nas = nas or self.nases[router.id]
        name = f"user{self.count}"
        service = self.isp.service(name, self.plan)
        self.isp.review()
        client = Client(username=name, mac=f"02:00:00:00:{self.count // 256:02X}:{self.count % 256:02X}")
        reply = (("Mikrotik-Rate-Limit", "10M/50M"), ("Mikrotik-Address-List", "paid"))
        session = nas.add_session(client, reply=reply, accounting=False)
        stamp = self.isp.fresh(service).authorised_stamp
        session_id = self.isp.online(service, router, stamp, mac=client.mac)
        with self.database.as_superuser() as connection:
            connection.execute(
                "UPDATE sessions SET acct_session_id = %s, framed_address = %s WHERE id = %s",
                (session.session_id, session.address, session_id),
            )
        return Home(service, session, session_id, nas)

    def owe(self, *homes: Home) -> None:
        """Suspend services: a month overdue, approved by a person, and steps planned."""
        for home in homes:
            self.isp.invoice(home.service.subscriber_id)
        self.isp.review()
        for home in homes:
            self.isp.approve(self.isp.changes(home.service)[-1])
        self.plan_steps(*homes)

    def pay(self, *homes: Home) -> None:
        """Customers pay, which restores by a rule, and steps are planned."""
        for home in homes:
            self.isp.pay(home.service.subscriber_id)
        self.isp.review()
        self.plan_steps(*homes)

    def plan_steps(self, *homes: Home) -> int:
        """What the job `enforce_services` does."""
        engine = self.database.engine(Role.WORKER)
        return planning.enforce_services(engine, self.isp.operator_id, [home.service.id for home in homes])

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[RouterWorker]:
        """A worker of its own socket."""
        async with Transport(HERE) as transport:
            yield RouterWorker(self.database.engine(Role.WORKER), transport, BOX, lambda: False)

    async def work(self, *routers: Router) -> None:
        """Drain routers, one after the other."""
        async with self.worker() as worker:
            for router in routers:
                async with asyncio.timeout(DEADLINE_S):
                    await worker.work(self.isp.operator_id, router.id)

    def states(self, home: Home) -> list[str]:
        """The states of a service's steps, oldest first."""
        return [step.state for step in self.isp.steps(home.service)]

    def evidence(self, home: Home) -> list[dict[str, Any]]:
        """All attempts on a service, oldest first."""
        query = (
            "SELECT attempt, outcome, cause, evidence.explanation, packets, evidence.started_at, evidence.ended_at "
            "FROM evidence JOIN steps ON steps.id = step_id WHERE service_id = %s ORDER BY evidence.id"
        )
        names = ("attempt", "outcome", "cause", "explanation", "packets", "started_at", "ended_at")
        with self.database.as_superuser() as connection:
            rows = connection.execute(query, (home.service.id,)).fetchall()
        return [dict(zip(names, row, strict=True)) for row in rows]

    def node(self, name: str = "node-1") -> None:
        """A RADIUS node that reports the truth of this moment."""
        with self.database.as_superuser() as connection:
            connection.execute(
                "INSERT INTO nodes (name, address, snapshot, reported_at) "
                "VALUES (%s, '127.0.0.1', pg_current_snapshot(), now()) ON CONFLICT (name) "
                "DO UPDATE SET snapshot = excluded.snapshot, reported_at = excluded.reported_at",
                (name,),
            )

    def let_time_pass(self) -> None:
        """All open steps are due now."""
        with self.database.as_superuser() as connection:
            connection.execute("UPDATE steps SET due_at = now() WHERE state IN ('started', 'retrying')")


def received(nas: Nas, code: int | None = None) -> list[int]:
    """The codes of the requests that a router executed, oldest first."""
    return [one.code for one in nas.received if not one.duplicate and code in (None, one.code)]


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
