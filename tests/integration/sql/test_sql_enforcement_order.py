"""Which steps are sent, in which order, and what stops all of them: priority, the switch, and what has moved."""

from datetime import UTC, datetime, timedelta

import pytest
from enforced import Line
from fixtures_database import Database, Isp, outcome
from sqlalchemy import event

from policy.changes.breaker import Heard
from policy.changes.enforcement import Enforcement
from policy.changes.intent import ChangeKind
from sql.attempts import claim, store_outcomes
from sql.brakes import set_network_writes, waiting_steps
from sql.enforcement import enforce
from sql.models import Evidence, Router
from sql.roles import Role
from sql.router_health import look_at


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator all of whose changes run by themselves."""
    found = database.isp()
    with database.as_superuser() as connection:
        connection.execute("UPDATE operators SET automatic_changes = '{open,suspend,restore,plan,address,close}'")
    return found


@pytest.fixture
def router(isp: Isp) -> Router:
    """A router that was seen changing address lists by CoA."""
    return isp.router(coa_address_list=True)


@pytest.fixture
def line(isp: Isp, router: Router) -> Line:
    """A service that should be faster than its session is, with its step."""
    found = Line(isp, router)
    found.change_speed("20M/100M")
    found.enforce()
    return found


def jobs(line: Line) -> list[str]:
    """The names of the jobs that wait."""
    return [row[0] for row in line.query("SELECT task_name FROM procrastinate_jobs ORDER BY id")]


def switch(isp: Isp, *, stopped: bool) -> bool:
    """Stop network writes, or let them go on."""
    with isp.web() as session:
        return set_network_writes(session, isp.operator_id, stopped=stopped, by="a person")


def test_a_whole_batch_is_claimed_restorations_first_and_drift_last(isp: Isp, router: Router) -> None:
    """Planned in the worst order, and still: who paid, then the plans, then who owes, then what nobody asked for."""
    lines = {name: Line(isp, router, name) for name in ("drifted", "owes", "faster", "paid")}
    isp.invoice(lines["paid"].service.subscriber_id)
    isp.review()
    lines["paid"].query(
        "UPDATE sessions SET applied_stamp = %(s)s WHERE id = %(id)s",
        s=isp.fresh(lines["paid"].service).authorised_stamp,
        id=lines["paid"].session_id,
    )
    # Its change is long over, and then the session has something that nobody gave it.
    lines["drifted"].query(
        "UPDATE sessions SET applied_stamp = '1-00000000000000ff', started_at = now() + interval '1 hour' "
        "WHERE id = %(id)s",
        id=lines["drifted"].session_id,
    )
    lines["drifted"].enforce()
    isp.invoice(lines["owes"].service.subscriber_id)
    isp.review()
    lines["owes"].enforce()
    lines["faster"].change_speed("20M/100M")
    lines["faster"].enforce()
    isp.pay(lines["paid"].service.subscriber_id)
    isp.review()
    lines["paid"].enforce()

    with isp.worker() as session:
        claimed = claim(session, isp.operator_id, router.id, 100)

    assert [one.username for one in claimed] == ["paid", "faster", "owes", "drifted"]


def test_every_kind_of_change_is_stored_with_a_priority(isp: Isp, router: Router) -> None:
    """A small number is sent first; the step's is that of its change's kind."""
    line = Line(isp, router)
    line.change_speed("20M/100M")
    line.enforce()
    (step,) = isp.steps(line.service)
    assert isp.changes(line.service)[-1].kind == ChangeKind.PLAN
    assert step.priority == 3


def test_while_writes_are_stopped_nothing_is_claimed_and_steps_wait(line: Line) -> None:
    """The switch holds what was not started; the step stays as it was and goes on when it is lifted."""
    isp = line.isp
    assert switch(isp, stopped=True)
    assert not switch(isp, stopped=True)
    assert line.claim() == []
    assert line.states() == [("coa", "waiting")]
    assert [row[0] for row in line.query("SELECT router_id FROM routers_with_work()")] == []
    with isp.web() as session:
        assert waiting_steps(session, isp.operator_id) == 1

    before = len(jobs(line))
    assert switch(isp, stopped=False)
    assert jobs(line)[before:] == ["work_router"]
    assert len(line.claim()) == 1
    assert len(line.audited("network:writes:stop")) == len(line.audited("network:writes:start")) == 1


def test_what_is_in_flight_finishes_while_writes_are_stopped(line: Line) -> None:
    """A step that was claimed before is stored with its outcome as always."""
    (claimed,) = line.claim()
    switch(line.isp, stopped=True)
    line.store(claimed, Enforcement.ACKNOWLEDGED)
    assert line.states() == [("coa", "acknowledged")]


def test_planning_goes_on_while_writes_are_stopped(isp: Isp, router: Router) -> None:
    """What is approved meanwhile has its step, which waits with the others."""
    line = Line(isp, router)
    switch(isp, stopped=True)
    line.change_speed("20M/100M")
    line.enforce()
    assert line.states() == [("coa", "waiting")]
    assert line.claim() == []


def test_a_step_whose_target_has_moved_is_refused_with_the_reason(line: Line) -> None:
    """Authorised anew before the planning has seen it: the old packet is never sent, and planning is asked for."""
    line.change_speed("30M/150M")
    before = len(jobs(line))

    assert line.claim() == []

    (step,) = line.isp.steps(line.service)
    assert step.state == "superseded"
    assert "something else is authorised by now" in step.explanation
    assert line.evidence() == []
    assert jobs(line)[before:] == ["enforce_services"]
    line.enforce()
    (claimed,) = line.claim()
    assert ("Mikrotik-Rate-Limit", "30M/150M") in claimed.attributes


def test_an_interrupted_step_whose_target_has_moved_is_not_sent_again(line: Line) -> None:
    """What a vanished worker had claimed is unknown, but sending an outdated access again would be wrong for sure."""
    line.claim()
    line.change_speed("30M/150M")
    line.make_due()
    assert line.claim() == []
    assert line.states() == [("coa", "superseded")]
    line.enforce()
    (claimed,) = line.claim()
    assert ("Mikrotik-Rate-Limit", "30M/150M") in claimed.attributes


def test_a_truth_that_comes_back_is_sent_where_the_earlier_coa_was_never_answered(line: Line) -> None:
    """Faster was sent and not answered, then slow is wanted again, which is all the session was known to have."""
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.RETRYING, "no_answer", retry_after_s=60.0)
    line.change_speed("10M/50M")
    assert line.isp.session(line.session_id).applied_stamp == line.isp.fresh(line.service).authorised_stamp
    line.enforce()

    assert line.states() == [("coa", "superseded"), ("coa", "waiting")]
    assert "never answered" in line.isp.steps(line.service)[1].why
    (again,) = line.claim()
    assert ("Mikrotik-Rate-Limit", "10M/50M") in again.attributes


def test_an_unanswered_coa_is_not_forgotten_over_several_newer_truths(line: Line) -> None:
    """Two changes that never ran lie between; the final state is sent all the same, once."""
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.RETRYING, "no_answer", retry_after_s=60.0)
    for speed in ("30M/150M", "40M/200M", "10M/50M"):
        line.change_speed(speed)
        line.enforce()
    (again,) = line.claim()
    assert ("Mikrotik-Rate-Limit", "10M/50M") in again.attributes


def test_what_could_be_undone_by_a_late_packet_is_sent_once_more(line: Line) -> None:
    """Acknowledged, but the earlier CoA may still be on its way: the step comes again, and then it is acknowledged."""
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.RETRYING, "no_answer", retry_after_s=60.0)
    line.change_speed("10M/50M")
    line.enforce()
    (again,) = line.claim()
    line.store(again, Enforcement.ACKNOWLEDGED)

    assert line.states() == [("coa", "superseded"), ("coa", "retrying")]
    step = line.isp.steps(line.service)[1]
    assert "once more" in step.explanation
    assert step.due_at > datetime.now(UTC)
    assert line.enforce() == 0

    line.query(
        "UPDATE evidence SET started_at = started_at - interval '1 minute', ended_at = ended_at - interval '1 minute'"
    )
    line.make_due()
    (last,) = line.claim()
    assert last.attributes == again.attributes
    line.store(last, Enforcement.ACKNOWLEDGED)
    assert line.states()[1] == ("coa", "acknowledged")
    line.change_speed("30M/150M")
    line.enforce()
    (fresh,) = line.claim()
    line.store(fresh, Enforcement.ACKNOWLEDGED)
    assert line.states()[2] == ("coa", "acknowledged")


@pytest.mark.parametrize("ahead", [timedelta(hours=-3), timedelta(hours=3)])
def test_a_wrong_clock_of_the_worker_decides_nothing(line: Line, ahead: timedelta) -> None:
    """Whatever the worker's clock says, the evidence, retries and the router's health go by the database's."""
    (claimed,) = line.claim()
    wrong = datetime.now(UTC) + ahead
    more = {"cause": "timeout", "heard": Heard.MISS, "started_at": wrong - timedelta(seconds=17), "ended_at": wrong}
    line.store(claimed, Enforcement.RETRYING, "no_answer", retry_after_s=2.0, **more)
    (step,) = line.isp.steps(line.service)
    with line.isp.worker() as session:
        health = look_at(session, line.router.id)[0]
        found = session.query(Evidence).one()
    moments = (step.due_at, health.down_since, found.started_at, found.ended_at)
    assert all(abs(one - datetime.now(UTC)) < timedelta(minutes=10) for one in moments if one is not None)
    assert None not in moments
    line.change_speed("10M/50M")
    line.enforce()
    (again,) = line.claim()
    line.store(again, Enforcement.ACKNOWLEDGED, started_at=wrong, ended_at=wrong)
    assert line.states()[1] == ("coa", "retrying")  # sent once more, since the first may still arrive


