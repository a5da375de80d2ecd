"""The switch that stops all network writes of an operator at once, and lets them go on."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from policy.changes.enforcement import OPEN_STATES
from sql import audit
from sql.jobs import defer_work
from sql.models import Node, Operator, Router, Step


def set_network_writes(session: Session, operator_id: int, stopped: bool, by: str) -> bool:
    """Stop all network writes or let them go on; says whether that was anything new.

    What is in flight finishes and the rest waits. When writes go on the worker hears of it with the commit.
    """
    operator = session.get_one(Operator, operator_id, with_for_update=True)
    if (operator.writes_stopped_at is not None) == stopped:
        return False
    operator.writes_stopped_at = func.clock_timestamp() if stopped else None
    operator.writes_stopped_by = by if stopped else ""
    session.flush()
    audit.record(session, operator_id, by, f"network:writes:{'stop' if stopped else 'start'}")
    if not stopped:
        defer_work(session, operator_id, _routers_that_wait(session, operator_id))
    return True


def waiting_steps(session: Session, operator_id: int) -> int:
    """How many steps could be sent at this moment, or are on their way."""
    found = session.scalar(
        select(func.count())
        .select_from(Step)
        .where(Step.operator_id == operator_id, Step.state.in_(OPEN_STATES), Step.due_at <= func.now())
    )
    return found or 0


def _routers_that_wait(session: Session, operator_id: int) -> list[tuple[int, str]]:
    rows = session.execute(
        select(Router.id, func.coalesce(Node.name, ""))
        .outerjoin(Node, Node.id == Router.node_id)
        .where(
            Router.operator_id == operator_id,
            select(Step.id)
            .where(Step.router_id == Router.id, Step.state.in_(OPEN_STATES), Step.due_at <= func.now())
            .exists(),
        )
        .order_by(Router.id)
    )
    return [(router_id, node) for router_id, node in rows]
