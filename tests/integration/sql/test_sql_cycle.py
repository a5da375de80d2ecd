"""The billing cycle: who is invoiced when, once, whatever happens on the way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fixtures_database import ACTOR, Database, DatabaseServer, new_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import Shop
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from sql.errors import Refused
from sql.models import BillingProblem, Invoice, Operator
from sql.money import runs
from sql.money.cycle import Done, bill_day, bill_portion
from sql.money.extras import add_fee, cancel_fee
from sql.money.invoices import start_of_day
from sql.money.places import standings
from sql.money.settling import lock_subscribers
from sql.money.starting import start_billing, stop_billing
from sql.roles import Role

DAY = date(2026, 1, 31)


@pytest.fixture(scope="module")
def shared(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all examples of a property: each has an operator of its own."""
    with new_database(database_server) as found:
        yield found


def test_months_begin_on_their_day_and_are_charged_once(database: Database) -> None:
    """The 31st, the 28th of February, the 31st again; a second run of the same day finds nothing."""
    shop = Shop(database)
    shop.sell("zofia", shop.plan(setup_minor=500))
    for day in (
        DAY - timedelta(days=1),
        DAY,
        DAY,
        date(2026, 2, 27),
        date(2026, 2, 28),
        date(2026, 3, 30),
        date(2026, 3, 31),
    ):
        shop.night(day)
    assert shop.invoices() == [
        [("zofia", "period", "2026-01-31", 1500), ("zofia", "fee", "", 500)],
        [("zofia", "period", "2026-02-28", 1500)],
        [("zofia", "period", "2026-03-31", 1500)],
    ]
    with shop.isp.web() as session:
        invoice = session.query(Invoice).order_by(Invoice.id).first()
        assert invoice is not None
        assert invoice.due_on - invoice.issued_on == timedelta(days=14)


def test_services_of_one_customer_share_an_invoice(database: Database) -> None:
    """Two that are due on one day are two lines; the numbers have no gaps; a free plan makes none and moves on."""
    shop = Shop(database)
    owner, plan = shop.isp.subscriber(), shop.plan()
    shop.sell("one", plan, owner=owner)
    shop.sell("two", plan, owner=owner, price_minor=900)
    shop.sell("free", shop.plan("Free", 0))
    assert shop.night(DAY)[:3] == (3, 1, 2400)
    assert shop.night(date(2026, 2, 28))[:3] == (3, 1, 2400)
    assert [one[0] for one in shop.invoices()[0]] == ["one", "two"]


def test_a_closed_service_is_not_charged_beyond_its_closing(database: Database) -> None:
    """What was not charged before is charged up to that day, by its days; then nothing more."""
    shop = Shop(database)
    service = shop.sell("zofia", shop.plan(price_minor=3100), date(2026, 1, 1))
    with database.as_superuser() as connection:
        connection.execute(
            "UPDATE services SET created_at = '2026-01-01Z', closed_at = '2026-01-11 15:00Z', "
            "standing = 'closed' WHERE id = %s",
            (service.id,),
        )
    shop.night(DAY)
    shop.night(date(2026, 5, 1))
    assert shop.invoices() == [[("zofia", "period", "2026-01-01", 1000)]]


def test_discounts_and_fees_are_used_once(database: Database) -> None:
    """A welcome of one period, half for ever, a visit: all on the first invoice, then half alone."""
    shop = Shop(database)
    service = shop.sell("zofia", shop.plan(price_minor=2000, tax_basis_points=2300, tax_included=False))
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO discounts (operator_id, service_id, percent_basis_points, amount_minor, periods_left, reason, "
            "granted_by) "
            "VALUES (%(o)s, %(s)s, 5000, NULL, NULL, 'half', 'x'), (%(o)s, %(s)s, NULL, 300, 1, 'new', 'x')",
            {"o": shop.isp.operator_id, "s": service.id},
        )
        connection.execute(
            "INSERT INTO fees (operator_id, service_id, amount_minor, description, added_by, created_at) "
            "VALUES (%s, %s, 400, 'visit', 'x', '2026-01-30Z')",
            (shop.isp.operator_id, service.id),
        )
    shop.night(date(2026, 2, 28))
    assert shop.invoices() == [
        [
            ("zofia", "period", "2026-01-31", 2460),
            ("zofia", "discount", "2026-01-31", -1230),
            ("zofia", "discount", "2026-01-31", -369),
            ("zofia", "fee", "", 400),
        ],
        [("zofia", "period", "2026-02-28", 2460), ("zofia", "discount", "2026-02-28", -1230)],
    ]


