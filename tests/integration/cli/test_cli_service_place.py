"""`ispagents service place`: one service, or many at once, given to a router's own configuration."""

from pathlib import Path
from typing import Any

import pytest
from fixtures_database import Database

NAMES = ("no", "0123", "łódź", 'a "quoted" one', "b" * 253)


@pytest.fixture
def hill(isp: Any) -> Any:
    """The command line with a router with an API, and customers of two plans."""
    isp.ok(
        "router", "add", "hill", "--address", "127.0.0.1", "--no-radius", "--api-user", "api", "--generate-api-password"
    )
    isp.ok("plan", "add", "Ordinary", "--rate", "1M/1M", "--price", "1.00")
    for name in NAMES:
        isp.ok("service", "add", name, "--subscriber", "K-1", "--plan", "Ordinary", "--generate-password")
    isp.ok("service", "add", "roof", "--subscriber", "K-1", "--plan", "Ordinary", "--method", "static")
    return isp


def held_by(isp: Any, name: str) -> str:
    """Which router holds a service."""
    return str(isp.ok("service", "show", name)["held_by"])


def test_a_plan_is_placed_after_its_counts(hill: Any, database: Database) -> None:
    """A preview changes nothing; then all that can be are placed, the rest is named, and the worker has few jobs."""
    with database.as_superuser() as connection:
        connection.execute("DELETE FROM procrastinate_jobs")
    words = ("service", "place", "--plan", "Ordinary", "--router", "hill")
    said = hill(*words, "--preview", "--json")
    assert (said.code, said.json["would_place"], said.json["placed"]) == (1, len(NAMES), 0)
    assert said.json["methods"] == {"pppoe": len(NAMES)}
    assert said.json["now_held_by"] == {"RADIUS": len(NAMES)}
    assert [(one["username"], "no address" in one["why"]) for one in said.json["refused"]] == [("roof", True)]
    assert held_by(hill, "no") == ""
    assert "say --yes, or --preview" in hill.refused(*words)

    said = hill(*words, "--yes", "--json")
    assert (said.code, said.json["placed"]) == (1, len(NAMES))
    assert [held_by(hill, name) for name in (*NAMES, "roof", "zofia")] == ["hill"] * len(NAMES) + ["", ""]
    assert hill(*words, "--yes", "--json").json["there_already"] == len(NAMES)
    with database.as_superuser() as connection:
        jobs = connection.execute(
            "SELECT jsonb_array_length(args -> 'service_ids') FROM procrastinate_jobs WHERE task_name LIKE 'enforce%'"
        ).fetchall()
        events = connection.execute("SELECT count(*) FROM audit_events WHERE event LIKE 'service:control:%'").fetchone()
    assert jobs == [(len(NAMES),)]
    assert events == (len(NAMES),)
    assert "5 are already, 1 cannot be" in hill(*words, "--yes").out


def test_several_names_and_a_file_of_names(hill: Any, tmp_path: Path) -> None:
    """With a mark at the beginning and Windows' line ends, as spreadsheets write them; unknown ones are named."""
    said = hill("service", "place", "no", "0123", "nobody", "--router", "hill", "--yes", "--json")
    assert (said.code, said.json["placed"]) == (1, 2)
    assert said.json["refused"] == [{"username": "nobody", "why": "There is no service with this user name."}]
    file = tmp_path / "names"
    file.write_bytes("\ufeff".encode() + "\r\n".join((*NAMES[2:], "no", "no", "")).encode())
    seen = hill.ok("service", "place", "--file", str(file), "--router", "hill", "--yes")
    assert (seen["placed"], seen["there_already"]) == (3, 1)
    assert [held_by(hill, name) for name in NAMES] == ["hill"] * len(NAMES)


def test_a_server_is_for_those_that_have_one(hill: Any) -> None:
    """A server's name means nothing to PPPoE and static customers, and is no place for anything at all."""
    place = ("service", "place")
    assert "zofia is a pppoe service" in hill.refused(*place, "zofia", "--router", "hill", "--server", "hs1")
    hill.ok(
        "service",
        "add",
        "AA:BB:CC:00:00:01",
        "--subscriber",
        "K-1",
        "--plan",
        "Ordinary",
        "--method",
        "dhcp",
        "--no-password",
    )
    (mac,) = [row["username"] for row in hill.ok("service", "list") if row["method"] == "dhcp"]
    assert hill.ok(*place, mac, "--router", "hill", "--server", "lan")["server"] == "lan"
    assert "254 bytes long" in hill.refused(*place, mac, "--router", "hill", "--server", "x" * 254)
    assert held_by(hill, "zofia") == ""


def test_nonsense_is_refused_in_one_sentence(hill: Any, tmp_path: Path) -> None:
    """Nothing named, two ways of naming, orders for one given to many, files that are none."""
    empty, odd = tmp_path / "empty", tmp_path / "odd"
    empty.write_text("\n\n")
    odd.write_bytes(b"\xff\xfe\x00")
    for words in (
        (),
        ("no",),
        ("no", "--plan", "Ordinary", "--router", "hill"),
        ("no", "0123"),
        ("no", "0123", "--radius", "--yes"),
        ("no", "0123", "--router", "hill", "--adopt", "--yes"),
        ("no", "--radius", "--server", "x"),
        ("no", "--radius", "--router", "hill"),
        ("no", "--adopt", "--server", "x"),
        ("--plan", "none", "--router", "hill", "--yes"),
        ("--plan", "Ordinary", "--router", "nowhere", "--yes"),
        ("--file", str(empty), "--router", "hill", "--yes"),
        ("--file", str(odd), "--router", "hill", "--yes"),
        ("--file", str(tmp_path), "--router", "hill", "--yes"),
    ):
        hill.refused("service", "place", *words)
    hill.ok("service", "close", "no")
    assert "no is closed" in hill.refused("service", "place", "no", "--router", "hill")
