"""The audit on the command line: reading it, verifying it, taking it away, and anchoring it elsewhere."""

# ruff: noqa: S608 - the statements are made of numbers

import json
from pathlib import Path
from typing import Any

import pytest
from fixtures_database import Database

from ispagents.cli import audit as audit_commands
from policy.audit_chain import Event, chain_hash, exported, genesis
from sql import audit_check, audit_export
from sql.audit_seal import seal
from sql.roles import Role


def sealed(database: Database) -> int:
    """What the worker does every few seconds."""
    return seal(database.engine(Role.WORKER), 1)


def tamper(database: Database, statement: str) -> None:
    """A superuser with the triggers switched off."""
    with database.as_superuser() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statement)


def test_events_are_listed_and_filtered(isp: Any, database: Database) -> None:
    """By name, user name, actor and time, the newest first, page by page."""
    isp.ok("service", "add", "adam", "--subscriber", "K-1", "--plan", "Home 50", "--generate-password")
    everything = isp.ok("audit", "list")
    assert [row["id"] for row in everything] == sorted((row["id"] for row in everything), reverse=True)
    assert {row["number"] for row in everything} == {None}
    sealed(database)
    assert [row["number"] for row in isp.ok("audit", "list")] == [row["id"] for row in everything]
    adams = isp.ok("audit", "list", "--username", "adam")
    assert {row["username"] for row in adams} == {"adam"}
    plans = isp.ok("audit", "list", "--event", "plan:")
    assert {row["event"].split(":")[0] for row in plans} == {"plan"}
    assert isp.ok("audit", "list", "--actor", everything[0]["actor"]) == isp.ok("audit", "list")
    assert isp.ok("audit", "list", "--since", "2020-01-01") == isp.ok("audit", "list")
    for words in (["--since", "2150-01-01"], ["--actor", "nobody"], ["--event", "pla_"], ["--before", "1"]):
        assert isp.ok("audit", "list", *words) == []
        assert isp("audit", "list", *words).out == "There is no such event.\n"
    said = isp("audit", "list", "--limit", "2")
    assert f"--before {everything[1]['id']}" in said.out
    assert isp.ok("audit", "list", "--before", str(everything[1]["id"]))[0]["id"] == everything[2]["id"]


