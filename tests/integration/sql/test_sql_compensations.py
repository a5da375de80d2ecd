"""Outages made good: who gets what, by the preview that was approved, and back where nothing has moved since."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from fixtures_database import ACTOR, Database, Isp
from sqlalchemy import event, text

from sql.customers import set_operator
from sql.errors import Refused
from sql.models import CompensationRow, Plan, Service, Subscriber
from sql.money import compensation_rows, compensations
from sql.money.compensations import Wish
from sql.money.ledger import balances
from sql.money.settling import credit_minor
from sql.roles import Role

BILLED = date(2026, 12, 1)
UNTIL = datetime(2150, 6, 1, 12, 30, tzinfo=UTC)


def _home(isp: Isp, name: str, plan: Plan, area: str = "North", **more: Any) -> Service:
    """A service of a customer who lives somewhere; billed up to a day unless it is prepaid."""
    subscriber = isp.subscriber()
    service = isp.service(name, plan, subscriber, **more)
    with isp.database.as_superuser() as connection:
        connection.execute("UPDATE subscribers SET area = %s WHERE id = %s", (area, subscriber.id))
        if not more:
            connection.execute(
                "INSERT INTO service_billing (service_id, operator_id, subscriber_id, starts_on, anchor_day, "
                "billed_until, next_on) VALUES (%(id)s, %(operator)s, %(subscriber)s, '2026-11-01', 1, %(until)s, "
                "%(until)s) ON CONFLICT (service_id) DO UPDATE SET starts_on = excluded.starts_on, "
                "billed_until = excluded.billed_until, next_on = excluded.next_on",
                {"id": service.id, "operator": isp.operator_id, "subscriber": subscriber.id, "until": BILLED},
            )
    return service


def _prepaid(isp: Isp) -> Plan:
    plan = isp.plan("Prepaid")
    with isp.web() as session:
        session.execute(text("UPDATE plans SET billing = 'prepaid' WHERE id = :id"), {"id": plan.id})
    return plan


def _plan(isp: Isp, name: str = "storm", **wish: Any) -> str:
    """Plan it; the hash of its preview."""
    with isp.web() as session:
        return compensations.plan(session, isp.operator_id, Wish(name, "a storm", **wish), actor="Ewa").preview_hash


def _go(isp: Isp, name: str = "storm") -> None:
    after: int | None = 0
    while after is not None:
        with isp.web() as session:
            after = compensations.go_on(session, isp.operator_id, name, after, actor=ACTOR)


def _approve(isp: Isp, seen_hash: str, name: str = "storm", actor: str = ACTOR) -> None:
    with isp.web() as session:
        compensations.approve(session, isp.operator_id, name, seen_hash=seen_hash, actor=actor)
    _go(isp, name)


def _undo(isp: Isp, name: str = "storm") -> None:
    with isp.web() as session:
        compensations.undo(session, isp.operator_id, name, actor=ACTOR)
    _go(isp, name)


def _days(isp: Isp) -> dict[str, tuple[date | None, date | None, datetime | None]]:
    """What is billed, when the cycle looks again, and prepaid time, by user name."""
    with isp.web() as session:
        rows = session.execute(
            text(
                "SELECT username, billed_until, next_on, prepaid_until FROM services "
                "LEFT JOIN service_billing ON service_id = id"
            )
        )
        return {row.username: (row.billed_until, row.next_on, row.prepaid_until) for row in rows}


def _states(isp: Isp) -> dict[str, tuple[str, str]]:
    with isp.web() as session:
        rows = session.query(CompensationRow, Service.username).join(Service, Service.id == CompensationRow.service_id)
        return {name: (row.state, row.explanation) for row, name in rows}


def test_days_are_given_to_an_area_and_taken_back(database: Database) -> None:
    """Recurring and prepaid services alike; elsewhere nothing moves, and before the approval nothing at all."""
    isp = database.isp(time_zone="Europe/Warsaw")
    monthly, prepaid = isp.plan(), _prepaid(isp)
    _home(isp, "anna", monthly)
    _home(isp, "piotr", prepaid, prepaid_until=UNTIL)
    _home(isp, "over", prepaid, prepaid_until=datetime.now(UTC) - timedelta(days=1))
    _home(isp, "south", monthly, "South")
    before = _days(isp)
    seen_hash = _plan(isp, area="North", days=3)
    with isp.web() as session:
        preview = compensations.by_name(session, isp.operator_id, "storm").preview
    assert (preview["services"], preview["prepaid"], preview["left_out"]) == (2, 1, 1)
    assert preview["money_minor"] == 2 * 150
    assert {one["username"] for one in preview["oddest"]} == {"anna", "piotr"}
    assert _days(isp) == before
    _approve(isp, seen_hash)
    _approve(isp, seen_hash)  # again: nothing is given twice
    after = _days(isp)
    assert after["anna"] == (date(2026, 12, 4), date(2026, 12, 4), None)
    assert after["piotr"][2] == UNTIL + timedelta(days=3)
    assert {name: after[name] for name in ("over", "south")} == {name: before[name] for name in ("over", "south")}
    with isp.worker() as session:
        assert session.execute(text("SELECT count(*) FROM reviews")).scalar_one() > 0
    _undo(isp)
    _undo(isp)
    assert _days(isp) == before
    assert {state for state, _ in _states(isp).values()} == {"undone"}


def test_only_what_still_stands_is_moved(database: Database) -> None:
    """What something else has moved since is stuck, with a sentence, on the way there and on the way back."""
    isp = database.isp()
    monthly = isp.plan()
    services = [_home(isp, name, monthly) for name in ("anna", "piotr", "zofia")]

    def bill(service: Service, until: str) -> None:
        with isp.web() as session:
            session.execute(
                text("UPDATE service_billing SET billed_until = :until, next_on = :until WHERE service_id = :id"),
                {"until": until, "id": service.id},
            )

    seen_hash = _plan(isp, area="North", days=10)
    bill(services[0], "2027-01-01")
    _approve(isp, seen_hash)
    bill(services[1], "2027-02-01")
    _undo(isp)
    states = _states(isp)
    assert [states[name][0] for name in ("anna", "piotr", "zofia")] == ["stuck", "stuck", "undone"]
    assert "was left as it is" in states["anna"][1]
    assert "the days stay" in states["piotr"][1]
    assert [one[0] for one in _days(isp).values()] == [date(2027, 1, 1), date(2027, 2, 1), BILLED]


def test_who_is_not_billed_yet_begins_later(database: Database) -> None:
    """A trial that was cut by an outage is longer by it."""
    isp = database.isp()
    service = _home(isp, "anna", isp.plan())
    with isp.web() as session:
        session.execute(text("UPDATE service_billing SET billed_until = NULL, next_on = starts_on"))
    _approve(isp, _plan(isp, area="North", days=2))

    def place() -> Any:
        with isp.web() as session:
            statement = text("SELECT starts_on, next_on FROM service_billing WHERE service_id = :id")
            return session.execute(statement, {"id": service.id}).one()

    assert place() == (date(2026, 11, 3), date(2026, 11, 3))
    _undo(isp)
    assert place() == (date(2026, 11, 1), date(2026, 11, 1))


def test_credits_are_given_to_a_router_and_taken_back(database: Database) -> None:
    """By the latest session, or by what holds them; what they have paid is open again, and the ledger is balanced."""
    isp = database.isp()
    monthly, (here, there) = isp.plan(), (isp.router("here"), isp.router("there"))
    held = _home(isp, "held", monthly)
    isp.online(held, there, None)
    with database.as_superuser() as connection:
        connection.execute("UPDATE services SET control_router_id = %s WHERE id = %s", (here.id, held.id))
    anna, moved = _home(isp, "anna", monthly), _home(isp, "moved", monthly)
    isp.online(anna, here, None)
    with database.as_superuser() as connection:
        connection.execute("UPDATE sessions SET started_at = now() - interval '1 day'")
    isp.online(moved, here, None)
    with database.as_superuser() as connection:
        connection.execute("UPDATE sessions SET started_at = started_at - interval '1 hour'")
    isp.online(moved, there, None)
    invoice = isp.invoice(anna.subscriber_id, 700)
    seen_hash = _plan(isp, router=here, amount_minor=500)
    _approve(isp, seen_hash)
    with isp.web() as session:
        assert session.get_one(type(invoice), invoice.id).open_minor == 200
        assert balances(session, isp.operator_id, moved.subscriber_id) == {}
    _undo(isp)
    with isp.web() as session:
        assert session.get_one(type(invoice), invoice.id).open_minor == 700
        assert credit_minor(session, session.get_one(Subscriber, anna.subscriber_id)) == 0
        assert sum(balances(session, isp.operator_id, anna.subscriber_id).values()) == 0
    assert _states(isp) == {"anna": ("undone", ""), "held": ("undone", "")}


def test_it_goes_on_where_it_was_interrupted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Portion by portion, with as many statements for many services as for one."""
    monkeypatch.setattr(compensation_rows, "PORTION", 4)
    isp = database.isp()
    monthly = isp.plan()
    for number in range(9):
        _home(isp, f"home{number}", monthly)
    seen_hash = _plan(isp, area="North", amount_minor=100)
    with isp.web() as session:
        compensations.approve(session, isp.operator_id, "storm", seen_hash=seen_hash, actor=ACTOR)
    statements: list[int] = []
    engine = database.engine(Role.WEB)

    def count(*_: Any) -> None:
        statements[-1] += 1

    event.listen(engine, "before_cursor_execute", count)
    after: int | None = 0
    while after is not None:
        statements.append(0)
        with isp.web() as session:
            after = compensations.go_on(session, isp.operator_id, "storm", after, actor=ACTOR)
    event.remove(engine, "before_cursor_execute", count)
    assert statements[0] == statements[1] >= statements[2]
    assert {state for state, _ in _states(isp).values()} == {"applied"}


