"""Drift: a session with another access than the authorised one, which no change explains, is healed under a brake."""

from datetime import UTC, datetime, timedelta

import pytest
from enforced import Line
from fixtures_database import Database, Isp
from sqlalchemy import text

from policy.changes.enforcement import HEALING_PRIORITY, Enforcement
from sql.enforcement import enforce
from sql.models import Router
from sql.roles import Role

NOBODY_GAVE = "1-00000000000000ff"
TWO_HOURS = timedelta(hours=2)


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator whose plan changes run by themselves."""
    return database.isp()


@pytest.fixture
def router(isp: Isp) -> Router:
    """A router that was seen changing address lists by CoA."""
    return isp.router(coa_address_list=True)


def drift(line: Line) -> None:
    """The session was in line for an hour, and then has an access that nobody gave it."""
    line.query("UPDATE services SET authorised_at = now() - interval '2 hours' WHERE id = %(id)s", id=line.service.id)
    line.query(
        "UPDATE sessions SET applied_stamp = %(s)s, started_at = now() - interval '1 hour' WHERE id = %(id)s",
        s=NOBODY_GAVE,
        id=line.session_id,
    )


def look(isp: Isp, after: int = 0, most: int = 100) -> tuple[list[int], int | None]:
    """The services that the worker's sweep finds, and where it goes on."""
    with isp.database.engine(Role.WORKER).connect() as connection:
        rows = connection.execute(
            text("SELECT * FROM look_for_drift(:after, :most)"), {"after": after, "most": most}
        ).all()
    return [row.service_id for row in rows if row.service_id is not None], rows[0].last


def heal(isp: Isp, lines: list[Line]) -> int:
    """What the job does that the sweep asks for. Returns how many steps there are to send."""
    with isp.worker() as session:
        enforce(session, isp.operator_id, [line.service.id for line in lines], datetime.now(UTC))
    return sum(len(isp.steps(line.service)) for line in lines)


def test_drift_is_found_without_a_trigger(isp: Isp, router: Router) -> None:
    """One of three sessions has something else: the sweep names its service and no other."""
    lines = [Line(isp, router, f"u{number}") for number in range(3)]
    assert look(isp)[0] == []
    drift(lines[1])
    assert look(isp)[0] == [lines[1].service.id]
    heal(isp, [lines[1]])
    assert look(isp)[0] == []


def test_a_stuck_step_is_tried_again_though_the_session_seems_in_line(isp: Isp, router: Router) -> None:
    """A CoA without an answer may have taken effect late; the one that was to set it right came to nothing."""
    line = Line(isp, router)
    line.change_speed("20M/100M")
    line.enforce()
    line.store(line.claim()[0], Enforcement.RETRYING, "no_answer", retry_after_s=1.0)
    line.change_speed("10M/50M")
    line.enforce()
    line.store(line.claim()[0], Enforcement.STUCK, "no_answer", cause="wrong_secret_signs")
    assert line.states() == [("coa", "superseded"), ("coa", "stuck")]
    assert look(isp)[0] == []
    line.query("UPDATE sessions SET last_seen_at = clock_timestamp() + interval '1 minute'")

    assert look(isp)[0] == [line.service.id]
    heal(isp, [line])

    assert line.states()[1:] == [("coa", "superseded"), ("coa", "waiting")]
    assert look(isp)[0] == []


def test_the_sweep_goes_through_all_sessions_a_page_at_a_time(isp: Isp, router: Router) -> None:
    """Each page ends with a service, whose sessions are all in it, and the last page says that it was the last."""
    lines = [Line(isp, router, f"u{number}") for number in range(5)]
    isp.online(lines[1].service, router, NOBODY_GAVE)
    for line in lines:
        drift(line)
    found: list[int] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        services, after = look(isp, after, 2)
        found += services
        pages += 1
    assert found == sorted(line.service.id for line in lines)
    assert pages == 4


def test_healing_says_why_and_comes_last(isp: Isp, router: Router) -> None:
    """The step's reason is that nobody changed anything; its place is behind every change."""
    line = Line(isp, router)
    drift(line)
    line.enforce()
    (step,) = isp.steps(line.service)
    assert step.priority == HEALING_PRIORITY
    assert "No change is under way" in step.why
    assert step.target_stamp == isp.fresh(line.service).authorised_stamp


def test_a_change_that_the_session_has_not_got_yet_is_no_drift(isp: Isp, router: Router) -> None:
    """A login that was still given the access before the change, long after it: the change explains it."""
    line = Line(isp, router)
    line.change_speed("20M/100M")
    line.query("UPDATE services SET authorised_at = now() - interval '2 hours'")
    line.query("UPDATE sessions SET started_at = now() - interval '1 hour'")
    line.enforce()
    (step,) = isp.steps(line.service)
    assert step.priority < HEALING_PRIORITY
    assert "No change" not in step.why


