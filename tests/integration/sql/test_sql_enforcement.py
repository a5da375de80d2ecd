"""Observed becomes authorised: steps are planned once, claimed with evidence before, and end in a proof."""

from datetime import UTC, datetime, timedelta

import pytest
from enforced import Line
from fixtures_database import Database, Isp
from sqlalchemy import text

from policy.changes.enforcement import Enforcement
from policy.changes.route import RouteKind
from sql import customers
from sql.attempts import claim, edges_have
from sql.enforcement import enforce
from sql.models import Router, Service


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator whose plan changes run by themselves."""
    return database.isp()


@pytest.fixture
def router(isp: Isp) -> Router:
    """A router that was seen changing address lists by CoA."""
    return isp.router(coa_address_list=True)


@pytest.fixture
def line(isp: Isp, router: Router) -> Line:
    """A service that should be faster than its session is."""
    found = Line(isp, router)
    found.change_speed("20M/100M")
    return found


def test_steps_are_planned_once(line: Line) -> None:
    """Asked again, by a lost or doubled trigger, there is still one step, a CoA with the new speed."""
    assert [line.enforce(), line.enforce(), line.enforce()] == [1, 0, 0]
    (step,) = line.isp.steps(line.service)
    assert (step.route, step.state) == ("coa", "waiting")
    assert ["Mikrotik-Rate-Limit", "20M/100M"] in step.attributes
    assert step.change_id == line.isp.fresh(line.service).authorised_change_id


def test_a_session_in_line_needs_nothing(isp: Isp, router: Router) -> None:
    """No step where the session has what is authorised."""
    line = Line(isp, router)
    assert line.enforce() == 0
    assert line.states() == []


def test_a_newer_truth_supersedes_what_has_not_run(line: Line) -> None:
    """A second change before the first was sent: only the newer is left to do."""
    line.enforce()
    line.change_speed("30M/150M")
    line.enforce()
    assert line.states() == [("coa", "superseded"), ("coa", "waiting")]
    line.change_speed("10M/50M")
    line.enforce()
    assert line.states()[1:] == [("coa", "superseded")]


def test_started_is_stored_with_evidence_before_anything_is_sent(line: Line) -> None:
    """A claim commits the step as started and an attempt without outcome; nobody else can claim it meanwhile."""
    line.enforce()
    (claimed,) = line.claim()
    assert (claimed.attempt, claimed.was_unknown, claimed.route) == (1, False, RouteKind.COA)
    assert line.states() == [("coa", "started")]
    (proof,) = line.evidence()
    assert (proof.attempt, proof.outcome, proof.ended_at) == (1, None, None)
    assert line.claim() == []


def test_what_a_vanished_worker_left_is_claimed_again_as_unknown(line: Line) -> None:
    """After the claim's time a started step is taken up again, as the next attempt, with evidence of both."""
    line.enforce()
    line.claim()
    line.make_due()
    (again,) = line.claim()
    assert (again.attempt, again.was_unknown) == (2, True)
    assert [(one.attempt, one.outcome) for one in line.evidence()] == [(1, None), (2, None)]


def test_an_acknowledged_coa_moves_the_session(line: Line) -> None:
    """The router said yes: acknowledged, not verified; the session has the new stamp and nothing more is planned."""
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.ACKNOWLEDGED)
    (step,) = line.isp.steps(line.service)
    assert (step.state, step.proof) == ("acknowledged", "acknowledged")
    assert line.isp.session(line.session_id).applied_stamp == line.isp.fresh(line.service).authorised_stamp
    (proof,) = line.evidence()
    assert (proof.outcome, proof.round_trip_ms) == ("applied", 1.5)
    assert line.enforce() == 0


def test_a_refused_coa_leads_to_a_disconnect(line: Line) -> None:
    """The refusal is kept as the end of that step, and the next one disconnects, saying why."""
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.REFUSED, "refused", cause="unsupported_attribute")
    assert line.states() == [("coa", "refused"), ("disconnect", "waiting")]
    assert "refused the CoA" in line.isp.steps(line.service)[1].why


def test_what_is_refused_altogether_ends(line: Line) -> None:
    """A router that refuses CoA and Disconnect is not asked for ever: the work ends after a bounded number of steps."""
    line.enforce()
    for _ in range(6):
        for claimed in line.claim():
            line.store(claimed, Enforcement.REFUSED, "refused")
    assert line.states() == [("coa", "refused"), ("disconnect", "refused")]


def test_a_stuck_step_waits_for_a_person(line: Line) -> None:
    """When the attempts have ended nothing new is planned in the same breath."""
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.STUCK, "no_answer")
    assert line.states() == [("coa", "stuck")]


def test_a_disconnect_that_was_acknowledged_is_not_sent_again(isp: Isp) -> None:
    """Between the acknowledgement and the Stop that proves it, nothing more is sent to the session."""
    line = Line(isp, isp.router(coa_address_list=False))
    with isp.web() as session:
        customers.change_plan(
            session, isp.operator_id, name=line.plan.name, facts={"address_lists": ["other"]}, actor="a test"
        )
    isp.review()
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.ACKNOWLEDGED)
    assert line.states() == [("disconnect", "acknowledged")]
    assert line.claim() == []


