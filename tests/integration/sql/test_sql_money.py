"""Invoices and payments: what is allocated to what, exactly once, also when many come at the same moment."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import psycopg
import pytest
from fixtures_database import ACTOR, Database, DatabaseServer, new_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sql.errors import Refused
from sql.models import Invoice, Payment, Subscriber
from sql.money.invoices import invoice_by_number, issue_invoice, void_invoice
from sql.money.ledger import balances
from sql.money.payments import give_credit, reverse_payment, write_off
from sql.money.settling import credit_minor, open_invoices

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
kinds = ["invoice", "payment", "payment", "refund", "chargeback", "void", "credit", "write_off"]
events = st.lists(st.tuples(st.sampled_from(kinds), amounts, st.integers(-60, 60)), max_size=14)


def _happen(isp: Any, subscriber: Any, kind: str, amount: int, days: int) -> None:
    """One thing that happens to a customer's money; what cannot happen now does not."""
    if kind == "invoice":
        isp.invoice(subscriber, amount, days)
    elif kind == "payment":
        isp.pay(subscriber, amount)
    else:
        with isp.web() as session:
            mine = session.get_one(Subscriber, subscriber.id)
            bills = session.query(Invoice).filter_by(subscriber_id=mine.id).order_by(Invoice.id).all()
            money = session.query(Payment).filter_by(subscriber_id=mine.id).order_by(Payment.id).all()
            try:
                if kind == "credit":
                    give_credit(session, mine, amount_minor=amount, reason="a bad week", actor=ACTOR)
                elif kind in ("void", "write_off") and bills:
                    bill = bills[amount % len(bills)]
                    if kind == "void":
                        void_invoice(session, isp.operator_id, bill.number, actor=ACTOR)
                    else:
                        write_off(session, bill, reason="moved away", actor=ACTOR)
                elif kind in ("refund", "chargeback") and money:
                    one = money[amount % len(money)]
                    reverse_payment(session, one, kind=kind, reason="asked", actor=ACTOR, amount_minor=amount)
            except Refused:
                session.rollback()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events)
