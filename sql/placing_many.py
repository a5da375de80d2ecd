"""Many services that one router's configuration is to hold: judged together, shown as counts, then given there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from sql.among import among
from sql.errors import Refused
from sql.models import Plan, Router, Service
from sql.placing import LOOKED_AT_ONCE, check_holder, check_placing, give_to, look_at_placements

# More are given in several calls.
MOST = 20_000


class Placing(NamedTuple):
    """What giving services to a router would do. `ids` are those that would be given, in order.

    `methods` and `now_on` (a router, or "RADIUS") count those; `there` are there already; `refused` are pairs of a
    user name and why it stays where it is.
    """

    ids: tuple[int, ...]
    methods: dict[str, int]
    now_on: dict[str, int]
    there: int
    refused: tuple[tuple[str, str], ...]


def judge(
    session: Session,
    operator_id: int,
    router: Router,
    *,
    names: Sequence[str] = (),
    plan: Plan | None = None,
    server: str = "",
) -> Placing:
    """What giving the services of these names, or all open ones of a plan, to a router would do.

    Raises Refused where the router has no API, or they are too many at once.
    """
    check_holder(router)
    wanted = dict.fromkeys(names)
    which = Service.plan_id == plan.id if plan is not None else among(Service.username, wanted)
    open_ones = Service.closed_at.is_(None) if plan is not None else Service.id > 0
    services = session.scalars(
        select(Service).where(Service.operator_id == operator_id, which, open_ones).order_by(Service.id).limit(MOST + 1)
    ).all()
    if max(len(services), len(wanted)) > MOST:
        raise Refused(f"These are more than {MOST} services; give them to the router in several parts.")
    known = {one.username for one in services}
    refused = [(name, "There is no service with this user name.") for name in wanted if name not in known]
    there, given = 0, []
    for one in services:
        if one.control_router_id == router.id and one.device.get("server", "") == server:
            there += 1
            continue
        try:
            check_placing(one, server)
        except Refused as error:
            refused.append((one.username, str(error)))
        else:
            given.append(one)
    routers = _router_names(session, {one.control_router_id for one in given if one.control_router_id is not None})
    return Placing(
        tuple(one.id for one in given),
        dict(Counter(one.method for one in given)),
        dict(Counter(routers.get(one.control_router_id or 0, "RADIUS") for one in given)),
        there,
        tuple(refused),
    )


def place_some(
    session: Session, operator_id: int, router: Router, ids: Sequence[int], server: str, *, actor: str
) -> list[tuple[str, str]]:
    """Give a portion of the services there, in one transaction. Returns those that are refused by now, with why."""
    check_holder(router)
    services = session.scalars(
        select(Service)
        .where(Service.operator_id == operator_id, among(Service.id, ids))
        .order_by(Service.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    refused, given = [], []
    for one in services:
        try:
            check_placing(one, server)
        except Refused as error:
            refused.append((one.username, str(error)))
            continue
        give_to(session, one, router, server, actor=actor)
        given.append(one.id)
    session.flush()
    look_at_placements(session, operator_id, given, hurry=len(given) < LOOKED_AT_ONCE)
    return refused


def _router_names(session: Session, ids: set[int]) -> dict[int, str]:
    rows = session.execute(select(Router.id, Router.name).where(among(Router.id, ids)))
    return {row.id: row.name for row in rows}
