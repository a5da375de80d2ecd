"""The circuit breaker of a router, as claims and outcomes store it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from enforced import Line
from fixtures_database import Database, Isp, outcome
from sqlalchemy.orm import Session

from policy.changes.breaker import MISSES_TO_OPEN, Heard
from policy.changes.enforcement import Enforcement
from sql.attempts import Claimed, claim, store_outcomes
from sql.models import Router
from sql.roles import Role
from sql.router_health import add_health, note_accounting, routers_that_spoke, silent_routers


@pytest.fixture
def isp(database: Database) -> Isp:
    """An operator whose plan changes run by themselves."""
    return database.isp()


@pytest.fixture
def router(isp: Isp) -> Router:
    """A router that was seen changing address lists by CoA."""
    return isp.router(coa_address_list=True)


@pytest.fixture
def lines(isp: Isp, router: Router) -> list[Line]:
    """More services than misses are needed, each with a step."""
    found = [Line(isp, router, f"u{number}") for number in range(MISSES_TO_OPEN + 2)]
    for line in found:
        line.change_speed("20M/100M")
        line.enforce()
    return found


def take(isp: Isp, router: Router, most: int = 100) -> list[Claimed]:
    """Claim what is due."""
    with isp.worker() as session:
        return claim(session, isp.operator_id, router.id, most)


def store(isp: Isp, claimed: list[Claimed], heard: Heard) -> None:
    """All of these ended alike."""
    state = Enforcement.ACKNOWLEDGED if heard == Heard.ANSWER else Enforcement.RETRYING
    said = "applied" if heard == Heard.ANSWER else "no_answer"
    with isp.worker() as session:
        store_outcomes(session, isp.operator_id, [outcome(one, state, said, heard=heard) for one in claimed])


def health(isp: Isp, router: Router) -> dict[str, Any]:
    """What people read of the router."""
    with isp.web() as session:
        return add_health(session, isp.operator_id, [{"name": router.name}])[0]


def give_up(isp: Isp, router: Router) -> None:
    """Nothing that was sent to the router was answered."""
    store(isp, take(isp, router), Heard.MISS)


def let_time_pass(line: Line) -> None:
    """Retries are due, and the time of leaving the router alone is over."""
    line.query("UPDATE steps SET due_at = now() - interval '1 second' WHERE state IN ('retrying', 'started')")
    line.query("UPDATE router_health SET left_alone_until = now() - interval '1 second'")


def test_a_silent_router_is_left_alone_and_uses_up_no_attempts(isp: Isp, router: Router, lines: list[Line]) -> None:
    """After a window of silence nothing is claimed, though all is due; the worker's clock does not ask either."""
    give_up(isp, router)
    lines[0].query("UPDATE steps SET due_at = now() - interval '1 second'")

    assert take(isp, router) == []
    assert lines[0].query("SELECT * FROM routers_with_work()") == []
    assert [one.isp.steps(one.service)[0].attempts for one in lines] == [1] * len(lines)
    said = health(isp, router)
    assert "missed in a row" in said["health"]
    assert said["down_since"] is not None
    assert said["left_alone_until"] > datetime.now(UTC)


def test_fewer_silences_than_needed_leave_it_in_service(isp: Isp, router: Router, lines: list[Line]) -> None:
    """Two lost answers stop nobody."""
    store(isp, take(isp, router, MISSES_TO_OPEN - 1), Heard.MISS)
    assert len(take(isp, router)) == len(lines)


def test_one_probe_is_let_through_and_its_answer_closes_the_breaker(
    isp: Isp, router: Router, lines: list[Line]
) -> None:
    """When the time is over one step goes; nobody sends a second meanwhile; then all the rest goes."""
    give_up(isp, router)
    let_time_pass(lines[0])

    (probe,) = take(isp, router)
    assert probe.probe
    assert take(isp, router) == []
    store(isp, [probe], Heard.ANSWER)

    said = health(isp, router)
    assert (said["health"], said["down_since"], said["left_alone_until"]) == ("answers", None, None)
    rest = take(isp, router)
    assert len(rest) == len(lines) - 1
    assert not any(one.probe for one in rest)


def test_a_probe_without_answer_makes_the_next_wait_longer(isp: Isp, router: Router, lines: list[Line]) -> None:
    """The time grows, and always the same step bears the probes."""
    give_up(isp, router)
    waits, probes = [], set()
    for _ in range(4):
        let_time_pass(lines[0])
        (probe,) = take(isp, router)
        store(isp, [probe], Heard.MISS)
        probes.add(probe.step_id)
        waits.append((health(isp, router)["left_alone_until"] - datetime.now(UTC)).total_seconds())
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert len(probes) == 1


def test_two_workers_send_one_probe(isp: Isp, router: Router, lines: list[Line]) -> None:
    """The second waits for the first one's claim, and then finds the router left alone."""
    give_up(isp, router)
    let_time_pass(lines[0])
    with isp.worker() as first:
        assert len(claim(first, isp.operator_id, router.id, 100)) == 1
    assert take(isp, router) == []


def test_a_refusal_is_an_answer(isp: Isp, router: Router, lines: list[Line]) -> None:
    """A router that says no is alive: misses do not add up across it."""
    store(isp, take(isp, router, MISSES_TO_OPEN - 1), Heard.MISS)
    (one,) = take(isp, router, 1)
    with isp.worker() as session:
        refused = outcome(one, Enforcement.REFUSED, "refused", heard=Heard.ANSWER)
        store_outcomes(session, isp.operator_id, [refused])
    assert health(isp, router)["down_since"] is None


def test_accounting_ends_the_outage_but_not_the_care(isp: Isp, router: Router, lines: list[Line]) -> None:
    """A session of that router was seen after its answers stopped: it is not down, and still left alone by CoA."""
    give_up(isp, router)
    engine = isp.database.engine(Role.WORKER)
    lines[0].query("UPDATE sessions SET last_seen_at = now() - interval '1 hour'")
    with Session(engine) as session:
        assert routers_that_spoke(session) == []
    lines[0].query("UPDATE sessions SET last_seen_at = now() + interval '1 second'")
    with Session(engine) as session:
        assert routers_that_spoke(session) == [(isp.operator_id, router.id)]
    with isp.worker() as session:
        note_accounting(session, router.id)

    said = health(isp, router)
    assert said["down_since"] is None
    assert said["left_alone_until"] is not None
    assert take(isp, router) == []
    with isp.web() as session:
        assert [one["name"] for one in silent_routers(session, isp.operator_id, 10)] == [router.name]


def test_nothing_is_written_for_a_router_that_answers(isp: Isp, router: Router, lines: list[Line]) -> None:
    """That it answers is noted once a minute, and not with every packet."""
    first, *rest = take(isp, router)
    store(isp, [first], Heard.ANSWER)
    noted = health(isp, router)["answered_at"]
    for one in rest:
        store(isp, [one], Heard.ANSWER)
    assert health(isp, router)["answered_at"] == noted
