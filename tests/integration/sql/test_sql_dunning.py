"""Dunning in virtual days on a real database: reminders, suspensions, promises and closures, each at its moment."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from fixtures_database import ACTOR, Database, Isp
from sqlalchemy import func, select, text

from policy.standing import HoldKind
from sql import customers
from sql.errors import Refused
from sql.holds import add_hold, end_hold
from sql.models import AuditEvent, Hold, Invoice, Notice, Operator, Review, Service, Subscriber
from sql.money.closing import close_overdue
from sql.money.invoices import issue_invoice
from sql.money.policies import add_holiday, add_policy, change_policy, remove_holiday
from sql.money.promises import settle_promises
from sql.money.reminders import remind

ZONE = ZoneInfo("Europe/Warsaw")
DAY = timedelta(days=1)
TODAY = datetime.now(ZONE).date()
# A Monday that lies at least four days ahead: everything due is reminded of before.
MONDAY = TODAY + (4 + (-(TODAY + 4 * DAY).weekday()) % 7) * DAY
HALF = 750


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator that suspends by a rule, on workdays after nine, not on the Friday after MONDAY."""
    isp = database.isp(automatic_changes=["open", "suspend", "restore"], time_zone="Europe/Warsaw")
    with isp.web() as session:
        policy = add_policy(
            session,
            isp.operator_id,
            name="workdays",
            actor=ACTOR,
            grace_days=3,
            overdue_days=1,
            reminder_days=[-1, 1, 7],
            suspend_hour=9,
            suspend_weekdays=[1, 2, 3, 4, 5],
            close_days=30,
        )
        add_holiday(session, isp.operator_id, day=MONDAY + 4 * DAY, name="Our day", actor=ACTOR)
        customers.set_operator(session, isp.operator_id, actor=ACTOR, dunning_policy_id=policy.id)
    return isp


def _at(day: date, hour: int = 0) -> datetime:
    return datetime.combine(day, time(hour), ZONE).astimezone(UTC)


def _bill(isp: Isp, subscriber_id: int, due_on: date = MONDAY) -> Invoice:
    with isp.web() as session:
        owner = session.get_one(Subscriber, subscriber_id)
        return issue_invoice(session, owner, amount_minor=1500, due_at=_at(due_on), description="", actor=ACTOR)


def _promise(isp: Isp, service: Service, until: datetime | None, kind: HoldKind, **more: object) -> Hold:
    with isp.web() as session:
        found = session.get_one(Service, service.id)
        return add_hold(session, found, until=until, reason="asked for", actor=ACTOR, kind=kind, **more)


def _nightly(isp: Isp, day: date) -> tuple[int, int, int]:
    """What the billing cycle does on a day, until nothing is left: reminders, promises, closures."""
    counts = [0, 0, 0]
    for place, step in enumerate((remind, settle_promises, close_overdue)):
        while True:
            with isp.worker() as session:
                done = step(session, session.get_one(Operator, isp.operator_id), day)
            counts[place] += done
            if not done:
                break
    return counts[0], counts[1], counts[2]


def _live(isp: Isp, service: Service, until: datetime, since: datetime | None = None) -> list[tuple[str, datetime]]:
    """Let the worker look whenever a review is due, up to a moment. The standings, and when each was first seen."""
    seen: list[tuple[str, datetime]] = []
    now = since or datetime.now(UTC)
    while True:
        with isp.worker() as session:
            due_at = session.scalar(select(func.min(Review.due_at)))
        if due_at is None or due_at > until:
            return seen
        now = max(now, due_at)
        isp.review(now)
        standing = isp.fresh(service).standing
        if not seen or seen[-1][0] != standing:
            seen.append((standing, now))


def _told(isp: Isp) -> list[str]:
    with isp.worker() as session:
        return [
            f"{one.data['number']}:{one.data['days']}" for one in session.scalars(select(Notice).order_by(Notice.id))
        ]


