"""Whatever a person types: one clear sentence, exit code 2, nothing half stored, never a traceback."""

# ruff: noqa: S608 - the table names come from the catalog

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fixtures_database import Database, DatabaseServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ispagents import cli

LONG = "x" * 254
PRETTY = [
    "O'Brien; DROP TABLE services",
    '"quoted"',
    "no",
    "0123",
    "łódź",
    "a b",
    "%s",
    ":x",
    "x -- y",
    "x" * 253,
    "\n x",
]


def _rows(database: Database) -> dict[str, list[Any]]:
    with database.as_superuser() as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        return {
            name: sorted(row[0] for row in connection.execute(f"SELECT t::text FROM {name} AS t").fetchall())
            for (name,) in tables
        }


REFUSED = [
    ["operator", "add", "", "--currency", "EUR"],
    ["operator", "add", LONG, "--currency", "EUR"],
    ["operator", "add", "Wave", "--currency", "EUR"],
    ["operator", "add", "x", "--currency", "eur"],
    ["operator", "add", "x", "--currency", "EUR", "--time-zone", "Mars/Olympus"],
    ["operator", "add", "x", "--currency", "EUR", "--grace-days", "-1"],
    ["operator", "set", "Wave", "--automatic", "everything"],
    ["operator", "set", "Wave", "--refusals", "{"],
    ["operator", "set", "Wave", "--refusals", "[]"],
    ["operator", "set", "Wave", "--refusals", '{"unknown_user": 1}'],
    ["operator", "set", "Wave", "--refusals", "[" * 20000],
    ["operator", "set", "nobody"],
    ["plan", "add", ""],
    ["plan", "add", " \t"],
    ["plan", "add", LONG],
    ["plan", "add", "Home 50"],
    *(
        ["plan", "add", "x", "--rate", rate]
        for rate in ("fast", "10M/", "-1M", "10m", "9" * 400, "1/1", "10M 5M", "NaN")
    ),
    *(
        ["plan", "add", "x", "--price", price]
        for price in ("-1", "NaN", "1e9", "1,50", "1.005", "9" * 40, "", "inf", "１")
    ),
    ["plan", "add", "x", "--suspended-look", "pool"],
    ["plan", "add", "x", "--suspended-look", "loud"],
    ["plan", "add", "x", "--suspended-list", ""],
    ["plan", "add", "x", "--suspended-list", "l" * 248],
    ["plan", "add", "x", "--quota-gb", "-1"],
    ["plan", "add", "x", "--quota-gb", "9" * 30],
    ["plan", "add", "x", "--session-timeout", "99999999999999999999"],
    ["plan", "add", "x", "--interim", "1"],
    ["plan", "add", "x", "--facts", "{"],
    ["plan", "add", "x", "--facts", '{"unknown": 1}'],
    ["plan", "add", "x", "--facts", '{"pool": "\\ud800"}'],
    ["plan", "add", "x", "--facts", '{"quota_bytes": NaN}'],
    ["plan", "add", "x", "--facts", '{"quota_bytes": 1e400}'],
    ["plan", "add", "x", "--facts", '{"suspended": []}', "--suspended-pool", "x"],
    ["plan", "add", "x", "--facts", '{"time_zone": "Mars"}'],
    ["plan", "change", "nothing", "--rate", "1M"],
    ["plan", "show", "nothing"],
    ["plan", "show", ""],
    ["subscriber", "add", "", "x"],
    ["subscriber", "add", "x", ""],
    ["subscriber", "add", "K-1", "x"],
    ["subscriber", "add", LONG, "x"],
    ["subscriber", "add", "x", "y" * 1025],
    ["subscriber", "add", "x", "y", "--email", "e" * 321],
    ["subscriber", "add", "x", "y", "--phone", "1" * 65],
    ["subscriber", "add", "x", "y", "--language", "Polish"],
    ["subscriber", "add", "x", "y", "--time-zone", "none"],
    ["subscriber", "add", "x", "y", "--time-zone", "../../etc/passwd"],
    ["subscriber", "add", "x", "y", "--time-zone", ""],
    ["subscriber", "show", "nobody"],
    ["subscriber", "list", "--limit", "0"],
    ["subscriber", "list", "--limit", "9" * 30],
    ["service", "add", "", "--subscriber", "K-1", "--plan", "Home 50", "--generate-password"],
    ["service", "add", LONG, "--subscriber", "K-1", "--plan", "Home 50", "--generate-password"],
    ["service", "add", "zofia", "--subscriber", "K-1", "--plan", "Home 50", "--generate-password"],
    ["service", "add", "x", "--subscriber", "nobody", "--plan", "Home 50", "--generate-password"],
    ["service", "add", "x", "--subscriber", "K-1", "--plan", "nothing", "--generate-password"],
    ["service", "add", "x", "--subscriber", "K-1", "--plan", "Home 50", "--method", "pigeon", "--generate-password"],
    ["service", "add", "x", "--subscriber", "K-1", "--plan", "Home 50", "--password-file", "/nowhere"],
    ["service", "add", "x", "--subscriber", "K-1", "--plan", "Home 50", "--password-file", "/"],
    ["service", "add", "x", "--subscriber", "K-1", "--plan", "Home 50", "--password", "secret"],
    *(
        ["service", "set", "zofia", *words]
        for words in (
            [],
            ["--plan", "nothing"],
            ["--address", "10.1.1.256"],
            ["--address", "127.0.0.1"],
            ["--ipv6-prefix", "2001:db8::1/64"],
            ["--route", "nonsense"],
            ["--prepaid-until", "tomorrow"],
            ["--prepaid-until", "9999-12-31"],
            ["--prepaid-until", "0001-01-01T00:00+14:00"],
            ["--prepaid-until", "9999-12-31T23:59-12:00"],
            ["--prepaid-until", "2026-02-30"],
        )
    ),
    ["service", "show", "nobody"],
    ["service", "password", "nobody", "--generate-password"],
    ["service", "password", "zofia", "--password-stdin"],
    ["service", "unbind", "nobody"],
    ["service", "close", "nobody"],
    ["timeline", "nobody"],
    ["timeline", "zofia", "--limit", "0"],
    ["router", "add", "", "--address", "10.1.1.1", "--generate-secret"],
    ["router", "add", LONG, "--address", "10.1.1.1", "--generate-secret"],
    ["router", "add", "x", "--address", "router.example", "--generate-secret"],
    ["router", "add", "x", "--address", "10.1.1.1", "--coa-port", "0", "--generate-secret"],
    ["router", "add", "x", "--address", "10.1.1.1", "--coa-window", "5000", "--generate-secret"],
    ["router", "add", "x", "--address", "10.1.1.1", "--node", "nowhere", "--generate-secret"],
    ["router", "add", "x", "--address", "10.1.1.1"],
    ["router", "add", "x", "--address", "10.1.1.1", "--secret-file", "/nowhere"],
    ["router", "set", "nowhere", "--secret-file", "/"],
    ["router", "api", "set", "nowhere", "--style", "/"],
    ["router", "script", "nowhere", "--server", "10.1.1.1", "--out", "/nowhere/x"],
    ["router", "set", "nowhere", "--coa-port", "1700"],
    ["router", "remove", "nowhere"],
    ["router", "show", "nowhere"],
    *(
        ["invoice", "add", "K-1", "--amount", amount, "--due-in-days", "1"]
        for amount in ("0", "-5", "NaN", "1e3", "9" * 30)
    ),
    ["invoice", "add", "nobody", "--amount", "1", "--due-in-days", "1"],
    ["invoice", "add", "K-1", "--amount", "1"],
    ["invoice", "add", "K-1", "--amount", "1", "--due-in-days", "1", "--due", "2026-12-01"],
    ["invoice", "add", "K-1", "--amount", "1", "--due-in-days", "99999"],
    ["invoice", "add", "K-1", "--amount", "1", "--due", "1999-12-31"],
    ["invoice", "add", "K-1", "--amount", "1", "--due", "31.12.2026"],
    ["invoice", "add", "K-1", "--amount", "1", "--due-in-days", "1", "--description", "x" * 1025],
    ["invoice", "void", "7"],
    ["invoice", "void", "x"],
    ["invoice", "void", "9" * 30],
    ["invoice", "list", "--after", "x"],
    ["payment", "add", "nobody", "--amount", "1"],
    ["payment", "add", "K-1", "--amount", "-1"],
    ["payment", "add", "K-1", "--amount", "1", "--method", ""],
    ["payment", "add", "K-1", "--amount", "1", "--method", "m" * 65],
    ["payment", "add", "K-1", "--amount", "1", "--external-id", ""],
    ["payment", "add", "K-1", "--amount", "1", "--note", "x" * 1025],
    ["hold", "add", "zofia", "--until", "2020-01-01", "--reason", "x"],
    ["hold", "add", "zofia", "--until", "2999-01-01", "--reason", "x"],
    ["hold", "add", "zofia", "--until", "2150-01-01", "--reason", ""],
    ["hold", "end", "7"],
    ["change", "show", "7"],
    ["change", "show", "0"],
    ["change", "show", "9" * 30],
    ["change", "approve"],
    ["change", "reject", "7"],
    ["change", "list", "--state", "odd"],
    ["change", "list", "--after", "awaiting:x"],
    ["change", "list", "--batch", "0"],
    ["change", "undo", "7", "--until", "2150-01-01", "--reason", "x"],
    ["change", "undo", "1", "--until", "2150-01-01", "--reason", "x"],
    ["change", "undo", "1", "--until", "yesterday", "--reason", "x"],
    ["change", "undo", "1"],
    ["batch", "show", "7"],
    ["batch", "show", "x"],
    ["batch", "approve", "7", "--yes"],
    ["batch", "approve", "7"],
    ["batch", "reject", "7"],
    ["batch", "undo", "7", "--until", "2150-01-01", "--reason", "x"],
    ["batch", "list", "--before", "0"],
    ["override", "end", "7"],
    ["override", "list", "--limit", "0"],
    *(
        ["operator", "set", "Wave", *words]
        for words in (
            ["--approval-rules", "{}"],
            ["--approval-rules", "[7]"],
            ["--approval-rules", "[" * 5000],
            ["--approval-rules", '[{"name": "x", "people": 3}]'],
            ["--brake-percent", "101"],
            ["--brake-percent", "nan"],
            ["--brake-number", "-1"],
            ["--payment-feed-hours", "99999"],
            ["--change-days", "0"],
        )
    ),
    ["nonsense"],
    ["plan", "nonsense"],
    ["plan", "list", "--nonsense"],
    ["plan", "list", "--operator", "nobody"],
    ["plan", "list", "--operator", "a\0b"],
    ["plan", "show", "\udcff\udcfe"],
    ["subscriber", "add", "K-\udcff", "x"],
    ["subscriber", "list", "--search", "\ud800"],
    ["hold", "add", "zofia", "--until", "2150-01-01", "--reason", "\udc80"],
]


