"""What edge sees of the truth: exactly what its last snapshot did not include, whatever the order of commits."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from fixtures_database import ACTOR, BOX, Database, Isp
from sqlalchemy import text

from sql import customers, following, router_store
from sql.models import Router, Service
from sql.roles import Role


class Edge:
    """A follower that remembers its snapshot and the newest of each row, as edge's replica does."""

    def __init__(self, database: Database) -> None:
        """Has seen nothing."""
        self._conninfo = database.databases.conninfo(Role.EDGE)
        self.seen: str | None = None
        self.services: dict[int, tuple[Any, ...]] = {}
        self.routers: dict[int, tuple[Any, ...]] = {}
        self.plans: dict[int, tuple[Any, ...]] = {}

    def catch_up(self) -> int:
        """Take what is new; returns how many rows that was."""
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            position = following.begin(connection)
            services = list(following.services(connection, self.seen))
            routers = list(following.routers(connection, self.seen))
            plans = list(following.plans(connection, self.seen))
            connection.execute("ROLLBACK")
        self.seen = position.snapshot
        self.services |= {row[0]: row for row in services}
        self.routers |= {row[0]: row for row in routers}
        self.plans |= {row[0]: row for row in plans}
        return len(services) + len(routers) + len(plans)


@contextmanager
def _open_transaction(isp: Isp) -> Iterator[Any]:
    with isp.web() as session:
        session.execute(text("SELECT pg_current_xact_id()"))
        yield session


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator."""
    return database.isp()


def test_only_what_is_new_is_sent(database: Database, isp: Isp) -> None:
    """A second look finds nothing; one changed service is one row."""
    services = [isp.service(f"u{number}") for number in range(3)]
    isp.review()
    edge = Edge(database)
    assert edge.catch_up() >= 3
    assert edge.catch_up() == 0
    with isp.web() as session:
        customers.set_password(session, session.get_one(Service, services[1].id), "new one", box=BOX, actor=ACTOR)
    assert edge.catch_up() == 1


def test_an_older_transaction_that_commits_later_is_not_missed(database: Database, isp: Isp) -> None:
    """Its number is lower than what the follower has seen, and it was open at that moment: it is sent all the same."""
    one, other = isp.service("one"), isp.service("other")
    isp.review()
    edge = Edge(database)
    with _open_transaction(isp) as older:
        customers.set_password(older, older.get_one(Service, one.id), "older", box=BOX, actor=ACTOR)
        with isp.web() as younger:
            customers.set_password(younger, younger.get_one(Service, other.id), "younger", box=BOX, actor=ACTOR)
        edge.catch_up()
        before = edge.services[one.id]
        assert edge.catch_up() == 0
    assert edge.catch_up() == 1
    assert edge.services[one.id] != before
    assert edge.catch_up() == 0


def test_a_transaction_that_is_rolled_back_is_never_sent(database: Database, isp: Isp) -> None:
    """What was never committed is not news, before and after its end."""
    service = isp.service()
    isp.review()
    edge = Edge(database)
    edge.catch_up()
    with _open_transaction(isp) as session:
        customers.set_password(session, session.get_one(Service, service.id), "never", box=BOX, actor=ACTOR)
        assert edge.catch_up() == 0
        session.rollback()
    assert edge.catch_up() == 0


def test_interleaved_transactions_are_all_sent(database: Database, isp: Isp) -> None:
    """Seeded: transactions that begin, write, commit or end in any order, with looks in between; nothing is missed."""
    services = [isp.service(f"u{number}") for number in range(8)]
    isp.review()
    seed = 20261122
    dice = random.Random(seed)
    edge = Edge(database)
    free, held = list(services), []
    for _ in range(60):
        match dice.choice(["begin", "end", "look"]):
            case "begin" if free:
                service = free.pop(dice.randrange(len(free)))
                transaction = _open_transaction(isp)
                session = transaction.__enter__()
                password = f"password {dice.random()}"
                customers.set_password(session, session.get_one(Service, service.id), password, box=BOX, actor=ACTOR)
                held.append((service, transaction, session))
            case "end" if held:
                service, transaction, session = held.pop(dice.randrange(len(held)))
                if dice.random() < 0.3:
                    session.rollback()
                transaction.__exit__(None, None, None)
                free.append(service)
            case _:
                edge.catch_up()
    for _, transaction, _ in held:
        transaction.__exit__(None, None, None)
    edge.catch_up()
    fresh = Edge(database)
    fresh.catch_up()
    assert edge.services == fresh.services, f"seed {seed}"


def test_what_the_network_does_not_need_is_not_sent(database: Database, isp: Isp) -> None:
    """Billing's word and an unapproved wish do not reach the replica; the approval does."""
    service = isp.service()
    isp.review()
    edge = Edge(database)
    edge.catch_up()
    isp.invoice(service.subscriber_id)
    isp.review()
    assert isp.fresh(service).standing == "suspended"
    assert edge.catch_up() == 0
    isp.approve(isp.changes(service)[-1])
    assert edge.catch_up() == 1


def test_plans_come_before_a_service_names_them(database: Database, isp: Isp) -> None:
    """In every state that a follower sees, each service's plan version is there."""
    service = isp.service(plan=isp.plan("Home"))
    isp.review()
    edge = Edge(database)
    for speed in ("11M/11M", "12M/12M", "13M/13M"):
        edge.catch_up()
        assert edge.services[service.id][4]["plan_version_id"] in edge.plans
        with isp.web() as session:
            customers.change_plan(session, isp.operator_id, name="Home", facts={"rate_limit": speed}, actor=ACTOR)
        edge.catch_up()
        assert edge.services[service.id][4]["plan_version_id"] in edge.plans
        isp.review()


def test_a_removed_router_is_told(database: Database, isp: Isp) -> None:
    """The follower is told that a router is gone; its address can then serve another."""
    router = isp.router("tower", "10.1.1.1")
    edge = Edge(database)
    edge.catch_up()
    assert edge.routers[router.id][-1] is False
    with isp.web() as session:
        router_store.remove_router(session, session.get_one(Router, router.id), actor=ACTOR)
    assert edge.catch_up() == 1
    assert edge.routers[router.id][-1] is True
    assert isp.router("tower", "10.1.1.1").id != router.id


def test_every_write_rings(database: Database, isp: Isp) -> None:
    """A commit that edge must see notifies its channel; the notification carries no news."""
    service = isp.service()
    with psycopg.connect(database.databases.conninfo(Role.EDGE), autocommit=True) as connection:
        connection.execute(f"LISTEN {following.CHANNEL}")
        isp.review()
        assert isp.fresh(service).authorised is not None
        found = next(connection.notifies(timeout=60, stop_after=1), None)
    assert found is not None
    assert found.payload == ""
