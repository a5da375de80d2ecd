"""Wanted becomes authorised: which changes a review makes, and what an approval binds."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, BOX, Database, Isp
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from policy.changes import preview
from sql import authorising, customers, holds, intent, reviews
from sql.errors import Refused
from sql.models import Change, Service, Subscriber

DAY = timedelta(days=1)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator of the usual kind: suspensions wait for a person."""
    return database.isp()


@pytest.fixture
def opened(isp: Isp) -> Service:
    """A service whose opening a rule has approved."""
    service = isp.service()
    isp.review()
    return isp.fresh(service)


def _suspended(isp: Isp, service: Service) -> Change:
    isp.invoice(service.subscriber_id)
    isp.review()
    return isp.changes(service)[-1]


def _change(isp: Isp, service: Service, **options: Any) -> None:
    with isp.web() as session:
        customers.change_service(session, session.get_one(Service, service.id), actor=ACTOR, **options)


def test_a_wish_that_there_is_not_is_told(isp: Isp, opened: Service) -> None:
    """Nothing is set in silence that nobody reads, and no plan beside the money that it moves."""
    for options in ({"adress": "10.1.2.3"}, {"plan_id": 1}, {"standing": "current"}):
        with pytest.raises(TypeError, match="no wish"):
            _change(isp, opened, **options)


def test_a_new_service_is_opened_by_a_rule(isp: Isp, opened: Service) -> None:
    """The opening is authorised by a named rule, by nobody else, and its preview says what the customer gets."""
    (change,) = isp.changes(opened)
    assert (change.kind, change.state, change.decided_by) == ("open", "approved", None)
    assert change.rule == "new services start by themselves"
    assert opened.authorised == change.to_facts
    assert opened.authorised_stamp == change.to_stamp
    assert opened.authorised_change_id == change.id
    assert "Mikrotik-Rate-Limit = 10M/50M" in preview.text(change.preview)
    assert change.preview_hash == preview.preview_hash(change.preview)


def test_a_suspension_waits_for_a_person(isp: Isp, opened: Service) -> None:
    """An overdue invoice makes a change that waits; nothing is authorised until a person approves."""
    change = _suspended(isp, opened)
    assert (change.kind, change.state) == ("suspend", "awaiting_approval")
    assert isp.fresh(opened).authorised == opened.authorised
    assert isp.fresh(opened).standing == "suspended"
    isp.approve(change)
    after = isp.fresh(opened)
    assert after.authorised is not None
    assert after.authorised["standing"] == "suspended"
    assert after.authorised_stamp != opened.authorised_stamp
    (_, decided) = isp.changes(opened)
    assert (decided.state, decided.decided_by, decided.rule) == ("approved", ACTOR, None)
    assert decided.revision is not None


def test_an_operator_may_let_rules_suspend(database: Database) -> None:
    """Where the operator chose so, the same suspension needs nobody."""
    isp = database.isp(automatic_changes=["open", "suspend", "restore"])
    service = isp.service()
    isp.review()
    change = _suspended(isp, service)
    assert (change.state, change.rule) == ("approved", "suspensions run by themselves")


def test_reviewing_again_changes_nothing(isp: Isp, opened: Service) -> None:
    """A review asked for twice, or by nobody, makes no second change."""
    first = _suspended(isp, opened)
    for _ in range(2):
        with isp.worker() as session:
            session.execute(
                text(
                    "INSERT INTO reviews SELECT id, operator_id, now() FROM services "
                    "ON CONFLICT (service_id) DO UPDATE SET due_at = now()"
                )
            )
        isp.review()
    assert [one.id for one in isp.changes(opened)][-1] == first.id


def test_a_payment_withdraws_the_waiting_suspension(isp: Isp, opened: Service) -> None:
    """Paid before anybody approved: the change is superseded, and can no longer be approved."""
    change = _suspended(isp, opened)
    isp.pay(opened.subscriber_id)
    isp.review()
    (_, found) = isp.changes(opened)
    assert (found.state, isp.fresh(opened).standing) == ("superseded", "current")
    assert "again" in found.note
    with pytest.raises(Refused, match="superseded already"):
        isp.approve(change)


def test_a_payment_restores_by_a_rule(isp: Isp, opened: Service) -> None:
    """Paid after the suspension ran: a rule restores what was there before, by the same stamp."""
    isp.approve(_suspended(isp, opened))
    isp.pay(opened.subscriber_id)
    isp.review()
    change = isp.changes(opened)[-1]
    assert (change.kind, change.state) == ("restore", "approved")
    assert isp.fresh(opened).authorised_stamp == opened.authorised_stamp


