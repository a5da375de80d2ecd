"""Deferring jobs inside the transaction that stores what they are about; commit and rollback cover both.

A job carries ids, never news and never secrets. The tasks live in `worker`; here are only their names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

REVIEW = "review_services"
ENFORCE = "enforce_services"
WORK_ROUTER = "work_router"
BILL = "bill_operator"

PLANNING_QUEUE = "planning"
# What nobody waits for by himself, such as tonight's suspensions: a payment's jobs never stand behind them.
BATCHES_QUEUE = "batches"
ROUTERS_QUEUE = "routers"

# Never opened: deferring uses the caller's connection.
_app = App(connector=SyncPsycopgConnector())


def node_queue(node: str, *, hurry: bool = False) -> str:
    """The queue of the worker at a node's address; without a node any worker will do."""
    queue = f"node:{node}" if node else ROUTERS_QUEUE
    return f"{queue}:hurry" if hurry else queue


def review_lock(operator_id: int) -> str:
    """The lock of an operator's review jobs: one runs at a time."""
    return f"review:{operator_id}"


def billing_lock(operator_id: int) -> str:
    """The lock of an operator's billing cycle: one runs at a time."""
    return f"billing:{operator_id}"


def router_lock(router_id: int, *, hurry: bool = False) -> str:
    """The lock of a router's jobs: one runs at a time, and one beside it for what is in a hurry."""
    return f"router:{router_id}:hurry" if hurry else f"router:{router_id}"


def defer_review(session: Session, operator_id: int) -> None:
    """Let the worker look at the operator's reviews that are due."""
    _defer(session, [_job(REVIEW, PLANNING_QUEUE, review_lock(operator_id), operator_id=operator_id)])


def defer_enforce(
    connection: Connection[Any],
    operator_id: int,
    service_ids: list[int],
    *,
    hurry: bool = True,
    asked: bool = False,
) -> None:
    """Let the worker bring what these services have into line; without `hurry`, beside all that has it.

    `asked`: a person asked for just this, so that it waits neither for the brake on healing nor for another try.
    """
    queue = PLANNING_QUEUE if hurry else BATCHES_QUEUE
    said = {"asked": True} if asked else {}
    _defer(connection, [_job(ENFORCE, queue, None, operator_id=operator_id, service_ids=service_ids, **said)])


def defer_work(session: Session, operator_id: int, routers: Iterable[tuple[int, str]], *, hurry: bool = False) -> None:
    """Let workers drain the waiting steps of routers (id and node), with `hurry` only those that are in one."""
    jobs = [
        _job(
            WORK_ROUTER,
            node_queue(node, hurry=hurry),
            router_lock(router_id, hurry=hurry),
            operator_id=operator_id,
            router_id=router_id,
            hurry=hurry,
        )
        for router_id, node in routers
    ]
    if jobs:
        _defer(session, jobs)


def take_over_waiting(session: Session, lock: str) -> None:
    """The jobs that wait for this lock are done with the one that runs: it reads after this what they were about.

    Else a thousand payments would be a thousand jobs that find nothing, and the next payment would wait behind them.
    """
    session.execute(text("DELETE FROM procrastinate_jobs WHERE status = 'todo' AND lock = :lock"), {"lock": lock})


def driver_connection(session: Session) -> Connection[Any]:
    """The psycopg connection under a session."""
    connection: Any = session.connection().connection.driver_connection
    return connection  # type: ignore[no-any-return] # SQLAlchemy cannot know the driver


def _job(task: str, queue: str, lock: str | None, **arguments: Any) -> Job:
    return _app.configure_task(task, queue=queue, lock=lock).make_new_job(**arguments)


def _defer(where: Session | Connection[Any], jobs: list[Job]) -> None:
    connection = driver_connection(where) if isinstance(where, Session) else where
    try:
        _app.job_manager.batch_defer_jobs(jobs, connection=connection)
    except ConnectorException as error:
        # The cause is the database's own error; callers know how to explain that one.
        raise error.__cause__ or error from error
