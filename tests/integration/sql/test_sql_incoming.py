"""Payments of other systems: each counts once, the sure ones are booked, and the rest waits for a person."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, DatabaseServer, Isp, new_database
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from policy.money.incoming import Incoming, IncomingKind
from policy.money.statement import Terms
from sql.errors import Refused
from sql.models import Feed, IncomingPayment, Operator, Payment, PaymentReversal, Subscriber
from sql.money import clues, imports, review
from sql.money.incoming import AT_ONCE, Outcome, Taken, take_in
from sql.money.ledger import balances
from sql.money.payments import payment_by_id
from sql.roles import Role

DEADLINE_S = 60


def _told(external_id: str, reference: str = "", amount_minor: int = 1500, **more: Any) -> Incoming:
    values: dict[str, Any] = {"currency": "EUR", "occurred_at": datetime.now(UTC), "method": "bank"}
    return Incoming(external_id, amount_minor, reference=reference, **(values | more))


def _back(external_id: str, original: str, amount_minor: int, kind: str = "refund") -> Incoming:
    return _told(external_id, amount_minor=amount_minor, kind=IncomingKind(kind), original_external_id=original)


def _elsewhere(one: Incoming) -> Incoming:
    """The same with ids of another source's."""
    original = f"other-{one.original_external_id}" if one.original_external_id else None
    return replace(one, external_id=f"other-{one.external_id}", original_external_id=original)


def _take(isp: Isp, *told: Incoming, source: str = "bank") -> list[Taken]:
    with isp.web() as session:
        return take_in(session, session.get_one(Operator, isp.operator_id), told, source, actor=ACTOR)


def _count(isp: Isp, model: Any) -> int:
    with isp.web() as session:
        return session.query(model).filter_by(operator_id=isp.operator_id).count()


def _paid(isp: Isp, subscriber: Subscriber) -> dict[str, int]:
    with isp.web() as session:
        return balances(session, isp.operator_id, subscriber.id)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator with a customer K-1042 who owes, and another."""
    isp = database.isp()
    isp.invoice(isp.subscriber("K-1042"), 1500)
    isp.subscriber("K-2000", "Adam Nowak")
    return isp


def test_a_sure_payment_is_booked_and_restores(isp: Isp) -> None:
    """Booked for whom it names, with the reason; its service is looked at again, and the source has spoken."""
    subscriber = isp.subscriber("K-3000")
    service = isp.service("zofia", subscriber=subscriber)
    isp.review()
    isp.invoice(subscriber)
    isp.review()
    isp.approve(isp.changes(service)[-1])
    (taken,) = _take(isp, _told("a", "rent of the line, K-3000"))
    assert (taken.outcome, taken.subscriber_id) == (Outcome.BOOKED, subscriber.id)
    assert (
        taken.explanation == "One sure match: the reference has the customer number K-3000, "
        "exactly this amount is open on invoice 2026-2."
    )
    isp.review()
    assert (isp.changes(service)[-1].kind, isp.changes(service)[-1].state) == ("restore", "approved")
    assert _count(isp, Feed) == 1


def test_what_is_unsure_waits_with_candidates_and_restores_nobody(isp: Isp) -> None:
    """An amount alone is nobody's: it waits, with who may have paid it, the likeliest first."""
    (taken,) = _take(isp, _told("a", "thanks", payer="Adam Nowak"))
    assert (taken.outcome, taken.payment_id) == (Outcome.REVIEW, None)
    with isp.web() as session:
        (row,) = review.waiting(session, isp.operator_id)
    assert [one["subscriber"] for one in row.candidates] == ["K-1042", "K-2000"]
    assert row.candidates[0]["reasons"] == ["exactly this amount is open on invoice 2026-1"]
    assert _count(isp, Payment) == 0


