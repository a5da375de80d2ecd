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
from psycopg.sql import SQL, Identifier
from sqlalchemy import Engine, create_engine

from ispagents.database import Databases, embedded, migrate_now, prepare_embedded
from ispagents.settings import DATABASE
from ispagents.state_folder import StateFolder
from sql.roles import Role

# Far enough ahead that no check against the machine's own clock ("must end in the future") ever fails.
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
_EMPTY = """
SELECT string_agg(statement, '; ') FROM (
    SELECT format('DELETE FROM %I.%I', schemaname, tablename) AS statement FROM pg_tables
    WHERE schemaname = 'virtual_time' OR (schemaname = 'public' AND tablename <> 'alembic_version')
    UNION ALL
    SELECT 'SELECT ' || string_agg(format('setval(%L, 1, false)', format('%I.%I', schemaname, sequencename)), ', ')
    FROM pg_sequences WHERE schemaname IN ('public', 'virtual_time')) AS statements
"""
_NEWS = """
SELECT EXISTS (SELECT FROM procrastinate_jobs), greatest((SELECT max(revision) FROM services),
    (SELECT max(revision) FROM plan_versions), (SELECT max(revision) FROM operators))
"""


@dataclass
class SimulationDatabase:
    """One database for many seeds, one after the other. `watcher` is a superuser that looks and never takes part."""

    web: Engine
    worker: Engine
    edge_reads: psycopg.Connection[Any]
    edge_stores: psycopg.Connection[Any]
    watcher: psycopg.Connection[Any]
    _empty: str

    def empty(self) -> None:
        """As if nothing had ever happened; ids begin at 1 again, so that a seed is the same wherever it runs."""
        with self.watcher.transaction():
            self.watcher.execute(self._empty.encode())

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


def open_database(databases: Databases, name: str, superuser: str) -> SimulationDatabase:
    """Give a migrated, empty database virtual time. `superuser` is the connection string of one who may do that."""
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(_VIRTUAL_TIME.encode())
        for setting, value in (
            ("search_path", "virtual_time, pg_catalog, public"),
            ("virtual_time.now", f"'{EPOCH.isoformat()}'"),
            ("synchronous_commit", "off"),
            ("jit", "off"),
        ):
            statement = f"ALTER DATABASE {{}} SET {setting} = {value}"
            connection.execute(SQL(statement).format(Identifier(name)))
    watcher = psycopg.connect(superuser, autocommit=True)
    # The watcher may empty tables that nobody else may touch: their triggers and references do not fire for it.
    watcher.execute("SET session_replication_role = replica")
    row = watcher.execute(_EMPTY).fetchone()
    return SimulationDatabase(
        _engine(databases, Role.WEB),
        _engine(databases, Role.WORKER),
        psycopg.connect(databases.conninfo(Role.EDGE)),
        psycopg.connect(databases.conninfo(Role.EDGE)),
        watcher,
        str(row[0]) if row else "",
    )


def _engine(databases: Databases, role: Role) -> Engine:
    """Without the question whether the connection still lives: here it does, and a seed has hundreds of them."""
    return create_engine(databases.urls[role], pool_size=2, max_overflow=0)


@contextmanager
def own_database() -> Iterator[SimulationDatabase]:
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
                database = open_database(databases, DATABASE, server.conninfo(DATABASE, "postgres"))
                try:
                    yield database
                finally:
                    database.close()
            finally:
                postgres.stop()
    finally:
        shutil.rmtree(parent, ignore_errors=True)
        if sockets != state.run:
            shutil.rmtree(sockets, ignore_errors=True)
