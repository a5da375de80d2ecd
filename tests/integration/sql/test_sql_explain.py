"""What is gathered for an explanation: from a customer's whole life in the database to the right sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, Isp, outcome
from sqlalchemy import event, text

from policy.cause import Code
from policy.changes.enforcement import Enforcement
from policy.explain import Explanation, State, explain
from policy.situation import Situation
from sql import holds
from sql.attempts import claim, store_outcomes
from sql.enforcement import enforce
from sql.errors import NotFound
from sql.explain import similar_names, situation
from sql.models import Router, Service
from sql.roles import Role

DAY = timedelta(days=1)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator of the usual kind."""
    return database.isp(time_zone="Europe/Warsaw")


@pytest.fixture
def opened(isp: Isp) -> Service:
    """A service whose opening a rule has approved."""
    service = isp.service()
    isp.review()
    return isp.fresh(service)


def _situation(isp: Isp, service: Service, now: datetime | None = None) -> Situation:
    with isp.web() as session:
        return situation(session, isp.operator_id, service.username, now or datetime.now(UTC))


def _explain(isp: Isp, service: Service, now: datetime | None = None) -> Explanation:
    return explain(_situation(isp, service, now))


def _codes(found: Explanation) -> list[Code]:
    return [one.code for one in found.causes]


def _refuse(isp: Isp, service: Service, router: Router, reason: str, mac: str = "") -> None:
    with isp.database.engine(Role.EDGE).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO refused_logins (operator_id, router_id, service_id, username, mac, reason, hour, last_at) "
                "VALUES (:operator, :router, :service, :name, :mac, :reason, date_trunc('hour', now(), 'UTC'), now())"
            ),
            {
                "operator": isp.operator_id,
                "router": router.id,
                "service": service.id,
                "name": service.username,
                "mac": mac,
                "reason": reason,
            },
        )


def _end(isp: Isp, session_id: int, cause: str = "Lost-Carrier") -> None:
    with isp.database.engine(Role.EDGE).begin() as connection:
        connection.execute(
            text(
                "UPDATE sessions SET ended_at = now() - interval '1 minute', started_at = now() - interval '2 hours', "
                "ended_by = 'stop', terminate_cause = :cause WHERE id = :id"
            ),
            {"id": session_id, "cause": cause},
        )


def _attempt(isp: Isp, service: Service, router: Router, state: Enforcement, **more: Any) -> None:
    """The worker plans the step and tries it once."""
    with isp.worker() as session:
        enforce(session, isp.operator_id, [service.id], datetime.now(UTC))
    with isp.worker() as session:
        claimed = claim(session, isp.operator_id, router.id, 10)
    with isp.worker() as session:
        store_outcomes(session, isp.operator_id, [outcome(one, state, **more) for one in claimed])


@contextmanager
def _counted(isp: Isp) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    engine = isp.database.engine(Role.WEB)
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_service_that_nobody_has_looked_at(isp: Isp) -> None:
    """Before the worker's first review nothing is authorised, and that is the answer."""
    found = _explain(isp, isp.service())
    assert (found.state, _codes(found)) == (State.REFUSED, [Code.NOT_AUTHORISED])


def test_all_is_well(isp: Isp, opened: Service) -> None:
    """Online with what is authorised: what the customer has, and nothing to do."""
    isp.online(opened, isp.router(), opened.authorised_stamp)
    found = _explain(isp, opened)
    assert (found.state, found.causes, found.next_steps) == (State.FINE, (), ())
    assert "(10M/50M), on tower since" in found.answer


def test_from_a_waiting_suspension_to_the_restoration(isp: Isp, opened: Service) -> None:
    """The invoice's life as support hears of it: waiting, restricted for it, paid, on its way, restored."""
    router = isp.router()
    session_id = isp.online(opened, router, opened.authorised_stamp)
    isp.invoice(opened.subscriber_id, 3000, due_days=-21)
    isp.review()
    change = isp.changes(opened)[-1]
    waiting = _explain(isp, opened)
    assert (waiting.state, waiting.causes) == (State.FINE, ())
    assert f"a suspension (change {change.id}) waits for approval" in waiting.answer
    isp.approve(change)
    unrestricted = _explain(isp, opened)
    assert (unrestricted.state, _codes(unrestricted)) == (State.ONLINE, [Code.NO_STEP, Code.UNPAID])
    _attempt(isp, opened, router, Enforcement.RETRYING, said="no_answer", cause="timeout", retry_after_s=4.0)
    retrying = _explain(isp, opened)
    assert _codes(retrying) == [Code.STEP_RETRYING, Code.UNPAID]
    assert "No answer came" in retrying.answer
    restricted = isp.fresh(opened).authorised_stamp
    with isp.database.engine(Role.EDGE).begin() as connection:
        connection.execute(text("UPDATE sessions SET applied_stamp = :stamp"), {"stamp": restricted})
    garden = _explain(isp, opened)
    assert (garden.state, _codes(garden)) == (State.RESTRICTED, [Code.UNPAID])
    assert "has been unpaid for 21 days; a payment of 30.00 EUR restores the service by itself." in garden.answer
    isp.pay(opened.subscriber_id, 3000)
    overlooked = _explain(isp, opened)
    assert _codes(overlooked)[0] == Code.NOT_REVIEWED
    isp.review()
    assert _codes(_explain(isp, opened)) == [Code.STEP_RETRYING]
    _end(isp, session_id)
    isp.online(opened, router, opened.authorised_stamp)
    assert _explain(isp, opened).state == State.FINE


