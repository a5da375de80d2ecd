"""The timeline: one ordered story, cause before effect."""

from datetime import UTC, datetime, timedelta

from fixtures_database import ACTOR, Database, outcome

from policy.changes.enforcement import Enforcement
from sql import customers
from sql.attempts import claim, store_outcomes
from sql.enforcement import enforce
from sql.models import Service
from sql.timeline import timeline


def test_a_customers_story_is_told_in_order(database: Database) -> None:
    """From the opening over invoice, suspension and payment to the router's answer, nothing before its cause."""
    isp = database.isp()
    service = isp.service()
    isp.review()
    router = isp.router()
    isp.online(service, router, isp.fresh(service).authorised_stamp)
    isp.invoice(service.subscriber_id, 1234)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    with isp.worker() as session:
        enforce(session, isp.operator_id, [service.id], datetime.now(UTC))
    with isp.worker() as session:
        claimed = claim(session, isp.operator_id, router.id, 10)
    outcomes = [outcome(one, Enforcement.VERIFIED, session_gone=True) for one in claimed]
    with isp.worker() as session:
        store_outcomes(session, isp.operator_id, outcomes)
    isp.pay(service.subscriber_id, 1234)
    isp.review()
    with isp.web() as session:
        entries = timeline(session, session.get_one(Service, service.id))
    story = [entry.kind for entry in entries if entry.kind != "audit"]
    assert story == [
        *("change", "decision"),
        "online",
        "invoice",
        *("change", "decision"),
        *("packet", "offline", "proof"),
        "payment",
        *("change", "decision"),
    ]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    said = " ".join(entry.sentence for entry in entries)
    for words in ("12.34 EUR", "approved by a test", 'approved by the rule "payments restore by themselves"', "1.5 ms"):
        assert words in said


def test_only_the_newest_are_told(database: Database) -> None:
    """A limit keeps the newest entries, still oldest first, and holds are told with who promised."""
    isp = database.isp()
    service = isp.service()
    isp.review()
    with isp.web() as session:
        found = session.get_one(Service, service.id)
        customers.add_hold(
            session, found, until=datetime.now(UTC) + timedelta(days=1), reason="pays % on Friday :x", actor=ACTOR
        )
        (last,) = timeline(session, found, 1)
        assert [entry.kind for entry in timeline(session, found)][-1] == last.kind == "hold"
    assert last.sentence.startswith("a test promised not to suspend before")
    assert last.sentence.endswith("pays % on Friday :x")


def test_another_services_story_is_its_own(database: Database) -> None:
    """Two services of one subscriber share the money, and nothing else."""
    isp = database.isp()
    subscriber = isp.subscriber()
    one, other = isp.service("one", subscriber=subscriber), isp.service("other", subscriber=subscriber)
    isp.invoice(subscriber)
    isp.review()
    with isp.web() as session:
        first = timeline(session, session.get_one(Service, one.id))
        second = timeline(session, session.get_one(Service, other.id))
    assert [entry.kind for entry in first] == [entry.kind for entry in second]
    changes = [{entry.details.get("change") for entry in story if entry.kind == "change"} for story in (first, second)]
    assert not changes[0] & changes[1]