def test_nonsense_is_refused_in_one_sentence_and_stores_nothing(isp: Any, database: Database) -> None:
    """Each command of the list above."""
    before = _rows(database)
    for words in REFUSED:
        sentence = isp.refused(*words)
        assert len(sentence) > 15, words
        assert sentence.isprintable(), words
        assert "psycopg" not in sentence, words
        assert "Err" not in sentence, words
    assert _rows(database) == before


@pytest.mark.parametrize("name", PRETTY)
def test_odd_names_are_ordinary(isp: Any, name: str) -> None:
    """Quotes, digits, words of YAML, umlauts and line breaks: stored as they are and found again."""
    isp.ok("plan", "add", name, "--rate", "1M/1M")
    isp.ok("subscriber", "add", name, name)
    isp.ok("service", "add", name, "--subscriber", name, "--plan", name, "--generate-password")
    isp.ok("router", "add", name, "--address", "10.1.1.1", "--generate-secret")
    assert isp.ok("service", "show", name)["username"] == name
    assert isp.ok("subscriber", "show", name)["services"][0]["plan"] == name
    assert isp.ok("router", "show", name)["name"] == name
    for noun in ("plan", "subscriber", "service", "router"):
        assert isp(noun, "list").out.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    "typed", [b"", b"\n", b"\xff\xfe\n", b"x" * 129 + b"\n", b"a\0b\n", "ł".encode() * 65, b"x" * 5000]
)
def test_a_password_that_cannot_be_is_refused(isp: Any, typed: bytes, database: Database) -> None:
    """From standard input: nothing, no UTF-8, a zero byte, or more than RADIUS carries; it is repeated to nobody."""
    before = _rows(database)
    sentence = isp.refused("service", "password", "zofia", "--password-stdin", typed=typed)
    assert "password" in sentence
    assert "xxxx" not in sentence
    assert _rows(database) == before


