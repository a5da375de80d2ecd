"""What ISPs run today: rlm_sql on PostgreSQL with the distribution's schema, queries and module file."""

import shutil
from pathlib import Path
from typing import Final

from psycopg import sql

from bench import subscribers
from bench.load import ExpectedRate
from bench.servers.contract import Endpoint, ServerError
from bench.servers.freeradius import RADDB, FreeRadius
from bench.servers.postgres import ThrowAwayPostgres

_SCHEMA: Final = RADDB / "mods-config" / "sql" / "main" / "postgresql" / "schema.sql"
_MODULE: Final = RADDB / "mods-available" / "sql"

# The edits that every installation makes to mods-available/sql. Its connection pool already follows the thread pool.
_EDITS: Final = (
    ('dialect = "sqlite"', 'dialect = "postgresql"'),
    ('driver = "rlm_sql_null"', 'driver = "rlm_sql_postgresql"'),
)
_AUTHORIZE: Final = "-sql\nchap\nmschap\npap"
_POST_AUTH: Final = """
    -sql
    Post-Auth-Type REJECT {
        -sql
        attr_filter.access_reject
    }
"""


class RlmSql:
    """Password in radcheck, group in radusergroup, the group's rate in radgroupreply, some rates in radreply."""

    name: Final = "rlm_sql"
    rate: ExpectedRate = "plan"

    def __init__(self, database: ThrowAwayPostgres) -> None:
        """The database runs already, is kept across starts, and is filled once for each number of users."""
        self._database = database
        self._server = FreeRadius(self.name)

    def start(self, users: int, threads: int) -> Endpoint:
        name = f"radius_{users}"
        fill(self._database, name, users)
        folder = self._server.prepare()
        write_module(folder, self._database, name)
        endpoint = self._server.start(
            threads=threads,
            modules=f"    $INCLUDE {folder}/sql",
            authorize=_AUTHORIZE,
            post_auth=_POST_AUTH,
        )
        return endpoint._replace(helpers=(self._database.pid,))

    def stop(self) -> None:
        self._server.stop()


def write_module(folder: Path, database: ThrowAwayPostgres, name: str) -> None:
    """The distribution's module file for this database, as `sql` in the folder. Raises ServerError."""
    module = _MODULE.read_text()
    address = f"host={database.socket_folder} user=radius password={database.password} dbname={name}"
    for old, new in (*_EDITS, ('radius_db = "radius"', f'radius_db = "{address}"')):
        if module.count(f"\t{old}") != 1:
            raise ServerError(f"{_MODULE} holds no single line {old!r}: it is not FreeRADIUS 3.2's own")
        module = module.replace(f"\t{old}", f"\t{new}")
    _write_private(folder / "sql", module)


def _write_private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o640)
    shutil.chown(path, group="freerad")


def fill(database: ThrowAwayPostgres, name: str, users: int) -> None:
    """A database of that name with the stock schema and so many subscribers; done once."""
    with database.connect("postgres") as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with database.connect(name) as connection:
        connection.execute(_SCHEMA.read_bytes())
        with connection.cursor() as cursor:
            with cursor.copy("COPY radcheck (username, attribute, op, value) FROM STDIN") as copy:
                for number in range(users):
                    copy.write_row(
                        (subscribers.user_name(number), "Cleartext-Password", ":=", subscribers.password(number))
                    )
            with cursor.copy("COPY radusergroup (username, groupname, priority) FROM STDIN") as copy:
                for number in range(users):
                    copy.write_row((subscribers.user_name(number), subscribers.plan_name(number), 1))
            with cursor.copy("COPY radreply (username, attribute, op, value) FROM STDIN") as copy:
                for number in filter(subscribers.has_own_reply, range(users)):
                    copy.write_row(
                        (subscribers.user_name(number), "Mikrotik-Rate-Limit", "=", subscribers.rate_limit(number))
                    )
            with cursor.copy("COPY radgroupreply (groupname, attribute, op, value) FROM STDIN") as copy:
                for plan, rate in enumerate(subscribers.PLAN_RATES):
                    copy.write_row((f"plan{plan}", "Mikrotik-Rate-Limit", "=", rate))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
