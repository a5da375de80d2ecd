"""Reports about money: each number is what happened, and large tables are asked by their indexes."""

from datetime import UTC, date, datetime, timedelta

import pytest
from fixtures_database import ACTOR, Database, Isp, outcome
from sqlalchemy import text

from policy.changes.enforcement import Enforcement
from sql.attempts import claim, store_outcomes
from sql.enforcement import enforce
from sql.errors import Refused
from sql.models import Operator, Subscriber
from sql.money import journal, reports
from sql.money.invoices import InvoiceDraft, LineDraft, issue, void_invoice
from sql.money.payments import give_credit, payment_by_id, reverse_payment
from sql.money.reports import Days
from sql.roles import Role

TODAY = datetime.now(UTC).date()
ABOUT = Days(TODAY - timedelta(days=1), TODAY + timedelta(days=1))  # whatever midnight does meanwhile


def test_ageing_by_days_overdue(database: Database) -> None:
    """Each open invoice in its bucket, by the operator's calendar; what is paid or void is in none."""
    isp = database.isp()
    subscriber = isp.subscriber()
    for days, amount in ((5, 100), (-1, 200), (-40, 400), (-45, 800), (-75, 1600), (-200, 3200)):
        isp.invoice(subscriber, amount, days)
    other = isp.subscriber()
    isp.pay(other, 50)
    isp.invoice(other, 80, -45)
    void = isp.invoice(isp.subscriber(), 7, -45)
    with isp.web() as session:
        void_invoice(session, isp.operator_id, void.number, actor=ACTOR)
        rows = reports.ageing(session, session.get_one(Operator, isp.operator_id))
    assert [(row["days_overdue"], row["invoices"], row["subscribers"], row["open_minor"]) for row in rows] == [
        ("not due", 1, 1, 100),
        ("1 to 30", 1, 1, 200),
        ("31 to 60", 3, 2, 400 + 800 + 30),
        ("61 to 90", 1, 1, 1600),
        ("over 90", 1, 1, 3200),
    ]


def test_revenue_and_what_was_collected(database: Database) -> None:
    """Sales by plan without tax, discounts and credits beside them; money by method, and what went back."""
    isp = database.isp()
    plan, subscriber = isp.plan("Home 50"), isp.subscriber()
    lines = [
        LineDraft("period", "Home 50", 2000, 2300, 460, plan_id=plan.id),
        LineDraft("discount", "loyal", -500, 2300, -115, plan_id=plan.id),
        LineDraft("fee", "router", 300),
    ]
    with isp.web() as session:
        operator = session.get_one(Operator, isp.operator_id)
        owner = session.get_one(Subscriber, subscriber.id)
        issue(session, operator, [InvoiceDraft(owner, datetime.now(UTC), lines)], actor=ACTOR)
        give_credit(session, owner, amount_minor=50, reason="x", actor=ACTOR)
    payment, _ = isp.pay(subscriber, 1000)
    isp.pay(subscriber, 200)
    with isp.web() as session:
        found = payment_by_id(session, isp.operator_id, payment.id)
        reverse_payment(session, found, kind="refund", reason="x", actor=ACTOR, amount_minor=300)
        operator = session.get_one(Operator, isp.operator_id)
        sold = reports.revenue(session, operator, ABOUT)
        money = reports.collected(session, operator, ABOUT)
        balances = {row["account"]: row["balance_minor"] for row in journal.balances(session, isp.operator_id, TODAY)}
    assert [(row["plan"], row["revenue_minor"], row["discount_minor"], row["net_minor"]) for row in sold] == [
        ("Home 50", 2000, 500, 1500),
        (None, 300, 50, 250),
    ]
    assert [(row["method"], row["payments"], row["in_minor"], row["back_minor"]) for row in money] == [
        ("cash", 2, 1200, 300)
    ]
    assert balances == {"cash": 900, "revenue": -2300, "discount": 550, "tax": -345, "receivable": 1195}
    assert sum(balances.values()) == 0


def _restore(isp: Isp, *, online: bool) -> None:
    service = isp.service(f"user{online}")
    isp.review()
    router = isp.router(f"tower{online}")
    if online:
        isp.online(service, router, isp.fresh(service).authorised_stamp)
    isp.invoice(service.subscriber_id, 1234)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    isp.pay(service.subscriber_id, 1234)
    isp.review()
    if online:
        with isp.worker() as session:
            session.execute(text("UPDATE sessions SET applied_stamp = '1-old'"))
            enforce(session, isp.operator_id, [service.id], datetime.now(UTC))
        with isp.worker() as session:
            claimed = claim(session, isp.operator_id, router.id, 10)
        with isp.worker() as session:
            ends = [outcome(one, Enforcement.VERIFIED, session_gone=True) for one in claimed]
            store_outcomes(session, isp.operator_id, ends)


def test_suspensions_and_how_fast_payments_restore(database: Database) -> None:
    """Counted by day; measured from the payment to the router's answer, or to the approval for who was offline."""
    isp = database.isp()
    _restore(isp, online=False)
    _restore(isp, online=True)
    with isp.web() as session:
        operator = session.get_one(Operator, isp.operator_id)
        rows = reports.suspensions(session, operator, ABOUT)
        found = reports.restoration(session, operator, ABOUT)
        empty = reports.restoration(session, operator, Days(date(2020, 1, 1), date(2020, 1, 2)))
    assert (sum(row["suspended"] for row in rows), sum(row["restored"] for row in rows)) == (2, 2)
    assert (found["restored"], found["after_payment"]) == (2, 2)
    assert 0 < found["p50_s"] <= found["p90_s"] <= found["max_s"]
    assert found["slowest"][0]["took_s"] == found["max_s"]
    assert (empty["restored"], empty["p50_s"], empty["slowest"]) == (0, None, [])


def test_days_that_cannot_be_are_refused(database: Database) -> None:
    """Backwards, or longer than anybody reads."""
    isp = database.isp()
    with isp.web() as session:
        operator = session.get_one(Operator, isp.operator_id)
        with pytest.raises(Refused, match="before it begins"):
            reports.days(session, operator, date(2026, 2, 1), date(2026, 1, 1), usual=31)
        with pytest.raises(Refused, match="3660 days at most"):
            reports.days(session, operator, date(2000, 1, 1), date(2026, 1, 1), usual=31)
        assert (reports.days(session, operator, None, date(2026, 1, 31), usual=31)).start == date(2026, 1, 1)


def test_reports_use_indexes(database: Database) -> None:
    """No report reads a table from end to end, also behind the wall between operators."""
    isp = database.isp()
    values = {"operator": isp.operator_id, "today": TODAY, "start": TODAY, "end": TODAY, "zone": "UTC"}
    with database.acting(isp.operator_id, Role.WEB) as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, table in (
            (reports._AGEING, "invoices"),
            (reports._REVENUE, "ledger_postings"),
            (reports._COLLECTED, "ledger_postings"),
            (reports._SUSPENSIONS, "changes"),
            (journal._OF_DAYS, "ledger_entries"),
        ):
            known = {**values, "after_on": TODAY, "after_id": 0, "most": 10}
            used = {name: value for name, value in known.items() if f":{name}" in str(statement)}
            plan = "\n".join(session.execute(text(f"EXPLAIN {statement}"), used).scalars())
            assert f"Seq Scan on {table}" not in plan, plan
            assert "operator_id" in plan, plan
