"""How much the database is asked: every statement that its own log shows for a while, whoever sent it.

BEGIN, COMMIT and the looks of the worker's clock count too; what the bench itself asks meanwhile, as the superuser,
does not. The log is switched on for that while only: it would slow down what is measured.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from bench.servers.contract import ServerError
from ispagents.database import embedded
from ispagents.installation import Installation
from ispagents.settings import DATABASE

SUPERUSER: Final = "postgres"
PATIENCE_S: Final = 120.0
LOOK_S: Final = 0.1
# 2026-11-22 21:18:36.123 UTC [4711] ispagents_worker@ispagents LOG:  statement: ... or: execute <unnamed>: ...
LINE: Final = re.compile(rb"^\S+ \S+ \S+ \[\d+\] ispagents_\w+@\w+ LOG:  (?:statement|execute [^:]*):", re.MULTILINE)
OPEN: Final = """
SELECT (SELECT count(*) FROM steps WHERE state IN ('waiting', 'started', 'retrying'))
    + (SELECT count(*) FROM reviews WHERE due_at <= now())
    + (SELECT count(*) FROM sessions JOIN services ON services.id = sessions.service_id
       WHERE ended_at IS NULL AND applied_stamp IS DISTINCT FROM authorised_stamp)
"""


@dataclass(slots=True)
class Count:
    """Statements; known when the block has ended."""

    total: int = 0
    seconds: float = 0.0


class Statements:
    """The log of the embedded database of an installation."""

    def __init__(self, machine: Installation) -> None:
        server = embedded(machine.state).running_server()
        if server is None:
            raise ServerError("the embedded database does not run")
        self._conninfo = server.conninfo(DATABASE, SUPERUSER)
        self._log = machine.state.log / "postgresql.log"

    @contextmanager
    def counted(self) -> Iterator[Count]:
        """Count what is asked in the block."""
        count = Count()
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET log_parameter_max_length = 0")
            connection.execute("ALTER SYSTEM SET log_statement = 'all'")
            self._mark(connection, "reload", "SELECT pg_reload_conf()")
            begin = self._mark(connection, "begin")
            began = time.monotonic()
            yield count
            count.seconds = time.monotonic() - began
            end = self._mark(connection, "end")
            connection.execute("ALTER SYSTEM RESET log_statement")
            connection.execute("SELECT pg_reload_conf()")
        text = self._text()
        count.total = len(LINE.findall(text[text.index(begin) : text.index(end)]))

    def until_settled(self) -> None:
        """Wait until nothing is to be done any more."""
        given_up_at = time.monotonic() + PATIENCE_S
        with psycopg.connect(self._conninfo, autocommit=True) as connection:
            while connection.execute(OPEN).fetchone() != (0,):
                if time.monotonic() > given_up_at:
                    raise ServerError(f"waited {PATIENCE_S:.0f} s for the counted changes")
                time.sleep(LOOK_S)

    def _mark(self, connection: psycopg.Connection[tuple[object, ...]], name: str, also: str = "") -> bytes:
        """Write a line into the log, again and again until it is there: a setting is heard of a moment later."""
        mark = f"bench {name} {time.monotonic_ns()}"
        if also:
            connection.execute(also)
        given_up_at = time.monotonic() + PATIENCE_S
        while mark.encode() not in self._text():
            if time.monotonic() > given_up_at:
                raise ServerError("the database does not log its statements")
            connection.execute(f"SELECT '{mark}'")
            time.sleep(LOOK_S)
        return mark.encode()

    def _text(self) -> bytes:
        older = self._log.with_name(f"{self._log.name}.1")
        return (older.read_bytes() if older.exists() else b"") + self._log.read_bytes()