def test_what_a_payment_must_cover(isp: Isp, opened: Service) -> None:
    """All that is past its grace ends the suspension, part payments counted; what is due later does not matter."""
    for amount, due in ((1000, -40), (2000, -20), (4000, -1), (8000, 10)):
        isp.invoice(opened.subscriber_id, amount, due_days=due)
    isp.pay(opened.subscriber_id, 400)
    unpaid = _situation(isp, opened).unpaid
    assert unpaid is not None
    assert (unpaid.number[4:], unpaid.open_minor, unpaid.restoring_minor) == ("-1", 600, 2600)


def test_a_hold_and_an_override_are_told(isp: Isp, opened: Service) -> None:
    """Promises of people are facts, with who made them; a hold keeps billing's word from suspended."""
    isp.invoice(opened.subscriber_id)
    with isp.web() as session:
        service = session.get_one(Service, opened.id)
        holds.add_hold(session, service, until=datetime.now(UTC) + DAY, reason="pays on Friday", actor=ACTOR)
        session.execute(
            text(
                "INSERT INTO overrides (operator_id, service_id, facts, until, reason, granted_by) "
                "VALUES (:operator, :service, '{}', now() + interval '1 day', 'a mistake', 'Ewa')"
            ),
            {"operator": isp.operator_id, "service": opened.id},
        )
    found = _situation(isp, opened)
    assert found.standing == "overdue"
    assert [(one.reason, one.by) for one in found.holds] == [("pays on Friday", ACTOR)]
    assert found.override is not None
    assert (found.override.reason, found.override.by) == ("a mistake", "Ewa")
    said = " ".join(fact.sentence for fact in explain(found).facts)
    assert "promised not to suspend" in said
    assert "Ewa gave back an earlier access" in said


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("wrong_password", Code.WRONG_PASSWORD),
        ("wrong_device", Code.WRONG_DEVICE),
        ("wrong_method", Code.WRONG_METHOD),
        ("too_many_sessions", Code.LOGIN_REFUSED),
    ],
)
def test_a_refused_login_is_the_answer(isp: Isp, reason: str, code: Code) -> None:
    """Nobody online and the last login refused: its reason, and both devices where the device is wrong."""
    service = isp.service(bind_mac=True)
    isp.review()
    router = isp.router()
    with isp.database.engine(Role.EDGE).begin() as connection:
        connection.execute(text("UPDATE services SET mac = '02:00:00:00:00:01'"))
    _end(isp, isp.online(service, router, isp.fresh(service).authorised_stamp))
    _refuse(isp, service, router, reason, "02:00:00:00:00:02")
    found = _explain(isp, service)
    assert (found.state, _codes(found)) == (State.REFUSED, [code])
    if code == Code.WRONG_DEVICE:
        assert "from device 02:00:00:00:00:02, and the service is bound to 02:00:00:00:00:01" in found.answer


def test_nobody_online(isp: Isp, opened: Service) -> None:
    """Never, then since the last session's end, then with its router known to be down."""
    assert _codes(_explain(isp, opened)) == [Code.NEVER_ONLINE]
    router = isp.router()
    _end(isp, isp.online(opened, router, opened.authorised_stamp))
    found = _explain(isp, opened)
    assert _codes(found) == [Code.NO_LOGIN]
    assert "has been offline for 60 seconds, because its last session ended (Lost-Carrier)" in found.answer
    with isp.worker() as session:
        session.execute(
            text(
                "INSERT INTO router_health (router_id, operator_id, misses, down_since) "
                "VALUES (:router, :operator, 9, now() - interval '3 hours')"
            ),
            {"router": router.id, "operator": isp.operator_id},
        )
    found = _explain(isp, opened)
    assert _codes(found) == [Code.ROUTER_DOWN, Code.NO_LOGIN]
    assert "has not answered for 3 hours" in found.answer


