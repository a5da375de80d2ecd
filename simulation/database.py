"""A PostgreSQL whose clock is ours. Only `now()` and `clock_timestamp()` differ from the real thing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, create_engine, event, make_url

from ispagents.database import Databases, embedded, migrate_now, prepare_embedded
from ispagents.settings import DATABASE
from ispagents.state_folder import StateFolder
from sql.roles import Role, create_database, grant_connections

# Far from the machine's own time, so that whoever asks the machine what time it is is found out.
EPOCH = datetime(2040, 1, 1, 12, tzinfo=UTC)

# Before the search path is changed, so that the defaults are still written as `now()`.
_VIRTUAL_TIME = """
CREATE SCHEMA virtual_time;
GRANT USAGE ON SCHEMA virtual_time TO PUBLIC;
CREATE FUNCTION virtual_time.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT current_setting('virtual_time.now')::timestamptz $$;
CREATE FUNCTION virtual_time.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT current_setting('virtual_time.now')::timestamptz $$;
DO $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT table_name, column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND lower(column_default) IN ('now()', 'clock_timestamp()') LOOP
        EXECUTE format('ALTER TABLE public.%I ALTER COLUMN %I SET DEFAULT virtual_time.now()',
            one.table_name, one.column_name);
    END LOOP;
    FOR one IN SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND prosecdef LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = virtual_time, pg_catalog, public', one.name);
    END LOOP;
END $$;
-- Every move of a change or a step, whichever statement made it.
CREATE TABLE virtual_time.moves (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    what text NOT NULL, row_id bigint NOT NULL, before text NOT NULL, after text NOT NULL
);
CREATE FUNCTION virtual_time.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$
BEGIN
    INSERT INTO virtual_time.moves (what, row_id, before, after) VALUES (TG_TABLE_NAME, NEW.id, OLD.state, NEW.state);
    RETURN NULL;
END $$;
CREATE TRIGGER moves AFTER UPDATE ON public.changes FOR EACH ROW WHEN (OLD.state <> NEW.state)
    EXECUTE FUNCTION virtual_time.note_move();
CREATE TRIGGER moves AFTER UPDATE ON public.steps FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR (OLD.state = 'started' AND OLD.attempts <> NEW.attempts))
    EXECUTE FUNCTION virtual_time.note_move();
"""
# TRUNCATE makes every table and index anew, which takes half a second for these; the rows of a seed are few.
_TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'virtual_time') ORDER BY 1, 2"
_SEQUENCES = """
SELECT 'SELECT ' || string_agg(format('setval(%L, 1, false)', format('%I.%I', schemaname, sequencename)), ', ')
FROM pg_sequences WHERE schemaname IN ('public', 'virtual_time')
"""
_NEWS = """
SELECT EXISTS (SELECT FROM procrastinate_jobs), greatest((SELECT max(revision) FROM services),
    (SELECT max(revision) FROM plan_versions), (SELECT max(revision) FROM operators))
"""


@dataclass(frozen=True)
class Place:
    """A migrated, empty database. `superuser` is the connection string of one who may give it virtual time."""

    databases: Databases
    name: str
    superuser: str


@dataclass
class Clock:
    """The time of every transaction that begins from now on."""

    now: datetime = EPOCH

    def set_on(self, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        """Tell a connection what time it is."""
        _send(connection, f"SET virtual_time.now = '{self.now.isoformat()}'")
        return connection

    def begin(self, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        """Begin a transaction at this moment."""
        _send(connection, f"BEGIN; SET virtual_time.now = '{self.now.isoformat()}'")
        return connection


def roll_back(connection: psycopg.Connection[Any]) -> None:
    """Undo a transaction. The driver's own way forgets every prepared statement with it."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        _send(connection, "ROLLBACK")


def _send(connection: psycopg.Connection[Any], statements: str) -> None:
    """Statements without an answer, in one round trip and with nothing else about them."""
    result = connection.pgconn.exec_(statements.encode())
    if result.status != ExecStatus.COMMAND_OK:
        raise psycopg.DatabaseError(result.error_message.decode())


@dataclass
class SimulationDatabase:
    """One database for many seeds, one after the other. `watcher` is a superuser that looks and never takes part."""

    clock: Clock
    web: Engine
    worker: Engine
    edge_reads: psycopg.Connection[Any]
    edge_stores: psycopg.Connection[Any]
    watcher: psycopg.Connection[Any]
    _empty: str

    def empty(self) -> None:
        """As if nothing had ever happened; ids begin at 1 again, so that a seed is the same wherever it runs."""
        with self.watcher.transaction():
            self.watcher.execute(self._empty.encode(), prepare=False)

    def news(self) -> tuple[bool, str]:
        """What notifications would tell: whether a job waits, and the newest revision. They arrive at no exact moment,
        so that a seed would not be the same twice.
        """
        row = self.watcher.execute(_NEWS).fetchone()
        return (bool(row[0]), str(row[1])) if row is not None else (False, "")

    def close(self) -> None:
        """Close every connection."""
        for engine in (self.web, self.worker):
            engine.dispose()
        for connection in (self.edge_reads, self.edge_stores, self.watcher):
            connection.close()


