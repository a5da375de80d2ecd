"""Invoices and payments: what is allocated to what, exactly once, also when many come at the same moment."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, DatabaseServer, new_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sql import money
from sql.errors import Refused
from sql.models import Invoice, Subscriber

DEADLINE_S = 60


@pytest.fixture(scope="module")
def shared(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all examples of a property."""
    with new_database(database_server) as found:
        yield found


def _at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run them in threads that start together; what each returned, or the error that it raised."""
    barrier = Barrier(len(works), timeout=DEADLINE_S)

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return work()
        except (Refused, DBAPIError) as error:
            return error

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(DEADLINE_S) for future in [pool.submit(run, work) for work in works]]


def _allocations(database: Database) -> list[tuple[int, int, int]]:
    with database.as_superuser() as connection:
        return connection.execute(
            "SELECT invoice_id, payment_id, amount_minor FROM allocations ORDER BY 1, 2"
        ).fetchall()


amounts = st.integers(1, 10_000)
events = st.lists(st.tuples(st.sampled_from(["invoice", "payment"]), amounts, st.integers(-60, 60)), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_money_is_allocated_exactly(shared: Database, happened: list[tuple[str, int, int]]) -> None:
    """In whatever order they come: what is allocated is the lesser of paid and owed, and the oldest due comes first."""
    isp = shared.isp()
    subscriber = isp.subscriber()
    for kind, amount, days in happened:
        if kind == "invoice":
            isp.invoice(subscriber, amount, days)
        else:
            isp.pay(subscriber, amount)
    owed = sum(amount for kind, amount, _ in happened if kind == "invoice")
    paid = sum(amount for kind, amount, _ in happened if kind == "payment")
    with isp.web() as session:
        invoices = list(session.query(Invoice).filter_by(subscriber_id=subscriber.id))
        used = [money.paid_minor(session, one) for one in invoices]
        open_minor = [
            one.open_minor
            for one in money.open_invoices(session, isp.operator_id, [subscriber.id]).get(subscriber.id, [])
        ]
        credit = money.credit_minor(session, session.get_one(Subscriber, subscriber.id))
    assert sum(used) == min(paid, owed)
    assert sum(open_minor) == max(0, owed - paid)
    assert credit == max(0, paid - owed)
    assert all(0 <= part <= one.amount_minor for part, one in zip(used, invoices, strict=True))


def test_the_oldest_due_is_paid_first(database: Database) -> None:
    """One payment pays the oldest due in full, then a part of the next, whatever order they were issued in."""
    isp = database.isp()
    subscriber = isp.subscriber()
    later, oldest, middle = (isp.invoice(subscriber, 1000, days) for days in (-1, -30, -10))
    payment, _ = isp.pay(subscriber, 1500)
    assert _allocations(database) == [(oldest.id, payment.id, 1000), (middle.id, payment.id, 500)]
    assert later.id not in {row[0] for row in _allocations(database)}


def test_money_in_advance_pays_the_next_invoice(database: Database) -> None:
    """What was paid before there was an invoice pays it when it comes."""
    isp = database.isp()
    subscriber = isp.subscriber()
    payment, _ = isp.pay(subscriber, 2000)
    invoice = isp.invoice(subscriber, 1500)
    assert _allocations(database) == [(invoice.id, payment.id, 1500)]


def test_one_payment_reported_twice_at_once_counts_once(database: Database) -> None:
    """Two deliveries in two threads book one payment, and exactly one of them is told that it is new."""
    isp = database.isp()
    subscriber = isp.subscriber()
    isp.invoice(subscriber)
    found = _at_once(*[lambda: isp.pay(subscriber, 1500, external_id="bank 1")] * 6)
    assert sorted(new for _, new in found) == [False] * 5 + [True]
    assert len({payment.id for payment, _ in found}) == 1
    assert sum(row[2] for row in _allocations(database)) == 1500


def test_many_payments_and_invoices_at_once_neither_block_nor_lose(database: Database) -> None:
    """Payments and invoices of one subscriber at the same moment all succeed, and the sums are right."""
    isp = database.isp()
    subscriber = isp.subscriber()
    works: list[Callable[[], Any]] = [lambda: isp.pay(subscriber, 700), lambda: isp.invoice(subscriber, 500)] * 4
    assert not [one for one in _at_once(*works) if isinstance(one, Exception)]
    assert sum(row[2] for row in _allocations(database)) == 2000


def test_an_invoice_is_not_paid_and_taken_back_at_once(database: Database) -> None:
    """A payment and a void at the same moment: either the void is refused, or the money is kept as credit."""
    isp = database.isp()
    for _ in range(5):
        subscriber = isp.subscriber()
        number = isp.invoice(subscriber, 1000).number

        def void(number: int = number) -> None:
            with isp.web() as session:
                money.void_invoice(session, isp.operator_id, number, actor=ACTOR)

        voided, _ = _at_once(void, lambda subscriber=subscriber: isp.pay(subscriber, 1000))  # type: ignore[misc]
        with isp.web() as session:
            invoice = money.invoice_by_number(session, isp.operator_id, number)
            paid = money.paid_minor(session, invoice)
        assert (invoice.voided_at is None, paid) == ((True, 1000) if isinstance(voided, Refused) else (False, 0))


def test_invoice_numbers_have_no_gaps(database: Database) -> None:
    """Many at once, one of them failing halfway: the numbers are 1 to n for each operator."""
    north, south = database.isp(), database.isp()
    one, other = north.subscriber(), south.subscriber()

    def failing() -> None:
        with north.web() as session:
            money.issue_invoice(
                session,
                session.get_one(Subscriber, one.id),
                amount_minor=1,
                due_at=datetime.now(UTC),
                description="",
                actor=ACTOR,
            )
            raise Refused("somebody pulled the plug")

    _at_once(*[lambda: north.invoice(one)] * 4, failing, failing, *[lambda: south.invoice(other)] * 4)
    with database.as_superuser() as connection:
        rows = connection.execute("SELECT operator_id, array_agg(number ORDER BY number) FROM invoices GROUP BY 1")
        assert dict(rows.fetchall()) == {north.operator_id: [1, 2, 3, 4], south.operator_id: [1, 2, 3, 4]}


def test_the_same_external_id_for_other_money_is_refused(database: Database) -> None:
    """Another amount or subscriber under a known external id is nobody's duplicate; a person must look."""
    isp = database.isp()
    one, other = isp.subscriber(), isp.subscriber()
    isp.pay(one, 100, external_id="bank 1")
    for subscriber, amount in ((one, 101), (other, 100)):
        with pytest.raises(Refused, match="booked already"):
            isp.pay(subscriber, amount, external_id="bank 1")


