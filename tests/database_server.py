"""The embedded server of the tests. A database that a test gives back is emptied and lent again, where that is sure.

Copying the template makes a thousand files and costs more than most tests do; emptying costs some milliseconds.
"""

# ruff: noqa: S608 - the names in these queries are the catalogs'

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from ispagents.database import Databases
from ispagents.postgres import Server
from ispagents.state_folder import StateFolder
from sql.roles import Role, create_database, grant_connections

TEMPLATE = "ispagents_template"
LEAVE_MS = 10_000  # for connections that a test left open; where one stays, the database is dropped
NO_ROWS = (0, None)
MOST_ROWS = 2_000  # the dead rows of a larger load would slow the tests after it

# Whatever a test may do to the schema, its rights and its settings writes a row in one of these.
_CATALOGS = (
    "pg_class",
    "pg_attribute",
    "pg_attrdef",
    "pg_constraint",
    "pg_index",
    "pg_trigger",
    "pg_proc",
    "pg_policy",
    "pg_rewrite",
    "pg_type",
    "pg_namespace",
    "pg_default_acl",
    "pg_event_trigger",
    "pg_extension",
)
_SCHEMA = (
    "SELECT "
    + ", ".join(f"(SELECT (count(*), sum(xmin::text::bigint)) FROM {name})" for name in _CATALOGS)
    + """, (SELECT (datconnlimit, datallowconn, datacl) FROM pg_database WHERE datname = current_database()),
    (SELECT array_agg(setconfig ORDER BY setrole) FROM pg_db_role_setting
     WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))"""
)
_TABLES = "SELECT schemaname, relname FROM pg_stat_user_tables ORDER BY 1, 2"
_OTHERS = (
    "SELECT coalesce(bool_and(pg_terminate_backend(pid, %s)), true) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)
_SEQUENCES = (
    "SELECT setval(format('%I.%I', schemaname, sequencename)::regclass, start_value, false) FROM pg_sequences "
    "WHERE last_value IS NOT NULL"
)


@dataclass
class DatabaseServer:
    """A running embedded server whose template database is migrated."""

    state: StateFolder
    server: Server
    _spare: list[str] = field(default_factory=list)
    _made: dict[str, "Made"] = field(default_factory=dict)

    def databases(self, name: str) -> Databases:
        """The URLs of a database of this server."""
        return Databases({role: make_url(self.server.url(name, role.value)) for role in Role})

    def copy(self, name: str) -> Databases:
        """A new database, a copy of the template."""
        with self._superuser("postgres") as superuser:
            create_database(superuser, name, TEMPLATE)
        with self._superuser(name) as superuser:
            grant_connections(superuser, name)
        return self.databases(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is still in it."""
        with self._superuser("postgres") as superuser:
            superuser.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def lend(self) -> str:
        """The name of a database as the template is, for one borrower."""
        if self._spare:
            return self._spare.pop()
        name = f"test_{len(self._made) + 1}"
        self.copy(name)
        with self._superuser(name) as superuser:
            self._made[name] = Made.look(superuser)
        return name

    def take_back(self, name: str) -> None:
        """Empty the database for the next borrower; it is dropped where more than rows was changed."""
        try:
            with self._superuser(name) as superuser:
                clean = self._made[name].restore(superuser)
        except psycopg.Error:  # whatever a test has done to it, the next one gets another
            clean = False
        if clean:
            self._spare.append(name)
        else:
            self.drop(name)

    def _superuser(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.conninfo(name, "postgres"), autocommit=True)


@dataclass(frozen=True)
class Made:
    """What a database was when it was new: its catalogs, and the tables that migrations have filled."""

    schema: Any
    filled: dict[tuple[str, str], Any]

    @classmethod
    def look(cls, superuser: psycopg.Connection[Any]) -> "Made":
        """What a new database is."""
        tables = {table: _rows(superuser, table) for table in superuser.execute(_TABLES).fetchall()}
        return cls(
            superuser.execute(_SCHEMA).fetchone(), {table: rows for table, rows in tables.items() if rows != NO_ROWS}
        )

    def restore(self, superuser: psycopg.Connection[Any]) -> bool:
        """Leave no row but the first ones; says whether the database is as new."""
        if superuser.execute(_OTHERS, (LEAVE_MS,)).fetchone() != (True,):
            return False
        if superuser.execute(_SCHEMA).fetchone() != self.schema:
            return False
        if any(_rows(superuser, table) != rows for table, rows in self.filled.items()):
            return False
        superuser.execute("SET session_replication_role = replica")  # no trigger and no foreign key looks
        removed = 0
        with superuser.transaction():
            for table in superuser.execute(_TABLES).fetchall():
                if table not in self.filled:
                    removed += superuser.execute(SQL("DELETE FROM {}").format(Identifier(*table))).rowcount
            superuser.execute(_SEQUENCES)
        return removed <= MOST_ROWS


def _rows(superuser: psycopg.Connection[Any], table: tuple[str, str]) -> Any:
    query = SQL("SELECT count(*), sum(xmin::text::bigint) FROM {}").format(Identifier(*table))
    return superuser.execute(query).fetchone()
