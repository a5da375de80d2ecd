"""What the clock looks after besides jobs: proofs that did not come, routers that spoke again, and drift."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from sql.jobs import BATCHES_QUEUE, defer_enforce, driver_connection
from sql.proof import raise_alarms
from sql.router_health import note_accounting, routers_that_spoke
from sql.sessions import acting_for

# Drift is looked for a page of sessions at a time: 50,000 sessions are gone through in two minutes, for 5 ms a look.
DRIFT_EVERY_LOOKS = 5
DRIFT_SESSIONS = 2000
# Handed on in portions: each is a transaction that locks its sessions.
DRIFT_AT_ONCE = 200
# What a batch that is being planned changes is no drift yet. After so many looks in a row drift is looked for anyway.
BUSY_LOOKS = 12

_BUSY = text("""
SELECT EXISTS (SELECT FROM procrastinate_jobs WHERE queue_name = :queue AND status IN ('todo', 'doing'))
""")


class Watch:
    """Looks once for each call of `look`, and remembers how far it has gone through the sessions."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is the worker role's. Nothing is opened yet."""
        self._engine = engine
        self._looks = 0
        self._after_service_id = 0
        self._after_placed_id = 0
        self._busy_looks = 0

    def look(self) -> None:
        """One look; raises OperationalError while the database is away."""
        self.find_unproved()
        self.hear_routers()
        if self._looks % DRIFT_EVERY_LOOKS == 0:
            self.find_drift()
            self.look_at_placed()
        self._looks += 1

    def find_unproved(self) -> None:
        """Raise the alarm for acknowledged steps whose proof is overdue."""
        with self._engine.connect() as connection:
            operators = list(connection.execute(text("SELECT operator_id FROM operators_to_verify()")).scalars())
        for operator_id in operators:
            with acting_for(self._engine, operator_id) as session:
                raise_alarms(session, operator_id)

    def hear_routers(self) -> None:
        """Routers that are taken for down but send accounting are not down."""
        with Session(self._engine) as session:
            spoke = routers_that_spoke(session)
        for operator_id, router_id in spoke:
            with acting_for(self._engine, operator_id) as session:
                note_accounting(session, router_id)

    def find_drift(self) -> None:
        """Hand the next page of sessions on that have something else than what is authorised, without any trigger."""
        query = text("SELECT operator_id, service_id, last FROM look_for_drift(:after, :most)")
        with self._engine.connect() as connection:
            if self._is_busy(connection):
                return
            rows = connection.execute(query, {"after": self._after_service_id, "most": DRIFT_SESSIONS}).all()
        drifting: dict[int, list[int]] = {}
        for row in rows:
            if row.operator_id is not None:
                drifting.setdefault(row.operator_id, []).append(row.service_id)
        for operator_id, services in drifting.items():
            with acting_for(self._engine, operator_id) as session:
                for start in range(0, len(services), DRIFT_AT_ONCE):
                    some = services[start : start + DRIFT_AT_ONCE]
                    defer_enforce(driver_connection(session), operator_id, some, hurry=False)
        self._after_service_id = rows[0].last or 0

    def look_at_placed(self) -> None:
        """Hand the next page of services on that routers hold: a style or a password may say something else by now."""
        query = text("SELECT operator_id, service_id FROM placed_services(:after, :most)")
        with self._engine.connect() as connection:
            if self._is_busy(connection):
                return
            rows = connection.execute(query, {"after": self._after_placed_id, "most": DRIFT_AT_ONCE}).all()
        services: dict[int, list[int]] = {}
        for row in rows:
            services.setdefault(row.operator_id, []).append(row.service_id)
        for operator_id, some in services.items():
            with acting_for(self._engine, operator_id) as session:
                defer_enforce(driver_connection(session), operator_id, some, hurry=False)
        self._after_placed_id = rows[-1].service_id if len(rows) == DRIFT_AT_ONCE else 0

    def _is_busy(self, connection: Connection) -> bool:
        busy = self._busy_looks < BUSY_LOOKS and connection.execute(_BUSY, {"queue": BATCHES_QUEUE}).scalar_one()
        self._busy_looks = self._busy_looks + 1 if busy else 0
        return bool(busy)