def test_external_ids_are_of_an_operator(database: Database) -> None:
    """Two operators may have payments of the same external id."""
    for isp in (database.isp(), database.isp()):
        assert isp.pay(isp.subscriber(), 100, external_id="bank 1")[1] is True


@pytest.mark.parametrize("what", ["payment", "invoice"])
def test_no_more_is_allocated_than_there_is(database: Database, what: str) -> None:
    """The database itself refuses allocations above the payment's or the invoice's amount."""
    isp = database.isp()
    subscriber = isp.subscriber()
    payment, _ = isp.pay(subscriber, 1000 if what == "payment" else 5000)
    with database.as_superuser() as connection:
        invoice = connection.execute(
            "INSERT INTO invoices (operator_id, subscriber_id, number, amount_minor, currency, due_at) "
            "VALUES (%s, %s, 9, %s, 'EUR', now()) RETURNING id",
            (isp.operator_id, subscriber.id, 5000 if what == "payment" else 1000),
        ).fetchone()
    assert invoice is not None
    with pytest.raises(DBAPIError, match=f"an? {what} cannot"), isp.web() as session:
        session.execute(
            text("INSERT INTO allocations VALUES (:operator, :subscriber, :payment, :invoice, 1001)"),
            {"operator": isp.operator_id, "subscriber": subscriber.id, "payment": payment.id, "invoice": invoice[0]},
        )


def test_money_of_one_customer_never_pays_anothers_invoice(database: Database) -> None:
    """The keys of an allocation bind payment and invoice to one and the same subscriber."""
    isp = database.isp()
    one, other = isp.subscriber(), isp.subscriber()
    payment, _ = isp.pay(one, 1000)
    invoice = isp.invoice(other, 1000)
    with pytest.raises(DBAPIError, match="foreign key"), isp.web() as session:
        session.execute(
            text("INSERT INTO allocations VALUES (:operator, :subscriber, :payment, :invoice, 1)"),
            {"operator": isp.operator_id, "subscriber": one.id, "payment": payment.id, "invoice": invoice.id},
        )


@pytest.mark.parametrize("days", [-365 * 200, 365 * 300])
def test_a_due_date_outside_the_calendar_is_refused(database: Database, days: int) -> None:
    """A date that terms cannot be added to never reaches the worker."""
    isp = database.isp()
    with pytest.raises(Refused, match="years 2000 to 2199"):
        isp.invoice(isp.subscriber(), 100, days)


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1])
def test_amounts_have_limits(database: Database, amount: int) -> None:
    """Nothing, less than nothing and more than all money are no amounts."""
    isp = database.isp()
    subscriber = isp.subscriber()
    with pytest.raises(Refused):
        isp.pay(subscriber, amount)
    with pytest.raises(Refused):
        isp.invoice(subscriber, amount)


def test_a_paid_invoice_cannot_be_taken_back(database: Database) -> None:
    """Only an invoice without any payment can be voided, and voiding again changes nothing."""
    isp = database.isp()
    subscriber = isp.subscriber()
    first, second = isp.invoice(subscriber, 1000, -30), isp.invoice(subscriber, 1000, -20)
    isp.pay(subscriber, 1)
    with pytest.raises(Refused, match="cannot be taken back"), isp.web() as session:
        money.void_invoice(session, isp.operator_id, first.number, actor=ACTOR)
    moments = set()
    for _ in range(2):
        with isp.web() as session:
            moments.add(money.void_invoice(session, isp.operator_id, second.number, actor=ACTOR).voided_at)
    assert len(moments) == 1
    assert timedelta(0) <= datetime.now(UTC) - (moments.pop() or datetime.now(UTC)) < timedelta(hours=1)