def test_every_clue_finds_its_customer(isp: Isp) -> None:
    """By invoice, user name and phone; by the account that paid for the customer before, with the amount owed."""
    with isp.web() as session:
        anna = session.query(Subscriber).filter_by(reference="K-1042").one()
        anna.phone = "+48 600-100-200"
    isp.service("anna.77", subscriber=anna)
    ways = [
        _told("1", "2026-1"),
        _told("2", username="anna.77"),
        _told("3", phone="0048600100200"),
        _told("4", "k-1042", payer="PL61 1090 1014"),
    ]
    assert {one.subscriber_id for one in _take(isp, *ways)} == {anna.id}
    (again,) = _take(isp, _told("5", payer="PL61 1090 1014"))
    assert again.outcome is Outcome.REVIEW  # nothing is owed, so an account alone is not enough
    isp.invoice(anna, 7000 + 1500)  # 6000 were paid, 1500 of them were owed
    (sure,) = _take(isp, _told("6", payer="PL61 1090 1014", amount_minor=4000))
    assert sure.outcome is Outcome.BOOKED


def test_a_second_telling_counts_once_and_may_know_more(isp: Isp) -> None:
    """The same id is one payment; what waits is booked once a later telling names the customer."""
    assert [one.outcome for one in _take(isp, _told("a", "x"), _told("a", "y"))] == [Outcome.REVIEW] * 2
    (more,) = _take(isp, _told("a", username="", phone="", payer="", reference="K-1042"))
    assert more.outcome is Outcome.BOOKED
    (again,) = _take(isp, _told("a", "K-2000", 99))
    assert again.outcome is Outcome.KNOWN
    assert "15.00 EUR, which stands" in again.explanation
    (other,) = _take(isp, _told("a", "K-1042", 1501), source="another bank")
    assert other.outcome is Outcome.BOOKED
    assert _count(isp, Payment) == 2


def test_the_same_payment_by_two_ways_is_booked_once(isp: Isp) -> None:
    """A webhook's payment told over the API too: the id and the amount are the same, so a person says what it is."""
    (first,) = _take(isp, _told("a", "K-1042"), source="pay")
    (second,) = _take(isp, _told("a", "K-1042"), source="api:1")
    assert (first.outcome, second.outcome, _count(isp, Payment)) == (Outcome.BOOKED, Outcome.REVIEW, 1)
    assert second.explanation.startswith("pay told of a payment with this id and amount too")


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (_told("a", amount_minor=0), "more than zero"),
        (_told("a", amount_minor=-5), "more than zero"),
        (_told("a", amount_minor=10**15 + 1), "larger than any"),
        (_told("a", occurred_at=datetime.now(UTC) + timedelta(days=2)), "in the future"),
        (_told("a", occurred_at=datetime(1990, 1, 1, tzinfo=UTC)), "before the year 2000"),
        (_told("a", occurred_at=datetime(2026, 1, 1)), "before the year"),  # noqa: DTZ001 - that is the mistake
        (_told("a", currency="XXX"), "ISO 4217"),
        (_told("a", currency="'; --"), "ISO 4217"),
        (_told(""), "no id of its own"),
        (_told("x" * 181), "181 bytes"),
        (_told("a", "x" * 1025), "1025 bytes"),
        (_told("a", "zero \0 byte"), "zero byte"),
        (_told("a", "\udcff"), "UTF-8"),
        (_told("a", method=" "), "method"),
        (_told("a", kind=IncomingKind.REFUND), "must name the payment"),
    ],
)
def test_what_cannot_be_a_payment_is_refused_and_the_rest_kept(isp: Isp, one: Incoming, says: str) -> None:
    """Each with its sentence; nothing of it is stored, and what came with it is."""
    bad, good = _take(isp, one, _told("good", "K-1042"))
    assert (bad.outcome, bad.id) == (Outcome.REFUSED, None)
    assert says in bad.explanation
    assert good.outcome is Outcome.BOOKED
    assert _count(isp, IncomingPayment) == 1


def test_another_currency_waits_and_cannot_be_booked(isp: Isp) -> None:
    """Money came, but not the operator's: a person books by hand what it came to, and drops this."""
    (taken,) = _take(isp, _told("a", "K-1042", currency="USD"))
    assert taken.outcome is Outcome.REVIEW
    assert "USD" in taken.explanation
    with isp.web() as session:
        anna = session.query(Subscriber).filter_by(reference="K-1042").one()
    with isp.web() as session, pytest.raises(Refused, match="USD"):
        review.assign(session, isp.operator_id, taken.id or 0, anna, actor=ACTOR)
    assert _count(isp, Payment) == 0


