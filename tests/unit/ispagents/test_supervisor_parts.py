"""The parts of the supervisor that need no process: pauses, logs, and who may become which role."""

import pytest

from ispagents.postgres.data_folder import identity_map
from ispagents.supervisor import logs
from ispagents.supervisor.child import ALARMING
from ispagents.supervisor.keeper import Pause
from ispagents.supervisor.logs import LINE_LIMIT_BYTES, SHOWN_LINES, ChildLog, RotatingFile
from ispagents.supervisor.running import describe


def test_pauses_grow_up_to_a_limit():
    """Each death in a row doubles the pause, and no number of deaths passes the limit."""
    pause = Pause(first_s=0.2, factor=2, limit_s=30)
    assert [pause.after(deaths) for deaths in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert pause.after(9) == pause.after(1_000_000) == 30


def test_an_end_is_said_in_words():
    """An exit status and a signal read differently."""
    assert describe(3) == "ended with status 3"
    assert describe(-9) == "was ended by SIGKILL"


def test_a_grown_log_is_set_aside(tmp_path):
    """The file keeps under its limit, the newest old one is .1, and only so many are kept."""
    log = RotatingFile(tmp_path / "web.log", limit_bytes=10, old=2)
    for number in range(5):
        log.write(f"line {number}\n".encode())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "web.log": "line 4\n",
        "web.log.1": "line 3\n",
        "web.log.2": "line 2\n",
    }


def test_a_log_that_cannot_be_written_loses_lines_only(tmp_path):
    """Without its folder the log counts what it loses and raises nothing."""
    log = RotatingFile(tmp_path / "gone" / "web.log")
    log.write(b"one\ntwo\n")
    assert log.lost_lines == 2


@pytest.fixture
def shown():
    return []


@pytest.fixture
def child_log(tmp_path, shown):
    return ChildLog("web", tmp_path / "web.log", ALARMING, lambda name, text: shown.append((name, text)))


@pytest.mark.parametrize(
    ("line", "alarming"),
    [
        ("2026-11-22 [warning  ] router silent", True),
        ('{"level": "error", "event": "x"}', True),
        ("ValueError: no", True),
        ("Traceback (most recent call last):", True),
        ("0 errors, terror, forewarned", False),
        ("ready", False),
    ],
)
def test_only_alarming_lines_are_shown(child_log, shown, line, alarming):
    """Warnings and errors of every usual form are shown; words that merely contain them are not."""
    child_log.feed(line.encode() + b"\n")
    assert bool(shown) is alarming


def test_lines_in_pieces_are_whole_and_endless_ones_are_cut(child_log, tmp_path):
    """A line may come in pieces; one without an end does not fill the memory."""
    child_log.feed(b"one ha")
    child_log.feed(b"lf\ntwo")
    assert (tmp_path / "web.log").read_bytes() == b"one half\n"
    child_log.feed(b"x" * (LINE_LIMIT_BYTES + 1))
    assert (tmp_path / "web.log").stat().st_size > LINE_LIMIT_BYTES
    child_log.feed(b"end")
    child_log.finish()
    assert child_log.last_line == "end"


def test_a_flood_of_errors_is_cut_short_on_the_terminal(child_log, shown, monkeypatch):
    """After so many lines one says where the rest is; in the next period lines are shown again."""
    now = 100.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    child_log.feed(b"ERROR: again\n" * 100)
    assert len(shown) == SHOWN_LINES + 1
    assert shown[-1][1].startswith("... more in ")
    now += logs.SHOWN_PERIOD_S + 1
    child_log.feed(b"ERROR: later\n")
    assert shown[-1] == ("web", "ERROR: later")


def test_the_identity_map_gives_each_user_its_roles_only():
    """Names are quoted, so that `all` is a name and nothing more; one that would escape is refused."""
    text = identity_map({"root": ["postgres", "web", "web"], "freerad": ["all"]})
    assert text.splitlines()[1:] == [
        'ispagents  "root"  "postgres"',
        'ispagents  "root"  "web"',
        'ispagents  "freerad"  "all"',
    ]
    for bad in ('x"', "x\ny", "/.*", "+group", ""):
        with pytest.raises(ValueError, match="pg_ident"):
            identity_map({"root": [bad]})
