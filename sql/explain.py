"""Gathers what `policy.explain` must know of one service: a fixed number of indexed queries, whatever its history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session as DatabaseSession
from sqlalchemy.orm import aliased

from policy.access import Access
from policy.changes.enforcement import Enforcement
from policy.changes.intent import ChangeKind, Intent
from policy.changes.route import RouteKind
from policy.documents import read_access, read_plan
from policy.errors import PolicyError
from policy.facts import Login, Method, ServiceFacts
from policy.routeros.garden import read_garden
from policy.situation import (
    Decision,
    Earlier,
    EdgeNode,
    EndedLine,
    HeldLine,
    KnownRouter,
    LatestStep,
    LiveLine,
    Refused,
    Situation,
)
from policy.stamp import same_format, stamp
from policy.standing import Standing, network_standing
from sql.attempts import NODE_SILENT_S
from sql.drift_healing import garden_finding, service_finding
from sql.errors import NotFound
from sql.healing import held_until
from sql.models import (
    Approval,
    Change,
    Evidence,
    KnownAccess,
    Operator,
    Override,
    Placement,
    Plan,
    PlanVersion,
    RefusedLogin,
    Review,
    Router,
    RouterHealth,
    Service,
    Session,
    Step,
    Subscriber,
)
from sql.money.dunning import Standings
from sql.owing import asserted, coming, holds, oldest_unpaid
from sql.placing import Placements
from sql.router_health import API, COA
from sql.wanted import Decider, authorised_facts

SESSIONS_MOST = 20
REFUSED_MOST = 5
NODES_MOST = 100

_NODES = text("""
SELECT name, reported_at, coalesce(reported_at < :oldest, true) AS silent,
    CAST(:revision AS text) IS NOT NULL
        AND NOT coalesce(pg_visible_in_snapshot(CAST(CAST(:revision AS text) AS xid8), snapshot), false) AS behind
FROM nodes ORDER BY name LIMIT :most
""")


class _Line(NamedTuple):
    """The service with the rows that belong to it, each one to one."""

    service: Service
    subscriber: Subscriber
    operator: Operator
    plan: Plan
    bound_router: str
    review_due_at: datetime | None
    revision: str | None


def situation(session: DatabaseSession, operator_id: int, username: str, now: datetime) -> Situation:
    """What is known of the service of this user name at `now`. Raises NotFound."""
    line = _line(session, operator_id, username)
    service, operator = line.service, line.operator
    billing = Standings(session, operator, [(service, line.plan.dunning_policy_id)], now)
    override = _override(session, service, now)
    facts = authorised_facts(service)
    decider = Decider(session, operator)
    versions = _versions(session, {line.plan.current_version_id, facts.plan_version_id if facts else None})
    decider.load({version.id for version in versions.values()})
    given = versions.get(facts.plan_version_id) if facts is not None else None
    sold = versions[line.plan.current_version_id or 0]
    standing = billing.of(service.id).standing
    shown = given or sold
    return Situation(
        now=now,
        time_zone=operator.time_zone,
        username=service.username,
        reference=line.subscriber.reference,
        name=line.subscriber.name,
        method=service.method,
        created_at=service.created_at,
        standing=standing,
        unpaid=oldest_unpaid(billing, service, now),
        restores_by_itself=ChangeKind.RESTORE.value in operator.automatic_changes,
        holds=holds(session, billing, service, now),
        override=override,
        plan=shown.name,
        plan_rate=read_plan(shown.facts, shown.id, shown.name).rate_limit,
        wanted_plan=sold.name,
        authorised=decider.access(facts, now) if facts is not None else None,
        authorised_standing=facts.standing if facts is not None else None,
        authorised_at=service.authorised_at,
        authorised_change_id=service.authorised_change_id,
        wants_other=facts is not None and _wants_other(line, facts, standing),
        prepaid_until=service.prepaid_until,
        bound_mac=service.mac if service.bind_mac else "",
        bound_router=line.bound_router if service.bind_router else "",
        bound_port=service.port if service.bind_port else "",
        decision=_decision(session, service),
        review_due_at=line.review_due_at,
        sessions=_sessions(session, service, decider, facts, now) if facts is not None else (),
        last_session=_last_session(session, service),
        refused=_refused(session, service),
        writes_stopped_at=operator.writes_stopped_at,
        writes_stopped_by=operator.writes_stopped_by,
        nodes=_nodes(session, line.revision, now),
        currency=operator.currency,
        suspension=coming(billing, service),
        outside=billing.outside,
        asserted=asserted(session, operator, service, now) if billing.outside else None,
        held=_held(session, operator, service, now) if service.control_router_id is not None else None,
        healing_held_until=held_until(session, operator, now),
    )


def similar_names(session: DatabaseSession, operator_id: int, username: str, most: int = 5) -> list[str]:
    """User names that begin as this one does, the longest common beginning first; two ranges of one index.

    In the index's order the names next to a text are those that share the most with it.
    """
    mine = select(Service.username).where(Service.operator_id == operator_id)
    after = mine.where(Service.username >= username).order_by(Service.username).limit(most)
    before = mine.where(Service.username < username).order_by(Service.username.desc()).limit(most)
    spelled = mine.where(Service.username.in_({username.lower(), username.upper(), username.strip()}))
    found = {name for query in (after, before, spelled) for name in session.scalars(query)}
    close = {name: _common(name, username) for name in found}
    best = max(close.values(), default=0)
    # What shares a letter alone where others share the word is no help.
    return sorted((name for name in close if 0 < close[name] >= best - 1), key=lambda name: (-close[name], name))[:most]


def _common(one: str, other: str) -> int:
    if one.strip().lower() == other.strip().lower():
        return len(other)
    shorter = min(len(one), len(other))
    return next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), shorter)


def _line(session: DatabaseSession, operator_id: int, username: str) -> _Line:
    row = session.execute(
        select(Service, Subscriber, Operator, Plan, Router.name, Review.due_at, Change.revision)
        .join(Subscriber, Subscriber.id == Service.subscriber_id)
        .join(Operator, Operator.id == Service.operator_id)
        .join(Plan, Plan.id == Service.plan_id)
        .outerjoin(Router, Router.id == Service.router_id)
        .outerjoin(Review, Review.service_id == Service.id)
        .outerjoin(Change, Change.id == Service.authorised_change_id)
        .where(Service.operator_id == operator_id, Service.username == username)
    ).one_or_none()
    if row is None:
        raise NotFound(f"There is no service with the user name {username!r}.")
    return _Line(row[0], row[1], row[2], row[3], row[4] or "", row[5], row[6])


def _override(session: DatabaseSession, service: Service, now: datetime) -> Earlier | None:
    found = session.scalar(
        select(Override).where(Override.service_id == service.id, Override.ended_at.is_(None), Override.until > now)
    )
    if found is None:
        return None
    return Earlier(found.id, found.until, found.reason, found.granted_by, found.created_at)


def _versions(session: DatabaseSession, ids: set[int | None]) -> dict[int, PlanVersion]:
    known = {one for one in ids if one is not None}
    return {one.id: one for one in session.scalars(select(PlanVersion).where(PlanVersion.id.in_(known)))}


def _wants_other(line: _Line, facts: ServiceFacts, standing: Standing) -> bool:
    """Whether billing and the service's row ask for another access than the authorised one."""
    service = line.service
    address = str(service.address) if service.address else ""
    return (facts.standing, facts.plan_version_id, facts.prepaid_until, facts.method, facts.address) != (
        network_standing(standing),
        line.plan.current_version_id,
        service.prepaid_until,
        service.method,
        address,
    )