def test_a_page_looks_at_a_bounded_number_of_events(isp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that matches little costs no more; the page says where to go on."""
    monkeypatch.setattr(audit_export, "LOOKED_AT", 2)
    first = isp.ok("audit", "list", "--limit", "1000")
    assert len(first) == 2
    said = isp("audit", "list", "--event", "operator:")
    assert said.out == f"None found so far. There may be more: go on with --before {first[-1]['id']}\n"
    event = isp.ok("audit", "list", "--before", "2")[0]["event"]
    rest = isp.ok("audit", "list", "--event", "operator:", "--before", "3")
    assert [row["event"] for row in rest] == [event]


def test_a_whole_audit_is_told(isp: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 0, how many are sealed and how many wait; progress goes to standard error."""
    said = isp("audit", "verify")
    assert (said.code, said.err) == (0, "")
    assert "0 events are sealed" in said.out
    assert "newer wait to be sealed" in said.out
    count = sealed(database)
    monkeypatch.setattr(audit_check, "PAGE_EVENTS", 2)
    monkeypatch.setattr(audit_commands, "TOLD_EVERY_EVENTS", 2)
    said = isp("audit", "verify")
    assert said.code == 0
    assert said.err.startswith(f"2 of {count} events verified\n")
    assert f"The audit is whole: {count} events are sealed" in said.out
    found = isp.ok("audit", "verify")
    assert (found["whole"], found["sealed"], found["waiting"], found["finding"]) == (True, count, 0, None)


def test_an_altered_event_is_named(isp: Any, database: Database) -> None:
    """Exit code 1, one sentence with number, event and time; the same as JSON."""
    sealed(database)
    tamper(database, "UPDATE audit_events SET actor = 'cli:somebody' WHERE id = 3")
    said = isp("audit", "verify")
    assert (said.code, said.err, said.out.count("\n")) == (1, "", 1)
    assert said.out.startswith("Event 3 (number 3) of 20")
    said = isp("audit", "verify", "--json")
    assert (said.code, said.json["whole"], said.json["sealed"]) == (1, False, 2)
    assert (said.json["finding"]["number"], said.json["finding"]["event_id"]) == (3, 3)


def test_an_event_that_waits_too_long_is_named(isp: Any, database: Database) -> None:
    """Without a worker nothing is sealed, and that is said."""
    sealed(database)
    tamper(database, "INSERT INTO audit_events (operator_id, at, actor, event) VALUES (1, '2020-01-01', 'x', 'a:b:c')")
    said = isp("audit", "verify")
    assert said.code == 1
    assert "not sealed yet" in said.out
    assert "Does the worker run?" in said.out


def test_anchors_find_what_the_chain_itself_cannot(isp: Any, database: Database, tmp_path: Path) -> None:
    """An end that was cut off and a chain that was computed anew look whole, but not beside the file."""
    file = tmp_path / "anchors"
    assert "Nothing is sealed yet" in isp.refused("audit", "anchor", str(file))
    count = sealed(database)
    isp.ok("audit", "anchor", str(file))
    isp.ok("operator", "set", "Wave", "--grace-days", "9")
    assert sealed(database) == 1
    said = isp("audit", "anchor", str(file))
    assert said.code == 0
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == [count, count + 1]
    said = isp("audit", "verify", "--anchor", str(file))
    assert (said.code, "agrees with 2 anchors" in said.out) == (0, True)

    tamper(
        database,
        f"DELETE FROM audit_seals WHERE number > {count}; DELETE FROM audit_events WHERE id > {count};"
        f"UPDATE audit_heads SET number = {count}, hash = (SELECT hash FROM audit_seals WHERE number = {count})",
    )
    assert isp("audit", "verify").code == 0
    said = isp("audit", "verify", "--anchor", str(file))
    assert (said.code, "cut off" in said.out) == (1, True)

    tamper(
        database,
        "UPDATE audit_events SET data = '{}' WHERE id = 2; DELETE FROM audit_seals; DELETE FROM audit_heads",
    )
    sealed(database)
    assert isp("audit", "verify").code == 0
    said = isp("audit", "verify", "--anchor", str(file), "--json")
    assert (said.code, said.json["whole"], said.json["finding"]["number"]) == (1, False, count)
    assert "rewritten" in said.json["finding"]["said"]


def test_an_anchor_file_that_proves_nothing_is_refused(isp: Any, database: Database, tmp_path: Path) -> None:
    """Missing, empty, of another operator, no anchors: exit code 2, never 0."""
    sealed(database)
    file = tmp_path / "anchors"
    assert "cannot be read" in isp.refused("audit", "verify", "--anchor", str(file))
    assert "cannot be read" in isp.refused("audit", "verify", "--anchor", str(tmp_path))
    file.write_text("")
    assert "no anchor of this operator" in isp.refused("audit", "verify", "--anchor", str(file))
    isp.ok("audit", "anchor", str(file))
    line = file.read_text()
    file.write_text(line.replace('"operator_id":1', '"operator_id":2'))
    assert "no anchor of this operator" in isp.refused("audit", "verify", "--anchor", str(file))
    for bad in ("nonsense\n", "\0\xff", "{}", "x" * 5000, line[:-9]):
        file.write_text(line + bad)
        assert "line 2 of" in isp.refused("audit", "verify", "--anchor", str(file))
    isp.refused("audit", "anchor", str(tmp_path / "nowhere" / "file"))
    isp.refused("audit", "anchor", str(tmp_path))


def test_a_torn_line_does_not_swallow_the_next_one(isp: Any, database: Database, tmp_path: Path) -> None:
    """What a lost power left stays alone and is named; the anchors behind it are whole lines."""
    sealed(database)
    file = tmp_path / "anchors"
    file.write_text('{"at":"2026')
    isp.ok("audit", "anchor", str(file))
    assert "line 1 of" in isp.refused("audit", "verify", "--anchor", str(file))
    file.write_text(file.read_text().partition("\n")[2])
    assert isp.ok("audit", "verify", "--anchor", str(file))["anchors"] == 1


def test_an_export_can_be_checked_by_anybody(isp: Any, database: Database, tmp_path: Path) -> None:
    """Lines of JSON in the chain's order, then what waits; the hashes come out of the lines alone."""
    count = sealed(database)
    isp.ok("operator", "set", "Wave", "--grace-days", "9")
    said = isp("audit", "export")
    assert (said.code, said.err) == (0, "")
    found = [json.loads(line) for line in said.out.splitlines()]
    assert [one["number"] for one in found] == [*range(1, count + 1), None]
    before = genesis(1)
    for one, line in zip(found[:-1], said.out.splitlines(), strict=False):
        event = Event(**{**one["event"], "data": json.dumps(one["event"]["data"])})
        assert one["before"] == before
        before = chain_hash(before, event)
        assert one["hash"] == before
        assert line == exported(one["number"], one["before"], before, event)
    file = tmp_path / "export.jsonl"
    assert isp("audit", "export", str(file)).out == f"{count + 1} events are in {file}.\n"
    assert file.read_text() == said.out
    assert file.stat().st_mode & 0o777 == 0o600
    assert "already" in isp.refused("audit", "export", str(file))
    assert isp("audit", "export", "--after", str(count - 1)).out == "\n".join(said.out.splitlines()[-2:]) + "\n"
    isp.refused("audit", "export", str(tmp_path / "other"), "--after", "999")
    assert not (tmp_path / "other").exists()


def test_an_event_that_is_sealed_during_the_export_is_not_left_out(
    isp: Any, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands there with its number."""
    real = audit_export._unsealed

    def meanwhile(*arguments: Any) -> Any:
        sealed(database)
        yield from real(*arguments)

    monkeypatch.setattr(audit_export, "_unsealed", meanwhile)
    numbers = [json.loads(line)["number"] for line in isp("audit", "export").out.splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) == len(isp.ok("audit", "list"))


NONSENSE = [
    ["list", "--before", "0"],
    ["list", "--before", "x"],
    ["list", "--limit", "0"],
    ["list", "--since", "yesterday"],
    ["list", "--username", "nobody"],
    ["list", "--operator", "nobody"],
    ["verify", "--anchor", ""],
    ["verify", "--operator", "nobody"],
    ["verify", "extra"],
    ["export", "--after", "-1"],
    ["export", "--after", "7"],
    ["export", "/nowhere/file"],
    ["export", "/"],
    ["anchor"],
    ["anchor", ""],
    ["anchor", "/nowhere/file"],
]


def test_nonsense_is_refused_in_one_sentence(isp: Any) -> None:
    """Each of the list above: exit code 2."""
    for words in NONSENSE:
        assert len(isp.refused("audit", *words)) > 15, words


@pytest.mark.parametrize("value", ["anchors", "", "./x"])
def test_an_anchor_file_needs_a_whole_path(isp: Any, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Every process starts in a folder of its own."""
    monkeypatch.setenv("ISPAGENTS_AUDIT_ANCHOR_FILE", value)
    sentence = isp.refused("audit", "list")
    assert "ISPAGENTS_AUDIT_ANCHOR_FILE" in sentence
    assert "begins with /" in sentence
