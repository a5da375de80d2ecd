"""Lists: every row once, page by page, in a fixed order, by an index, and with the same number of queries."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fixtures_database import Database, Isp
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from sql import listing
from sql.errors import Refused
from sql.models import Service, Subscriber
from sql.roles import Role

REFERENCES = ["0123", "123", "A-1", "a-1", "b", "k-1", "k-10", "k-2", "no", "Ł-1", "ł-2", "\u202e"]


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator beside another one with the same names."""
    for one in (database.isp("other"), found := database.isp("mine")):
        for reference in REFERENCES:
            one.subscriber(reference, f"Łukasz {reference}")
    return found


def _pages(isp: Isp, page: Callable[..., list[Any]], key: Callable[[Any], str], limit: int, **more: Any) -> list[str]:
    found: list[str] = []
    after = ""
    for _ in range(100):
        with isp.web() as session:
            rows = page(session, isp.operator_id, after=after, limit=limit, **more)
        assert len(rows) <= limit
        found += [key(row) for row in rows]
        if not rows:
            return found
        after = found[-1]
    pytest.fail("the pages do not end")


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_subscribers_come_once_in_order(isp: Isp, limit: int) -> None:
    """By customer number in the order of its letters' numbers, whatever the page's size."""
    assert _pages(isp, listing.subscribers, lambda row: row.reference, limit) == sorted(REFERENCES)


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_search_finds_numbers_first_and_then_names(isp: Isp, limit: int) -> None:
    """Numbers match as they are written, names in any case; nothing comes twice."""
    isp.subscriber("zz-1", "K-1 as a name")
    isp.subscriber("zz-2", "k-11 as a name")
    found = _pages(isp, listing.subscribers, lambda row: row.reference, limit, search="k-1")
    assert found == ["k-1", "k-10", "zz-1", "zz-2"]
    assert _pages(isp, listing.subscribers, lambda row: row.reference, limit, search="łuk") == sorted(REFERENCES)
    assert _pages(isp, listing.subscribers, lambda row: row.reference, limit, search="%") == []
    assert _pages(isp, listing.subscribers, lambda row: row.reference, limit, search="k_1") == []


def test_services_by_user_name(isp: Isp) -> None:
    """Services page and search by user name."""
    plan = isp.plan()
    for name in ("zofia", "adam", "adam2", "Adam", "ąd"):
        isp.service(name, plan)
    names: Callable[[Any], str] = lambda row: row[0].username  # noqa: E731 - one key of a row
    assert _pages(isp, listing.services, names, 2) == ["Adam", "adam", "adam2", "zofia", "ąd"]
    assert _pages(isp, listing.services, names, 1, search="adam") == ["adam", "adam2"]


def test_invoices_and_payments_newest_first(isp: Isp) -> None:
    """Money pages from the newest, with what was paid and whose it is."""
    with isp.web() as session:
        one, other = list(session.query(Subscriber).order_by(Subscriber.reference).limit(2))
    for subscriber in (one, other, one):
        isp.invoice(subscriber, 1000)
    isp.pay(one, 1200)
    numbers = _pages(isp, listing.invoices, lambda row: row.invoice.number, 2)
    assert [number.partition("-")[2] for number in numbers] == ["3", "2", "1"]
    with isp.web() as session:
        found = listing.invoices(session, isp.operator_id, subscriber=one)
        assert [(row.invoice.serial, row.invoice.open_minor, row.reference) for row in found] == [
            (3, 800, "0123"),
            (1, 0, "0123"),
        ]
        assert [row[1] for row in listing.payments(session, isp.operator_id)] == ["0123"]


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_changes_that_wait_lead(isp: Isp, limit: int) -> None:
    """Those that wait for approval come first, then the rest from the newest; a state or kind narrows it."""
    plan = isp.plan()
    services = [isp.service(f"u{number}", plan) for number in range(4)]
    isp.review()
    for service in services[:2]:
        isp.invoice(service.subscriber_id)
    isp.review()
    key: Callable[[Any], str] = lambda row: listing.change_key(row[0])  # noqa: E731 - one key of a row
    keys = _pages(isp, listing.changes, key, limit)
    assert [one.startswith(listing.AWAITING_KEY) for one in keys] == [True, True, False, False, False, False]
    assert len(set(keys)) == 6
    assert len(_pages(isp, listing.changes, key, limit, state="approved", kind="open")) == 4
    assert len(_pages(isp, listing.changes, key, limit, kind="suspend")) == 2


@pytest.mark.parametrize("after", ["x", "-1", "1e3", "9" * 30, "awaiting:x"])
def test_a_key_that_is_none_is_refused(isp: Isp, after: str) -> None:
    """Nonsense to go on after is a sentence, not an error of the database."""
    for page in (listing.invoices, listing.payments, listing.holds, listing.changes):
        with pytest.raises(Refused, match="no key"), isp.web() as session:
            page(session, isp.operator_id, after=after)


