"""What the processes share: their arguments, signals, and one sentence when they cannot start."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Callable
from pathlib import Path

from ispagents import logs
from ispagents.errors import PROBLEM_EXIT_CODE, Problem
from ispagents.settings import Settings, load
from ispagents.state_folder import StateFolder

YOUNG_OBJECTS = 20_000


def spare_the_collector() -> None:
    """Keep the garbage collector from what a process loaded when it began, which stays until it ends.

    It looked through all of it again for every few thousand records: a third of the ingester's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)


def run(name: str, body: Callable[[StateFolder, Settings], None]) -> None:
    """Run a process's body with the state folder and settings that its arguments name."""
    parser = argparse.ArgumentParser(prog=f"ispagents {name}")
    parser.add_argument("--state", type=Path, required=True)
    arguments = parser.parse_args()
    logs.configure()
    spare_the_collector()
    state = StateFolder(arguments.state)
    try:
        body(state, load(state.path))
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(PROBLEM_EXIT_CODE)