def test_what_may_not_be_approved(database: Database) -> None:
    """Another preview, an operator of two people, what was dropped; and plans for nobody are refused."""
    isp = database.isp()
    _home(isp, "anna", isp.plan())
    seen_hash = _plan(isp, area="North", days=1)
    with pytest.raises(Refused, match="another preview"):
        _approve(isp, "0" * 64)
    with isp.web() as session:
        rules = [{"name": "many", "kinds": ["suspend"], "people": 2}]
        set_operator(session, isp.operator_id, actor=ACTOR, approval_rules=rules)
    with pytest.raises(Refused, match="another person"):
        _approve(isp, seen_hash, actor="Ewa")
    with isp.web() as session:
        compensations.drop(session, isp.operator_id, "storm", actor=ACTOR)
    for work in (lambda: _approve(isp, seen_hash), lambda: _undo(isp)):
        with pytest.raises(Refused, match="dropped"):
            work()
    for wish, said in (
        ({"area": "Nowhere", "days": 1}, "No service there"),
        ({"area": "North", "days": 367}, "between 1 and 366"),
        ({"area": "North"}, "what to give"),
        ({"days": 1}, "whom the outage hit"),
        ({"area": "North", "amount_minor": 0}, "more than zero"),
    ):
        with pytest.raises(Refused, match=said):
            _plan(isp, "another", **wish)
    with pytest.raises(Refused, match="already"):
        _plan(isp, area="North", days=1)