@contextmanager
def _counted(session: Session) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_page_is_one_query(isp: Isp) -> None:
    """However many rows a page has, nothing is asked for a row; reading its columns asks nothing either."""
    plan = isp.plan()
    for number in range(5):
        isp.service(f"u{number}", plan)
    isp.review()
    with isp.web() as session, _counted(session) as statements:
        for service, subscriber, sold in listing.services(session, isp.operator_id):
            assert (service.username, subscriber.reference, sold.name, service.authorised) is not None
        assert len(statements) == 1
        for version in listing.plans(session, isp.operator_id):
            assert version[1].facts
        assert len(statements) == 2
        assert listing.subscribers(session, isp.operator_id, search="k")
        assert len(statements) == 4


SEARCHES: dict[str, Callable[[Session, int], Any]] = {
    "subscribers_operator_id_reference_key": lambda s, o: listing.subscribers(s, o, after="k", limit=10),
    "subscribers_search": lambda s, o: listing.subscribers(s, o, search="łuk", after="k-1", limit=10),
    "services_operator_id_username_key": lambda s, o: listing.services(s, o, search="ad", after="ada", limit=10),
    "invoices_number_key": lambda s, o: listing.invoices(s, o, after="2026-7", limit=10),
    "payments_operator_id_id_key": lambda s, o: listing.payments(s, o, after="7", limit=10),
    "holds_operator_id_id_key": lambda s, o: listing.holds(s, o, after="7", limit=10),
    "changes_state": lambda s, o: listing.changes(s, o, state="approved", after="7", limit=10),
    "plans_operator_id_name_key": lambda s, o: listing.plans(s, o, after="a", limit=10),
    "routers_name_key": lambda s, o: listing.routers(s, o, after="a", limit=10),
}


@pytest.mark.parametrize("index", SEARCHES)
def test_a_page_is_a_range_of_an_index(database: Database, isp: Isp, index: str) -> None:
    """As the web role, behind the wall: the plan ranges over the named index, and sorts nothing."""
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO subscribers (operator_id, reference, name) "
            "SELECT %s, 'row ' || n, 'Łukasz ' || n FROM generate_series(1, 3000) AS n",
            (isp.operator_id,),
        )
        connection.execute("ANALYZE")
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    engine = database.engine(Role.WEB)
    with isp.web() as session:
        event.listen(engine, "before_cursor_execute", note)
        SEARCHES[index](session, isp.operator_id)
        event.remove(engine, "before_cursor_execute", note)
        session.execute(text("SET LOCAL enable_seqscan = off"))
        session.execute(text("SET LOCAL enable_bitmapscan = off"))
        statement, parameters = asked[-1]
        cursor = session.connection().connection.cursor()
        cursor.execute(f"EXPLAIN {statement}", parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())
    lines = plan.splitlines()
    at = next((number for number, one in enumerate(lines) if index in one), None)
    assert at is not None, plan
    condition = next(one for one in lines[at:] if "Index Cond" in one)
    assert "<" in condition or ">" in condition, plan
    assert "Sort" not in plan, plan


def test_steps_of_a_change_with_every_attempt(isp: Isp) -> None:
    """A change's steps come with their router and their attempts in order, in two queries."""
    service = isp.service("zofia")
    isp.review()
    isp.online(service, isp.router(), "1-0000000000000000")
    change = isp.changes(service)[-1]
    with isp.database.as_superuser() as connection:
        connection.execute(
            "WITH step AS (INSERT INTO steps (operator_id, service_id, change_id, session_id, router_id, route, why, "
            "target_stamp) SELECT operator_id, service_id, %s, id, router_id, 'coa', 'why', 'x' FROM sessions "
            "RETURNING id, operator_id) INSERT INTO evidence (operator_id, step_id, attempt, sent, started_at) "
            "SELECT operator_id, id, n, '[]', now() FROM step, generate_series(3, 1, -1) AS n",
            (change.id,),
        )
    with isp.web() as session, _counted(session) as statements:
        (one,) = listing.steps_of(session, change)
        assert len(statements) == 2
    assert (one.router, [proof.attempt for proof in one.evidence]) == ("tower", [1, 2, 3])


def test_what_waits_for_a_service(isp: Isp) -> None:
    """The change and the holds that `service show` tells of."""
    service = isp.service("zofia")
    isp.review()
    isp.invoice(service.subscriber_id)
    isp.review()
    with isp.web() as session:
        found = session.get_one(Service, service.id)
        assert [one.kind for one in listing.awaiting(session, isp.operator_id, service.id)] == ["suspend"]
        assert listing.active_holds(session, found, found.created_at) == []