def test_with_two_operators_one_must_be_chosen(isp: Any) -> None:
    """The sentence names them; with --operator it works, and each has names of its own."""
    isp.ok("operator", "add", "Second", "--currency", "PLN")
    for noun in ("plan", "subscriber", "service", "router", "invoice", "payment", "hold", "change"):
        sentence = isp.refused(noun, "list")
        assert "'Second'" in sentence
        assert "'Wave'" in sentence
    isp.ok("plan", "add", "Home 50", "--rate", "1M", "--operator", "Second")
    assert len(isp.ok("plan", "list", "--operator", "Second")) == 1
    assert "no service" in isp.refused("service", "show", "zofia", "--operator", "Second").lower()


def test_a_database_that_goes_away_is_told(isp: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut in the middle of a transaction: one sentence, exit code 2, and nothing was stored."""
    from ispagents.cli import subscriber  # noqa: PLC0415 - only this test replaces a part of it

    real = subscriber.add_subscriber

    def cut(session: Any, *arguments: Any, **options: Any) -> Any:
        found = real(session, *arguments, **options)
        with database.as_superuser() as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ispagents_web'")
        return found

    monkeypatch.setattr(subscriber, "add_subscriber", cut)
    assert "ispagents up" in isp.refused("subscriber", "add", "K-2", "x")
    monkeypatch.undo()


def test_a_database_that_is_not_there_is_told(isp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, no such database, a schema that is not there: a sentence with what to do."""
    for role in ("OWNER", "WEB", "WORKER", "EDGE"):
        monkeypatch.setenv(f"ISPAGENTS_DATABASE_{role}_URL", "postgresql://x@/x?host=/nowhere")
    for words in (("plan", "list"), ("db", "status"), ("db", "migrate"), ("operator", "list")):
        assert "reached" in isp.refused(*words)


def test_a_missing_schema_is_told(isp: Any, database: Database) -> None:
    """A database that was never migrated names the command that migrates it."""
    with database.as_superuser() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    assert "db migrate" in isp.refused("plan", "list")
    assert "db migrate" in isp("db", "status").out


words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["zofia", "K-1", "Home 50", "1", "-1", "0", "1.00", "NaN", "", "\0", "\udcff", "9" * 25, LONG, "{}"]
    ),
    st.sampled_from(["--operator", "--json", "--limit", "--after", "--search", "--amount", "--due", "--yes", "--rate"]),
)
commands = st.sampled_from(
    [
        *([noun, "list"] for noun in ("operator", "plan", "subscriber", "service", "router", "invoice", "payment")),
        *([noun, "show"] for noun in ("plan", "subscriber", "service", "router", "change")),
        *(
            [noun, "add"]
            for noun in ("operator", "plan", "subscriber", "service", "router", "invoice", "payment", "hold")
        ),
        *(["plan", "change"], ["service", "set"], ["service", "close"], ["service", "unbind"], ["router", "set"]),
        *(["router", "remove"], ["change", "approve"], ["change", "reject"], ["hold", "end"], ["invoice", "void"]),
        *(["timeline"], ["db", "status"], ["change", "list"], ["hold", "list"], ["service", "password"]),
    ]
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(command=commands, more=st.lists(words, max_size=5))
def test_no_words_make_a_traceback(isp: Any, command: list[str], more: list[str]) -> None:
    """Any words after any command: exit code 0 or 2, and no exception leaves `run`."""
    out, err = io.StringIO(), io.StringIO()
    sys.stdin = io.TextIOWrapper(io.BytesIO(b"typed\n"), encoding="utf-8")
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.run(["--state", str(isp.state), *command, *more])
    assert code in {0, 2}
    assert "Traceback" not in err.getvalue()
    assert (code == 0) == (err.getvalue() == "")


# --- the real executable, against a running embedded server -----------------------------------------------------


@pytest.fixture
def executable(database_server: DatabaseServer) -> list[str]:
    """The program with the state folder of a running embedded server, whose database is a fresh one."""
    database_server.drop("ispagents")
    database_server.copy("ispagents")
    program = Path(sys.executable).parent / "ispagents"
    return [str(program), "--state", str(database_server.state.path)]


def _run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ISPAGENTS_")}
    return subprocess.run(command, capture_output=True, timeout=120, check=False, env=environment, **options)


def test_the_program_finds_the_running_server(executable: list[str], database_server: DatabaseServer) -> None:
    """Add, list and show through the real program; a password from a pipe; invalid UTF-8 among the arguments."""
    added = _run([*executable, "operator", "add", "łódź", "--currency", "PLN", "--json"])
    assert (added.returncode, added.stderr) == (0, b"")
    assert json.loads(added.stdout)["name"] == "łódź"
    assert _run([*executable, "plan", "add", "Home", "--rate", "1M/2M"]).returncode == 0
    assert _run([*executable, "subscriber", "add", "1", "x"]).returncode == 0
    words = ["service", "add", "a", "--subscriber", "1", "--plan", "Home", "--password-stdin"]
    assert _run([*executable, *words], input=b"made up\n").returncode == 0
    refused = _run([*(part.encode() for part in executable), b"plan", b"show", b"\xff\xfe"])
    assert refused.returncode == 2
    assert b"not valid UTF-8" in refused.stderr
    plain = _run([*executable, "operator", "list"], input=b"")
    assert "łódź".encode() in plain.stdout
    with psycopg.connect(database_server.server.conninfo("ispagents", "postgres")) as connection:
        assert connection.execute("SELECT count(*) FROM services").fetchone() == (1,)


def test_a_reader_that_leaves_is_no_mishap(executable: list[str]) -> None:
    """`| head` closes the pipe: no complaint, exit code 0, and what was stored stays stored."""
    for words in (
        ["operator", "add", "Wave", "--currency", "EUR"],
        ["operator", "list"],
        ["operator", "list", "--json"],
    ):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as closed:
            done = subprocess.run(
                [*executable, *words], stdout=closed, stderr=subprocess.PIPE, timeout=120, check=False
            )
        assert (done.returncode, done.stderr) == (0, b""), words
    assert len(json.loads(_run([*executable, "operator", "list", "--json"]).stdout)) == 1


def test_nothing_runs_is_told(tmp_path: Path) -> None:
    """A state folder without a running server: one sentence that names the command to start it."""
    program = Path(sys.executable).parent / "ispagents"
    done = _run([str(program), "--state", str(tmp_path / "none"), "plan", "list"])
    assert done.returncode == 2
    assert b"ispagents up" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("said", ["it closed the connection before or while processing the request.", "no route"])
def test_a_database_that_gave_up_is_told_in_whole_sentences(said: str) -> None:
    """Its own words end with a full stop or without; ours stand behind."""
    told = cli._database_sentence(psycopg.OperationalError(said))
    assert told == f"The database cannot be reached or gave up: {said.rstrip('.')}. Is `ispagents up` running?"
