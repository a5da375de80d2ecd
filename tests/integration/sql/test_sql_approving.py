"""Rules, brakes, two people, batches, and what holds everybody back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, Isp
from sqlalchemy import event, text

from policy.changes.batch import batch_preview
from policy.changes.preview import text as preview_text
from sql import batches, customers, intent, reviews
from sql.errors import Refused
from sql.models import Change, Service

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator of the usual kind: suspensions wait for a person."""
    return database.isp()


def choose(isp: Isp, **options: Any) -> None:
    """Change the operator's choices."""
    with isp.web() as session:
        customers.set_operator(session, isp.operator_id, actor=ACTOR, **options)


def overdue(isp: Isp, count: int, **plan: Any) -> list[Service]:
    """So many open services whose customers owe for long."""
    one_plan = isp.plan(**plan)
    services = [isp.service(f"user{number}", plan=one_plan) for number in range(count)]
    isp.review()
    for service in services:
        isp.invoice(service.subscriber_id)
    return services


def approve(isp: Isp, change: Change, by: str) -> bool:
    """A named person approves what there is to see now."""
    with isp.web() as session:
        found = intent.change_by_id(session, isp.operator_id, change.id)
        return intent.approve(session, found, by=by, seen_hash=found.preview_hash, now=datetime.now(UTC))


def last(isp: Isp, service: Service) -> Change:
    """The newest change of a service."""
    return isp.changes(service)[-1]


def test_two_different_people_must_approve(isp: Isp) -> None:
    """The first one's yes is kept, the same person's second is refused, and the second person's runs it."""
    choose(isp, approval_rules=[{"name": "four eyes", "kinds": ["suspend"], "people": 2}])
    (service,) = overdue(isp, 1)
    isp.review()
    change = last(isp, service)
    assert change.needs_approvals == 2
    assert approve(isp, change, "olga") is False
    with pytest.raises(Refused, match="another person"):
        approve(isp, change, "olga")
    assert last(isp, service).state == "awaiting_approval"
    assert isp.fresh(service).authorised == change.from_facts
    assert approve(isp, change, "piotr") is True
    assert last(isp, service).state == "approved"
    assert isp.fresh(service).authorised == change.to_facts


def test_a_yes_to_another_preview_does_not_count(isp: Isp) -> None:
    """Somebody goes online in between: the preview is renewed, and both must look at it again."""
    choose(isp, approval_rules=[{"name": "four eyes", "kinds": ["suspend"], "people": 2}])
    (service,) = overdue(isp, 1)
    isp.review()
    change = last(isp, service)
    approve(isp, change, "olga")
    isp.online(service, isp.router(), isp.fresh(service).authorised_stamp)
    with isp.web() as session:
        found = intent.change_by_id(session, isp.operator_id, change.id)
        with pytest.raises(intent.StalePreview, match="renewed"):
            intent.approve(session, found, by="piotr", seen_hash=found.preview_hash, now=datetime.now(UTC))
    assert approve(isp, last(isp, service), "piotr") is False
    assert approve(isp, last(isp, service), "olga") is True


def test_the_brake_lets_so_many_through_and_people_do_the_rest(isp: Isp) -> None:
    """Ten by rule where four are allowed: four run, six wait and say why; the next review is no way round."""
    choose(isp, automatic_changes=["open", "suspend"], brake_free=4, brake_number=4)
    services = overdue(isp, 10)
    isp.review()
    changes = [last(isp, service) for service in services]
    assert [change.state for change in changes].count("approved") == 4
    waiting = [change for change in changes if change.state == "awaiting_approval"]
    assert {change.held_back for change in waiting} == {
        "Rules have approved 4 of these today, and the brake lets 4 run by themselves."
    }
    with isp.web() as session:
        session.execute(text("SELECT review_service(operator_id, id) FROM services"))
    isp.review()
    assert [last(isp, service).state for service in services].count("approved") == 4
    # The next day the rule goes on by itself.
    isp.review(datetime.now(UTC) + timedelta(days=1))
    assert [last(isp, service).state for service in services].count("approved") == 8


def test_who_paid_never_waits_for_a_brake(isp: Isp) -> None:
    """Restorations run however many there were."""
    choose(isp, automatic_changes=["open", "suspend", "restore"], brake_free=0, brake_number=0, brake_percent=0)
    services = overdue(isp, 3)
    isp.review()
    for service in services:
        approve(isp, last(isp, service), "olga")
        isp.pay(service.subscriber_id)
    isp.review()
    assert {(last(isp, service).kind, last(isp, service).state) for service in services} == {("restore", "approved")}


