"""Steps as both rooms of enforcement need them: what a session should have, and how a step comes to its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access
from policy.changes.enforcement import HURRY_PRIORITY, LAST_PRIORITY, MOVES, OPEN_STATES, Enforcement
from policy.changes.moves import move
from policy.documents import read_service
from policy.facts import Login, Method, ServiceFacts
from policy.stamp import stamp
from sql.among import among
from sql.models import Operator, Router, Service, Session, Step
from sql.wanted import Decider


class Target(NamedTuple):
    """A live session with what it should have at this moment."""

    session: Session
    router: Router
    service: Service
    facts: ServiceFacts
    access: Access
    stamp: str


class Targets:
    """What live sessions should have, decided for their very device and place, as their login was."""

    def __init__(self, session: DatabaseSession, operator: Operator) -> None:
        """For one operator, within one transaction."""
        self._session = session
        self._decider = Decider(session, operator)
        self._operator_id = operator.id

    def find(self, which: ColumnElement[bool], now: datetime, *, lock: bool) -> list[Target]:
        """The open sessions that `which` selects, of services that have something authorised, ordered by id."""
        query = (
            select(Session, Router, Service)
            .join(Router, Router.id == Session.router_id)
            .join(Service, Service.id == Session.service_id)
            .where(
                Session.operator_id == self._operator_id,
                which,
                Session.ended_at.is_(None),
                Service.authorised.is_not(None),
            )
            .order_by(Session.id)
            .execution_options(populate_existing=True)
        )
        rows = self._session.execute(query.with_for_update(of=Session) if lock else query).all()
        facts = {service.id: read_service(service.authorised or {}) for _, _, service in rows}
        self._decider.load({one.plan_version_id for one in facts.values()})
        found = []
        for live, router, service in rows:
            access = self._decide(live, service, facts[service.id], now)
            found.append(Target(live, router, service, facts[service.id], access, stamp(access)))
        return found

    def at(self, one: Target, moment: datetime) -> Access:
        """What is authorised now, as it would have been decided at another moment."""
        return self._decide(one.session, one.service, one.facts, moment)

    def _decide(self, live: Session, service: Service, facts: ServiceFacts, now: datetime) -> Access:
        login = Login(Method(live.method) if live.method else None, live.mac, live.router_id, live.port)
        return self._decider.access_of_session(service, facts, login, now)


def due_steps(
    session: DatabaseSession,
    operator_id: int,
    router_id: int,
    most: int,
    *,
    probe: bool,
    hurry: bool,
    configure: bool = False,
) -> Sequence[Step]:
    """The steps whose turn it is, locked: those about sessions, or with `configure` those about placements.

    A probe takes the one that was tried most, so that one alone bears all of them.
    """
    order = (Step.attempts.desc(), Step.id) if probe else (Step.priority, Step.due_at, Step.id)
    return session.scalars(
        select(Step)
        .where(
            Step.operator_id == operator_id,
            Step.router_id == router_id,
            Step.state.in_(OPEN_STATES),
            Step.due_at <= func.now(),
            Step.priority <= (HURRY_PRIORITY if hurry else LAST_PRIORITY),
            Step.placement_id.is_not(None) if configure else Step.session_id.is_not(None),
        )
        .order_by(*order)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()


def finish(step: Step, state: Enforcement, explanation: str) -> None:
    """Bring a step to an end that the table of moves allows. Raises MoveNotAllowed."""
    step.state = move(MOVES, Enforcement(step.state), state).value
    step.ended_at = func.clock_timestamp()
    step.explanation = explanation


def supersede(step: Step, why: str) -> None:
    """The step is not needed any more."""
    finish(step, Enforcement.SUPERSEDED, f"Not needed any more: {why}.")


def by_id(session: DatabaseSession, model: Any, ids: set[int]) -> dict[int, Any]:
    """Rows by their ids, none twice, in one query; no query for none."""
    if not ids:
        return {}
    return {row.id: row for row in session.scalars(select(model).where(among(model.id, ids)))}
