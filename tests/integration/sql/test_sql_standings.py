"""Standings from another billing system: what counts, what is answered, and what a silent one holds back."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from fixtures_database import ACTOR, Database, Isp
from sqlalchemy import text

from sql import customers
from sql.errors import Refused
from sql.holds import add_hold
from sql.models import Operator, Service
from sql.money.policies import add_holiday, add_policy
from sql.money.standings import Answer, Assertion, Outcome, assert_standings
from sql.roles import Role

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
SOURCE = "other billing"


@pytest.fixture
def outside(database: Database) -> Isp:
    """An operator whose standings come from outside, and who suspends by a rule."""
    return database.isp(automatic_changes=["open", "suspend", "restore"], standings_from="outside")


def _assert(isp: Isp, *rows: Assertion, now: datetime | None = None, source: str = SOURCE) -> list[Answer]:
    with isp.web() as session:
        return assert_standings(session, isp.operator_id, rows, source=source, now=now or datetime.now(UTC))


def _set(isp: Isp, **options: object) -> None:
    with isp.web() as session:
        customers.set_operator(session, isp.operator_id, actor=ACTOR, **options)


def _says(isp: Isp, service: Service) -> tuple[str, str]:
    """Billing's word, and the authorised one."""
    found = isp.fresh(service)
    return found.standing, (found.authorised or {}).get("standing", "current")


def test_an_asserted_standing_suspends_and_restores(outside: Isp) -> None:
    """Another system says it, by user name or customer number; invoices of our own have no say."""
    subscriber = outside.subscriber("K-7")
    service, other = (outside.service(name, subscriber=subscriber) for name in ("zofia", "zofia-2"))
    outside.invoice(subscriber)
    outside.review()
    assert _says(outside, service) == ("current", "current")
    now = datetime.now(UTC)
    assert _assert(outside, Assertion("suspended", now - HOUR, reference="K-7")) == [Answer(Outcome.APPLIED)]
    outside.review()
    assert [_says(outside, one) for one in (service, other)] == [("suspended", "suspended")] * 2
    assert _assert(outside, Assertion("due", now, username="zofia")) == [Answer(Outcome.APPLIED)]
    outside.review()
    assert [_says(outside, one) for one in (service, other)] == [("due", "current"), ("suspended", "suspended")]


def test_each_row_is_answered(outside: Isp) -> None:
    """Older, unknown and nonsense each have a sentence; the others count, and nothing else is touched."""
    outside.service("zofia")
    now = datetime.now(UTC)
    _assert(outside, Assertion("overdue", now, username="zofia"))
    answers = _assert(
        outside,
        Assertion("suspended", now - HOUR, username="zofia"),
        Assertion("suspended", now, username="nobody"),
        Assertion("suspended", now, username="zo\0fia\ud800"),
        Assertion("closed", now, username="zofia"),
        Assertion("blocked", now, username="zofia"),
        Assertion("current", now + DAY, username="zofia"),
        Assertion("current", now.replace(tzinfo=None), username="zofia"),
        Assertion("current", now, username="zofia", reference="K-1"),
        Assertion("overdue", now, username="zofia"),
    )
    assert [one.outcome for one in answers] == [
        Outcome.OLDER,
        *[Outcome.UNKNOWN] * 2,
        *[Outcome.NONSENSE] * 5,
        Outcome.APPLIED,
    ]
    assert all(one.explanation.endswith(".") for one in answers[:-1])
    assert "ispagents service close" in answers[3].explanation
    with pytest.raises(Refused, match="name"):
        _assert(outside, source=" ")


def test_any_order_ends_in_the_same_standing(outside: Isp) -> None:
    """Whatever comes first, twice or in one call: the newest word counts, the milder one of the same moment."""
    now = datetime.now(UTC)
    plan, subscriber = outside.plan("one"), outside.subscriber()
    events = [("suspended", now - 3 * HOUR), ("current", now - HOUR), ("overdue", now - HOUR), ("suspended", now - DAY)]
    orders = list(permutations(events))
    for number, order in enumerate(orders):
        name = f"line-{number}"
        outside.service(name, plan, subscriber)
        rows = [Assertion(standing, as_of, username=name) for standing, as_of in (*order, order[0])]
        if number % 2:
            _assert(outside, *rows)
        else:
            for row in rows:
                _assert(outside, row)
    with outside.web() as session:
        found = session.execute(text("SELECT DISTINCT standing, as_of FROM asserted_standings")).all()
    assert found == [("current", now - HOUR)]


