"""The databases that these tests share one after another: whatever a test did to its own, the next one finds it new."""

import psycopg
import pytest
from database_server import DatabaseServer, Made
from fixtures_database import Database, new_database

from sql.roles import Role


def test_rows_sequences_and_connections_are_gone_for_the_next(database_server: DatabaseServer) -> None:
    """The same database comes again: nothing is in it, numbers begin anew, and who stayed in it was shown out."""
    with new_database(database_server) as database:
        name, first = database.name, database.isp("Wave").operator_id
        stays = psycopg.connect(database.databases.conninfo(Role.WORKER))
        stays.execute("SELECT pg_advisory_lock(7)")

    with pytest.raises(psycopg.OperationalError):
        stays.execute("SELECT 1")
    stays.close()
    with new_database(database_server) as database:
        assert (database.name, database.isp("Wave").operator_id) == (name, first) == (name, 1)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE services DISABLE TRIGGER USER",
        "CREATE TABLE mine (id int)",
        "DROP INDEX changes_state",
        "REVOKE SELECT ON services FROM ispagents_web",
        "GRANT UPDATE (name) ON plans TO ispagents_edge",
        "DROP POLICY operator_wall ON services",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "ALTER ROLE ispagents_web IN DATABASE {} SET statement_timeout = 1",
        "ALTER DATABASE {} CONNECTION LIMIT 1",
        "DROP SCHEMA public CASCADE",
        "INSERT INTO nodes (name, address) SELECT n, '127.0.0.1' FROM generate_series(1, 3000) AS n",
    ],
)
def test_what_is_more_than_rows_is_not_lent_again(database: Database, change: str) -> None:
    """A changed schema, right or setting, a changed row of the migrations, or a mass of rows is noticed."""
    with database.as_superuser() as superuser:
        made = Made.look(superuser)
        with superuser.transaction(force_rollback=True):
            superuser.execute(change.format(database.name))
            assert not made.restore(superuser)
        assert made.restore(superuser)