def _decision(session: DatabaseSession, service: Service) -> Decision | None:
    mine = (Change.operator_id == service.operator_id, Change.service_id == service.id)
    waiting = select(Change.id).where(*mine, Change.state == Intent.AWAITING_APPROVAL.value).limit(1)
    newest = select(Change.id).where(*mine).order_by(Change.id.desc()).limit(1)
    chosen = func.coalesce(waiting.scalar_subquery(), newest.scalar_subquery())
    rows = session.execute(
        select(Change, Approval.person)
        .outerjoin(Approval, (Approval.change_id == Change.id) & (Approval.preview_hash == Change.preview_hash))
        .where(Change.operator_id == service.operator_id, Change.id == chosen)
        .order_by(Approval.at)
    ).all()
    if not rows:
        return None
    change = rows[0][0]
    return Decision(
        id=change.id,
        kind=ChangeKind(change.kind),
        state=Intent(change.state),
        consequence=str(change.preview.get("consequence", "")),
        created_at=change.created_at,
        decided_at=change.decided_at,
        decided_by=change.decided_by or change.rule or "",
        note=change.note,
        held_back=change.held_back,
        requested_by=change.requested_by,
        needs_approvals=change.needs_approvals,
        approved_by=tuple(person for _, person in rows if person is not None),
        stands=change.from_facts == service.authorised,
    )


def _sessions(
    session: DatabaseSession, service: Service, decider: Decider, facts: ServiceFacts, now: datetime
) -> tuple[LiveLine, ...]:
    newer = aliased(Step)
    newest = select(func.max(newer.id)).where(newer.session_id == Session.id).correlate(Session).scalar_subquery()
    rows = session.execute(
        select(Session, Router.name, RouterHealth, KnownAccess.document, Step, Evidence.cause)
        .join(Router, Router.id == Session.router_id)
        .outerjoin(RouterHealth, (RouterHealth.router_id == Session.router_id) & (RouterHealth.path == COA))
        .outerjoin(
            KnownAccess,
            (KnownAccess.operator_id == Session.operator_id) & (KnownAccess.stamp == Session.applied_stamp),
        )
        .outerjoin(Step, Step.id == newest)
        .outerjoin(Evidence, (Evidence.step_id == Step.id) & (Evidence.attempt == Step.attempts))
        .where(
            Session.operator_id == service.operator_id,
            Session.service_id == service.id,
            Session.ended_at.is_(None),
        )
        .order_by(Session.started_at.desc())
        .limit(SESSIONS_MOST)
    )
    found = []
    for row in rows:
        live = row[0]
        login = Login(Method(live.method) if live.method else None, live.mac, live.router_id, live.port)
        found.append(_live(row, decider.access_of_session(service, facts, login, now)))
    return tuple(found)


