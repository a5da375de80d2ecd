"""What the processes share: their arguments, signals, and one sentence when they cannot start."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ispagents import logs
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from ispagents.settings import Settings, load
from ispagents.state_folder import StateFolder


def run(name: str, body: Callable[[StateFolder, Settings], None]) -> None:
    """Run a process's body with the state folder and settings that its arguments name."""
    parser = argparse.ArgumentParser(prog=f"ispagents {name}")
    parser.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    logs.configure()
    state = StateFolder(arguments.state)
    try:
        body(state, load(state.path))
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(PROBLEM_EXIT_CODE)