def test_sessions_from_before_this_system_are_under_the_brake(isp: Isp, router: Router) -> None:
    """The first day beside an existing network: new services, foreign sessions, and not all of them dropped at once."""
    brake(isp, free=1, number=2)
    lines = [Line(isp, router, f"u{number}") for number in range(4)]
    lines[0].query(
        "UPDATE sessions SET applied_stamp = NULL, class_stamp = NULL, started_at = now() - interval '1 day'"
    )
    assert heal(isp, lines) == 2
    assert "before this system" in isp.steps(lines[0].service)[0].why


def test_a_foreign_session_of_who_owes_is_no_drift(isp: Isp, router: Router) -> None:
    """A change that was approved reaches it in its turn, brake or not."""
    line = Line(isp, router)
    line.change_speed("20M/100M")
    line.query("UPDATE sessions SET applied_stamp = NULL, class_stamp = NULL")
    brake(isp, free=0, number=0)
    assert heal(isp, [line]) == 1


def test_an_access_that_changes_by_itself_is_no_drift(isp: Isp, router: Router) -> None:
    """A prepaid end was authorised with the service: everybody's evening window is under no brake."""
    line = Line(isp, router)
    ends = datetime.now(UTC) + timedelta(hours=1)
    line.query("UPDATE services SET prepaid_until = %(ends)s", ends=ends)
    isp.review()
    stamp = isp.fresh(line.service).authorised_stamp
    line.query("UPDATE services SET authorised_at = now() - interval '2 hours'")
    line.query("UPDATE sessions SET applied_stamp = %(s)s, started_at = now() - interval '30 minutes'", s=stamp)
    line.query("UPDATE changes SET from_stamp = NULL")
    with isp.worker() as session:
        enforce(session, isp.operator_id, [line.service.id], datetime.now(UTC) + TWO_HOURS)
    (step,) = isp.steps(line.service)
    assert step.priority < HEALING_PRIORITY
    assert "from this time on" in step.why


def brake(isp: Isp, *, free: int, number: int, percent: float = 100.0) -> None:
    """What the operator lets run by itself."""
    with isp.database.as_superuser() as connection:
        connection.execute(
            "UPDATE operators SET brake_free = %s, brake_number = %s, brake_percent = %s", (free, number, percent)
        )


def test_what_a_person_asked_for_waits_for_no_brake(isp: Isp, router: Router) -> None:
    """They have noticed already: all of what they named is healed, and an end without success is tried again."""
    brake(isp, free=1, number=1)
    lines = [Line(isp, router, f"u{number}") for number in range(3)]
    for line in lines:
        drift(line)
    assert heal(isp, lines) == 1
    with isp.worker() as session:
        ids = [line.service.id for line in lines]
        enforce(session, isp.operator_id, ids, datetime.now(UTC), asked=True)
        enforce(session, isp.operator_id, ids, datetime.now(UTC), asked=True)
    assert [len(isp.steps(line.service)) for line in lines] == [1, 1, 1]
    for claimed in lines[0].claim():
        lines[0].store(claimed, Enforcement.STUCK, "no_answer", cause="wrong_secret_signs")
    assert heal(isp, lines[:1]) == 1
    with isp.worker() as session:
        enforce(session, isp.operator_id, ids, datetime.now(UTC), asked=True)
    assert lines[0].states()[-1][1] == "waiting"


def test_the_brake_lets_some_be_healed_and_says_once_that_the_rest_waits(isp: Isp, router: Router) -> None:
    """Three an hour: the rest has no step, the sweep goes on finding them, and the audit has one event."""
    brake(isp, free=2, number=3)
    lines = [Line(isp, router, f"u{number}") for number in range(6)]
    for line in lines:
        drift(line)

    assert heal(isp, lines) == 3
    assert heal(isp, lines) == 3
    assert len(look(isp)[0]) == 3
    (event,) = lines[0].audited("drift:brake:hold")
    assert (event["healed"], event["waiting"]) == (3, 3)

    lines[0].query("UPDATE healing_runs SET began_at = began_at - interval '1 hour'")
    assert heal(isp, lines) == 6
    assert len(lines[0].audited("drift:brake:hold")) == 1


def test_the_share_is_of_the_active_services(isp: Isp, router: Router) -> None:
    """Half of six, where nothing is free."""
    brake(isp, free=0, number=500, percent=50.0)
    lines = [Line(isp, router, f"u{number}") for number in range(6)]
    for line in lines:
        drift(line)
    assert heal(isp, lines) == 3


def test_what_was_authorised_is_under_no_brake(isp: Isp, router: Router) -> None:
    """Changes reach their sessions however many they are: people or rules have approved them."""
    lines = [Line(isp, router, f"u{number}") for number in range(4)]
    for line in lines:
        line.change_speed("20M/100M")
    brake(isp, free=0, number=0)
    assert heal(isp, lines) == 4
    assert lines[0].audited("drift:brake:hold") == []


def test_a_healed_session_is_in_line(isp: Isp, router: Router) -> None:
    """The Disconnect of an access that nobody knows ends it, as for any step."""
    line = Line(isp, router)
    drift(line)
    line.enforce()
    (claimed,) = line.claim()
    line.store(claimed, Enforcement.VERIFIED, "already_so", session_gone=True)
    assert line.states() == [("disconnect", "verified")]
    assert look(isp)[0] == []
