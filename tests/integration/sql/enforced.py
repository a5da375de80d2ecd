"""A service online with another access than the authorised one, and short words for what the worker does about it."""

from datetime import UTC, datetime
from typing import Any

from fixtures_database import Isp, outcome
from sqlalchemy import text

from policy.changes.enforcement import Enforcement
from sql import customers
from sql.attempts import Claimed, claim, store_outcomes
from sql.enforcement import enforce
from sql.models import Evidence, Router


class Line:
    """A service online with an earlier access than the authorised one."""

    def __init__(self, isp: Isp, router: Router, username: str = "zofia") -> None:
        """Opened, online, and then given another plan."""
        self.isp, self.router = isp, router
        self.plan = isp.plan(f"Before {username}", address_lists=["online"])
        self.service = isp.service(username, plan=self.plan)
        isp.review()
        self.stamp = isp.fresh(self.service).authorised_stamp
        self.session_id = isp.online(self.service, router, self.stamp)

    def change_speed(self, rate_limit: str) -> None:
        """A new version of the plan, authorised by a rule."""
        with self.isp.web() as session:
            customers.change_plan(
                session, self.isp.operator_id, name=self.plan.name, facts={"rate_limit": rate_limit}, actor="a test"
            )
        self.isp.review()

    def enforce(self) -> int:
        """Plan what is needed."""
        with self.isp.worker() as session:
            return enforce(session, self.isp.operator_id, [self.service.id], datetime.now(UTC))

    def claim(self) -> list[Claimed]:
        """Claim what is due."""
        with self.isp.worker() as session:
            return claim(session, self.isp.operator_id, self.router.id, 100)

    def store(self, claimed: Claimed, state: Enforcement, said: str = "applied", **more: object) -> None:
        """Store how an attempt ended, and look again, as the worker does."""
        with self.isp.worker() as session:
            store_outcomes(session, self.isp.operator_id, [outcome(claimed, state, said, **more)])
        self.enforce()

    def states(self) -> list[tuple[str, str]]:
        """Route and state of each step, oldest first."""
        return [(step.route, step.state) for step in self.isp.steps(self.service)]

    def make_due(self) -> None:
        """Let the waiting time of every open step be over."""
        with self.isp.worker() as session:
            session.execute(text("UPDATE steps SET due_at = now() - interval '1 second' WHERE ended_at IS NULL"))

    def evidence(self) -> list[Evidence]:
        """All attempts, oldest first."""
        with self.isp.worker() as session:
            return list(session.query(Evidence).order_by(Evidence.id))

    def query(self, statement: str, **values: Any) -> list[Any]:
        """What is really in the database, or a change of it that no wall stops; values by name."""
        with self.isp.database.as_superuser() as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []

    def audited(self, event: str) -> list[dict[str, Any]]:
        """The data of audit events of this name, oldest first."""
        return [row[0] for row in self.query("SELECT data FROM audit_events WHERE event = %(e)s ORDER BY id", e=event)]