def test_people_decide_what_waits(isp: Isp) -> None:
    """Given to a customer it is booked, dropped it never is, and a second decision is refused; each says by whom."""
    one, other = _take(isp, _told("a", "?"), _told("b", "?"))
    with isp.web() as session:
        adam = session.query(Subscriber).filter_by(reference="K-2000").one()
        row = review.assign(session, isp.operator_id, one.id or 0, adam, actor="ewa")
        assert (row.state, row.subscriber_id, row.decided_by) == ("booked", adam.id, "ewa")
        review.drop(session, isp.operator_id, other.id or 0, reason="our own transfer", actor="ewa")
    for again in (one, other):
        with isp.web() as session, pytest.raises(Refused, match="already"):
            review.drop(session, isp.operator_id, again.id or 0, reason="x", actor="ewa")
    assert _take(isp, _told("b", "K-1042"))[0].outcome is Outcome.KNOWN
    assert _count(isp, Payment) == 1
    with isp.web() as session:
        assert review.waiting(session, isp.operator_id) == []


def test_a_refund_finds_its_payment_or_waits_for_it(isp: Isp) -> None:
    """It reopens what was paid; told first it waits for its payment; beyond what was paid it waits for a person."""
    anna = isp.subscriber("K-4000")
    isp.invoice(anna, 1000)
    (early,) = _take(isp, _back("r1", "p", 300))
    assert early.outcome is Outcome.REVIEW
    _take(isp, _told("p", "K-4000", 1000))
    assert _paid(isp, anna)["receivable"] == 300
    _take(isp, _back("c1", "p", 900, "chargeback"), _back("c2", "p", 1, "chargeback"))
    assert _paid(isp, anna)["receivable"] == 1000
    with isp.web() as session:
        (left,) = review.waiting(session, isp.operator_id)
        assert left.explanation == "All of the payment went back already."
        assert session.query(PaymentReversal).count() == 2
        payment = payment_by_id(session, isp.operator_id, 1)
        with pytest.raises(Refused, match="went back already"):
            review.assign_reversal(session, isp.operator_id, left.id, payment, actor=ACTOR)


def test_a_dispute_that_was_won_is_the_same_customers_money(isp: Isp) -> None:
    """Whatever was told first: the invoice is paid again, nobody else's, and each of the three counts once."""
    won = _told("d/won", "K-2000", original_external_id="t")
    events = (_told("t", "K-1042"), _back("d", "t", 1500, "chargeback"), won)
    (waits,) = _take(isp, won)
    assert (waits.outcome, "not booked here yet" in waits.explanation) == (Outcome.REVIEW, True)
    for _ in range(2):
        for one in events:
            _take(isp, one)
    _take(isp, *(_elsewhere(one) for one in events), source="other bank")
    with isp.web() as session:
        owner = session.query(Subscriber).filter_by(reference="K-1042").one()
    assert (_count(isp, Payment), _count(isp, PaymentReversal), _count(isp, IncomingPayment)) == (4, 2, 6)
    held = _paid(isp, owner)
    assert (held["cash"], held["credit"], held["receivable"]) == (3000, -1500, 0)


def test_a_refund_needs_an_id_of_its_own(isp: Isp) -> None:
    """Under its payment's id it would be taken for the payment told again, and be lost; it is refused instead."""
    for told in ([_told("p", "K-1042"), _back("p", "p", 300)], [_back("p", "p", 300)]):
        taken = _take(isp, *told)[-1]
        assert (taken.outcome, taken.explanation) == (
            Outcome.REFUSED,
            "A payment has the id 'p' already; a refund needs one of its own.",
        )
    assert (_count(isp, Payment), _count(isp, PaymentReversal)) == (1, 0)


def test_a_payment_booked_by_hand_is_not_booked_again(isp: Isp) -> None:
    """The id of a provider, written down by somebody before its webhook came."""
    with isp.web() as session:
        anna = session.query(Subscriber).filter_by(reference="K-1042").one()
    isp.pay(anna, external_id="pi_123")
    (taken,) = _take(isp, _told("pi_123", "K-1042"), source="stripe")
    assert (taken.outcome, _count(isp, Payment)) == (Outcome.REVIEW, 1)
    assert "booked by hand" in taken.explanation


