"""`ispagents explain`, `timeline` and `note` as a person uses them."""

from typing import Any

import pytest
from fixtures_database import Database, Isp

from sql.customers import service_by_username


def _isp(database: Database) -> Isp:
    return Isp(database, 1)


def _online(database: Database, username: str = "zofia") -> int:
    """Reviewed by the worker, and online with what is authorised."""
    worker = _isp(database)
    worker.review()
    with worker.web() as session:
        service = service_by_username(session, 1, username)
    return worker.online(service, worker.router(), service.authorised_stamp)


def _suspend(isp: Any, database: Database) -> None:
    _isp(database).review()
    isp.ok("invoice", "add", "K-1", "--amount", "30.00", "--due-in-days", "-21")
    _isp(database).review()
    (change,) = isp.ok("change", "list", "--state", "awaiting_approval")
    isp.ok("change", "approve", str(change["id"]), "--yes")


def test_all_is_well_is_said_first(isp: Any, database: Database) -> None:
    """One sentence, then what is known; nothing to do."""
    _online(database)
    said = isp("explain", "zofia")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0].startswith(
        "Zofia Kowalska is online with all that the plan Home 50 gives (10M/50M), on tower since"
    )
    assert lines[2] == "What is known:"
    assert "Next:" not in lines


def test_the_answer_leads_to_a_command_that_restores(isp: Any, database: Database) -> None:
    """Refused and unpaid: the command that the answer names is typed, and afterwards the debt is gone from it."""
    _suspend(isp, database)
    found = isp.ok("explain", "zofia")
    assert set(found) == {"username", "answer", "state", "causes", "facts", "next_steps"}
    assert found["state"] == "offline"
    assert [cause["code"] for cause in found["causes"]] == ["never_online", "unpaid"]
    assert "a payment of 30.00 EUR restores the service by itself" in found["causes"][1]["remedy"]
    invoice = next(fact for fact in found["facts"] if fact["evidence"].startswith("invoice "))
    assert invoice["age_s"] // 86400 == 21
    (pay,) = [step["command"] for step in found["next_steps"] if "payment" in step["command"]]
    assert pay == "ispagents payment add K-1 --amount 30.00"
    said = isp("explain", "zofia").out
    assert f"Also:\n  - {invoice['evidence']}, due on" in said
    assert "Next:\n  ispagents service show zofia\n" in said
    isp.ok(*pay.split()[1:])
    _isp(database).review()
    assert [cause["code"] for cause in isp.ok("explain", "zofia")["causes"]] == ["never_online"]


def test_an_unknown_name_is_told_with_similar_ones(isp: Any) -> None:
    """Exit code 1 and one sentence with the names that begin alike, as text and as JSON."""
    said = isp("explain", "zofi")
    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "There is no service with the user name 'zofi'; similar ones are 'zofia'. Next: ispagents explain zofia\n"
    )
    said = isp("explain", "zofi", "--json")
    assert (said.code, said.err, said.json["similar"], said.json["state"]) == (1, "", ["zofia"], "unknown")
    said = isp("explain", "nobody\n")
    assert said.code == 1
    assert said.err == "There is no service with the user name 'nobody\\n'. Next: ispagents service list\n"


@pytest.mark.parametrize("name", ["no", "0123", "łódź", 'it\'s "odd"', "two\nlines", "-x", "x" * 253, "\x1b[31m\u202e"])
def test_odd_names_print_safely(isp: Any, database: Database, name: str) -> None:
    """Names of customers, plans, services and routers, notes and promises: no letter steers the terminal."""
    for words in (
        ["plan", "add", "--rate=1M/1M", "--", name],
        ["subscriber", "add", "--", name, name],
        ["service", "add", f"--subscriber={name}", f"--plan={name}", "--generate-password", "--", name],
        ["note", "add", "--", name, name],
        ["hold", "add", "--until=2150-01-01", f"--reason={name}", "--", name],
    ):
        assert isp(*words).code == 0, words
    _isp(database).review()
    for words in (["explain"], ["timeline"], ["explain", "--json"], ["timeline", "--json"]):
        said = isp(*words, "--", name)
        assert (said.code, said.err) == (0, ""), words
        if "--json" not in words:
            assert said.out.replace("\n", "").isprintable()
    assert isp("explain", "--", name).out.splitlines()[0].endswith(".")
    (note,) = isp("timeline", "--json", "--kind=note", "--", name).json
    assert note["details"]["text"] == name


def test_a_story_is_read_page_by_page(isp: Any, database: Database) -> None:
    """Each page names the key of the next; times carry the operator's offset; evidence is indented."""
    isp.ok("operator", "set", "Wave", "--time-zone", "Asia/Kathmandu")
    _online(database)
    isp.ok("note", "add", "zofia", "first line\nsecond line")
    lines = isp("timeline", "zofia", "--kind", "note").out.splitlines()
    assert len(lines) == 2
    assert "+0545  note        cli:" in lines[0]
    assert lines[1] == "        second line"
    page = isp("timeline", "zofia", "--limit", "2").out.splitlines()
    assert "go on with --before " in page[-1]
    before = page[-1].split("--before ")[1]
    told = isp.ok("timeline", "zofia")
    assert isp.ok("timeline", "zofia", "--before", before) == told[:-2]
    assert isp.ok("timeline", "zofia", "--since", "2150-01-01") == []
    assert isp("timeline", "zofia", "--kind", "refused").out == "Nothing has happened that is asked for.\n"


def test_nonsense_is_refused_in_one_sentence(isp: Any) -> None:
    """Unknown names, kinds, keys and moments; notes that are none."""
    for words in (
        ["explain"],
        ["explain", "zofia", "--operator", "nobody"],
        ["explain", "a\0b"],
        ["timeline", "nobody"],
        ["timeline", "zofia", "--kind", "gossip"],
        ["timeline", "zofia", "--since", "yesterday"],
        ["timeline", "zofia", "--before", "x"],
        ["timeline", "zofia", "--before", "x,y"],
        ["timeline", "zofia", "--before", "9999-12-31T23:59-12:00"],
        ["timeline", "zofia", "--limit", "1001"],
        ["note", "add", "zofia"],
        ["note", "add", "zofia", ""],
        ["note", "add", "zofia", "x" * 2001],
        ["note", "add", "nobody", "x"],
        ["note", "gossip"],
    ):
        sentence = isp.refused(*words)
        assert sentence.isprintable(), words
        assert len(sentence) > 15, words
    assert isp.ok("timeline", "zofia", "--kind", "note") == []
