"""The nightly cycle of one operator: invoices, then reminders, services to close and promises that ended.

All of it is done in short transactions, so that payments never wait for it. What it does follows from where things
stand: killed at any point, it is begun again and goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from sql.models import BillingRun, Operator
from sql.money.closing import close_overdue
from sql.money.cycle import ACTOR, bill_day
from sql.money.promises import settle_promises
from sql.money.reminders import remind
from sql.money.runs import begin_run, count_run, finish_run
from sql.sessions import acting_for

Part = Callable[[Session, Operator, date], int]


class Interrupted(Exception):  # noqa: N818 - reads as what happened
    """The worker is to stop; the next run goes on where this one stands."""


def operators_to_bill(engine: Engine) -> list[tuple[int, date]]:
    """Operators whose cycle is due, each with its local day."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT operator_id, day FROM operators_to_bill()"))
        return [(row.operator_id, row.day) for row in rows]


def bill_operator(
    engine: Engine, operator_id: int, day: date, stopping: Callable[[], bool] = lambda: False
) -> BillingRun:
    """Run the cycle of a local day to its end. Returns its row. Raises Interrupted when `stopping` says so."""

    def go_on() -> None:
        if stopping():
            raise Interrupted

    with acting_for(engine, operator_id) as session:
        begin_run(session, operator_id, day)
    bill_day(engine, operator_id, day, between=go_on)
    _repeat(engine, operator_id, day, remind, go_on, "reminders")
    _repeat(engine, operator_id, day, close_overdue, go_on, "closed")
    _repeat(engine, operator_id, day, settle_promises, go_on, "")
    with acting_for(engine, operator_id) as session:
        return finish_run(session, operator_id, day, actor=ACTOR)


def _repeat(engine: Engine, operator_id: int, day: date, part: Part, go_on: Callable[[], None], counted: str) -> None:
    """A part of the cycle, a transaction a portion, until nothing is left of it."""
    while True:
        go_on()
        with acting_for(engine, operator_id) as session:
            done = part(session, session.get_one(Operator, operator_id), day)
            if done and counted:
                count_run(session, operator_id, day, **{counted: done})
        if not done:
            return