def test_a_stuck_step_whose_target_is_not_wanted_any_more_is_settled_too(line: Line) -> None:
    """The attempts ended without an answer; wanting the earlier access again sends it and clears the alarm."""
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.STUCK, "no_answer")
    line.change_speed("10M/50M")
    line.enforce()
    assert line.states() == [("coa", "superseded"), ("coa", "waiting")]


def test_planning_claiming_and_storing_ask_per_call_and_not_per_session(isp: Isp, router: Router) -> None:
    """Ten sessions take no more statements than two: ten thousand suspensions are not a hundred thousand questions."""
    asked: list[str] = []
    event.listen(isp.database.engine(Role.WORKER), "before_cursor_execute", lambda *given: asked.append(given[2]))
    counts = []
    for number in (2, 10):
        lines = [Line(isp, router, f"u{number}-{place}") for place in range(number)]
        for one in lines:
            one.change_speed("20M/100M")
        asked.clear()
        with isp.worker() as session:
            enforce(session, isp.operator_id, [one.service.id for one in lines], datetime.now(UTC))
        with isp.worker() as session:
            claimed = claim(session, isp.operator_id, router.id, 100)
        answers = [outcome(one, Enforcement.ACKNOWLEDGED, "applied") for one in claimed]
        assert len(answers) == number
        with isp.worker() as session:
            assert store_outcomes(session, isp.operator_id, answers) == []
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_only_what_did_not_reach_the_newest_truth_is_looked_at_again(isp: Isp, router: Router, line: Line) -> None:
    """An acknowledgement of what is authorised settles it; one that a newer truth overtook, and a silence, do not."""
    lines = [line, Line(isp, router, "yusuf"), Line(isp, router, "xenia")]
    for one in lines[1:]:
        one.change_speed("20M/100M")
        one.enforce()
    first, second, third = line.claim()
    lines[1].change_speed("5M/5M")
    answers = [
        outcome(first, Enforcement.ACKNOWLEDGED, "applied"),
        outcome(second, Enforcement.ACKNOWLEDGED, "applied"),
        outcome(third, Enforcement.RETRYING, "no_answer", retry_after_s=2.0),
    ]

    with isp.worker() as session:
        again = store_outcomes(session, isp.operator_id, answers)

    assert again == [second.service_id, third.service_id]
    assert [one.states()[-1][1] for one in lines] == ["acknowledged", "acknowledged", "retrying"]
