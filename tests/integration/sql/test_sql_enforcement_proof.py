"""Acknowledged is not verified: proof by accounting, the alarm where it does not come, and what ends the alarm."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from enforced import Line
from fixtures_database import Database, Isp

from policy.changes.enforcement import ECHO_S, Enforcement
from sql import customers
from sql.models import Step
from sql.proof import raise_alarms

sys.path.insert(0, str(Path(__file__).parents[1] / "edge"))  # edge_node: proof comes by accounting
from edge_node import Edge
from edge_node import Line as Accounting


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator whose plan changes and suspensions run by themselves."""
    found = database.isp()
    with database.as_superuser() as connection:
        connection.execute("UPDATE operators SET automatic_changes = '{open,suspend,restore,plan,address,close}'")
    return found


@pytest.fixture
def edge(database: Database, tmp_path: Path) -> Edge:
    """A node that takes accounting in."""
    return Edge(database, tmp_path)


@pytest.fixture
def line(isp: Isp) -> Line:
    """A customer who owes, at a router that needs a Disconnect for it."""
    found = Line(isp, isp.router(coa_address_list=False))
    isp.invoice(found.service.subscriber_id)
    isp.review()
    found.enforce()
    return found


def acknowledge(line: Line) -> Step:
    """The router says yes to what is due. Returns the step."""
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.ACKNOWLEDGED)
    return line.isp.steps(line.service)[-1]


def speak(line: Line, after_s: float = ECHO_S + 60) -> None:
    """The session sends an interim so long after the acknowledgement."""
    line.query("UPDATE steps SET ended_at = ended_at - make_interval(secs => %(s)s)", s=after_s)
    line.query("UPDATE sessions SET last_seen_at = clock_timestamp() WHERE id = %(id)s", id=line.session_id)


def let_the_proof_be_overdue(line: Line) -> int:
    """Its time is over and the clock looks. Returns how many steps were looked at."""
    line.query("UPDATE steps SET verify_by = now() - interval '1 second' WHERE verify_by IS NOT NULL")
    with line.isp.worker() as session:
        return raise_alarms(session, line.isp.operator_id)


def alarms(line: Line) -> int:
    """What `ispagents status` counts."""
    return int(line.query("SELECT unverified_steps FROM machine_health()")[0][0])


def test_an_acknowledged_disconnect_must_be_proved_within_two_interims(line: Line) -> None:
    """The time comes from the interval at which the session reports."""
    step = acknowledge(line)
    assert step.state == "acknowledged"
    assert step.verify_by is not None
    assert step.ended_at is not None
    assert timedelta(seconds=600) < step.verify_by - step.ended_at < timedelta(seconds=700)
    assert line.query("SELECT operator_id FROM operators_to_verify()") == []


def test_an_acknowledged_coa_raises_no_alarm(isp: Isp) -> None:
    """Nothing that a router reports tells whether the speed was changed, so nobody is alarmed for want of it."""
    line = Line(isp, isp.router(coa_address_list=True))
    line.change_speed("20M/100M")
    line.enforce()
    step = acknowledge(line)
    assert (step.state, step.verify_by) == ("acknowledged", None)
    speak(line)
    assert line.enforce() == 0
    assert let_the_proof_be_overdue(line) == 0
    assert line.states() == [("coa", "acknowledged")]


def test_without_proof_in_time_the_alarm_says_what_is_so_and_what_to_try(line: Line) -> None:
    """Unverified, in words, in the audit, in `status`; and asked again nothing more happens."""
    acknowledge(line)
    assert let_the_proof_be_overdue(line) == 1
    (step,) = line.isp.steps(line.service)
    assert step.state == "unverified"
    assert step.explanation.startswith("Still unrestricted: ")
    assert alarms(line) == 1
    (event,) = line.audited("step:proof:miss")
    assert (event["step"], event["change"], event["router"]) == (step.id, step.change_id, "tower")
    assert let_the_proof_be_overdue(line) == 0
    assert line.enforce() == 0


def test_a_session_that_goes_on_reporting_is_alarmed_at_once_and_disconnected_again(line: Line) -> None:
    """An answer without effect needs no waiting for the time of the proof."""
    acknowledge(line)
    speak(line)
    assert line.enforce() == 1
    assert line.states() == [("disconnect", "unverified"), ("disconnect", "waiting")]
    assert "goes on reporting" in line.isp.steps(line.service)[0].explanation
    assert alarms(line) == 1
    acknowledge(line)
    assert line.states() == [("disconnect", "unverified"), ("disconnect", "acknowledged")]
    assert alarms(line) == 1


def test_a_record_that_was_on_its_way_is_no_alarm(line: Line) -> None:
    """An interim that crossed the answer says nothing; the Stop is on its way too."""
    acknowledge(line)
    speak(line, 1)
    assert line.enforce() == 0
    assert line.states() == [("disconnect", "acknowledged")]


def test_an_alarm_ends_when_the_customer_has_paid(line: Line) -> None:
    """Unrestricted is what is wanted now, so the alarm would tell nothing."""
    acknowledge(line)
    let_the_proof_be_overdue(line)
    line.isp.pay(line.service.subscriber_id)
    line.isp.review()
    line.enforce()
    assert line.states() == [("disconnect", "superseded")]
    assert alarms(line) == 0


