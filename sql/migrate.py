"""Run the migrations as the owner role."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(engine: Engine) -> tuple[str | None, str | None]:
    """Bring the database to the newest revision; returns the revision before and after.

    `engine` connects as the owner role. Safe to run twice, and by two programs at once: one waits for the other.
    """
    config = configuration()
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(762392)")
        try:
            before = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()
            after = MigrationContext.configure(connection).get_current_revision()
            connection.commit()
        finally:
            connection.rollback()
            connection.exec_driver_sql("SELECT pg_advisory_unlock(762392)")
            connection.commit()
    return before, after


def configuration() -> Config:
    """Alembic's configuration, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def newest_revision() -> str | None:
    """The revision that the code expects."""
    return ScriptDirectory.from_config(configuration()).get_current_head()
