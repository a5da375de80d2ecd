"""What self-tests learnt is stored with its evidence, steers the planner only when seen, and stays behind the wall."""

from datetime import UTC, datetime

import psycopg
import pytest
from fixtures_database import ACTOR
from sqlalchemy.exc import ProgrammingError

from policy.changes.route import RouteKind, choose
from policy.documents import read_access
from sql.abilities import Level, ability, learn, learnt, sentence, session_to_test
from sql.errors import NotFound, Refused
from sql.live import abilities
from sql.models import KnownAccess, Router, Service, Session
from sql.roles import Role

EVIDENCE = {"session": "80000001", "list": "a test's list"}


@pytest.fixture
def isp(database):
    """An operator."""
    return database.isp()


@pytest.fixture
def lent(isp):
    """A service online at a router."""
    service = isp.service("zofia", isp.plan(address_lists=["paid"], session_timeout_s=3600, pool="pool1"))
    isp.review()
    router = isp.router()
    return service, router, isp.online(service, router, isp.fresh(service).authorised_stamp)


def test_only_what_was_seen_steers_the_planner(isp):
    """A yes of the router changes nothing; a person's does; a later yes of the router keeps what the person said."""
    router = isp.router()
    for level, able, expected in (
        (Level.ACKNOWLEDGED, False, (False, None)),
        (Level.SEEN, True, (True, True)),
        (Level.ACKNOWLEDGED, False, (True, True)),
        (Level.REFUSED, False, (False, False)),
        (Level.SEEN, False, (False, False)),
    ):
        with isp.web() as session:
            found = session.get_one(Router, router.id)
            learn(session, found, level=level, able=able, evidence=EVIDENCE, actor=ACTOR)
        with isp.web() as session:
            found = session.get_one(Router, router.id)
            assert (abilities(found).coa_address_list, learnt(session, found)[0]["able"]) == expected, level
            assert ability(session, found).evidence["session"] == "80000001"
            assert sentence(learnt(session, found)[0]).startswith("changes address lists by CoA: ")


def test_the_route_follows_what_was_learnt(isp, lent):
    """A suspension by address list disconnects before, and goes by CoA after a person saw it work."""
    service, router, _ = lent
    with isp.worker() as session:
        document = session.get_one(KnownAccess, (isp.operator_id, isp.fresh(service).authorised_stamp)).document
    had = read_access(document)
    wanted = had._replace(address_lists=("overdue",))
    assert choose(had, wanted, abilities(router)).kind == RouteKind.DISCONNECT
    with isp.web() as session:
        found = session.get_one(Router, router.id)
        learn(session, found, level=Level.SEEN, able=True, evidence=EVIDENCE, actor=ACTOR)
    with isp.web() as session:
        assert choose(had, wanted, abilities(session.get_one(Router, router.id))).kind == RouteKind.COA


def test_what_a_lent_session_has(isp, lent):
    """Its lists and what else a CoA sets; never what runs down, and never what a CoA cannot change."""
    _, router, session_id = lent
    with isp.web() as session:
        found = session_to_test(session, session.get_one(Router, router.id), "zofia")
        assert found.present == (("Mikrotik-Rate-Limit", "10M/50M"), ("Mikrotik-Address-List", "paid"))
        assert found.acct_session_id == isp.session(session_id).acct_session_id
        with pytest.raises(NotFound):
            session_to_test(session, session.get_one(Router, router.id), "zofia", "another id")


def test_a_session_is_not_lent_twice(isp, lent):
    """Two sessions of one name are told apart by nobody, so neither is taken."""
    service, router, _ = lent
    isp.online(service, router, isp.fresh(service).authorised_stamp)
    with isp.web() as session, pytest.raises(Refused, match="more than once"):
        session_to_test(session, session.get_one(Router, router.id), "zofia")


def test_a_session_with_a_step_on_its_way_is_not_lent(isp, lent):
    """A test's packet bears the access of this moment, and must not cross the change."""
    _, router, _ = lent
    with isp.database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO steps (operator_id, service_id, session_id, router_id, route, why, target_stamp) "
            "SELECT operator_id, service_id, id, router_id, 'coa', 'a test', 'x' FROM sessions"
        )
    with isp.web() as session, pytest.raises(Refused, match="on its way to the session of zofia"):
        session_to_test(session, session.get_one(Router, router.id), "zofia")


def test_a_held_session_is_planned_for_later(isp, lent):
    """While a test's packet is on the wire nobody else may plan for the session; the web role cannot hold it at all."""
    _, router, session_id = lent
    with isp.worker() as session:
        session_to_test(session, session.get_one(Router, router.id), "zofia", held=True)
        with isp.database.as_superuser() as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM sessions WHERE id = %s FOR UPDATE NOWAIT", (session_id,))
    with isp.database.as_superuser() as other:
        other.execute("SELECT FROM sessions WHERE id = %s FOR UPDATE NOWAIT", (session_id,))
    with pytest.raises(ProgrammingError, match="permission denied"), isp.web() as session:
        session_to_test(session, session.get_one(Router, router.id), "zofia", held=True)


def test_abilities_stay_behind_the_wall(database, isp, lent):
    """Another operator sees no ability and no session, and cannot store one for a router that is not his."""
    _, router, session_id = lent
    with isp.web() as session:
        learn(
            session,
            session.get_one(Router, router.id),
            level=Level.SEEN,
            able=True,
            evidence=EVIDENCE,
            actor=ACTOR,
        )
    with database.isp().web() as session:
        assert learnt(session, router) == []
        assert session.get(Session, session_id) is None
        assert session.query(Service).count() == 0
    with pytest.raises(ProgrammingError, match="row-level security"), database.isp().web() as session:
        learn(session, router, level=Level.SEEN, able=False, evidence={}, actor=ACTOR)
    with database.acting(isp.operator_id, Role.WORKER) as session:
        assert learnt(session, session.get_one(Router, router.id))[0]["learnt_at"] <= datetime.now(UTC)
