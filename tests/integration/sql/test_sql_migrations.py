"""Migrations: what they make is what the models say, and running them again changes nothing."""

from typing import Any

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from fixtures_database import Database, DatabaseServer
from sqlalchemy.dialects.postgresql.base import ischema_names

from ispagents.database import migrate_now
from sql.migrate import newest_revision
from sql.models import Base
from sql.models.base import Snapshot, TransactionId
from sql.roles import Role, create_database, grant_connections

ischema_names.update(xid8=TransactionId, pg_snapshot=Snapshot)  # SQLAlchemy cannot read these two back


def _ours(thing: Any, name: str | None, kind: str, *_: object) -> bool:
    table = name if kind == "table" else getattr(getattr(thing, "table", None), "name", "")
    return not str(table).startswith(("procrastinate_", "alembic_", "accounting_records_"))


def test_models_and_migrations_agree(database: Database) -> None:
    """Every table, column, type, index and constraint of the models is in the migrated schema, and none besides."""
    with database.engine(Role.OWNER).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _ours, "compare_type": True, "compare_server_default": False}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_every_model_column_is_nullable_as_in_the_database(database: Database) -> None:
    """NOT NULL in the database and in the models is the same for each column, and so is having a default."""
    with database.as_superuser() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, is_nullable = 'YES', column_default IS NOT NULL OR is_identity = 'YES' "
            "OR is_generated = 'ALWAYS' FROM information_schema.columns WHERE table_schema = 'public'"
        ).fetchall()
    found = {(table, column): (nullable, has_default) for table, column, nullable, has_default in rows}
    for table in Base.metadata.tables.values():
        for column in table.columns:
            has_default = bool(column.server_default is not None or column.identity is not None)
            assert found[table.name, column.name] == (column.nullable, has_default), f"{table.name}.{column.name}"


def test_migrating_twice_is_harmless(database: Database) -> None:
    """A second run reports the same revision before and after."""
    newest = newest_revision()
    assert migrate_now(database.databases) == (newest, newest)


def test_a_new_database_comes_from_nothing(database_server: DatabaseServer) -> None:
    """The first run reports that there was no revision, and a failed one leaves nothing half made."""
    name = "from_nothing"
    conninfo = database_server.server.conninfo
    with psycopg.connect(conninfo("postgres", "postgres"), autocommit=True) as superuser:
        create_database(superuser, name)
    try:
        with psycopg.connect(conninfo(name, "postgres"), autocommit=True) as superuser:
            grant_connections(superuser, name)
        assert migrate_now(database_server.databases(name)) == (None, newest_revision())
    finally:
        database_server.drop(name)


def test_searched_columns_sort_the_same_everywhere(database: Database) -> None:
    """Columns that lists are ordered by have the collation C, whatever the database's own is."""
    wanted = {
        ("api_tokens", "name"),
        ("compensations", "name"),
        ("drift_findings", "key"),
        ("dunning_policies", "name"),
        ("feeds", "source"),
        ("incoming_payments", "external_id"),
        ("incoming_payments", "source"),
        ("invoices", "number"),
        ("nas", "shortname"),
        ("notice_channels", "name"),
        ("notices", "key"),
        ("payment_providers", "name"),
        ("people", "login"),
        ("plans", "name"),
        ("routers", "name"),
        ("services", "username"),
        ("subscribers", "area"),
        ("subscribers", "reference"),
        ("subscribers", "search_name"),
    }
    with database.as_superuser() as connection:
        found = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND collation_name = 'C' AND table_name NOT LIKE 'procrastinate%'"
        ).fetchall()
    assert set(found) == wanted
