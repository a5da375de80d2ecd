"""What the worker sees of routers: the circuit breaker as it is stored, and as people read it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from policy.changes.breaker import Health, Heard, after, probing, spoke
from sql.models import Router, RouterHealth

# That a router answers is written down once in this time, not with every answer.
ANSWERED_EVERY = timedelta(seconds=60)
# The ways to a router, each with a breaker of its own: one that takes no CoA may well answer its API.
COA, API = "coa", "api"


def look_at(session: Session, router_id: int, path: str = COA) -> tuple[Health, datetime]:
    """What is known of a router, and the database's time. A router that was given up is locked: one probe at a time."""
    health, now = session.execute(
        select(RouterHealth, func.clock_timestamp())
        .select_from(select(1).subquery())
        .outerjoin(RouterHealth, (RouterHealth.router_id == router_id) & (RouterHealth.path == path))
    ).one()
    known = _health(health)
    if known.is_open:
        known = _health(_locked(session, router_id, path))
    return known, now


def begin_probe(session: Session, router_id: int, until: datetime, path: str = COA) -> None:
    """A probe is on its way; nobody sends another before `until`. The router was locked by `look_at`."""
    row = session.get_one(RouterHealth, (router_id, path))
    _store(row, probing(_health(row), until))
    session.flush()


def note(
    session: Session,
    operator_id: int,
    router_id: int,
    heard: Iterable[tuple[Heard, datetime, bool]],
    path: str = COA,
) -> None:
    """Store what attempts told about their router, as (what, when, whether it was a probe)."""
    told = sorted(((at, what, probe) for what, at, probe in heard if what != Heard.NOTHING), key=lambda one: one[0])
    if not told:
        return
    row = session.get(RouterHealth, (router_id, path))
    before = _health(row)
    if row is None:
        session.execute(
            insert(RouterHealth)
            .values(router_id=router_id, path=path, operator_id=operator_id)
            .on_conflict_do_nothing()
        )
    elif all(what == Heard.ANSWER for _, what, _ in told) and not before.misses and _is_fresh(before, told[-1][0]):
        return
    row = _locked(session, router_id, path)
    health = _health(row)
    for at, what, probe in told:
        health = after(health, what, at, probe=probe)
    _store(row, health)
    session.flush()


def note_accounting(session: Session, router_id: int) -> None:
    """The router sent accounting after its answers were missed: it is not down."""
    row = _locked(session, router_id, COA)
    _store(row, spoke(_health(row)))
    session.flush()


def routers_that_spoke(session: Session) -> list[tuple[int, int]]:
    """Routers that are taken for down and have sent accounting since, as (operator, router), over all operators."""
    rows = session.execute(text("SELECT operator_id, router_id FROM routers_that_spoke()"))
    return [(row.operator_id, row.router_id) for row in rows]


def add_health(session: Session, operator_id: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows about routers with what is known of their answers, by `name`: one query for all."""
    found = session.execute(
        select(Router.name, RouterHealth)
        .join(RouterHealth, (RouterHealth.router_id == Router.id) & (RouterHealth.path == COA))
        .where(
            Router.operator_id == operator_id,
            Router.removed_at.is_(None),
            Router.name.in_([row["name"] for row in rows]),
        )
    )
    known = {row.name: row.RouterHealth for row in found}
    return [row | _row(known.get(row["name"])) for row in rows]


def silent_routers(session: Session, operator_id: int, most: int) -> list[dict[str, Any]]:
    """The routers that are left alone for a while, by name."""
    found = session.execute(
        select(Router.name, RouterHealth)
        .join(RouterHealth, (RouterHealth.router_id == Router.id) & (RouterHealth.path == COA))
        .where(
            Router.operator_id == operator_id, Router.removed_at.is_(None), RouterHealth.left_alone_until.is_not(None)
        )
        .order_by(Router.name)
        .limit(most)
    )
    return [{"name": name, **_row(health)} for name, health in found]


def _row(stored: RouterHealth | None) -> dict[str, Any]:
    health = _health(stored)
    said = "answers" if health.answered_at is not None else "not asked yet"
    if health.misses:
        said = f"{health.misses} answers missed in a row"
    if health.is_open:
        said += ", left alone and then tried with one step"
    return {
        "health": said,
        "down_since": health.down_since,
        "left_alone_until": health.left_alone_until,
        "answered_at": health.answered_at,
    }


def _is_fresh(health: Health, at: datetime) -> bool:
    return health.answered_at is not None and at - health.answered_at < ANSWERED_EVERY


def _locked(session: Session, router_id: int, path: str) -> RouterHealth:
    return session.scalars(
        select(RouterHealth)
        .where(RouterHealth.router_id == router_id, RouterHealth.path == path)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _health(row: RouterHealth | None) -> Health:
    return Health() if row is None else Health(row.misses, row.down_since, row.left_alone_until, row.answered_at)


def _store(row: RouterHealth, health: Health) -> None:
    row.misses, row.down_since, row.left_alone_until, row.answered_at = health
