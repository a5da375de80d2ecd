"""Deferring jobs inside the transaction that stores what they are about; commit and rollback cover both.

A job carries ids, never news and never secrets. The tasks live in `worker`; here are only their names.
"""

from __future__ import annotations

from typing import Any

from procrastinate import App, SyncPsycopgConnector
from procrastinate.exceptions import ConnectorException
from psycopg import Connection
from sqlalchemy.orm import Session

REVIEW = "review_services"
ENFORCE = "enforce_services"
WORK_ROUTER = "work_router"

PLANNING_QUEUE = "planning"
ROUTERS_QUEUE = "routers"

# Never opened: deferring uses the caller's connection.
_app = App(connector=SyncPsycopgConnector())


def node_queue(node: str) -> str:
    """The queue of the worker at a node's address; without a node any worker will do."""
    return f"node:{node}" if node else ROUTERS_QUEUE


def defer_review(session: Session, operator_id: int) -> None:
    """Let the worker look at the operator's reviews that are due."""
    _defer(driver_connection(session), REVIEW, PLANNING_QUEUE, f"review:{operator_id}", operator_id=operator_id)


def defer_enforce(connection: Connection[Any], operator_id: int, service_ids: list[int]) -> None:
    """Let the worker bring the live sessions of these services into line."""
    _defer(connection, ENFORCE, PLANNING_QUEUE, None, operator_id=operator_id, service_ids=service_ids)


def defer_work(session: Session, operator_id: int, router_id: int, node: str) -> None:
    """Let a worker drain the waiting steps of a router; jobs of one router run one after the other."""
    _defer(
        driver_connection(session),
        WORK_ROUTER,
        node_queue(node),
        f"router:{router_id}",
        operator_id=operator_id,
        router_id=router_id,
    )


def driver_connection(session: Session) -> Connection[Any]:
    """The psycopg connection under a session."""
    connection: Any = session.connection().connection.driver_connection
    return connection  # type: ignore[no-any-return] # SQLAlchemy cannot know the driver


def _defer(connection: Connection[Any], task: str, queue: str, lock: str | None, **arguments: Any) -> None:
    try:
        _app.configure_task(task, queue=queue, lock=lock, connection=connection).defer(**arguments)
    except ConnectorException as error:
        # The cause is the database's own error; callers know how to explain that one.
        raise error.__cause__ or error from error