def test_a_rejection_stands_until_something_else_is_wanted(isp: Isp, opened: Service) -> None:
    """The next reviews do not ask again; a changed wish does."""
    change = _suspended(isp, opened)
    with isp.web() as session:
        intent.reject(session, intent.change_by_id(session, isp.operator_id, change.id), by=ACTOR, note="a friend")
    isp.invoice(opened.subscriber_id, 100, -20)
    isp.review()
    assert [one.state for one in isp.changes(opened)] == ["approved", "rejected"]
    _change(isp, opened, address="10.1.2.3")
    isp.review()
    assert [one.state for one in isp.changes(opened)] == ["approved", "rejected", "awaiting_approval"]
    with pytest.raises(Refused, match="rejected already"):
        isp.approve(change)


def test_a_rejection_does_not_outlive_what_it_was_about(isp: Isp, opened: Service) -> None:
    """Rejected, paid, and overdue again: the second suspension is a new question; who said no before stays."""
    change = _suspended(isp, opened)
    with isp.web() as session:
        intent.reject(session, intent.change_by_id(session, isp.operator_id, change.id), by=ACTOR, note="a friend")
    isp.pay(opened.subscriber_id)
    isp.review()
    over = isp.changes(opened)[-1]
    assert (over.state, over.decided_by, over.note) == ("superseded", ACTOR, "a friend")
    assert _suspended(isp, opened).state == "awaiting_approval"
    assert [one.state for one in isp.changes(opened)] == ["approved", "superseded", "awaiting_approval"]


def test_a_newer_truth_replaces_what_waits(isp: Isp, opened: Service) -> None:
    """While a suspension waits the address changes too: one change waits at a time, the newer."""
    first = _suspended(isp, opened)
    _change(isp, opened, address="10.1.2.3")
    isp.review()
    states = {one.id: one.state for one in isp.changes(opened)}
    assert states[first.id] == "superseded"
    assert sorted(states.values()) == ["approved", "awaiting_approval", "superseded"]


def test_one_change_of_a_service_waits_at_a_time(isp: Isp, opened: Service) -> None:
    """The database itself refuses a second one."""
    change = _suspended(isp, opened)
    with pytest.raises(DBAPIError, match="changes_one_awaiting"), isp.worker() as session:
        session.execute(
            text(
                "INSERT INTO changes (operator_id, service_id, kind, cause, to_facts, to_stamp, preview, preview_hash) "
                "SELECT operator_id, service_id, kind, cause, to_facts, to_stamp, preview, preview_hash "
                "FROM changes WHERE id = :id"
            ),
            {"id": change.id},
        )


def test_an_approval_binds_the_preview(isp: Isp, opened: Service) -> None:
    """The hash of another preview is refused, and nothing is authorised."""
    change = _suspended(isp, opened)
    with pytest.raises(Refused, match="another preview"):
        isp.approve(change, "0" * 64)
    assert isp.fresh(opened).authorised == opened.authorised


def test_an_approval_of_what_has_moved_is_refused(isp: Isp, opened: Service) -> None:
    """The access it started from was changed by another change: refused in one sentence."""
    change = _suspended(isp, opened)
    with isp.worker() as session:
        session.execute(
            text("""UPDATE services SET authorised = authorised || '{"address": "10.7.7.7"}' WHERE id = :id"""),
            {"id": opened.id},
        )
    with pytest.raises(Refused, match="has changed since"):
        isp.approve(change)


def test_a_stale_preview_is_renewed_and_kept(isp: Isp, opened: Service) -> None:
    """The customer logs in between preview and approval: refused; the new preview is stored and can be approved."""
    change = _suspended(isp, opened)
    isp.online(opened, isp.router(), opened.authorised_stamp)
    with isp.web() as session:
        found = intent.change_by_id(session, isp.operator_id, change.id)
        with pytest.raises(intent.StalePreview, match="look at it again"):
            intent.approve(session, found, by=ACTOR, seen_hash=change.preview_hash, now=datetime.now(UTC))
    renewed = isp.changes(opened)[-1]
    assert renewed.preview_hash != change.preview_hash
    assert renewed.preview["sessions"][0]["route"] == "disconnect"
    isp.approve(renewed)
    assert isp.changes(opened)[-1].state == "approved"


