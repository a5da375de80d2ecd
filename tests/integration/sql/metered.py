"""A service with a plan that limits bytes, what was counted of it, and short words for who looks at that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from fixtures_database import Isp

from policy.quota import UsageState, read_state
from sql.models import Service, Step
from sql.quota import Look, look
from sql.roles import Role
from sql.sessions import database_time
from worker.planning import enforce_services, renew_operator

GB = 10**9


class Meter:
    """One service on one router, online with what it was given at first."""

    def __init__(self, isp: Isp, username: str = "zofia", **facts: Any) -> None:
        """Opened and online."""
        self.isp = isp
        self.plan = isp.plan(f"Plan of {username}", **facts)
        self.service = isp.service(username, plan=self.plan)
        self.router = isp.router(f"tower of {username}")
        isp.review()
        self.stamp = self.fresh().authorised_stamp
        self.session_id = isp.online(self.service, self.router, self.stamp)
        # What was opened long ago is not why a session changes now.
        self.query("UPDATE services SET authorised_at = authorised_at - interval '1 day'")
        with isp.worker() as session:
            self.now = database_time(session)
        self.starts_at = datetime(self.now.year, self.now.month, 1, tzinfo=UTC)
        self.ends_at = (self.starts_at + timedelta(days=31)).replace(day=1)

    def edge(self) -> psycopg.Connection[Any]:
        """What edge connects with."""
        return psycopg.connect(self.isp.database.databases.conninfo(Role.EDGE))

    def count(self, counted: int, span: str = "month", **more: datetime) -> Look:
        """So many bytes are counted in all, and edge looks, in one transaction."""
        starts_at, ends_at = more.get("starts_at", self.starts_at), more.get("ends_at", self.ends_at)
        with self.edge() as connection:
            connection.execute(
                "INSERT INTO usage_spans (operator_id, service_id, span, starts_at, ends_at, counted_bytes) "
                "VALUES (%s, %s, %s, %s, %s, %s) "
                "ON CONFLICT (service_id, span, starts_at) DO UPDATE SET counted_bytes = excluded.counted_bytes",
                (self.isp.operator_id, self.service.id, span, starts_at, ends_at, counted),
            )
            return look(connection, [self.service.id])

    def state(self) -> UsageState:
        """The state as it is stored."""
        rows = self.query("SELECT document FROM usage_states WHERE service_id = %s", self.service.id)
        return read_state(rows[0][0]) if rows else UsageState()

    def work(self) -> None:
        """What the worker does once it was told of the service, and by its clock."""
        renew_operator(self.isp.database.engine(Role.WORKER), self.isp.operator_id)
        enforce_services(self.isp.database.engine(Role.WORKER), self.isp.operator_id, [self.service.id])

    def steps(self) -> list[Step]:
        """The steps of the service, oldest first."""
        return self.isp.steps(self.service)

    def fresh(self) -> Service:
        """The service as it is stored now."""
        return self.isp.fresh(self.service)

    def query(self, statement: str, *values: Any) -> list[Any]:
        """What is really in the database, or a change of it that no wall stops."""
        with self.isp.database.as_superuser() as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []
