"""State folders that leave nothing behind, and waiting for a condition: for tests of processes that really run."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that these tests also run by themselves

from fixtures_postgres import temporary_state

from ispagents.state_folder import StateFolder

DEADLINE_S = 60.0  # generous: it only bounds how long a failing test takes
POLL_S = 0.02


@pytest.fixture
def state() -> Iterator[StateFolder]:
    """A state folder of the test's own."""
    with temporary_state() as folder:
        yield folder


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Wait until a condition is true; fails the test when it does not become so."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition did not become true"
            time.sleep(POLL_S)

    return wait