def test_without_payments_nobody_is_suspended(isp: Isp) -> None:
    """Neither by a rule nor by a person, until a payment comes in again."""
    choose(isp, automatic_changes=["open", "suspend"], payment_feed_hours=24)
    (service,) = overdue(isp, 1)
    isp.review()
    change = last(isp, service)
    assert change.state == "awaiting_approval"
    assert "No payment has come in" in change.held_back
    with pytest.raises(Refused, match="No payment has come in"):
        approve(isp, change, "olga")
    isp.pay(isp.subscriber())
    isp.review(datetime.now(UTC) + timedelta(minutes=6))
    assert last(isp, service).state == "approved"


def test_behind_a_router_that_is_down_nobody_is_suspended(isp: Isp) -> None:
    """An outage never suspends anyone; when the router answers again the rule goes on."""
    choose(isp, automatic_changes=["open", "suspend"])
    services = overdue(isp, 2)
    router = isp.router("hill")
    isp.online(services[0], router, isp.fresh(services[0]).authorised_stamp)
    with isp.worker() as session:
        session.execute(
            text("INSERT INTO router_health (operator_id, router_id, down_since) VALUES (:operator, :router, now())"),
            {"operator": isp.operator_id, "router": router.id},
        )
    isp.review()
    assert [last(isp, service).state for service in services] == ["awaiting_approval", "approved"]
    assert "hill is down" in last(isp, services[0]).held_back
    with pytest.raises(Refused, match="hill is down"):
        approve(isp, last(isp, services[0]), "olga")
    with isp.worker() as session:
        session.execute(text("UPDATE router_health SET down_since = NULL"))
    isp.review(datetime.now(UTC) + timedelta(minutes=6))
    assert last(isp, services[0]).state == "approved"


def test_a_change_that_waits_too_long_expires_and_is_planned_anew(isp: Isp) -> None:
    """With a preview of that day; a rejection instead stands for good."""
    choose(isp, change_days=3)
    first, second = overdue(isp, 2)
    isp.review()
    with isp.web() as session:
        intent.reject(session, intent.change_by_id(session, isp.operator_id, last(isp, second).id), by="olga", note="")
    isp.review(datetime.now(UTC) + timedelta(days=4))
    assert [change.state for change in isp.changes(first)] == ["approved", "expired", "awaiting_approval"]
    assert [change.state for change in isp.changes(second)] == ["approved", "rejected"]


def test_what_waits_is_a_batch_of_its_kind_and_day(isp: Isp) -> None:
    """Counts by action, router and plan, the money, and the oddest first; approved by its hash, all at once."""
    services = overdue(isp, 4)
    tower = isp.router("tower")
    stamp = isp.fresh(services[0]).authorised_stamp
    isp.online(services[0], tower, stamp)
    isp.online(services[1], tower, stamp)
    isp.online(services[1], tower, None)
    isp.review()
    with isp.web() as session:
        (found,) = batches.batches(session, isp.operator_id, before=10**9, limit=10)
        rows = batches.waiting_rows(session, isp.operator_id, found.batch.id)
    assert found.states == {"awaiting_approval": 4}
    assert found.batch.name.startswith("suspend ")
    document = batch_preview(rows)
    assert document["changes"] == 4
    assert document["by_kind"] == {"suspend": 4}
    assert document["by_router"] == {"tower": 3}
    assert document["drops"] == 3
    assert document["nobody_online"] == 2
    assert document["owed_minor"] == 6000
    assert document["unusual"][0]["username"] == "user1"
    assert "There are 2 live sessions." in document["unusual"][0]["why"]
    with isp.web() as session:
        seen = [(row.change_id, row.preview_hash) for row in rows]
        seen[3] = (seen[3][0], "another hash")
        decided = batches.approve_some(session, isp.operator_id, seen, by="olga", now=datetime.now(UTC))
    assert [one.done for one in decided] == [True, True, True, False]
    assert "another preview" in decided[3].refused
    assert [last(isp, service).state for service in services] == [*["approved"] * 3, "awaiting_approval"]


def test_ten_thousand_are_previewed_in_a_fixed_number_of_statements(isp: Isp) -> None:
    """However many services a review takes, it asks the database as often."""
    plan = isp.plan()
    counts = []
    for size in (3, 30):
        for number in range(size):
            isp.service(f"s{size}-{number}", plan=plan)
        with isp.worker() as session:
            statements = 0

            def count(*_: object) -> None:
                nonlocal statements
                statements += 1

            event.listen(session.get_bind(), "before_cursor_execute", count)
            reviews.review(session, isp.operator_id, datetime.now(UTC))
            event.remove(session.get_bind(), "before_cursor_execute", count)
            counts.append(statements)
    assert counts[1] <= counts[0] + 2


def test_the_preview_says_what_is_odd(isp: Isp) -> None:
    """For people, and not for the hash."""
    (service,) = overdue(isp, 1)
    isp.online(service, isp.router("tower"), None)
    isp.review()
    change = last(isp, service)
    assert "unusual: What the session on tower was given is not known." in preview_text(change.preview)
    assert change.preview["drops"] == 1