def test_a_retry_waits_and_is_the_same_step(line: Line) -> None:
    """No answer: the same step is due later and claimed as the next attempt."""
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.RETRYING, "no_answer", retry_after_s=60.0)
    assert line.states() == [("coa", "retrying")]
    assert line.claim() == []
    line.make_due()
    (again,) = line.claim()
    assert (again.step_id, again.attempt, again.was_unknown) == (claimed.step_id, 2, False)


def test_a_router_that_does_not_know_the_session_ends_it(line: Line) -> None:
    """The session is gone from the router: verified as ended, and marked as ended by that word."""
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.VERIFIED, "already_so", session_gone=True)
    (step,) = line.isp.steps(line.service)
    assert (step.state, step.proof) == ("verified", "ended")
    assert line.isp.session(line.session_id).ended_by == "unknown_to_router"


def test_a_session_that_ended_meanwhile_needs_no_packet(line: Line) -> None:
    """The Stop came before the claim: verified by it, and nothing is sent."""
    line.enforce()
    with line.isp.worker() as session:
        session.execute(text("UPDATE sessions SET ended_at = now(), ended_by = 'stop'"))
    assert line.claim() == []
    (step,) = line.isp.steps(line.service)
    assert (step.state, step.proof) == ("verified", "ended")
    assert line.evidence() == []


def test_accounting_outweighs_a_late_answer(line: Line) -> None:
    """The session ended while the packet was on its way: the late answer is evidence, and the proof stays."""
    line.enforce()
    (claimed,) = line.claim()
    with line.isp.worker() as session:
        session.execute(text("UPDATE sessions SET ended_at = now(), ended_by = 'stop'"))
        session.execute(text("UPDATE steps SET state = 'verified', proof = 'ended', ended_at = now()"))
    line.store(claimed, Enforcement.RETRYING, "no_answer")
    assert line.states() == [("coa", "verified")]
    assert line.evidence()[0].outcome == "no_answer"


def test_a_router_without_coa_waits_for_the_next_login(isp: Isp) -> None:
    """The step says so, is never due, and gives the worker nothing to do."""
    line = Line(isp, isp.router(dynamic_authorization=False))
    line.change_speed("20M/100M")
    assert line.enforce() == 0
    assert line.states() == [("next_login", "waiting")]
    assert line.claim() == []


def _node(isp: Isp, name: str, snapshot: str, *, silent_s: int = 0) -> None:
    with isp.database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO nodes (name, address, snapshot, reported_at) VALUES (%s, '127.0.0.1', %s, "
            "clock_timestamp() - make_interval(secs => %s)) ON CONFLICT (name) DO UPDATE "
            "SET snapshot = excluded.snapshot, reported_at = excluded.reported_at",
            (name, snapshot, silent_s),
        )


def _snapshot(isp: Isp) -> str:
    with isp.database.as_superuser() as connection:
        row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return str(row[0])


def test_a_disconnect_waits_for_every_living_edge(line: Line) -> None:
    """Each node must have seen the change's transaction; one that has been silent for long is not waited for."""
    isp = line.isp
    old = _snapshot(isp)
    line.change_speed("40M/200M")
    revision = isp.changes(line.service)[-1].revision
    assert revision is not None

    def have() -> bool:
        with isp.worker() as session:
            return edges_have(session, {revision})

    assert have()
    _node(isp, "one", _snapshot(isp))
    assert have()
    _node(isp, "two", old)
    assert not have()
    _node(isp, "two", old, silent_s=3600)
    assert have()
    _node(isp, "two", _snapshot(isp))
    assert have()


def test_an_older_transaction_that_commits_later_is_not_taken_for_seen(line: Line, database: Database) -> None:
    """A snapshot taken while the change's transaction was open does not include it, though its number is lower."""
    isp = line.isp
    with isp.worker() as session:
        revision = session.execute(text("SELECT pg_current_xact_id()::text")).scalar_one()
        with database.as_superuser() as other:
            other.execute("INSERT INTO nodes (name, address) VALUES ('x', '127.0.0.9')")
        _node(isp, "one", _snapshot(isp))
    with isp.worker() as session:
        assert not edges_have(session, {revision})
    with database.as_superuser() as connection:
        connection.execute("DELETE FROM nodes WHERE name = 'x'")
    _node(isp, "one", _snapshot(isp))
    with isp.worker() as session:
        assert edges_have(session, {revision})
        assert edges_have(session, set())


def test_claims_take_different_steps(isp: Isp, router: Router) -> None:
    """Two workers of one router at once never claim the same step."""
    plan = isp.plan("Before")
    services: list[Service] = [isp.service(f"u{number}", plan) for number in range(6)]
    isp.review()
    for service in services:
        isp.online(service, router, "1-0000000000000000")
    with isp.worker() as session:
        enforce(session, isp.operator_id, [one.id for one in services], datetime.now(UTC) + timedelta(seconds=1))
    with isp.worker() as first, isp.worker() as second:
        one = claim(first, isp.operator_id, router.id, most=3)
        other = claim(second, isp.operator_id, router.id, most=10)
    assert (len(one), len(other)) == (3, 3)
    assert not {step.step_id for step in one} & {step.step_id for step in other}
