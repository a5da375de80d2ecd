"""The supervisor with small real processes: they die, are stopped, are left behind, and it copes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ispagents import processes
from ispagents.errors import Problem
from ispagents.postgres import EmbeddedPostgres
from ispagents.supervisor import Child, Supervisor, ask
from ispagents.supervisor.keeper import Pause

ROOT = Path(__file__).parents[3]
SLEEPER = "import time; time.sleep(600)"
QUICK = Pause(first_s=0.01, limit_s=0.05)


def python(name, code, **options):
    return Child(name=name, command=(sys.executable, "-c", code), **options)


@pytest.fixture
def said():
    return []


@pytest.fixture
def supervisor(state, said):
    with state.lock(), Supervisor(state, say=lambda name, text: said.append((name, text)), pause=QUICK) as one:
        yield one


def pid_of(supervisor, name):
    return supervisor.status()["children"][name]["pid"]


def state_of(supervisor, name):
    return supervisor.status()["children"][name]["state"]


def test_a_child_that_dies_is_started_again_and_that_is_said(supervisor, said, eventually):
    """A killed child runs again under another pid; the restart is counted, said in one line and in the status file."""
    supervisor.start(python("web", SLEEPER))
    first = pid_of(supervisor, "web")

    supervisor.kill_child("web")

    eventually(lambda: state_of(supervisor, "web") == "running")
    child = supervisor.state.read_status()["children"]["web"]
    assert (child["state"], child["restarts"]) == ("running", 1)
    assert child["pid"] != first
    assert ("web", "was ended by SIGKILL. It is started again in 0.01 s.") in said
    assert not processes.is_alive(first)


def test_a_child_that_keeps_dying_fails_the_start_with_its_last_words(supervisor):
    """A start of something that cannot live ends in a sentence with its reason and log, and it is tried further."""
    broken = python("web", "import sys; sys.exit('no such port')", ready=lambda: False)

    with pytest.raises(Problem, match=r"web did not start: ended with status 1 \(last line: no such port\)"):
        supervisor.start(broken)

    assert "no such port" in (supervisor.state.log / "web.log").read_text()


def test_a_problem_before_the_start_fails_at_once(supervisor):
    """What a preparation says is wrong reaches the person in its own words."""

    def prepare():
        raise Problem("Port 1812 is taken: stop the other server.")

    with pytest.raises(Problem, match="Port 1812 is taken"):
        supervisor.start(python("radius", SLEEPER, before_start=prepare))


def test_children_start_after_and_stop_before_what_they_depend_on(state, tmp_path):
    """Starts follow readiness along the dependencies; stops go the other way round."""
    journal = tmp_path / "journal"
    code = """
import pathlib, signal, sys
name, journal = sys.argv[1:]
def note(what):
    with open(journal, "a") as file: file.write(what + " " + name + "\\n")
def stop(*_):
    note("stop"); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("start")
pathlib.Path(journal + "-" + name).touch()
while True: signal.pause()
"""

    def child(name, *depends_on):
        return Child(
            name=name,
            command=(sys.executable, "-c", code, name, str(journal)),
            depends_on=depends_on,
            ready=Path(f"{journal}-{name}").exists,
        )

    with state.lock(), Supervisor(state, say=lambda *_: None) as supervisor:
        supervisor.start(child("web", "edge"), child("edge", "database"), child("database"))

    assert journal.read_text().splitlines() == [
        *("start database", "start edge", "start web"),
        *("stop web", "stop edge", "stop database"),
    ]
    assert state.read_status()["state"] == "stopped"


def test_a_child_deaf_to_its_stop_signal_is_killed_and_its_group_with_it(state, eventually):
    """A stop ends after its limit, and processes that the child started in its group end too."""
    deaf = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid, flush=True)\n"
        "time.sleep(600)"
    )
    with state.lock(), Supervisor(state, say=lambda *_: None) as supervisor:
        log = state.log / "deaf.log"
        supervisor.start(python("deaf", deaf, stop_timeout_s=0.2, ready=lambda: log.read_text().endswith("\n")))
        grandchild = int(log.read_text())
        assert processes.is_alive(grandchild)
        pid = pid_of(supervisor, "deaf")
        supervisor.stop_child("deaf")
        assert state_of(supervisor, "deaf") == "stopped"
    assert not processes.is_alive(pid)
    eventually(lambda: not processes.is_alive(grandchild))


def test_a_child_is_stopped_started_and_restarted_by_name(supervisor):
    """A stopped child stays stopped; started and restarted ones are ready under new pids when the call returns."""
    supervisor.start(python("edge", SLEEPER), python("web", SLEEPER, depends_on=("edge",)))
    supervisor.stop_child("edge")
    assert (state_of(supervisor, "edge"), pid_of(supervisor, "edge")) == ("stopped", None)
    assert state_of(supervisor, "web") == "running"
    supervisor.restart_child("web")  # although what it depends on is stopped

    supervisor.start_child("edge")
    first = pid_of(supervisor, "edge")
    supervisor.restart_child("edge")

    assert pid_of(supervisor, "edge") not in {None, first}
    with pytest.raises(Problem, match="No process is called 'wbe'; there are: edge, web"):
        supervisor.stop_child("wbe")


def test_the_control_socket_obeys_its_user_only(supervisor):
    """From outside a child is stopped and started; mistakes get a sentence; the socket is closed to others."""
    state = supervisor.state
    supervisor.start(python("web", SLEEPER))
    assert ask(state, "status")["children"]["web"]["state"] == "running"
    assert ask(state, "stop", "web")["children"]["web"]["state"] == "stopped"
    assert ask(state, "start", "web")["children"]["web"]["state"] == "running"
    first = pid_of(supervisor, "web")
    assert ask(state, "restart", "web")["children"]["web"]["pid"] != first
    with pytest.raises(Problem, match="No process is called 'x'"):
        ask(state, "stop", "x")
    with pytest.raises(Problem, match="knows the commands"):
        ask(state, "explode", "web")
    assert (state.sockets / "control.sock").stat().st_mode & 0o777 == 0o600


def test_asking_a_supervisor_that_does_not_run_says_how_to_start_it(state):
    """Without a supervisor the answer is a sentence."""
    with pytest.raises(Problem, match=r"is not running .* 'ispagents up'"):
        ask(state, "status")


def test_output_is_kept_and_alarming_lines_are_shown(supervisor, said, eventually):
    """Every line lands in the log; of those only warnings and errors reach the terminal, without control characters."""
    code = "print('all is well'); print('ERROR: \\x1b[2J no route', flush=True); import time; time.sleep(600)"
    supervisor.start(python("web", code))

    eventually(lambda: ("web", "ERROR: ?[2J no route") in said)

    assert "all is well" in (supervisor.state.log / "web.log").read_text()
    assert not any("all is well" in text for _, text in said)


PROGRAM = f"""
import sys
from pathlib import Path
from ispagents.postgres import EmbeddedPostgres
from ispagents.state_folder import StateFolder
from ispagents.supervisor import Child, Supervisor
state = StateFolder(Path(sys.argv[1]))
with state.lock(), Supervisor(state) as supervisor:
    supervisor.start(EmbeddedPostgres(state).child(), Child(name="web", command=(sys.executable, "-c", {SLEEPER!r})))
    print("ready", flush=True)
    supervisor.wait()
