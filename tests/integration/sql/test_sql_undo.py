"""Undo gives back what a change altered, for a while, as a change of its own."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, Isp

from sql import customers, intent, undo
from sql.errors import NotFound, Refused
from sql.models import Change, Override, Service
from sql.money.plan_changes import change_plan_of

DAY = timedelta(days=1)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator of the usual kind: suspensions wait for a person."""
    return database.isp()


@pytest.fixture
def suspended(isp: Isp) -> Service:
    """A service that a person suspended."""
    service = isp.service()
    isp.review()
    isp.invoice(service.subscriber_id)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    return isp.fresh(service)


def ask(isp: Isp, change: Change, **more: Any) -> Override:
    """A person undoes a change."""
    options = {"until": datetime.now(UTC) + 3 * DAY, "reason": "the invoice was wrong", "by": "olga", **more}
    with isp.web() as session:
        return undo.undo(session, intent.change_by_id(session, isp.operator_id, change.id), **options)


def last(isp: Isp, service: Service) -> Change:
    """The newest change of a service."""
    return isp.changes(service)[-1]


def test_a_suspension_is_undone_and_comes_back_when_the_time_is_over(isp: Isp, suspended: Service) -> None:
    """The earlier access is wanted, approved by the rule for restorations, and said whose wish it was."""
    ask(isp, last(isp, suspended))
    isp.review()
    restoring = last(isp, suspended)
    assert (restoring.kind, restoring.state, restoring.requested_by) == ("restore", "approved", "olga")
    assert restoring.undoes_change_id == isp.changes(suspended)[-2].id
    assert restoring.to_facts == isp.changes(suspended)[-2].from_facts
    assert "olga gives back an earlier access" in restoring.cause
    assert isp.fresh(suspended).standing == "suspended"
    isp.review(datetime.now(UTC) + 4 * DAY)
    again = last(isp, suspended)
    assert (again.kind, again.state, again.requested_by) == ("suspend", "awaiting_approval", "billing")


def test_the_undo_does_not_make_the_same_change_again(isp: Isp, suspended: Service) -> None:
    """While it lasts, reviews find nothing to do; ended early, billing's word counts at once."""
    override = ask(isp, last(isp, suspended))
    isp.review()
    count = len(isp.changes(suspended))
    with isp.web() as session:
        customers.change_service(session, session.get_one(Service, suspended.id), actor=ACTOR, bind_mac=True)
    isp.review()
    assert len(isp.changes(suspended)) == count
    with isp.web() as session:
        undo.end_override(session, isp.operator_id, override.id, by="piotr")
    isp.review()
    assert (last(isp, suspended).kind, last(isp, suspended).state) == ("suspend", "awaiting_approval")


def test_only_what_the_change_altered_is_given_back(isp: Isp, suspended: Service) -> None:
    """A plan that the customer changed to meanwhile stays."""
    ask(isp, last(isp, suspended))
    isp.review()
    faster = isp.plan("Home 100", rate_limit="100M/100M")
    with isp.web() as session:
        mine = session.get_one(Service, suspended.id)
        change_plan_of(session, mine, faster, at_period_end=False, actor=ACTOR)
    isp.review()
    facts = isp.fresh(suspended).authorised
    assert facts is not None
    assert facts["plan_version_id"] == faster.current_version_id
    assert facts["standing"] == "current"


def test_a_plan_change_is_undone_too(isp: Isp) -> None:
    """The plan of before is given while the undo lasts, although the service is booked on the other."""
    service = isp.service()
    isp.review()
    before = isp.fresh(service).authorised
    faster = isp.plan("Home 100", rate_limit="100M/100M")
    with isp.web() as session:
        mine = session.get_one(Service, service.id)
        change_plan_of(session, mine, faster, at_period_end=False, actor=ACTOR)
    isp.review()
    ask(isp, last(isp, service))
    isp.review()
    assert isp.fresh(service).authorised == before
    isp.review(datetime.now(UTC) + 4 * DAY)
    assert last(isp, service).to_facts["plan_version_id"] == faster.current_version_id


def test_a_closed_service_stays_closed(isp: Isp, suspended: Service) -> None:
    """Closing is a person's later word, and no undo of before outlives it."""
    ask(isp, last(isp, suspended))
    isp.review()
    with isp.web() as session:
        customers.close_service(session, session.get_one(Service, suspended.id), actor=ACTOR)
    isp.review()
    assert last(isp, suspended).kind == "close"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"until": datetime.now(UTC) - DAY}, "in the future"),
        ({"reason": "  "}, "Say why"),
        ({"reason": "x" * 501}, "500"),
    ],
)
def test_an_undo_without_sense_is_refused(isp: Isp, suspended: Service, more: dict[str, Any], said: str) -> None:
    """In one sentence, and nothing is stored."""
    with pytest.raises(Refused, match=said):
        ask(isp, last(isp, suspended), **more)
    isp.review()
    assert last(isp, suspended).kind == "suspend"


def test_what_never_ran_or_ran_before_another_cannot_be_undone(isp: Isp, suspended: Service) -> None:
    """Openings neither; the sentence says what can be done instead."""
    opening, suspension = isp.changes(suspended)
    with pytest.raises(Refused, match="close the service"):
        ask(isp, opening)
    isp.pay(suspended.subscriber_id)
    isp.review()
    with pytest.raises(Refused, match=f"change {last(isp, suspended).id} is"):
        ask(isp, suspension)
    isp.invoice(suspended.subscriber_id)
    isp.review()
    with pytest.raises(Refused, match="nothing to undo"):
        ask(isp, last(isp, suspended))
    with isp.web() as session, pytest.raises(NotFound):
        undo.end_override(session, isp.operator_id, 999_999, by="olga")