def test_a_hold_keeps_from_suspension_until_it_ends(isp: Isp, opened: Service) -> None:
    """While it holds nothing waits; at its end the review comes by itself."""
    with isp.web() as session:
        service = session.get_one(Service, opened.id)
        hold = holds.add_hold(session, service, until=datetime.now(UTC) + DAY, reason="pays on Friday", actor=ACTOR)
    isp.invoice(opened.subscriber_id)
    isp.review()
    assert isp.fresh(opened).standing == "overdue"
    assert len(isp.changes(opened)) == 1
    isp.review(hold.until + timedelta(seconds=1))
    assert isp.changes(opened)[-1].kind == "suspend"


def test_a_new_plan_version_is_a_change_for_every_service(isp: Isp) -> None:
    """An edit of a plan reaches its services as changes, and theirs alone."""
    plan, other = isp.plan("Home"), isp.plan("Office")
    services = [isp.service(name, plan) for name in ("one", "two")]
    apart = isp.service("three", other)
    isp.review()
    with isp.web() as session:
        customers.change_plan(session, isp.operator_id, name="Home", facts={"rate_limit": "20M/100M"}, actor=ACTOR)
    isp.review()
    for service in services:
        assert [one.kind for one in isp.changes(service)] == ["open", "plan"]
    assert [one.kind for one in isp.changes(apart)] == ["open"]


def test_a_plan_that_stays_the_same_makes_no_version(isp: Isp) -> None:
    """The same facts again, or a price alone, are told to no router."""
    isp.plan("Home")
    with isp.web() as session:
        customers.change_plan(
            session, isp.operator_id, name="Home", facts={"rate_limit": "10M/50M"}, actor=ACTOR, price_minor=99
        )
    with isp.web() as session:
        assert session.execute(text("SELECT count(*), max(number) FROM plan_versions")).one() == (1, 1)
        assert customers.plan_by_name(session, isp.operator_id, "Home").price_minor == 99


def test_closing_waits_for_a_person(isp: Isp, opened: Service) -> None:
    """A closed service keeps what is authorised until the closure is approved; then it gets nothing."""
    with isp.web() as session:
        customers.close_service(session, session.get_one(Service, opened.id), actor=ACTOR)
    isp.review()
    change = isp.changes(opened)[-1]
    assert (change.kind, change.state) == ("close", "awaiting_approval")
    isp.approve(change)
    assert (isp.fresh(opened).authorised or {})["standing"] == "closed"


def test_whoever_writes_the_row_the_review_follows(isp: Isp, opened: Service) -> None:
    """An invoice inserted by plain SQL, as an import would, is reviewed too."""
    with isp.web() as session:
        session.execute(
            text(
                "INSERT INTO invoices (operator_id, subscriber_id, year, serial, amount_minor, currency, issued_on, "
                "due_on, due_at) VALUES (:operator, :subscriber, 2026, 1, 100, 'EUR', current_date, current_date, "
                "now() - interval '90 days')"
            ),
            {"operator": isp.operator_id, "subscriber": opened.subscriber_id},
        )
    assert isp.review() == 1
    assert isp.changes(opened)[-1].kind == "suspend"


def test_what_changes_by_itself_is_renewed(isp: Isp) -> None:
    """At a prepaid end the authorised stamp moves without any change, and once only."""
    end = datetime.now(UTC) + DAY
    service = isp.service(prepaid_until=end)
    isp.review()
    before = isp.fresh(service)
    assert before.authorised_until == end
    with isp.worker() as session:
        assert authorising.renew_authorised(session, isp.operator_id, end - timedelta(minutes=1)) == []
        assert authorising.renew_authorised(session, isp.operator_id, end) == [service.id]
        assert authorising.renew_authorised(session, isp.operator_id, end) == []
    assert isp.fresh(service).authorised_stamp != before.authorised_stamp
    assert len(isp.changes(service)) == 1


def test_hundreds_are_reviewed_in_portions(isp: Isp) -> None:
    """Each portion takes no more than asked; together they take everything once."""
    plan, subscriber = isp.plan(), isp.subscriber()
    with isp.web() as session:
        for number in range(25):
            customers.add_service(
                session,
                isp.operator_id,
                subscriber=session.get_one(Subscriber, subscriber.id),
                plan=plan,
                username=f"u{number}",
                password="made-up password",
                method="pppoe",
                box=BOX,
                actor=ACTOR,
            )
    taken = []
    while not taken or taken[-1]:
        with isp.worker() as session:
            taken.append(reviews.review(session, isp.operator_id, datetime.now(UTC), most=10))
    assert taken == [10, 10, 5, 0]
    with isp.worker() as session:
        assert session.execute(text("SELECT count(*) FROM changes WHERE state = 'approved'")).scalar_one() == 25