print("left in order", flush=True)
"""


def run_program(state):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(state.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert program.stdout.readline() == "ready\n"
    return program


def test_killing_the_supervisor_leaves_no_children_and_the_next_start_works(state, eventually):
    """After kill -9 the kernel ends the children, PostgreSQL's backends too; the folder can be used again at once."""
    with run_program(state) as program:
        children = json.loads(state.status_file.read_text())["children"]
        pids = [child["pid"] for child in children.values()]
        assert all(processes.is_alive(pid) for pid in pids)
        assert state.holder() == program.pid
        program.kill()
    data = EmbeddedPostgres(state).data
    eventually(lambda: not any(processes.is_alive(pid) for pid in pids))
    eventually(lambda: not any(processes.works_in(pid, data) for pid in processes.all_pids()))
    assert state.holder() is None

    with run_program(state) as program:
        program.send_signal(signal.SIGTERM)
        assert program.stdout.readline() == "left in order\n"
    assert program.returncode == 0


def test_left_overs_of_a_killed_supervisor_are_ended_by_the_next(state):
    """A process with the folder's mark that outlived its supervisor ends when the next one starts."""
    environment = {**os.environ, processes.SUPERVISED_BY: str(state.path)}
    left_over = subprocess.Popen([sys.executable, "-c", SLEEPER], env=environment)
    with left_over, state.lock(), Supervisor(state, say=lambda *_: None):
        assert left_over.wait() == -signal.SIGKILL


def test_ctrl_c_stops_in_order_and_a_second_one_hurries(state):
    """The first Ctrl-C asks a deaf child to stop; the second does not wait for its limit."""
    code = PROGRAM.replace("EmbeddedPostgres(state).child()", "deaf").replace(
        "with state",
        "ignore = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); '\n"
        "deaf = Child(name='deaf', command=(sys.executable, '-c', ignore + 'time.sleep(600)'), stop_timeout_s=600,\n"
        "    ready=(state.log / 'deaf.log').exists)\n"
        "with state",
        1,
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(state.path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as program:
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGINT)
        while "web          | stopped" not in program.stderr.readline():
            pass
        program.send_signal(signal.SIGINT)
        assert program.stdout.readline() == "left in order\n"


def test_postgresql_as_a_child_comes_back_with_its_data(supervisor, eventually):
    """The supervised database is restarted after a crash on the same port, and can be stopped and started by name."""
    postgres = EmbeddedPostgres(supervisor.state)
    supervisor.start(postgres.child())
    first = postgres.server()
    postgres.ensure_database("kept")

    supervisor.kill_child("postgresql")

    eventually(lambda: (found := postgres.running_server()) is not None and found.pid != first.pid)
    assert postgres.server().port == first.port
    eventually(lambda: state_of(supervisor, "postgresql") == "running")
    supervisor.stop_child("postgresql")
    assert not postgres.is_running()
    supervisor.start_child("postgresql")
    assert postgres.running_server() is not None
