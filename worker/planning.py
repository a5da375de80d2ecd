"""Reviews into changes, authorised changes into steps. Plain database work, run in threads beside the event loop."""

from __future__ import annotations

import structlog
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from sql.authorising import REVIEWS_AT_ONCE, renew_authorised, renew_limited
from sql.enforcement import enforce
from sql.jobs import defer_enforce, driver_connection, review_lock, take_over_waiting
from sql.metering import bring_up
from sql.reviews import review
from sql.sessions import acting_for, database_time

log = structlog.get_logger("worker.planning")


def review_operator(engine: Engine, operator_id: int) -> int:
    """Take all reviews of an operator that are due, a transaction a few hundred. Returns how many."""
    total = 0
    while True:
        with acting_for(engine, operator_id) as session:
            if not total:
                take_over_waiting(session, review_lock(operator_id))
            taken = review_some(session, operator_id)
        total += taken
        # What comes meanwhile has a job of its own.
        if taken < REVIEWS_AT_ONCE:
            return total


def renew_operator(engine: Engine, operator_id: int) -> int:
    """Let accesses change that change by themselves: a window's edge, a prepaid end. Returns how many."""
    total = 0
    while True:
        with acting_for(engine, operator_id) as session:
            renewed = renew_some(session, operator_id)
        total += renewed
        if renewed == 0:
            return total


def enforce_services(engine: Engine, operator_id: int, service_ids: list[int], asked: bool = False) -> int:
    """Plan the steps that these services need; `asked`: by a person. Returns how many routers got work."""
    with acting_for(engine, operator_id) as session:
        bring_up(session, service_ids, database_time(session))
    with acting_for(engine, operator_id) as session:
        return enforce_some(session, operator_id, service_ids, asked=asked)


# One transaction of each, by the database's clock. The simulation runs these too.


def review_some(session: Session, operator_id: int) -> int:
    """A few hundred reviews that are due. Returns how many were taken."""
    return review(session, operator_id, database_time(session))


def renew_some(session: Session, operator_id: int) -> int:
    """A few hundred renewals that are due, and the steps that they need. Returns how many services were renewed."""
    services = renew_authorised(session, operator_id, database_time(session))
    if services:
        defer_enforce(driver_connection(session), operator_id, services)
    return len(services)


def enforce_some(session: Session, operator_id: int, service_ids: list[int], *, asked: bool = False) -> int:
    """The steps that live sessions of these services need. Returns how many routers got work."""
    now = database_time(session)
    routers = enforce(session, operator_id, service_ids, now, asked=asked)
    # After the sessions, as edge locks them.
    renew_limited(session, operator_id, service_ids, now)
    return routers


def operators_with_work(engine: Engine) -> list[int]:
    """Operators that have a review or a renewal due."""
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT operator_id FROM operators_with_work()")).scalars())


def waiting_locks(engine: Engine) -> set[str]:
    """The locks of jobs that wait or run already: what they are about needs no second one."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT DISTINCT lock FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND lock IS NOT NULL")
        )
        return set(rows.scalars())


def routers_with_work(engine: Engine) -> list[tuple[int, int, str]]:
    """Routers with steps that are due, as (operator, router, node)."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT operator_id, router_id, node FROM routers_with_work()"))
        return [(row.operator_id, row.router_id, row.node) for row in rows]