def test_holds_and_holidays_apply_to_what_is_asserted(outside: Isp) -> None:
    """A hold keeps from suspension, a holiday holds even the rule back, and the day after it runs by itself."""
    service, held = outside.service("zofia"), outside.service("piotr")
    now = datetime.now(UTC)
    with outside.web() as session:
        policy = add_policy(session, outside.operator_id, name="calm", actor=ACTOR)
        add_holiday(session, outside.operator_id, day=now.date(), name="Our day", actor=ACTOR)
        customers.set_operator(session, outside.operator_id, actor=ACTOR, dunning_policy_id=policy.id)
        found = session.get_one(Service, held.id)
        add_hold(session, found, until=now + 2 * DAY, reason="moving house", actor=ACTOR)
    outside.review()
    _assert(outside, *(Assertion("suspended", now, username=name) for name in ("zofia", "piotr")))
    outside.review()
    assert [_says(outside, one) for one in (service, held)] == [("suspended", "current"), ("overdue", "current")]
    assert "is a holiday (Our day)" in outside.changes(service)[-1].held_back
    with pytest.raises(Refused, match="The suspension waits until"):
        outside.approve(outside.changes(service)[-1])
    outside.review(now + DAY)
    assert [_says(outside, one) for one in (service, held)] == [("suspended", "suspended"), ("overdue", "current")]
    outside.review(now + 2 * DAY)
    assert _says(outside, held) == ("suspended", "suspended")


def test_a_silent_feed_suspends_nobody_and_raises_an_alarm(outside: Isp) -> None:
    """After the hours that are set neither a rule nor a person suspends; any word of the source lifts that."""
    _set(outside, standing_feed_hours=24)
    service = outside.service("zofia")
    outside.review()
    now = datetime.now(UTC)
    _assert(outside, Assertion("suspended", now - 2 * DAY, username="zofia"), now=now - 2 * DAY)
    outside.review()
    change = outside.changes(service)[-1]
    assert (change.kind, change.state) == ("suspend", "awaiting_approval")
    assert "silent" in change.held_back
    with pytest.raises(Refused, match="silent"):
        outside.approve(change)
    with outside.database.engine(Role.WEB).connect() as connection:
        assert connection.execute(text("SELECT * FROM feed_health()")).one() == (0, 1)
    _assert(outside, source="yet another system")
    assert "silent" in outside.changes(service)[-1].held_back
    outside.review(now + 6 * timedelta(minutes=1))
    assert _says(outside, service) == ("suspended", "current")
    _assert(outside)
    outside.review(now + 12 * timedelta(minutes=1))
    assert _says(outside, service) == ("suspended", "suspended")
    with outside.database.engine(Role.WEB).connect() as connection:
        assert connection.execute(text("SELECT * FROM feed_health()")).one() == (0, 0)


def test_both_kinds_of_operator_run_side_by_side(database: Database, outside: Isp) -> None:
    """The same user name, owing here and asserted there: each operator's own word decides."""
    own = database.isp(automatic_changes=["open", "suspend", "restore"])
    ours, theirs = own.service("zofia"), outside.service("zofia")
    for isp, service in ((own, ours), (outside, theirs)):
        isp.review()
        isp.invoice(service.subscriber_id)
        _assert(isp, Assertion("current", datetime.now(UTC), username="zofia"))
        isp.review()
    assert (_says(own, ours), _says(outside, theirs)) == (("suspended", "suspended"), ("current", "current"))
    _assert(own, Assertion("current", datetime.now(UTC), username="zofia"))
    _assert(outside, Assertion("suspended", datetime.now(UTC), username="zofia"))
    own.pay(ours.subscriber_id)
    for isp in (own, outside):
        isp.review()
    assert (_says(own, ours), _says(outside, theirs)) == (("current", "current"), ("suspended", "suspended"))


def test_another_word_counts_for_everybody_at_once(outside: Isp) -> None:
    """An operator that goes back to its own invoices is looked at as a whole, nobody has to be touched."""
    service = outside.service("zofia")
    outside.invoice(service.subscriber_id)
    outside.review()
    assert _says(outside, service) == ("current", "current")
    _set(outside, standings_from="invoices")
    outside.review()
    assert _says(outside, service) == ("suspended", "suspended")
    with outside.web() as session:
        assert session.get_one(Operator, outside.operator_id).standings_from == "invoices"