def _held(session: DatabaseSession, operator: Operator, service: Service, now: datetime) -> HeldLine | None:
    """What the router that holds the service was last seen holding, with its newest step."""
    mine = (Placement.service_id == service.id) & (Placement.router_id == service.control_router_id)
    placed = Placements(session, operator).find(mine, now, lock=False)
    if not placed:
        name = session.get_one(Router, service.control_router_id).name
        return HeldLine(0, KnownRouter(name), in_line=False, observed_at=None, problem="", step=None)
    one = placed[0]
    health = session.get(RouterHealth, (one.router.id, API))
    newest = select(func.max(Step.id)).where(Step.placement_id == one.placement.id).scalar_subquery()
    row = session.execute(
        select(Step, Evidence.cause)
        .outerjoin(Evidence, (Evidence.step_id == Step.id) & (Evidence.attempt == Step.attempts))
        .where(Step.id == newest)
    ).one_or_none()
    return HeldLine(
        id=one.placement.id,
        router=_router(one.router.name, health),
        in_line=not one.problem and one.placement.applied_stamp == one.target_stamp,
        observed_at=one.placement.observed_at,
        problem=one.problem,
        step=_step(row[0], row[1]) if row is not None else None,
        garden_list=_garden_list(one.router),
        garden_drift=garden_finding(session, one.router),
        drift=service_finding(session, one),
    )


def _garden_list(router: Router) -> str:
    try:
        return read_garden(router.style).address_list
    except PolicyError:
        return ""


def _live(row: Any, due: Access) -> LiveLine:
    live, router, health, document, step, cause = row
    applied = read_access(document) if document is not None else None
    return LiveLine(
        id=live.id,
        router=_router(router, health),
        acct_session_id=live.acct_session_id,
        mac=live.mac,
        address=str(live.framed_address) if live.framed_address else "",
        started_at=live.started_at,
        last_seen_at=live.last_seen_at,
        in_line=_in_line(live.applied_stamp, applied, due),
        applied=applied,
        due=due,
        step=_step(step, cause) if step is not None else None,
    )


def _in_line(applied_stamp: str | None, applied: Access | None, due: Access) -> bool:
    """As enforcement sees it: a stamp of another format is compared by what it stands for."""
    if applied_stamp is None or same_format(applied_stamp, stamp(due)):
        return applied_stamp == stamp(due)
    return applied is None or stamp(applied) == stamp(due)


def _router(name: str, health: RouterHealth | None) -> KnownRouter:
    if health is None:
        return KnownRouter(name)
    return KnownRouter(name, health.down_since, health.misses, health.left_alone_until)


def _step(step: Step, cause: str | None) -> LatestStep:
    return LatestStep(
        id=step.id,
        change_id=step.change_id,
        route=RouteKind(step.route),
        state=Enforcement(step.state),
        why=step.why,
        explanation=step.explanation,
        cause=cause or "",
        attempts=step.attempts,
        created_at=step.created_at,
        due_at=step.due_at,
        ended_at=step.ended_at,
    )


def _last_session(session: DatabaseSession, service: Service) -> EndedLine | None:
    row = session.execute(
        select(Session, Router.name, RouterHealth)
        .join(Router, Router.id == Session.router_id)
        .outerjoin(RouterHealth, (RouterHealth.router_id == Session.router_id) & (RouterHealth.path == COA))
        .where(
            Session.operator_id == service.operator_id,
            Session.service_id == service.id,
            Session.ended_at.is_not(None),
        )
        .order_by(Session.started_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    ended = row[0]
    router = _router(row[1], row[2])
    return EndedLine(
        id=ended.id,
        router=router,
        started_at=ended.started_at,
        ended_at=ended.ended_at or ended.last_seen_at,
        by=ended.ended_by or "",
        cause=ended.terminate_cause,
    )


def _refused(session: DatabaseSession, service: Service) -> tuple[Refused, ...]:
    rows = session.execute(
        select(RefusedLogin, Router.name)
        .join(Router, Router.id == RefusedLogin.router_id)
        .where(RefusedLogin.operator_id == service.operator_id, RefusedLogin.service_id == service.id)
        .order_by(RefusedLogin.last_at.desc())
        .limit(REFUSED_MOST)
    )
    return tuple(Refused(one.id, name, one.mac, one.reason, one.last_at, one.times) for one, name in rows)


def _nodes(session: DatabaseSession, revision: str | None, now: datetime) -> tuple[EdgeNode, ...]:
    rows = session.execute(
        _NODES, {"revision": revision, "oldest": now - timedelta(seconds=NODE_SILENT_S), "most": NODES_MOST}
    )
    return tuple(EdgeNode(row.name, row.reported_at, row.silent, row.behind) for row in rows)
