"""The clock of quotas: spans and top-ups that end are settled, and what logins know is brought up."""

from __future__ import annotations

from sqlalchemy import Engine, text

from sql.metering import AT_ONCE, settle_due
from sql.sessions import acting_for, database_time

# Logins know by themselves when a span has ended, and stamps have a clock of their own: this one settles and tidies up.
EVERY_LOOKS = 10


class QuotaClock:
    """Looks once for each `EVERY_LOOKS` calls of `look`."""

    def __init__(self, engine: Engine) -> None:
        """`engine` is the worker role's. Nothing is opened yet."""
        self._engine = engine
        self._looks = 0

    def look(self) -> None:
        """One look; raises OperationalError while the database is away."""
        if self._looks % EVERY_LOOKS == 0:
            with self._engine.connect() as connection:
                due = list(connection.execute(text("SELECT operator_id FROM operators_with_usage()")).scalars())
            for operator_id in due:
                settle_operator(self._engine, operator_id)
        self._looks += 1


def settle_operator(engine: Engine, operator_id: int) -> int:
    """Settle what is due of an operator, a transaction a few hundred. Returns how many services it was."""
    total = 0
    while True:
        with acting_for(engine, operator_id) as session:
            settled = settle_due(session, operator_id, database_time(session))
        total += settled
        if settled < AT_ONCE:
            return total
