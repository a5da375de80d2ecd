"""The database roles: an owner that only migrates, and one role for each kind of running process.

None is a superuser, and none bypasses row-level security. A process that acts for an operator says so at the start of
each transaction; unset means no rows.
"""

from __future__ import annotations

from enum import StrEnum

from psycopg import Connection
from psycopg.sql import SQL, Identifier, Literal


class Role(StrEnum):
    """The roles by their names in PostgreSQL."""

    OWNER = "ispagents_owner"
    WEB = "ispagents_web"
    WORKER = "ispagents_worker"
    EDGE = "ispagents_edge"


def create_roles(superuser: Connection[object]) -> None:
    """Make the roles that are missing, without passwords: the embedded server lets them in by their Linux user."""
    with superuser.transaction():
        # Two programs may prepare one server at the same moment; CREATE ROLE has no IF NOT EXISTS.
        superuser.execute("SELECT pg_advisory_xact_lock(762391)")
        for role in Role:
            known = superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role.value,)).fetchone()
            if known is None:
                superuser.execute(
                    SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS").format(
                        Identifier(role.value)
                    )
                )


def create_database(superuser: Connection[object], name: str, template: str = "template1") -> bool:
    """Make the database, owned by the owner role, unless it is there. Says whether it was made.

    `superuser` must be in autocommit mode, as CREATE DATABASE demands.
    """
    if superuser.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
        return False
    superuser.execute(
        SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
            Identifier(name), Identifier(Role.OWNER.value), Identifier(template)
        )
    )
    return True


def grant_connections(superuser: Connection[object], name: str) -> None:
    """Let the four roles, and nobody else, into the database. `superuser` is connected to that database."""
    superuser.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))
    superuser.execute(SQL("ALTER SCHEMA public OWNER TO {}").format(Identifier(Role.OWNER.value)))
    for role in Role:
        superuser.execute(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(Identifier(name), Identifier(role.value)))
        superuser.execute(SQL("GRANT USAGE ON SCHEMA public TO {}").format(Identifier(role.value)))
    for role, seconds in ((Role.WEB, 30), (Role.WORKER, 120), (Role.EDGE, 120)):
        superuser.execute(
            SQL("ALTER ROLE {} SET statement_timeout = {}").format(Identifier(role.value), Literal(f"{seconds}s"))
        )