def test_a_fee_is_not_cancelled_while_the_night_puts_it_on_an_invoice(database: Database) -> None:
    """Whoever cancels waits for the night that has read it, and is then told that it is invoiced."""
    shop, today = Shop(database), datetime.now(UTC).date()
    service = shop.sell("zofia", shop.plan(), today)
    with shop.isp.web() as session:
        fee = add_fee(session, service, amount_minor=100, description="a visit", actor=ACTOR)

    def cancel() -> None:
        with shop.isp.web() as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            cancel_fee(session, shop.isp.operator_id, fee.id, actor=ACTOR)

    with shop.isp.worker() as night:
        lock_subscribers(night, [service.subscriber_id])
        (one,) = standings(night, night.get_one(Operator, shop.isp.operator_id), [service.id])
        assert len(one.fees) == 1
        with pytest.raises(OperationalError, match="lock timeout"):
            cancel()
    shop.night(today)
    with pytest.raises(Refused, match="invoiced already"):
        cancel()


def test_one_service_that_fails_stops_no_other(database: Database) -> None:
    """It stands in the list with a sentence, its owner's other service is invoiced, and the next run tries it again."""
    shop = Shop(database)
    plan, owner = shop.plan(), shop.isp.subscriber()
    shop.sell("good", plan, owner=owner)
    bad = shop.sell("bad", plan, owner=owner)
    for number in range(5):
        shop.sell(f"other {number}", plan)
    with database.as_superuser() as connection:
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN IF NEW.service_id = {bad.id} THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON invoice_lines FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    done = shop.night(DAY)
    assert (done.invoices, done.problems) == (6, 1)
    with shop.isp.web() as session:
        (left,) = runs.problems(session, shop.isp.operator_id)
        assert (left.username, left.problem.explanation) == ("bad", "The database refused it: no.")
    assert shop.night(DAY).problems == 1
    with database.as_superuser() as connection:
        connection.execute("DROP TRIGGER refuse ON invoice_lines")
    assert shop.night(DAY + timedelta(days=1)).invoices == 1
    with shop.isp.web() as session:
        assert runs.problems(session, shop.isp.operator_id) == []
        assert all(one.resolved_at for one in session.query(BillingProblem))
        row = runs.runs(session, shop.isp.operator_id)[-1]
        assert (row.invoices, row.amount_minor, row.problems) == (6, 9000, 2)


def test_who_charges_nobody_is_left_alone_until_somebody_starts_it(database: Database) -> None:
    """Services from before begin on the day that is said, said twice or not; others begin when they are added."""
    isp = database.isp()
    plan = isp.plan()
    isp.service("before", plan)
    engine = database.engine(Role.WEB)
    assert bill_day(database.engine(Role.WORKER), isp.operator_id, date(2030, 1, 1)) == Done()
    first = datetime.now(UTC).date() + timedelta(days=40)
    assert start_billing(engine, isp.operator_id, first, actor=ACTOR) == (first, 1)
    assert start_billing(engine, isp.operator_id, None, actor=ACTOR) == (first, 0)
    isp.service("after", plan)
    with isp.worker() as session:
        rows = session.execute(text("SELECT starts_on, next_on, anchor_day FROM service_billing")).all()
    assert [tuple(row) for row in rows] == [(first, first, first.day)] * 2


def test_after_a_stop_the_day_that_is_said_is_the_first_one_charged(database: Database) -> None:
    """Stopped, not even a cycle that is under way charges; then nobody pays for the time in between, unless wanted."""
    shop, engine = Shop(database), database.engine(Role.WEB)
    plan = shop.plan()
    service = shop.sell("billed", plan, date(2026, 1, 10))
    shop.sell("never billed", plan, date(2026, 2, 5))
    shop.night(date(2026, 1, 10))
    with shop.isp.web() as session:
        stop_billing(session, shop.isp.operator_id, actor=ACTOR)
    with shop.isp.worker() as session:
        assert bill_portion(session, shop.isp.operator_id, date(2026, 6, 1), [service.id]) == Done()
    start_billing(engine, shop.isp.operator_id, date(2026, 6, 1), actor=ACTOR)
    shop.night(date(2026, 6, 10))
    assert [(line[0], line[2], line[3]) for (line,) in shop.invoices()] == [
        ("billed", "2026-01-10", 1500),
        ("billed", "2026-06-01", 435),  # 9 of 31 days, up to its own day
        ("billed", "2026-06-10", 1500),
        ("never billed", "2026-06-01", 194),  # 4 of 31
        ("never billed", "2026-06-05", 1500),
    ]


def test_prepaid_time_is_bought_by_what_was_paid(database: Database) -> None:
    """Without credit nothing happens; with it, one period from the end of the last, and the rest is kept."""
    shop = Shop(database, time_zone="Europe/Warsaw")
    owner = shop.isp.subscriber()
    ended = datetime.now(UTC) - timedelta(days=3)
    service = shop.sell("zofia", shop.plan(billing="prepaid"), owner=owner, prepaid_until=ended)
    today = datetime.now(UTC).date() + timedelta(days=1)
    assert shop.night(today).invoices == 0
    shop.isp.pay(owner, 2000)
    assert len(shop.invoices()) == 1
    until = shop.isp.fresh(service).prepaid_until
    assert until is not None
    assert timedelta(days=27) < until - datetime.now(UTC) < timedelta(days=32)
    assert shop.night(today).invoices == 0
    assert shop.isp.pay(owner, 1000)[1]
    assert shop.night(until.date() + timedelta(days=1)).invoices == 1
    assert (shop.isp.fresh(service).prepaid_until or until) > until + timedelta(days=27)