def test_the_ledger_and_the_documents_agree(shared: Database, happened: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order: receivables are the open invoices, credit is unspent money, and what was
    not paid back lies in the till. Nothing open stays beside unspent money.
    """
    isp = shared.isp()
    subscriber = isp.subscriber()
    for kind, amount, days in happened:
        _happen(isp, subscriber, kind, amount, days)
    with isp.web() as session:
        mine = session.get_one(Subscriber, subscriber.id)
        bills = session.query(Invoice).filter_by(subscriber_id=mine.id).all()
        money = session.query(Payment).filter_by(subscriber_id=mine.id).all()
        held = balances(session, isp.operator_id, mine.id)
        open_minor = sum(one.open_minor for one in open_invoices(session, isp.operator_id, [mine.id]).get(mine.id, []))
        credit = credit_minor(session, mine)
    assert sum(held.values()) == 0
    assert held.get("receivable", 0) == open_minor == sum(bill.open_minor for bill in bills)
    assert -held.get("credit", 0) == credit
    assert held.get("cash", 0) == sum(one.amount_minor - one.reversed_minor for one in money if one.kind == "money")
    assert -held.get("revenue", 0) == sum(bill.amount_minor for bill in bills if bill.voided_at is None)
    assert open_minor == 0 or credit == 0
    assert all(bill.open_minor == 0 for bill in bills if bill.voided_at)


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
    """A payment and a void at the same moment, whichever came first: the money is kept as credit."""
    isp = database.isp()
    for _ in range(5):
        subscriber = isp.subscriber()
        number = isp.invoice(subscriber, 1000).number

        def void(number: str = number) -> None:
            with isp.web() as session:
                void_invoice(session, isp.operator_id, number, actor=ACTOR)

        done = _at_once(void, lambda subscriber=subscriber: isp.pay(subscriber, 1000))  # type: ignore[misc]
        assert not [one for one in done if isinstance(one, Exception)]
        with isp.web() as session:
            invoice = invoice_by_number(session, isp.operator_id, number)
            credit = credit_minor(session, session.get_one(Subscriber, subscriber.id))
        assert (invoice.voided_at is not None, invoice.open_minor, credit) == (True, 0, 1000)


def test_invoice_numbers_have_no_gaps(database: Database) -> None:
    """Many at once, one of them failing halfway: the numbers are 1 to n for each operator."""
    north, south = database.isp(), database.isp()
    one, other = north.subscriber(), south.subscriber()

    def failing() -> None:
        with north.web() as session:
            issue_invoice(
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
        rows = connection.execute("SELECT operator_id, array_agg(serial ORDER BY serial) FROM invoices GROUP BY 1")
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


@pytest.mark.parametrize(("paid", "owed"), [(1000, 5000), (5000, 1000)])
def test_no_more_is_allocated_than_there_is(database: Database, paid: int, owed: int) -> None:
    """The database itself refuses allocations above the payment's or the invoice's amount."""
    isp = database.isp()
    subscriber = isp.subscriber()
    payment, invoice = isp.pay(isp.subscriber(), paid)[0], isp.invoice(subscriber, owed)
    with database.as_superuser() as connection:
        connection.execute("UPDATE payments SET subscriber_id = %s WHERE id = %s", (subscriber.id, payment.id))
    with pytest.raises(DBAPIError, match="check constraint"), isp.web() as session:
        _allocate_by_hand(session, isp.operator_id, subscriber.id, payment.id, invoice.id, 1001)


def _allocate_by_hand(session: Any, operator: int, subscriber: int, payment: int, invoice: int, amount: int) -> None:
    session.execute(
        text(
            "INSERT INTO allocations (operator_id, subscriber_id, payment_id, invoice_id, amount_minor) "
            "VALUES (:operator, :subscriber, :payment, :invoice, :amount)"
        ),
        {
            "operator": operator,
            "subscriber": subscriber,
            "payment": payment,
            "invoice": invoice,
            "amount": amount,
        },
    )


def test_money_of_one_customer_never_pays_anothers_invoice(database: Database) -> None:
    """The keys of an allocation bind payment and invoice to one and the same subscriber."""
    isp = database.isp()
    one, other = isp.subscriber(), isp.subscriber()
    payment, _ = isp.pay(one, 1000)
    invoice = isp.invoice(other, 1000)
    with pytest.raises(DBAPIError, match="foreign key"), isp.web() as session:
        _allocate_by_hand(session, isp.operator_id, one.id, payment.id, invoice.id, 1)


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


def test_a_paid_invoice_that_is_taken_back_pays_the_next(database: Database) -> None:
    """What was paid on it pays what else is open; taking it back again changes nothing; its number stays."""
    isp = database.isp()
    subscriber = isp.subscriber()
    first, second = isp.invoice(subscriber, 1000, -30), isp.invoice(subscriber, 600, -20)
    isp.pay(subscriber, 1000)
    moments = set()
    for _ in range(2):
        with isp.web() as session:
            moments.add(void_invoice(session, isp.operator_id, first.number, actor=ACTOR, reason="twice").voided_at)
    assert len(moments) == 1
    with isp.web() as session:
        assert invoice_by_number(session, isp.operator_id, second.number).open_minor == 0
        assert credit_minor(session, session.get_one(Subscriber, subscriber.id)) == 400


def test_a_chargeback_opens_again_what_was_paid_last(database: Database) -> None:
    """A part goes back: the invoice that was paid last is open again; told twice, it counts once."""
    isp = database.isp()
    subscriber = isp.subscriber()
    first, second = isp.invoice(subscriber, 1000, -30), isp.invoice(subscriber, 1000, -20)
    payment, _ = isp.pay(subscriber, 2000)
    for new in (True, False):
        with isp.web() as session:
            mine = session.get_one(Payment, payment.id)
            _, said = reverse_payment(
                session, mine, kind="chargeback", reason="bank", actor=ACTOR, amount_minor=1500, external_id="cb 1"
            )
            assert said is new
    with isp.web() as session:
        assert [session.get_one(Invoice, one.id).open_minor for one in (first, second)] == [500, 1000]
        with pytest.raises(Refused, match="More than is left"):
            reverse_payment(
                session, session.get_one(Payment, payment.id), kind="refund", reason="x", actor=ACTOR, amount_minor=501
            )


ADD_POSTINGS = """
INSERT INTO ledger_postings
SELECT max(entry_id), v.line, min(operator_id), now(), 'credit', '', min(subscriber_id), NULL, 'EUR', v.amount
FROM ledger_postings, (VALUES {rows}) AS v (line, amount) GROUP BY v.line, v.amount
"""


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE ledger_postings SET amount_minor = 2", "never changed"),
        ("DELETE FROM ledger_entries", "never changed"),
        ("TRUNCATE allocations", "never changed"),
        ("UPDATE invoice_lines SET net_minor = 2", "never changed"),
        (ADD_POSTINGS.format(rows="(3, 1)"), "add up to nothing"),
        (ADD_POSTINGS.format(rows="(7, 1), (8, -1)"), "add up to nothing"),
    ],
)
def test_what_is_booked_stays(database: Database, statement: str, said: str) -> None:
    """Not even the superuser's careless statement changes, removes or unbalances what is booked."""
    isp = database.isp()
    subscriber = isp.subscriber()
    isp.invoice(subscriber, 1000)
    isp.pay(subscriber, 1000)
    with pytest.raises(psycopg.Error, match=said), database.as_superuser() as connection:
        connection.execute(statement)


@pytest.mark.parametrize("assignment", ["open_minor = 1", "amount_minor = 1", "year = 2001"])
def test_no_running_role_writes_a_sum(database: Database, assignment: str) -> None:
    """What is left to pay follows from allocations alone."""
    isp = database.isp()
    isp.invoice(isp.subscriber(), 1000)
    with pytest.raises(DBAPIError, match="permission denied"), isp.web() as session:
        session.execute(text(f"UPDATE invoices SET {assignment}"))  # noqa: S608 - one of the three above)
