"""What the database itself refuses, whoever writes, and the sentences that people get for it."""

import psycopg
import pytest
from fixtures_database import ACTOR, BOX, Database
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from sql import customers, router_store
from sql.errors import Refused
from sql.models import Plan, Router, Service
from sql.roles import Role
from sql.violations import sentence


def test_a_plan_version_never_changes(database: Database) -> None:
    """Not by a running role, which lacks the right, and not by the owner, whom a trigger stops."""
    isp = database.isp()
    isp.plan()
    for role in (Role.WEB, Role.WORKER, Role.OWNER):
        for statement in ("UPDATE plan_versions SET facts = '{}'", "DELETE FROM plan_versions"):
            with pytest.raises(DBAPIError), database.acting(isp.operator_id, role) as session:
                session.execute(text(statement))


def test_two_editors_of_a_plan_build_on_one_another(database: Database) -> None:
    """The later one keeps what the earlier one said; versions are numbered one after the other."""
    isp = database.isp()
    isp.plan("Home")
    for facts in ({"pool": "pool-a"}, {"idle_timeout_s": 60}):
        with isp.web() as session:
            customers.change_plan(session, isp.operator_id, name="Home", facts=facts, actor=ACTOR)
    with isp.web() as session:
        numbers = session.execute(text("SELECT number FROM plan_versions ORDER BY number")).scalars().all()
        facts = session.execute(
            text("SELECT facts FROM plan_versions JOIN plans ON current_version_id = plan_versions.id")
        ).scalar_one()
    assert numbers == [1, 2, 3]
    assert facts == {"rate_limit": "10M/50M", "pool": "pool-a", "idle_timeout_s": 60}


def test_people_get_a_sentence_for_each_clash(database: Database) -> None:
    """A name, number or address that is taken is told in words, and names no constraint."""
    isp = database.isp("taken")
    subscriber, plan = isp.subscriber("K-1"), isp.plan("Home")
    isp.service("zofia", plan, subscriber, address="10.1.1.1")
    isp.router("tower", "10.2.2.2")
    clashes = [
        lambda: database.isp("taken"),
        lambda: isp.subscriber("K-1"),
        lambda: isp.plan("Home"),
        lambda: isp.service("zofia", plan, subscriber),
        lambda: isp.service("adam", plan, subscriber, address="10.1.1.1"),
        lambda: isp.router("tower"),
        lambda: isp.router("other", "10.2.2.2"),
        lambda: database.isp().router("theirs", "10.2.2.2"),
    ]
    for clash in clashes:
        with pytest.raises(IntegrityError) as refused:
            clash()
        said = sentence(refused.value)
        assert "already" in said
        assert "_key" not in said
        assert "duplicate" not in said


def test_an_address_is_free_again_when_its_service_closed(database: Database) -> None:
    """A closed service keeps no address from others."""
    isp = database.isp()
    plan, subscriber = isp.plan(), isp.subscriber()
    one = isp.service("one", plan, subscriber, address="10.1.1.1")
    with isp.web() as session:
        customers.close_service(session, session.get_one(Service, one.id), actor=ACTOR)
    assert isp.service("two", plan, subscriber, address="10.1.1.1").id != one.id


@pytest.mark.parametrize(
    "options",
    [
        {"address": "10.1.1"},
        {"address": "127.0.0.1"},
        {"address": "224.1.1.1"},
        {"address": "::1"},
        {"ipv6_prefix": "2001:db8::1/64"},
        {"routes": ["nonsense"]},
        {"routes": ["10.1.2.3/24"]},
        {"routes": ["10.1.2.0/24 10.0.0.1 1 1"]},
        {"routes": ["10.1.2.0/24"] * 33},
        {"mac": "nonsense"},
    ],
)
def test_what_the_worker_could_not_read_is_not_stored(database: Database, options: dict[str, object]) -> None:
    """A wish that would stop the review of every other service is refused when it is said."""
    isp = database.isp()
    with pytest.raises(Refused):
        isp.service("zofia", **options)


@pytest.mark.parametrize("address", ["", "router.example", "0.0.0.0", "224.0.0.1", "fe80::1%eth0", "10.0.0.0/8"])  # noqa: S104 - refused
def test_a_router_is_known_by_a_host_address(database: Database, address: str) -> None:
    """No names, networks, groups or scoped addresses."""
    isp = database.isp()
    with pytest.raises(Refused, match="not an IP address"), isp.web() as session:
        router_store.add_router(
            session, isp.operator_id, name="x", address=address, secret="made-up secret", box=BOX, actor=ACTOR
        )


def test_where_coa_goes_follows_the_address(database: Database) -> None:
    """As long as nobody said otherwise; then it stays."""
    isp = database.isp()
    router = isp.router("tower", "10.1.1.1")
    for options, wanted in (
        ({"address": "10.1.1.2"}, "10.1.1.2"),
        ({"coa_address": "10.9.9.9"}, "10.9.9.9"),
        ({"address": "10.1.1.3"}, "10.9.9.9"),
    ):
        with isp.web() as session:
            found = session.get_one(Router, router.id)
            router_store.change_router(session, found, box=BOX, actor=ACTOR, **options)
            session.refresh(found)
            assert str(found.coa_address) == wanted


def test_a_current_version_is_of_its_own_plan(database: Database) -> None:
    """A plan cannot point to the version of another plan."""
    isp = database.isp()
    one, other = isp.plan("One"), isp.plan("Other")
    with pytest.raises(DBAPIError) as refused, isp.web() as session:
        session.get_one(Plan, one.id).current_version_id = other.current_version_id
    assert isinstance(refused.value.orig, psycopg.errors.ForeignKeyViolation)