def test_two_cycles_and_payments_at_the_same_moment(database: Database) -> None:
    """Each service is invoiced once, nobody waits for ever, and what was paid has paid."""
    shop = Shop(database)
    plan, owners = shop.plan(), [shop.isp.subscriber() for _ in range(6)]
    for number, owner in enumerate(owners):
        shop.sell(f"line {number}", plan, owner=owner)
    works = [lambda: shop.night(DAY)] * 2 + [lambda owner=owner: shop.isp.pay(owner, 1500) for owner in owners]
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(60)
    assert [len(one) for one in shop.invoices()] == [1] * 6
    with shop.isp.web() as session:
        assert {one.open_minor for one in session.query(Invoice)} == {0}


def test_a_portion_costs_as_many_statements_for_many_as_for_few(database: Database) -> None:
    """Discounts, fees, credit, plans to come and prepaid time included."""
    counted, today = [], datetime.now(UTC).date()
    for number in (2, 12):
        shop = Shop(database)
        monthly, other = shop.plan(), shop.plan("other", 900)
        ahead = shop.plan("ahead", 500, billing="prepaid")
        services = []
        for place in range(number):
            owner = shop.isp.subscriber()
            shop.isp.pay(owner, 9000)
            services.append(shop.sell(f"line {place}", monthly, owner=owner).id)
            services.append(shop.sell(f"prepaid {place}", ahead, owner=owner).id)
        with database.as_superuser() as connection:
            known = {"o": shop.isp.operator_id, "plan": other.id, "day": DAY, "services": services[::2]}
            connection.execute(
                "UPDATE service_billing SET next_plan_id = %(plan)s, next_plan_by = 'x', next_plan_on = %(day)s "
                "WHERE service_id = ANY(%(services)s)",
                known,
            )
            connection.execute(
                "INSERT INTO fees (operator_id, service_id, amount_minor, description, added_by, created_at) "
                "SELECT operator_id, id, 100, 'x', 'x', '2026-01-01Z' FROM services WHERE operator_id = %(o)s",
                known,
            )
            connection.execute(
                "INSERT INTO discounts (operator_id, service_id, amount_minor, periods_left, reason, granted_by) "
                "SELECT operator_id, id, 100, 1, 'x', 'x' FROM services WHERE operator_id = %(o)s",
                known,
            )
        statements: list[str] = []

        def hear(*said: Any, heard: list[str] = statements) -> None:
            heard.append(said[2])

        event.listen(database.engine(Role.WORKER), "before_cursor_execute", hear)
        with shop.isp.worker() as session:
            done = bill_portion(session, shop.isp.operator_id, today, services)
        event.remove(database.engine(Role.WORKER), "before_cursor_execute", hear)
        assert done.services == 2 * number
        counted.append(len(statements))
    assert counted[0] == counted[1]


sold = st.lists(
    st.tuples(
        st.integers(0, 2),  # whose
        st.integers(0, 20),  # begins so many days later
        st.sampled_from([("day", 7), ("week", 2), ("month", 1)]),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sold, st.lists(st.integers(0, 32), max_size=6), st.integers(0, 9))
def test_any_order_and_repetition_of_nights_ends_in_the_same_invoices(
    shared: Database, services: list[tuple[int, int, tuple[str, int]]], nights: list[int], before: int
) -> None:
    """Every night, or some nights in any order and then the last: the same invoices with the same lines."""
    found = []
    for days in (list(range(33)), [*nights, 32]):
        shop = Shop(shared, invoice_days_before=before)
        owners = [shop.isp.subscriber() for _ in range(3)]
        for place, (owner, later, (unit, number)) in enumerate(services):
            plan = shop.plan(f"plan {place}", 1000 + place, period_unit=unit, period_count=number)
            shop.sell(f"line {place}", plan, DAY + timedelta(days=later), owners[owner])
        for day in days:
            shop.night(DAY + timedelta(days=day))
        found.append(shop.invoices())
    assert found[0] == found[1]


@pytest.mark.parametrize(("day", "hour"), [(date(2026, 4, 24), 1), (date(2026, 4, 23), 0), (date(2026, 10, 30), 0)])
def test_a_day_begins_even_where_the_clocks_leave_midnight_out(day: date, hour: int) -> None:
    """In Cairo the 24th of April 2026 begins at one o'clock; what is due that day is due on that day."""
    begins = start_of_day(day, Operator(time_zone="Africa/Cairo")).astimezone(UTC).astimezone(ZoneInfo("Africa/Cairo"))
    assert (begins.date(), begins.hour) == (day, hour)
