"""Database sessions. A session that acts for an operator says so first; row-level security does the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import URL, Engine, TextClause, create_engine, func, select, text
from sqlalchemy.orm import Session

POOL_CONNECTIONS = 8
_BEGAN = "ispagents began"
_ACT = text("SELECT set_config('app.operator', :operator, true), clock_timestamp() AS began")

# For the statements of `acting_for_found`: who is found is acted for from here on.
ACT_FOR_FOUND = "set_config('app.operator', operator_id::text, true) AS acting, clock_timestamp() AS began"


def make_engine(url: URL, *, pool: int = POOL_CONNECTIONS) -> Engine:
    """An engine for one role. Nothing is opened yet."""
    return create_engine(
        url,
        pool_size=pool,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 5, "application_name": "ispagents"},
    )


@contextmanager
def acting_for(engine: Engine, operator_id: int) -> Iterator[Session]:
    """A transaction for one operator: committed at the end of the block, rolled back when it raises."""
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.info[_BEGAN] = session.execute(_ACT, {"operator": str(operator_id)}).one().began
        yield session


@contextmanager
def acting_for_found(engine: Engine, finding: TextClause, values: dict[str, Any]) -> Iterator[tuple[Session, Any]]:
    """A transaction for the operator that a statement finds, and its row; None where it finds nobody.

    The statement calls a function that looks across operators, and hands its `operator_id` to `ACT_FOR_FOUND`.
    """
    with Session(engine, expire_on_commit=False) as session, session.begin():
        row = session.execute(finding, values).one_or_none()
        if row is not None:
            session.info[_BEGAN] = row.began
        yield session, row


def database_time(session: Session) -> datetime:
    """The database's time when this transaction began to act for its operator: the one clock by which all decide.

    Machines disagree about the time, and what one stores as over another must not take for due. It costs no query.
    """
    began = session.info.get(_BEGAN)
    if began is None:  # a transaction that acts for nobody, as the one that makes an operator
        began = session.execute(select(func.clock_timestamp())).scalar_one()
    return began  # type: ignore[no-any-return] # `info` is a dict of anything


def operator_names(engine: Engine) -> dict[str, int]:
    """All operators by name, and nothing else of them."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT name, id FROM operator_names()"))
        return {row.name: row.id for row in rows}
