"""`ispagents db`: the schema of the database."""

from __future__ import annotations

from typing import Any

import typer
from sqlalchemy import text

from ispagents.cli import common
from ispagents.cli.common import JsonOption
from ispagents.database import Databases, expected_revision, migrate_now
from sql.roles import Role

app = typer.Typer(no_args_is_help=True, help="The database's schema.")


@app.command("migrate")
def migrate(as_json: JsonOption = False) -> None:
    """Bring the schema to what this version needs; nothing happens when it is there already."""
    databases = common.databases()
    before, after = migrate_now(databases)
    said = "The schema was up to date." if before == after else "The schema is up to date now."
    common.show_one({"before": before, "after": after, "said": said}, as_json=as_json)


@app.command("status")
def status(as_json: JsonOption = False) -> None:
    """Say which schema the database has and which one this version needs."""
    common.show_one(_status(common.databases()), as_json=as_json)


def _status(databases: Databases) -> dict[str, Any]:
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415 - slow to import; only this command needs it

    engine = databases.engine(Role.OWNER, pool=1)
    try:
        with engine.connect() as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
            version, size = connection.execute(
                text("SELECT current_setting('server_version'), pg_database_size(current_database())")
            ).one()
    finally:
        engine.dispose()
    needed = expected_revision()
    ready = revision == needed
    return {
        "database": engine.url.render_as_string(hide_password=True),
        "server_version": version,
        "size_mb": round(size / 1_000_000, 1),
        "revision": revision,
        "needed_revision": needed,
        "up_to_date": ready,
        "said": "The schema is the one that is needed." if ready else "Run `ispagents db migrate`.",
    }