def _at_once(works: Sequence[Callable[[], Any]]) -> list[Any]:
    barrier = Barrier(len(works), timeout=DEADLINE_S)

    def run(work: Callable[[], Any]) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(DEADLINE_S) for future in [pool.submit(run, work) for work in works]]


def test_deliveries_at_the_same_moment_count_once(isp: Isp) -> None:
    """Eight threads tell the same five payments and a refund in different orders: booked once, nobody fails."""
    told = [_told(f"p{number}", "K-1042", 100 + number) for number in range(5)] + [_back("r", "p1", 50)]
    orders = [told[turn:] + told[:turn] for turn in range(6)] + [told[::-1], told]
    answers = _at_once([lambda order=order: [_take(isp, one)[0] for one in order] for order in orders])
    booked = [one for answer in answers for one in answer if one.outcome is Outcome.BOOKED and one.payment_id]
    assert len(booked) == 5
    assert (_count(isp, Payment), _count(isp, PaymentReversal)) == (5, 1)


def test_a_person_and_a_second_telling_at_the_same_moment(isp: Isp) -> None:
    """Both of them at once, many times: booked once, for one customer, and nobody fails but by a clear no."""
    for number in range(8):
        (taken,) = _take(isp, _told(f"x{number}", "?"))

        def decide(incoming_id: int = taken.id or 0) -> None:
            with isp.web() as session:
                adam = session.query(Subscriber).filter_by(reference="K-2000").one()
                try:
                    review.assign(session, isp.operator_id, incoming_id, adam, actor="ewa")
                except Refused:
                    session.rollback()

        _at_once([decide, lambda number=number: _take(isp, _told(f"x{number}", "K-1042")), decide])
    assert _count(isp, Payment) == 8


def test_a_file_costs_as_many_statements_as_a_row(isp: Isp, database: Database) -> None:
    """One payment or three hundred: the same number of statements."""
    counts = []
    for size in (1, 300):
        statements: list[str] = []

        def count(*arguments: Any, kept: list[str] = statements) -> None:
            kept.append(arguments[2])

        engine = database.engine(Role.WEB)
        event.listen(engine, "before_cursor_execute", count)
        _take(isp, *(_told(f"{size}-{number}", "K-1042 K-2000" if number % 2 else "K-1042") for number in range(size)))
        event.remove(engine, "before_cursor_execute", count)
        counts.append(len(statements))
    assert counts[1] <= counts[0] + 3, counts
    assert _count(isp, IncomingPayment) == 301
    with pytest.raises(Refused, match="At most"):
        _take(isp, *(_told(str(number)) for number in range(AT_ONCE + 1)))


STATEMENTS = {
    "_NUMBERS": "subscribers_operator_id_reference_key",
    "_USERNAMES": "services_operator_id_username_key",
    "_INVOICES": "invoices_number_key",
    "_PHONES": "subscribers_phone",
    "_NAMES": "subscribers_search",
    "_PAYERS": "incoming_payments_payer",
    "_AMOUNTS": "invoices_open_amount",
    "_OWED": "invoices_open_subscriber",
}


CROWD = """
INSERT INTO subscribers (operator_id, reference, name, phone)
    SELECT %(operator)s, 'N-' || n, 'name ' || n, (600000000 + n)::text FROM generate_series(1, 3000) AS n;
INSERT INTO services (operator_id, subscriber_id, plan_id, method, username)
    SELECT operator_id, id, %(plan)s, 'pppoe', 'user' || id FROM subscribers WHERE reference LIKE 'N-%%';
INSERT INTO invoices (operator_id, subscriber_id, amount_minor, currency, due_at, year, serial, issued_on, due_on)
    SELECT operator_id, id, 1000 + id, 'EUR', now(), 2025, id, now(), now() FROM subscribers WHERE name LIKE 'name %%';
INSERT INTO payments (operator_id, subscriber_id, amount_minor, currency, booked_by)
    SELECT operator_id, id, 1, 'EUR', 'x' FROM subscribers WHERE reference LIKE 'N-%%';
INSERT INTO incoming_payments (operator_id, source, external_id, amount_minor, currency, occurred_at, method, payer,
        state, explanation, payment_id, subscriber_id)
    SELECT operator_id, 'x', id, 1, 'EUR', now(), 'x', 'payer ' || id, 'booked', 'x', id, subscriber_id FROM payments;
"""


