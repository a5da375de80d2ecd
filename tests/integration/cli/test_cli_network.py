"""`ispagents network`: the switch, what waits behind it, and the routers that do not answer."""

from datetime import UTC, datetime
from typing import Any

import pytest
from fixtures_database import Database, Isp

from ispagents.cli.status import _change_problems
from sql import customers
from sql.enforcement import enforce
from sql.roles import Role
from sql.sessions import operator_names


@pytest.fixture
def behind(isp: Any, database: Database) -> Isp:
    """The operator of the command line, with a step that waits at the router `tower`."""
    found = Isp(database, operator_names(database.engine(Role.WEB))["Wave"])
    with found.web() as session:
        service = customers.service_by_username(session, found.operator_id, "zofia")
    found.review()
    found.online(service, found.router(coa_address_list=True), "1-00000000000000ff")
    with found.worker() as session:
        enforce(session, found.operator_id, [service.id], datetime.now(UTC))
    return found


def test_stopping_and_starting_is_one_command_each(isp: Any, behind: Isp) -> None:
    """What is so now, who did it, and what waits; a second time changes nothing and says so."""
    assert isp.ok("network", "status")["network_writes"] == "on"
    row = isp.ok("network", "stop")
    assert (row["network_writes"], row["steps_due"]) == ("stopped", 1)
    assert row["stopped_by"].startswith("cli:")
    assert "already" in isp.ok("network", "stop")["said"]
    row = isp.ok("network", "start")
    assert (row["network_writes"], row["stopped_at"], row["stopped_by"]) == ("on", None, "")
    assert "not stopped" in isp.ok("network", "start")["said"]
    with behind.database.as_superuser() as connection:
        events = connection.execute(
            "SELECT event FROM audit_events WHERE event LIKE 'network:%' ORDER BY id"
        ).fetchall()
    assert events == [("network:writes:stop",), ("network:writes:start",)]


def test_a_silent_router_shows_everywhere(isp: Any, behind: Isp) -> None:
    """In the list of routers, in its own page and in the network's state, for people too."""
    assert isp.ok("router", "show", "tower")["health"] == "not asked yet"
    with behind.database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO router_health (router_id, operator_id, misses, down_since, left_alone_until) "
            "SELECT id, operator_id, 5, now() - interval '1 hour', now() + interval '1 minute' FROM routers"
        )
    assert isp.ok("router", "show", "tower")["health"].startswith("5 answers missed in a row, left alone")
    assert isp.ok("router", "list")[0]["down_since"] is not None
    assert [one["name"] for one in isp.ok("network", "status")["silent_routers"]] == ["tower"]
    said = isp("network", "status")
    assert (said.code, said.err) == (0, "")
    assert "Routers that do not answer" in said.out


def test_an_alarm_is_counted_and_shown_with_its_change(isp: Any, behind: Isp) -> None:
    """`status` counts the session, and the change that was not proved says what to try."""
    with behind.database.as_superuser() as connection:
        (change_id,) = connection.execute(
            "UPDATE steps SET state = 'unverified', route = 'disconnect', ended_at = now(), "
            "explanation = 'Still unrestricted: look on the router.' RETURNING change_id"
        ).fetchone() or (0,)
        row = connection.execute("SELECT unverified_steps FROM machine_health()").fetchone()
    assert row == (1,)
    assert "Still unrestricted: look on the router." in str(isp.ok("change", "show", str(change_id)))


def test_status_has_a_sentence_for_each_count(database: Database) -> None:
    """Whatever the database counts is said in words, and nothing where nothing is wrong."""
    with database.engine(Role.WEB).connect() as connection:
        counts = dict(connection.exec_driver_sql("SELECT * FROM machine_health()").mappings().one())
    assert _change_problems(counts) == []
    problems = _change_problems(dict.fromkeys(counts, 3))
    assert len(problems) == len(counts) == 8
    assert all("3" in one for one in problems)


def test_nonsense_is_refused_in_one_sentence(isp: Any) -> None:
    """An operator that is not there, and words that are no command's."""
    for command in ("stop", "start", "status"):
        assert "There is no operator" in isp.refused("network", command, "--operator", "nobody")
        isp.refused("network", command, "now")
