"""`ispagents drift`: run, list, show, leave and fix, on a simulated router."""

from collections.abc import Iterator
from typing import Any

import pytest
from fixtures_database import Database

from simulators.routeros import ApiUser, RouterOs, RouterOsSettings

PASSWORD = "made up for the api"
OLD = "ispagents:service-9999 łódź"


@pytest.fixture
def device() -> Iterator[RouterOs]:
    """A router on which somebody else has been, and something of ours was left over."""
    settings = RouterOsSettings(users=(ApiUser(name="api", password=PASSWORD),))
    with RouterOs(settings) as router:
        router.add("/queue/simple", name='an "old" one', target="10.7.0.1", max_limit="1M/1M", comment=OLD)
        router.add("/ppp/secret", name="zofia", password="theirs")
        yield router


@pytest.fixture
def town(isp: Any, device: RouterOs, tmp_path: Any) -> Any:
    """The command line with this router."""
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    isp.ok(
        *("router", "add", "hill", "--address", "127.0.0.1", "--generate-secret"),
        *("--api-user", "api", "--api-password-file", str(secret), "--api-security", "plain"),
    )
    isp.ok("router", "api", "set", "hill", "--port", str(device.port))
    return isp


def test_from_run_to_fixed(town: Any, device: RouterOs, database: Database) -> None:
    """What is found is listed with its cause, previewed, left or mended, and gone with the next run."""
    (ran,) = town.ok("drift", "run")
    assert (ran["router"], ran["error"], ran["found"]) == ("hill", "", ran["new"])
    rows = {row["kind"]: row for row in town.ok("drift", "list")}
    assert rows.keys() == {"orphan", "local_user", "radius_gone"}
    assert rows["local_user"]["username"] == "zofia"
    number = str(rows["orphan"]["number"])
    said = town("drift", "show", number)
    assert (said.code, said.err) == (0, "")
    assert r'/queue simple remove [find name="an \"old\" one"]' in said.out
    assert "#   undo: /queue simple add" in said.out

    local = str(rows["local_user"]["number"])
    assert town.ok("drift", "leave", local, "--reason", "until Friday")["left_reason"] == "until Friday"
    assert local not in [str(row["number"]) for row in town.ok("drift", "list", "--router", "hill")]
    assert [row["number"] for row in town.ok("drift", "list", "--left")] == [int(local)]
    assert town.ok("drift", "leave", local, "--show-again")["left_at"] is None

    (fixed,) = town.ok("drift", "fix", number)
    assert fixed["done"]
    assert device.rows("/queue/simple") == []
    assert town.ok("drift", "show", number)["gone_at"] is not None
    assert "is gone already" in town.refused("drift", "fix", number)
    assert "taken back" in town.ok("drift", "undo", number)["said"]
    assert [row["comment"] for row in device.rows("/queue/simple")] == [OLD]
    said = town("drift", "fix", number, local, "--json")
    assert said.code == 1
    assert [row["done"] for row in said.json] == [False, False]
    assert device.rows("/ppp/secret")[0]["disabled"] == "false"
    with database.as_superuser() as connection:
        events = connection.execute(
            "SELECT event, actor LIKE 'cli:%' FROM audit_events WHERE event LIKE 'drift:%' ORDER BY id"
        ).fetchall()
    assert events == [
        (f"drift:finding:{what}", True) for what in ("leave", "show", "fix", "outcome", "undo", "outcome")
    ]
    assert "hill" in town("drift", "list").out


def test_all_that_a_router_should_hold_is_healed_after_a_preview(town: Any, device: RouterOs) -> None:
    """Counts first, then one order; what is not ours, and what was left over, stays for people."""
    town.ok("service", "place", "zofia", "--router", "hill")
    seen = town.ok("drift", "fix", "--all", "hill", "--preview")
    assert (seen["services"], seen["said"], seen["others"]["orphan"]) == (0, [], 1)
    said = town("drift", "fix", "--all", "hill", "--preview")
    assert "nothing that it should hold is missing or changed" in said.out
    assert "1 orphan" in said.out
    assert "say --yes, or --preview" in town.refused("drift", "fix", "--all", "hill")
    for words in (("--all", "hill", "1"), ("1", "--yes"), ("1", "--preview"), (), ("--all", "nobody", "--yes")):
        town.refused("drift", "fix", *words)
    device.set("/ip/service", "api", disabled="no")
    town.ok("router", "api", "set", "hill", "--port", "1")
    assert "could not be compared" in town.refused("drift", "fix", "--all", "hill", "--yes")
    assert len(device.rows("/queue/simple")) == 1


def test_nothing_is_sent_while_network_writes_are_stopped(town: Any, device: RouterOs) -> None:
    """The switch holds here too; comparing goes on."""
    town.ok("network", "stop")
    town.ok("drift", "run", "hill")
    (number,) = (row["number"] for row in town.ok("drift", "list") if row["kind"] == "orphan")
    assert "stopped" in town.refused("drift", "fix", str(number))
    assert len(device.rows("/queue/simple")) == 1


def test_a_router_that_cannot_be_read_is_said_and_the_exit_code_is_one(town: Any) -> None:
    """In one sentence, beside the others."""
    town.ok("router", "api", "set", "hill", "--port", "1")
    said = town("drift", "run", "--json")
    assert said.code == 1
    assert "refused the connection" in said.json[0]["error"]


def test_nonsense_is_refused_in_one_sentence(isp: Any) -> None:
    """Numbers that are none, findings that are not there, no reason, routers without an API."""
    assert isp.ok("drift", "list") == []
    assert isp.ok("drift", "run") == []
    for word in ("0", "-1", "x", "9" * 30, "1.5"):
        for command in ("show", "leave", "fix", "undo"):
            isp.refused("drift", command, word)
    assert "no finding 7" in isp.refused("drift", "show", "7")
    assert "no finding 7" in isp.refused("drift", "leave", "7", "--reason", "why")
    assert "no finding 7" in isp.refused("drift", "fix", "7")
    assert "no finding 7" in isp.refused("drift", "undo", "7")
    assert "nobody" in isp.refused("drift", "run", "nobody")
    isp.refused("drift", "list", "--router", "nobody")
    isp.refused("drift", "list", "--after", "x")
    isp.ok("router", "add", "tower", "--address", "10.1.2.3", "--generate-secret")
    assert "no API" in isp.refused("drift", "run", "tower")