def test_each_clue_has_its_index_behind_the_wall(isp: Isp) -> None:
    """Among thousands of customers, row-level security keeps no lookup from the index that was made for it."""
    values = {"operator": isp.operator_id, "years": [2026], "serials": [1], "most": 6}
    crowd = {"operator": isp.operator_id, "plan": isp.plan("Crowd").id}
    with isp.database.as_superuser() as connection:
        for statement in CROWD.split(";\n")[:-1]:
            connection.execute(statement, crowd)
        connection.execute("ANALYZE")
    with isp.web() as session:
        for name, index in STATEMENTS.items():
            values["asked"] = [1500] if name in {"_AMOUNTS", "_OWED"} else ["K-1042"]
            query = getattr(clues, name).text
            used = {key: value for key, value in values.items() if f":{key}" in query}
            plan = "\n".join(session.scalars(text(f"EXPLAIN {query}"), used))
            assert index in plan, plan


def test_a_file_that_was_cut_off_is_applied_once(isp: Isp, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some pages of it the machine dies: applied again from the beginning, each row counts once."""
    monkeypatch.setattr(imports, "AT_ONCE", 2)
    data = "date,amount,reference\n" + "".join(f"2026-11-0{number},{number}.00,K-1042\n" for number in range(1, 6))
    with isp.web() as session:
        operator = session.get_one(Operator, isp.operator_id)
        terms = Terms(operator.currency, operator.time_zone)
        read = imports.preview(session, operator, data.encode(), file_name="x", source="bank", terms=terms, actor=ACTOR)
    number = read.stored.id
    assert _apply(isp, number, 0) == ([Outcome.BOOKED] * 2, 3)
    assert _apply(isp, number, 0) == ([Outcome.KNOWN] * 2, 3)
    assert _apply(isp, number, 3) == ([Outcome.BOOKED] * 2, 5)
    assert _apply(isp, number, 5) == ([Outcome.BOOKED], None)
    with pytest.raises(Refused, match="already"):
        _apply(isp, number, 0)
    assert _count(isp, Payment) == 5


def _apply(isp: Isp, number: int, after_line: int) -> tuple[list[Outcome], int | None]:
    with isp.web() as session:
        operator = session.get_one(Operator, isp.operator_id)
        taken, line = imports.apply_some(session, operator, number, after_line=after_line, actor=ACTOR)
    return [one.outcome for one in taken], line


@pytest.fixture(scope="module")
def shared(database_server: DatabaseServer) -> Iterator[Database]:
    """One database for all examples of a property."""
    with new_database(database_server) as found:
        yield found


MONEY = st.integers(1, 400)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("payment"), st.integers(0, 2), MONEY),
        st.tuples(st.sampled_from(["refund", "chargeback"]), st.integers(0, 2), MONEY),
    ),
    max_size=7,
    unique_by=lambda one: one if one[0] != "payment" else one[:2],
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.randoms(use_true_random=False))
def test_any_order_and_repetition_ends_in_the_same_balances(shared: Database, events: list[Any], random: Any) -> None:
    """Payments, refunds, chargebacks and doubles, one by one or together: every account ends the same."""
    told = [
        _told(f"p{which}", f"K-{7000 + which % 2}", amount)
        if kind == "payment"
        else _back(f"{kind}{which}-{amount}", f"p{which}", amount, kind)
        for kind, which, amount in events
    ]
    ends = []
    for _ in range(2):
        isp = shared.isp()
        customers = [isp.subscriber(f"K-{7000 + number}") for number in range(2)]
        for one in customers:
            isp.invoice(one, 250)
        order = told + random.sample(told, len(told) // 2)
        random.shuffle(order)
        while order:
            size = random.randint(1, 3)
            _take(isp, *order[:size])
            del order[:size]
        ends.append([_paid(isp, one) for one in customers])
    assert ends[0] == ends[1]
