"""Steps as both rooms of enforcement need them: what a session should have, and how a step comes to its end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select, text
from sqlalchemy.orm import Session as DatabaseSession

from policy.access import Access, Kind
from policy.changes.enforcement import HURRY_PRIORITY, LAST_PRIORITY, MOVES, OPEN_STATES, Enforcement
from policy.changes.moves import move
from policy.documents import read_service
from policy.facts import AtLimit, Login, Method, PlanFacts, ServiceFacts
from policy.fair_use import SpanUse
from policy.quota import outcomes
from policy.reasons import Reason
from policy.stamp import stamp
from sql.among import among
from sql.models import Operator, Router, Service, Session, Step
from sql.wanted import Decider

# The device that came last stands first: `mac` is "" where a router tells none, and then each session is a device.
_REPORTING = text("""
SELECT id, service_id, CASE WHEN mac = '' THEN id::text ELSE mac END AS mac
FROM sessions WHERE service_id = ANY(:services) AND ended_at IS NULL
    AND last_seen_at + make_interval(secs => 2 * interim_interval_s) > :now
ORDER BY service_id, started_at DESC, id DESC
""")
_ONE_TOO_MANY = Access(Kind.DENY, Reason.TOO_MANY_SESSIONS)


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
        self._decider.load({one.plan_version_id for one in facts.values()}, list(facts))
        too_many = self._too_many(list(facts.values()), now)
        found = []
        for live, router, service in rows:
            access = _ONE_TOO_MANY if live.id in too_many else self._decide(live, service, facts[service.id], now)
            found.append(Target(live, router, service, facts[service.id], access, stamp(access)))
        return found

    def at(self, one: Target, moment: datetime) -> Access:
        """What is authorised now, as it would have been decided at another moment."""
        return self._decide(one.session, one.service, one.facts, moment)

    def could_have_given(self, one: Target, applied: Access, moment: datetime) -> bool:
        """Whether what is authorised now led to this access at another moment, by whatever was used by then."""
        plan = self._decider.plan(one.facts.plan_version_id)
        given = (self._decide(one.session, one.service, one.facts, moment, usage) for usage in outcomes(plan))
        return _without_interim(applied) in map(_without_interim, given)

    def _decide(
        self,
        live: Session,
        service: Service,
        facts: ServiceFacts,
        now: datetime,
        usage: tuple[SpanUse, ...] | None = None,
    ) -> Access:
        login = Login(Method(live.method) if live.method else None, live.mac, live.router_id, live.port)
        return self._decider.access_of_session(service, facts, login, now, usage)

    def _too_many(self, facts: list[ServiceFacts], now: datetime) -> set[int]:
        """The sessions beyond what their plans allow, where that ends the oldest: one query for all, or none.

        Devices count and not sessions, and only those that still report: after a power cut nobody is ended by ghosts.
        """
        most = {one.service_id: plan.simultaneous_use for one in facts if (plan := self._ends_oldest(one)) is not None}
        devices: dict[int, list[str]] = {}
        ended = set()
        if most:
            for row in self._session.execute(_REPORTING, {"services": sorted(most), "now": now}):
                known = devices.setdefault(row.service_id, [])
                if row.mac not in known:
                    known.append(row.mac)
                if row.mac in known[most[row.service_id] :]:
                    ended.add(row.id)
        return ended

    def _ends_oldest(self, facts: ServiceFacts) -> PlanFacts | None:
        plan = self._decider.plan(facts.plan_version_id)
        return plan if plan.simultaneous_use and plan.at_limit == AtLimit.END_OLDEST else None


def _without_interim(access: Access) -> str:
    """The stamp, but for how often the session reports: no step changes that, and near a limit it is another."""
    return stamp(access._replace(interim_interval_s=0))


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
