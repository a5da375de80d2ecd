"""Another plan: shown to the minor unit, then booked just so, now or with the next period."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database
from shop import Shop

from sql.errors import Refused
from sql.models import Invoice, Payment, Service, ServiceBilling, Subscriber
from sql.money.extras import add_discount
from sql.money.giving_back import give_back_unused
from sql.money.ledger import balances
from sql.money.payments import ReversalKind, reverse_payment
from sql.money.plan_changes import PlanChange, change_plan_of, preview_change
from sql.money.renewing import top_up
from sql.money.settling import credit_minor

TODAY = datetime.now(UTC).date()
WEEK_AGO = TODAY - timedelta(days=7)
TAX = {"tax_basis_points": 2000, "period_unit": "day", "period_count": 28}


def _preview(shop: Shop, service: Service, plan: Any, *, at_period_end: bool = False) -> PlanChange:
    with shop.isp.web() as session:
        return preview_change(session, session.get_one(Service, service.id), plan, at_period_end=at_period_end)


def _change(shop: Shop, service: Service, plan: Any, *, at_period_end: bool = False) -> PlanChange:
    with shop.isp.web() as session:
        mine = session.get_one(Service, service.id)
        return change_plan_of(session, mine, plan, at_period_end=at_period_end, actor=ACTOR)


def _held(shop: Shop, service: Service) -> tuple[int, int, dict[str, int]]:
    """Invoices, credit and what the ledger holds of the owner."""
    with shop.isp.web() as session:
        owner = session.get_one(Subscriber, service.subscriber_id)
        count = session.query(Invoice).filter_by(subscriber_id=owner.id).count()
        return count, credit_minor(session, owner), balances(session, shop.isp.operator_id, owner.id)


def test_up_and_down_again_costs_the_days_of_each(database: Database) -> None:
    """A week of 28 days is used: 21 days back, 28 days of the new plan; down on the same day gives all of it back.

    Revenue and tax go back as they were booked; what was paid stays the customer's.
    """
    shop = Shop(database)
    small, large = shop.plan("small", 2800, **TAX), shop.plan("large", 5600, **TAX)
    service = shop.sell("zofia", small, WEEK_AGO)
    shop.night(TODAY)
    shop.isp.pay(service.subscriber_id, 2800)
    shown = _preview(shop, service, large)
    assert (shown.proration.credit_minor, shown.proration.charge_minor) == (2100, 5600)
    assert shown.proration == _change(shop, service, large).proration
    count, credit, held = _held(shop, service)
    assert (count, credit, held["receivable"]) == (2, 0, 3500)
    assert (shop.isp.fresh(service).plan_id, held["revenue"]) == (large.id, -5250)
    shop.isp.pay(service.subscriber_id, 3500)
    down = _change(shop, service, small).proration
    assert (down.credit_minor, down.charge_minor) == (5600, 2800)
    count, credit, held = _held(shop, service)
    assert (count, credit, held["receivable"]) == (2, 2800, 0)
    assert abs(held["tax"] + 583) <= 1  # of 3500, rounded line by line
    assert sum(held.values()) == 0
    again = _preview(shop, service, large).proration
    assert (again.credit_minor, again.charge_minor) == (2800, 5600)


def test_two_people_who_want_the_same_change_make_one(database: Database) -> None:
    """The second waits for the first, and is told that it is done."""
    shop = Shop(database)
    small, large = shop.plan("small", 2800, **TAX), shop.plan("large", 5600, **TAX)
    service = shop.sell("zofia", small, WEEK_AGO)
    shop.night(TODAY)
    with shop.isp.web() as session:
        seen = session.get_one(Service, service.id)
        _change(shop, service, large)
        with pytest.raises(Refused, match="already"):
            change_plan_of(session, seen, large, at_period_end=False, actor=ACTOR)


def test_who_leaves_gets_the_unused_days_once(database: Database) -> None:
    """Today and later, at the discount that was given, with the tax of them; the open invoice is paid by them first."""
    shop = Shop(database)
    service = shop.sell("zofia", shop.plan("small", 2800, **TAX), WEEK_AGO)
    with shop.isp.web() as session:
        add_discount(session, shop.isp.fresh(service), reason="x", actor=ACTOR, percent_basis_points=5000)
    shop.night(TODAY)
    for expected in (1050, 0):
        with shop.isp.web() as session:
            assert give_back_unused(session, session.get_one(Service, service.id), actor=ACTOR) == expected
    _, credit, held = _held(shop, service)
    assert (credit, held["receivable"], held["credit"]) == (0, 350, 0)
    assert abs(held["tax"] + 58) <= 1  # of 350, rounded line by line
    assert sum(held.values()) == 0


def test_days_that_were_given_back_are_taken_back_as_they_were_booked(database: Database) -> None:
    """Revenue and tax stand where they stood, all at once; and no bank takes back what was never money."""
    shop = Shop(database)
    small, large = shop.plan("small", 2800, **TAX), shop.plan("large", 5600, **TAX)
    service = shop.sell("zofia", large, WEEK_AGO)
    shop.night(TODAY)
    before = _held(shop, service)[2]
    _change(shop, service, small)

    def take_back(kind: ReversalKind, amount_minor: int | None = None) -> None:
        with shop.isp.web() as session:
            credit = session.query(Payment).filter_by(subscriber_id=service.subscriber_id).one()
            reverse_payment(session, credit, kind=kind, reason="x", actor=ACTOR, amount_minor=amount_minor)

    with pytest.raises(Refused, match="payment correct"):
        take_back("chargeback")
    with pytest.raises(Refused, match="as a whole"):
        take_back("correction", 100)
    take_back("correction")
    held = _held(shop, service)[2]
    assert {account: held[account] for account in before} == before
    assert held["credit"] == 0
    assert "discount" not in held


def test_a_plan_that_begins_with_the_next_period(database: Database) -> None:
    """Nothing is paid now; the cycle charges the new plan's price in time and changes the plan on its day."""
    shop = Shop(database, invoice_days_before=5)
    small, large = shop.plan("small", 2800), shop.plan("large", 5600)
    start = date(TODAY.year + 1, 1, 1)
    service = shop.sell("zofia", small, start)
    shop.night(start)
    change = _change(shop, service, large, at_period_end=True)
    assert (change.on, change.proration.to_pay_minor) == (date(start.year, 2, 1), 0)
    shop.night(date(start.year, 1, 31))
    assert shop.isp.fresh(service).plan_id == small.id
    assert [one[0][3] for one in shop.invoices()] == [2800, 5600]
    shop.night(date(start.year, 2, 1))
    assert shop.isp.fresh(service).plan_id == large.id
    shop.isp.review()
    with shop.isp.web() as session:
        place = session.get_one(ServiceBilling, service.id)
        assert (place.next_plan_id, place.next_on) == (None, date(start.year, 2, 24))
    with pytest.raises(Refused, match="already"):
        _preview(shop, service, large)