def test_a_whole_life(isp: Isp) -> None:
    """Reminded, grace, overdue, held over a holiday and a weekend, suspended at nine; promises kept, broken; closed."""
    service = isp.service()
    isp.review()
    number = _bill(isp, service.subscriber_id).number
    assert _nightly(isp, MONDAY - 2 * DAY) == (0, 0, 0)
    assert _nightly(isp, MONDAY - DAY) == (1, 0, 0)
    assert _nightly(isp, MONDAY - DAY) == (0, 0, 0)
    assert _nightly(isp, MONDAY + DAY) == (1, 0, 0)
    (_, _), *life = _live(isp, service, _at(MONDAY + 7 * DAY, 9))
    assert life == [
        ("grace", _at(MONDAY)),
        ("overdue", _at(MONDAY + 3 * DAY)),
        ("suspended", _at(MONDAY + 7 * DAY, 9)),
    ]
    assert [(one.kind, one.state) for one in isp.changes(service)] == [("open", "approved"), ("suspend", "approved")]
    _promise(isp, service, _at(MONDAY + 9 * DAY), HoldKind.PROMISE, amount_minor=HALF)
    assert _nightly(isp, MONDAY + 8 * DAY) == (0, 0, 0)
    isp.pay(service.subscriber_id, HALF)
    assert _nightly(isp, MONDAY + 8 * DAY) == (0, 1, 0)
    assert _live(isp, service, _at(MONDAY + 9 * DAY, 9), since=_at(MONDAY + 8 * DAY)) == [
        ("overdue", _at(MONDAY + 8 * DAY)),
        ("suspended", _at(MONDAY + 9 * DAY, 9)),
    ]
    _promise(isp, service, _at(MONDAY + 11 * DAY), HoldKind.PROMISE)
    restored = _live(isp, service, _at(MONDAY + 10 * DAY), since=_at(MONDAY + 10 * DAY))
    assert [standing for standing, _ in restored] == ["overdue"]
    assert _nightly(isp, MONDAY + 11 * DAY) == (1, 1, 0)
    assert _told(isp) == [f"{number}:-1", f"{number}:1", f"{number}:7"]
    assert _live(isp, service, _at(MONDAY + 11 * DAY, 9))[-1] == ("suspended", _at(MONDAY + 11 * DAY, 9))
    assert _nightly(isp, TODAY + 29 * DAY)[2] == 0
    assert _nightly(isp, TODAY + 30 * DAY)[2] == 1
    isp.review()
    assert isp.fresh(service).standing == "closed"
    assert (isp.changes(service)[-1].kind, isp.changes(service)[-1].state) == ("close", "awaiting_approval")
    with isp.worker() as session:
        ended = session.scalars(select(Hold.settled).order_by(Hold.id)).all()
        events = session.scalars(select(AuditEvent.event).where(AuditEvent.event.like("service:hold:%"))).all()
    assert ended == ["kept", "broken"]
    assert sorted(events) == ["service:hold:break", *["service:hold:grant"] * 2, "service:hold:keep"]


def test_a_suspension_that_comes_late_waits_for_the_next_allowed_moment(isp: Isp) -> None:
    """The worker was away on Monday at nine: on Saturday it suspends nobody, nor may a person; on Monday it does."""
    service = isp.service()
    isp.review()
    _bill(isp, service.subscriber_id, MONDAY - 7 * DAY)
    isp.review(_at(MONDAY + 5 * DAY, 12))
    change = isp.changes(service)[-1]
    assert (change.kind, change.state) == ("suspend", "awaiting_approval")
    assert change.held_back == (
        f"The suspension waits until {MONDAY + 7 * DAY} 09:00: nobody is suspended on a Saturday or Sunday, "
        "nobody is suspended before 9:00."
    )
    with isp.worker() as session:
        assert session.scalar(select(Review.due_at)) == _at(MONDAY + 7 * DAY, 9)
    isp.review(_at(MONDAY + 7 * DAY, 9))
    assert isp.changes(service)[-1].state == "approved"


def test_a_new_holiday_moves_what_is_to_come(isp: Isp) -> None:
    """Whoever owes is looked at again: the suspension moves by a day, and back when the holiday is taken off."""
    service = isp.service()
    isp.review()
    _bill(isp, service.subscriber_id)
    with isp.web() as session:
        add_holiday(session, isp.operator_id, day=MONDAY + 7 * DAY, name="Another", actor=ACTOR)
    assert _live(isp, service, _at(MONDAY + 14 * DAY))[-1] == ("suspended", _at(MONDAY + 8 * DAY, 9))
    with isp.web() as session:
        remove_holiday(session, isp.operator_id, day=MONDAY + 7 * DAY, actor=ACTOR)
        change_policy(session, isp.operator_id, name="workdays", actor=ACTOR, suspend_hour=None, grace_days=30)
        with pytest.raises(Refused, match="Weekdays"):
            change_policy(session, isp.operator_id, name="workdays", actor=ACTOR, suspend_weekdays=[0])
    assert _live(isp, service, _at(MONDAY + 60 * DAY))[-1] == ("suspended", _at(MONDAY + 31 * DAY))


def test_the_plans_policy_beats_the_operators(isp: Isp) -> None:
    """A service of a plan with terms of its own is suspended by those, and closed by nobody where they say so."""
    with isp.web() as session:
        own = add_policy(session, isp.operator_id, name="at once", actor=ACTOR, grace_days=0, reminder_days=[2])
    plan = isp.plan("Business")
    with isp.web() as session:
        session.execute(
            text("UPDATE plans SET dunning_policy_id = :own WHERE id = :plan"), {"own": own.id, "plan": plan.id}
        )
    service = isp.service(plan=plan)
    isp.review()
    _bill(isp, service.subscriber_id)
    assert _live(isp, service, _at(MONDAY))[-1] == ("suspended", _at(MONDAY))
    assert [_nightly(isp, MONDAY + days * DAY) for days in (1, 2, 60)] == [(0, 0, 0), (1, 0, 0), (0, 0, 0)]