def test_a_session_that_went_quiet(isp: Isp, opened: Service) -> None:
    """After two missed interims a session no longer counts as online."""
    isp.online(opened, isp.router(), opened.authorised_stamp)
    assert _explain(isp, opened, datetime.now(UTC) + timedelta(minutes=9)).state == State.FINE
    assert _codes(_explain(isp, opened, datetime.now(UTC) + timedelta(minutes=11))) == [Code.SESSION_QUIET]


def test_stopped_writes_and_edges(isp: Isp, opened: Service) -> None:
    """The switch that stops all writes, and nodes that are silent or behind what was authorised last."""
    isp.online(opened, isp.router(), "1-0000000000000000")
    with isp.web() as session:
        session.execute(text("UPDATE operators SET writes_stopped_at = now(), writes_stopped_by = 'Piotr'"))
    with isp.database.engine(Role.EDGE).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO nodes (name, address, snapshot, reported_at) VALUES "
                "('a', '10.0.0.1', pg_current_snapshot(), now()), ('b', '10.0.0.2', '3:3:', now()), "
                "('c', '10.0.0.3', pg_current_snapshot(), now() - interval '5 minutes'), ('d', '10.0.0.4', NULL, NULL)"
            )
        )
    found = _situation(isp, opened)
    assert [(one.name, one.silent, one.behind) for one in found.nodes] == [
        ("a", False, False),
        ("b", False, True),
        ("c", True, False),
        ("d", True, True),
    ]
    assert _codes(explain(found)) == [Code.WRITES_STOPPED, Code.NO_STEP]


def test_a_rejection_names_who_and_why(isp: Isp, opened: Service) -> None:
    """A restoration that a person rejected is the cause, with the person and the note."""
    with isp.web() as session:
        session.execute(text("UPDATE operators SET automatic_changes = '{open}'"))
    isp.invoice(opened.subscriber_id)
    isp.review()
    isp.approve(isp.changes(opened)[-1])
    isp.online(opened, isp.router(), isp.fresh(opened).authorised_stamp)
    isp.pay(opened.subscriber_id)
    isp.review()
    waiting = _explain(isp, opened)
    assert _codes(waiting) == [Code.AWAITING_APPROVAL, Code.SUSPENDED]
    with isp.web() as session:
        from sql import intent  # noqa: PLC0415 - beside its only use

        change = intent.change_by_id(session, isp.operator_id, isp.changes(opened)[-1].id)
        intent.reject(session, change, by="Piotr", note="look at the cheque first")
    rejected = _explain(isp, opened)
    assert _codes(rejected) == [Code.REJECTED, Code.SUSPENDED]
    assert 'rejected by Piotr 0 seconds ago ("look at the cheque first")' in rejected.answer


def test_the_number_of_queries_is_fixed(isp: Isp, opened: Service) -> None:
    """A customer with a long history is explained by as many queries as one without."""
    with _counted(isp) as before:
        _explain(isp, opened)
    router = isp.router()
    for number in range(12):
        isp.invoice(opened.subscriber_id, 100 + number)
        _refuse(isp, opened, router, "wrong_password", f"02:00:00:00:00:{number:02}")
        isp.online(opened, router, opened.authorised_stamp if number % 2 else "1-0000000000000000")
    isp.review()
    with isp.worker() as session:
        enforce(session, isp.operator_id, [opened.id], datetime.now(UTC))
    with _counted(isp) as after:
        found = _explain(isp, opened)
    assert found.facts
    assert len(after) == len(before) <= 15


def test_an_unknown_name_has_similar_ones(isp: Isp) -> None:
    """Those that begin alike, in any spelling, the longest common beginning first; nothing where nothing is alike."""
    plan, subscriber = isp.plan(), isp.subscriber()
    for name in ("anna", "anna2", "anton", "Zofia", "bob", "łódź"):
        isp.service(name, plan, subscriber)
    with isp.web() as session:
        assert similar_names(session, isp.operator_id, "anna3") == ["anna", "anna2"]
        assert similar_names(session, isp.operator_id, "ANNA") == ["anna"]
        assert similar_names(session, isp.operator_id, " anna ") == ["anna"]
        assert similar_names(session, isp.operator_id, "łód") == ["łódź"]
        assert similar_names(session, isp.operator_id, "xyz") == []
        assert similar_names(session, isp.operator_id, "") == []
        with pytest.raises(NotFound, match="anna3"):
            situation(session, isp.operator_id, "anna3", datetime.now(UTC))


def test_another_operators_customer_is_not_known(database: Database, isp: Isp, opened: Service) -> None:
    """Neither explained nor offered as a similar name."""
    other = database.isp()
    with other.web() as session:
        with pytest.raises(NotFound):
            situation(session, other.operator_id, opened.username, datetime.now(UTC))
        assert similar_names(session, other.operator_id, opened.username) == []
