"""`ispagents router health`: a table of routers, and everything of one."""

from typing import Any

import pytest
from fixtures_database import Database


@pytest.fixture
def seen(isp: Any, database: Database) -> Any:
    """A router whose API was looked at, and failed the last times."""
    options = ("--address", "10.1.2.3", "--generate-secret", "--api-user", "api", "--generate-api-password")
    isp.ok("router", "add", "tower", *options)
    isp.ok("router", "add", "new one", "--address", "10.1.2.4", "--generate-secret")
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO router_checks (operator_id, router_id, path, state, failures, checked_at, failed_at, "
            "latency_ms, error, facts) SELECT operator_id, id, 'api', 'offline', 5, now(), now(), 3.25, "
            "'10.1.2.3 port 8729 refused the connection: enable api-ssl in its /ip service.', "
            '\'{"version": "7.16.1", "uptime_s": 7200, "cpu_percent": 12, "clock_skew_s": -400.0}\' '
            "FROM routers WHERE name = 'tower'"
        )
        connection.execute(
            "INSERT INTO router_check_hours (operator_id, router_id, path, hour, checks, failures, latency_sum_ms, "
            "latency_max_ms, cpu_sum_percent, cpu_max_percent) "
            "SELECT operator_id, id, 'api', date_trunc('hour', now()), 10, 5, 20, 9, 100, 40 "
            "FROM routers WHERE name = 'tower'"
        )
    return isp


def test_the_list_has_every_way_of_every_router(seen: Any) -> None:
    """States, latency and what to look at; what was never looked at is unknown."""
    new, tower = seen.ok("router", "health")
    assert (tower["state"], tower["paths"]["api"]["state"], tower["paths"]["radius"]["state"]) == (
        "offline",
        "offline",
        "unknown",
    )
    assert list(new["paths"]) == ["radius", "coa"]
    assert "400 s" not in tower["notes"][0]
    assert "6 minutes behind" in tower["notes"][0]
    said = seen("router", "health")
    assert (said.code, said.err) == (0, "")
    for words in ("tower", "new one", "offline", "enable api-ssl", "7.16.1", "2 hours"):
        assert words in " ".join(said.out.split())


def test_one_router_with_its_past(seen: Any) -> None:
    """Averages are of the checks that were answered."""
    row = seen.ok("router", "health", "tower")
    (hour,) = row["history"]
    assert (hour["latency_ms"], hour["cpu_percent"], hour["failures"]) == (4.0, 20.0, 5)
    assert row["paths"]["api"]["failures_in_a_row"] == 5
    assert seen.ok("router", "health", "tower", "--hours", "0")["history"] == []
    said = seen("router", "health", "tower")
    assert (said.code, said.err) == (0, "")
    assert "Hours (UTC)" in said.out


def test_status_says_that_a_router_is_offline(seen: Any, database: Database) -> None:
    """One line, with the command that says more."""
    with database.as_superuser() as connection:
        assert connection.execute("SELECT offline_routers FROM machine_health()").fetchone() == (1,)


def test_nonsense_is_refused_in_one_sentence(isp: Any) -> None:
    """No router, no such router, hours beyond what is kept."""
    said = isp("router", "health")
    assert (said.code, said.out.startswith("There is no router yet")) == (0, True)
    assert isp.ok("router", "health") == []
    for name in ("nobody", "", "łódź", "x" * 300):
        assert "router" in isp.refused("router", "health", name)
    isp.refused("router", "health", "--hours", "-1")
    isp.refused("router", "health", "--hours", "99999")
    isp.refused("router", "health", "--limit", "0")
