"""What nobody can know is not believed: a worker that vanished, a style that changed, an address that waits."""

import pytest
from fixtures_database import ACTOR, BOX
from held_town import PASSWORD, held_town

from simulators.routeros import Break
from sql.customers import change_service
from sql.models import Router, Service
from sql.roles import Role
from sql.router_store import set_api
from worker import planning
from worker.configure import Configurer


class Vanished(Exception):  # noqa: N818 - reads as what happened
    """The worker is gone."""


def due_now(town) -> None:
    """Time passes: what was claimed is given up, and what waits is due."""
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE steps SET due_at = now()")


def test_a_worker_that_vanished_leaves_a_doubt(database, monkeypatch):
    """It wrote a suspension and died; the customer pays, and what was proved before the suspension is not believed."""
    with held_town(database) as town:
        anna = town.service("anna")
        before = town.rows("/ppp/secret")

        def vanish(*_):
            raise Vanished

        with monkeypatch.context() as patched:
            patched.setattr(Configurer, "_store", vanish)
            with pytest.raises(Vanished):
                town.suspend(anna)
        assert town.rows("/ppp/secret") != before
        assert [step.state for step in town.steps(anna)] == ["verified", "started"]
        assert town.placement(anna).applied_stamp is None
        town.isp.pay(anna.subscriber_id)
        planning.review_operator(town.database.engine(Role.WORKER), town.isp.operator_id)
        due_now(town)

        town.settle()
        town.settle()

        assert [step.state for step in town.steps(anna)] == ["verified", "superseded", "verified"]
        assert town.rows("/ppp/secret") == before


def test_evidence_of_a_step_that_was_not_sent_says_so(database):
    """A person's consent is no command; an attempt that never came to its commands has sent nothing."""
    with held_town(database) as town:
        town.device.break_next("/ppp/secret/print", Break.BEFORE)
        anna = town.service("anna")
        (step,) = town.steps(anna)
        assert [one.sent for one in town.evidence(step)] == [[]]


def test_an_address_that_nobody_approved_reaches_no_router(database):
    """A router is given what is authorised; what the office wrote down waits for its change."""
    with held_town(database) as town:
        anna = town.service("anna")
        before = town.rows("/ppp/secret")
        with town.isp.web() as session:
            change_service(session, session.get_one(Service, anna.id), actor=ACTOR, address="10.5.0.9")
        planning.enforce_services(town.database.engine(Role.WORKER), town.isp.operator_id, [anna.id])
        town.work()
        assert town.rows("/ppp/secret") == before

        town.settle()

        (secret,) = town.rows("/ppp/secret")
        assert secret["remote-address"] == "10.5.0.9"


def test_a_session_of_another_style_is_ended(database):
    """A router was used by profiles and is used by queues now: a session of before cannot be restricted by a queue."""
    with held_town(database) as town:
        anna = town.service("anna", address="10.5.0.7")
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        with town.isp.web() as session:
            set_api(session, session.get_one(Router, town.router.id), box=BOX, actor=ACTOR, style={"ppp": "queue"})
        town.suspend(anna)

        assert not town.device.do(lambda device: device.standing("anna")).online
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        restricted = town.device.do(lambda device: device.standing("anna"))
        assert (restricted.download_bps, restricted.lists) == (256_000, {"overdue"})


def test_a_session_ends_when_its_secret_was_taken_away_and_is_made_anew(database):
    """Somebody's hand removed the secret; the session that is up may have anything, so it takes the new one."""
    with held_town(database) as town:
        anna = town.service("anna")
        town.device.do(lambda device: device.ppp_login("anna", PASSWORD))
        (secret,) = town.device.rows("/ppp/secret", name="anna")
        town.device.remove("/ppp/secret", secret[".id"])
        with town.database.as_superuser() as connection:
            connection.execute("UPDATE placements SET applied_stamp = NULL")

        town.settle()

        assert town.steps(anna)[-1].state == "verified"
        assert not town.device.do(lambda device: device.standing("anna")).online
