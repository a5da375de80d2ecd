"""What is ours and runs in a folder of the bench's own: the whole installation, or its database alone."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.servers import process
from ispagents.database import Databases, embedded, migrate_now, prepare_embedded
from ispagents.installation import Installation, running
from ispagents.settings import DATABASE, load
from ispagents.state_folder import StateFolder


@contextmanager
def installation(name: str, say: Callable[[str], None]) -> Iterator[Installation]:
    """Everything as `ispagents up` starts it, on free ports. Raises Problem."""
    with _state(name) as state:
        settings = load(state.path, radius_auth_port=0, radius_acct_port=0, web_port=0)
        with running(state, settings, say) as machine:
            yield machine


@contextmanager
def database(name: str) -> Iterator[tuple[Databases, str, StateFolder]]:
    """An embedded database, migrated and empty, with what reaches it as the superuser. Raises Problem."""
    with _state(name) as state, state.create().lock():
        postgres = embedded(state)
        server = postgres.start()
        try:
            databases = prepare_embedded(server)
            migrate_now(databases)
            yield databases, server.conninfo(DATABASE, "postgres"), state
        finally:
            postgres.stop()


@contextmanager
def _state(name: str) -> Iterator[StateFolder]:
    """A folder that others may pass through; below /tmp, since the paths of sockets are short."""
    prefix = f"{process.PREFIX}{os.getpid()}-{name}-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir="/tmp") as parent:
        Path(parent).chmod(0o711)
        yield StateFolder(Path(parent) / "state")
