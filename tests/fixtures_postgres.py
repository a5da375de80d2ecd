"""Fixtures of the real embedded PostgreSQL. Load with `pytest_plugins = ["fixtures_postgres"]` in tests/conftest.py."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ispagents import processes
from ispagents.postgres import EmbeddedPostgres
from ispagents.state_folder import StateFolder


@contextmanager
def temporary_state(prefix: str = "ispagents-test-") -> Iterator[StateFolder]:
    """Make a state folder below /tmp, where every user may pass, and leave no process and no file of it behind."""
    parent = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    parent.chmod(0o711)
    state = StateFolder(parent / "state").create()
    sockets = state.sockets
    try:
        yield state
    finally:
        processes.end(processes.left_over(state.path), still_ours=processes.is_alive, first=processes.signal.SIGKILL)
        EmbeddedPostgres(state).stop()
        shutil.rmtree(parent)
        if sockets != state.run:
            shutil.rmtree(sockets)


@pytest.fixture(scope="session")
def embedded_postgres() -> Iterator[EmbeddedPostgres]:
    """A started server for the whole session; `.server()` says where, `.ensure_database(name)` gives a database."""
    with temporary_state() as state, state.lock():
        postgres = EmbeddedPostgres(state)
        postgres.start()
        yield postgres
        postgres.stop()