def test_who_is_not_reminded(isp: Isp) -> None:
    """Not a VIP, not for a disputed invoice, not while a promise stands; who is only never suspended is reminded."""
    kinds = (HoldKind.VIP, HoldKind.REMINDERS_ONLY, HoldKind.DISPUTE, HoldKind.PROMISE, HoldKind.GRACE)
    numbers = {}
    for kind in kinds:
        service = isp.service(kind)
        invoice = _bill(isp, service.subscriber_id)
        numbers[f"{invoice.number}:1"] = kind
        end = None if kind in (HoldKind.VIP, HoldKind.REMINDERS_ONLY) else _at(MONDAY + 3 * DAY)
        _promise(isp, service, end, kind, invoice=invoice if kind == HoldKind.DISPUTE else None)
    assert _nightly(isp, MONDAY + DAY) == (2, 0, 0)
    assert {numbers[one] for one in _told(isp)} == {HoldKind.REMINDERS_ONLY, HoldKind.GRACE}
    # What was held is over, and the day was less than a week ago.
    assert _nightly(isp, MONDAY + 3 * DAY)[0] == 2


def test_missed_days_are_not_told_one_by_one(isp: Isp) -> None:
    """After a week of standstill only the latest reminder is put, and what is older than that is not put at all."""
    service = isp.service()
    number = _bill(isp, service.subscriber_id).number
    assert _nightly(isp, MONDAY + 9 * DAY)[0] == 1
    assert _told(isp) == [f"{number}:7"]
    other = isp.service("piotr")
    _bill(isp, other.subscriber_id)
    assert _nightly(isp, MONDAY + 14 * DAY)[0] == 0


def test_a_page_of_reminders_goes_on_behind_the_last(isp: Isp) -> None:
    """With a run of the day the next call begins where the last one ended, and nobody is left out."""
    plan = isp.plan("one")
    for number in range(5):
        _bill(isp, isp.service(f"line-{number}", plan).subscriber_id)
    with isp.worker() as session:
        session.execute(
            text("INSERT INTO billing_runs (operator_id, day) VALUES (:operator, :day)"),
            {"operator": isp.operator_id, "day": MONDAY + DAY},
        )
    counts = []
    for _ in range(4):
        with isp.worker() as session:
            counts.append(remind(session, session.get_one(Operator, isp.operator_id), MONDAY + DAY, most=2))
    assert counts == [2, 2, 1, 0]
    assert len(set(_told(isp))) == 5


def test_a_payment_just_before_closing_keeps_the_service(isp: Isp) -> None:
    """What was paid a moment ago, and no review has seen, is not closed; nor is anybody while the feed is silent."""
    service = isp.service()
    isp.review()
    _bill(isp, service.subscriber_id)
    assert _live(isp, service, _at(MONDAY + 7 * DAY, 9))[-1][0] == "suspended"
    with isp.web() as session:
        customers.set_operator(session, isp.operator_id, actor=ACTOR, payment_feed_hours=1)
    assert _nightly(isp, TODAY + 40 * DAY)[2] == 0
    with isp.web() as session:
        customers.set_operator(session, isp.operator_id, actor=ACTOR, payment_feed_hours=None)
    isp.pay(service.subscriber_id)
    assert _nightly(isp, TODAY + 40 * DAY)[2] == 0
    assert isp.fresh(service).closed_at is None


def test_a_dispute_counts_for_all_services_of_the_customer(isp: Isp) -> None:
    """The invoice is one; while it is disputed no service of its customer is suspended for it, then all are."""
    subscriber = isp.subscriber()
    one, other = (isp.service(name, subscriber=subscriber) for name in ("zofia", "zofia-2"))
    isp.review()
    invoice = _bill(isp, subscriber.id)
    _promise(isp, one, _at(MONDAY + 9 * DAY), HoldKind.DISPUTE, invoice=invoice)
    _live(isp, one, _at(MONDAY + 9 * DAY, 8))
    assert {isp.fresh(service).standing for service in (one, other)} == {"overdue"}
    _live(isp, one, _at(MONDAY + 9 * DAY, 9), since=_at(MONDAY + 9 * DAY, 8))
    assert {isp.fresh(service).standing for service in (one, other)} == {"suspended"}


def test_holds_are_refused_with_a_reason(isp: Isp) -> None:
    """A promise needs an end, an amount needs a promise, a dispute needs an invoice of this customer that is open."""
    service, other = isp.service("zofia"), isp.service("piotr")
    theirs = _bill(isp, other.subscriber_id)
    end = _at(MONDAY)
    for words, kind, more in (
        ("must have an end", HoldKind.PROMISE, {"until": None}),
        ("Only a promise", HoldKind.VIP, {"amount_minor": 5}),
        ("name it by its number", HoldKind.DISPUTE, {}),
        ("name it by its number", HoldKind.GRACE, {"invoice": theirs}),
        ("another customer's", HoldKind.DISPUTE, {"invoice": theirs}),
    ):
        with pytest.raises(Refused, match=words):
            _promise(isp, service, kind=kind, **{"until": end, **more})
    hold = _promise(isp, service, end, HoldKind.GRACE)
    with isp.web() as session:
        assert end_hold(session, isp.operator_id, hold.id, actor=ACTOR).ended_at is not None
