"""The whole machine by its commands: it tells its story, stops without a trace, and explains itself in one sentence."""

import signal
import socket

import pytest
from machine import ANY_PORT, DEADLINE_S, command, eventually, folder

from ispagents import processes
from ispagents.state_folder import StateFolder


def said(process, code):
    """What a command that must end with this code wrote to standard error."""
    out, error = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == code, (out, error)
    return error


def test_the_demo_tells_its_story_and_every_claim_holds():
    """`ispagents demo --once` exits 0 and leaves no process."""
    process = command("demo", "--once")
    out, error = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 0, out + error
    assert "claims held" in out
    assert "  NO  " not in out


def test_up_runs_once_says_what_is_in_the_way_and_stops_without_a_trace():
    """A second one on the same state is told so; a taken port is named; SIGTERM leaves no process behind."""
    with folder() as path:
        state = StateFolder(path)
        first = command("--state", str(path), "up", **ANY_PORT)
        try:
            eventually(
                lambda: first.poll() is not None or (state.status_file.exists() and _all_running(state)),
                lambda: "it did not come up",
            )
            assert first.poll() is None, first.communicate()
            children = {child["pid"] for child in state.read_status()["children"].values()}
            assert len(children) == 5

            sentence = said(command("--state", str(path), "up", **ANY_PORT), 2)
            assert sentence.count("\n") == 1
            assert str(path) in sentence
            assert "Traceback" not in sentence
            assert all(processes.is_alive(pid) for pid in children)
        finally:
            first.send_signal(signal.SIGTERM)
            out, error = first.communicate(timeout=DEADLINE_S)

        assert first.returncode == 0, out + error
        assert not any(processes.is_alive(pid) for pid in children)
        assert processes.left_over(path) == []


def _all_running(state):
    children = state.read_status()["children"]
    return len(children) == 5 and all(child["state"] == "running" for child in children.values())


@pytest.mark.parametrize(
    ("setting", "kind"),
    [
        ("ISPAGENTS_RADIUS_AUTH_PORT", socket.SOCK_DGRAM),
        ("ISPAGENTS_RADIUS_ACCT_PORT", socket.SOCK_DGRAM),
        ("ISPAGENTS_WEB_PORT", socket.SOCK_STREAM),
    ],
)
def test_a_taken_port_is_one_sentence(setting, kind):
    """It names the port and the setting, and nothing was started."""
    with folder() as path, socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]

        sentence = said(command("--state", str(path), "up", **(ANY_PORT | {setting: str(port)})), 2)

        assert sentence.count("\n") == 1
        assert f"Port {port} of 127.0.0.1 is taken" in sentence
        assert setting in sentence
        assert processes.left_over(path) == []