def test_prepaid_time_is_no_money(database: Database) -> None:
    """While time is left another plan begins at its end; from charged to prepaid the unused days buy time."""
    shop = Shop(database)
    monthly, prepaid = (
        shop.plan("monthly", 2800, period_unit="day", period_count=28),
        shop.plan("ahead", 700, billing="prepaid", period_unit="week"),
    )
    service = shop.sell("zofia", monthly, WEEK_AGO)
    shop.night(TODAY)
    shop.isp.pay(service.subscriber_id, 2800)
    _change(shop, service, prepaid)
    until = shop.isp.fresh(service).prepaid_until
    assert until is not None
    assert until.date() == TODAY + timedelta(days=7)
    assert _held(shop, service)[1] == 1400
    with pytest.raises(Refused, match="at-period-end"):
        _preview(shop, service, monthly)
    assert _change(shop, service, monthly, at_period_end=True).on == until.date()


def test_from_charged_to_prepaid_and_back_when_a_period_ends(database: Database) -> None:
    """On its day the cycle begins the plan: time begins to be bought, and later periods to be charged again."""
    shop = Shop(database)
    monthly = shop.plan("monthly", 2800, period_unit="day", period_count=28)
    ahead = shop.plan("ahead", 700, billing="prepaid", period_unit="week")
    service = shop.sell("zofia", monthly, TODAY)
    shop.night(TODAY)
    shop.isp.pay(service.subscriber_id, 2800 + 700)
    end = _change(shop, service, ahead, at_period_end=True).on
    assert end == TODAY + timedelta(days=28)
    shop.night(end)
    fresh = shop.isp.fresh(service)
    assert (fresh.plan_id, (fresh.prepaid_until or datetime.max.replace(tzinfo=UTC)).date()) == (
        ahead.id,
        end + timedelta(days=7),
    )
    assert _change(shop, service, monthly, at_period_end=True).on == end + timedelta(days=7)
    with pytest.raises(Refused, match="begins when"), shop.isp.web() as session:
        top_up(session, session.get_one(Service, service.id), 1, actor=ACTOR)
    shop.night(end + timedelta(days=7))
    fresh = shop.isp.fresh(service)
    assert (fresh.plan_id, fresh.prepaid_until) == (monthly.id, None)
    assert [one[0][1:] for one in shop.invoices()] == [
        ("period", str(TODAY), 2800),
        ("period", str(end + timedelta(days=7)), 2800),
        ("prepaid", str(end), 700),
    ]