def test_what_is_overdue_and_not_wanted_any_more_is_no_alarm(line: Line) -> None:
    """The payment was faster than the proof, and than the planning of it."""
    acknowledge(line)
    line.isp.pay(line.service.subscriber_id)
    line.isp.review()
    assert let_the_proof_be_overdue(line) == 1
    assert line.states() == [("disconnect", "superseded")]
    assert line.audited("step:proof:miss") == []


def test_an_overdue_step_of_a_session_that_has_ended_is_proved(line: Line) -> None:
    """Whatever closed the session, it is over."""
    acknowledge(line)
    line.query("UPDATE sessions SET ended_at = now(), ended_by = 'missed_interims'")
    let_the_proof_be_overdue(line)
    assert [(step.state, step.proof) for step in line.isp.steps(line.service)] == [("verified", "ended")]


def test_a_session_that_the_router_does_not_know_ends_its_alarms(line: Line) -> None:
    """The second Disconnect finds nothing to end: both steps are proved."""
    acknowledge(line)
    speak(line)
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.VERIFIED, "already_so", session_gone=True)
    assert line.states() == [("disconnect", "verified"), ("disconnect", "verified")]
    assert alarms(line) == 0


def online(line: Line, edge: Edge) -> Accounting:
    """The same session as accounting tells it, an hour ago at the latest."""
    line.query("DELETE FROM sessions")
    began = datetime.now(UTC) - timedelta(seconds=10)
    found = Accounting(line.router, line.service.username, line.service.id, stamp=line.stamp or "", began=began)
    edge.take(found.record("Start"))
    line.session_id = line.query("SELECT id FROM sessions")[0][0]
    return found


@pytest.fixture
def reported(isp: Isp, edge: Edge) -> tuple[Line, Accounting]:
    """A customer who owes, whose session is known by accounting, after the alarm."""
    line = Line(isp, isp.router(coa_address_list=False))
    accounting = online(line, edge)
    isp.invoice(line.service.subscriber_id)
    isp.review()
    line.enforce()
    acknowledge(line)
    let_the_proof_be_overdue(line)
    assert line.states() == [("disconnect", "unverified")]
    return line, accounting


def test_a_late_stop_proves_and_ends_the_alarm(reported: tuple[Line, Accounting], edge: Edge) -> None:
    """Verified by the end of the session, whenever it comes."""
    line, accounting = reported
    edge.take(accounting.record("Stop", 20))
    assert [(step.state, step.proof) for step in line.isp.steps(line.service)] == [("verified", "ended")]
    assert alarms(line) == 0


@pytest.mark.parametrize("authorised", [True, False])
def test_a_new_login_with_the_authorised_stamp_proves(
    reported: tuple[Line, Accounting], edge: Edge, authorised: bool
) -> None:
    """The same device at another router: only where it got what is authorised is the earlier access gone for sure.

    Then the session whose Stop was lost is over too.
    """
    line, _ = reported
    other = line.isp.router("other")
    stamp = line.isp.fresh(line.service).authorised_stamp if authorised else line.stamp
    login = Accounting(
        other,
        line.service.username,
        line.service.id,
        "81100002",
        2,
        stamp=stamp or "",
        began=datetime.now(UTC) + timedelta(seconds=120),
    )
    edge.take(login.record("Start"))
    (step,) = line.isp.steps(line.service)[:1]
    assert step.state == ("verified" if authorised else "unverified")
    assert ("logged in again" in step.explanation) == authorised
    left = line.isp.session(line.session_id)
    assert (left.ended_at is not None, left.ended_by) == (authorised, "new_start" if authorised else None)
    assert alarms(line) == (0 if authorised else 1)


def test_another_device_proves_nothing(reported: tuple[Line, Accounting], edge: Edge) -> None:
    """A second device with the right access says nothing of the first one's session."""
    line, _ = reported
    stamp = line.isp.fresh(line.service).authorised_stamp
    login = Accounting(
        line.router,
        line.service.username,
        line.service.id,
        "81100002",
        2,
        stamp=stamp or "",
        mac="02:00:00:00:00:99",
        began=datetime.now(UTC) + timedelta(seconds=120),
    )
    edge.take(login.record("Start"))
    assert line.states() == [("disconnect", "unverified")]


def test_an_interim_after_the_acknowledgement_wakes_the_worker(reported: tuple[Line, Accounting], edge: Edge) -> None:
    """Accounting hands the session on by itself, and planning finds the answer without effect."""
    line, accounting = reported
    before = len(line.query("SELECT id FROM procrastinate_jobs"))
    edge.take(accounting.record("Interim-Update", 600))
    names = [row[0] for row in line.query("SELECT task_name FROM procrastinate_jobs ORDER BY id")]
    assert names[before:] == ["enforce_services"]
    assert line.enforce() == 1
    assert line.states() == [("disconnect", "unverified"), ("disconnect", "waiting")]


def test_a_plan_change_that_was_not_proved_speaks_of_the_earlier_access(isp: Isp) -> None:
    """Nobody is unrestricted there: the customer only has the plan of before."""
    line = Line(isp, isp.router(coa_address_list=False))
    with isp.web() as session:
        customers.change_plan(
            session, isp.operator_id, name=line.plan.name, facts={"address_lists": ["other"]}, actor="a test"
        )
    isp.review()
    line.enforce()
    acknowledge(line)
    let_the_proof_be_overdue(line)
    assert line.isp.steps(line.service)[0].explanation.startswith("Still with the earlier access: ")