def open_database(place: Place) -> SimulationDatabase:
    """Give a database virtual time."""
    databases, name, superuser = place.databases, place.name, place.superuser
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(_VIRTUAL_TIME.encode())
        for setting, value in (
            ("search_path", "virtual_time, pg_catalog, public"),
            ("virtual_time.now", f"'{EPOCH.isoformat()}'"),
            ("synchronous_commit", "off"),
            ("jit", "off"),
            # Half of the server's time went into planning the same statements anew.
            ("plan_cache_mode", "force_generic_plan"),
        ):
            statement = f"ALTER DATABASE {{}} SET {setting} = {value}"
            connection.execute(SQL(statement).format(Identifier(name)))
    watcher = psycopg.connect(superuser, autocommit=True)
    # The watcher may empty tables that nobody else may touch: their triggers and references do not fire for it.
    watcher.execute("SET session_replication_role = replica")
    clock = Clock()
    return SimulationDatabase(
        clock,
        _engine(databases, Role.WEB, clock),
        _engine(databases, Role.WORKER, clock),
        _prepared(psycopg.connect(databases.conninfo(Role.EDGE))),
        _prepared(psycopg.connect(databases.conninfo(Role.EDGE))),
        _prepared(watcher),
        _emptying(watcher),
    )


def _emptying(watcher: psycopg.Connection[Any]) -> str:
    """What leaves no row but those of the migrations, in one statement."""
    tables = [Identifier(*row) for row in watcher.execute(_TABLES)]
    filled = [watcher.execute(SQL("SELECT EXISTS (SELECT FROM {})").format(one)).fetchone() for one in tables]
    statements = [
        SQL("DELETE FROM {}").format(one).as_string(watcher)
        for one, row in zip(tables, filled, strict=True)
        if row == (False,)
    ]
    return "; ".join([*statements, *(str(row[0]) for row in watcher.execute(_SEQUENCES))])


def _engine(databases: Databases, role: Role, clock: Clock) -> Engine:
    """Without the question whether the connection still lives: here it does, and a seed has hundreds of them."""
    engine = create_engine(databases.urls[role], pool_size=2, max_overflow=0)
    event.listen(engine, "connect", lambda connection, _: _prepared(connection))
    event.listen(engine, "begin", lambda connection: clock.begin(connection.connection.driver_connection))
    event.listen(engine, "rollback", lambda connection: roll_back(connection.connection.driver_connection))
    return engine


def _prepared(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """Every statement is prepared at its first use and stays so: the same hundreds come again in every seed.

    Transactions are begun by the clock.
    """
    connection.autocommit = True
    connection.prepare_threshold = 0
    connection.prepared_max = None
    return connection


def _careless(superuser: str) -> None:
    """Nothing here outlives the run, so that nothing needs to survive a crash of the machine."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes"):
            connection.execute(SQL("ALTER SYSTEM SET {} = off").format(Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")


@contextmanager
def own_databases(count: int) -> Iterator[list[Place]]:
    """An embedded PostgreSQL in a temporary folder, which is removed at the end. Raises Problem."""
    parent = Path(tempfile.mkdtemp(prefix="ispagents-simulation-", dir="/tmp"))
    parent.chmod(0o711)
    state = StateFolder(parent / "state").create()
    sockets = state.sockets
    try:
        with state.lock():
            postgres = embedded(state)
            server = postgres.start()
            try:
                databases = prepare_embedded(server)
                migrate_now(databases)
                _careless(server.conninfo("postgres", "postgres"))
                names = [DATABASE, *(f"{DATABASE}_{number}" for number in range(2, count + 1))]
                with psycopg.connect(server.conninfo("postgres", "postgres"), autocommit=True) as superuser:
                    for name in names[1:]:
                        create_database(superuser, name, DATABASE)
                for name in names[1:]:
                    with psycopg.connect(server.conninfo(name, "postgres"), autocommit=True) as superuser:
                        grant_connections(superuser, name)
                yield [
                    Place(
                        Databases({role: make_url(server.url(name, role.value)) for role in Role}),
                        name,
                        server.conninfo(name, "postgres"),
                    )
                    for name in names
                ]
            finally:
                postgres.stop()
    finally:
        shutil.rmtree(parent, ignore_errors=True)
        if sockets != state.run:
            shutil.rmtree(sockets, ignore_errors=True)
