"""One `up` uses a state folder at a time, however the last one ended."""

import subprocess
import sys
from pathlib import Path

import pytest

from ispagents.errors import Problem
from ispagents.state_folder import StateFolder

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from ispagents.state_folder import StateFolder
with StateFolder(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_user_of_the_folder_is_refused_by_name(state):
    """While another process holds the folder a second one is told its pid and what to do; afterwards it may."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        assert state.holder() == holder.pid
        with pytest.raises(Problem, match=f"already in use by process {holder.pid}; stop it or choose another"):
            state.lock().__enter__()
        holder.kill()
    assert state.holder() is None
    with state.lock():
        pass


def test_the_same_process_is_refused_too(state):
    """Two parts of one process cannot hold the folder twice."""
    with state.lock(), pytest.raises(Problem, match="already in use"):
        StateFolder(state.path).lock().__enter__()
