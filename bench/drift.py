"""Drift over 50 routers with 20,000 services: whole menus read once, compared in memory, stored by few statements.

The database is the embedded one as it is shipped, filled by statements over whole sets; the routers are simulated ones
20 ms away, and hold what the change engine would have written there. Some of it is then changed, removed and added by
hand, and a run must find just that. What is measured is the worker's own code, a few routers at once as it does it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from bench import report, subscribers
from bench.drift_routers import PASSWORD, USER, DriftRouters, Items
from bench.installed import database
from bench.servers import process
from ispagents.database import Databases, secret_box
from ispagents.errors import Problem
from network.routeros.keeper import Keeper
from policy.routeros.menus import PPP_SECRET, QUEUE, menu_of
from policy.routeros.objects import tagged
from policy.routeros.wanted import wanted_items
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.models import Operator, Placement, Router
from sql.placing import Placed, Placements
from sql.roles import Role
from sql.router_store import add_router
from sql.secrets import SecretBox, service_password_place
from sql.sessions import acting_for, database_time
from worker import planning
from worker.drift import AT_ONCE, Drift, Ran

ACTOR: Final = "bench"
ROUTERS: Final = 50
SERVICES: Final = 20_000
QUICK_ROUTERS: Final = 5
QUICK_SERVICES: Final = 500
CHANGED_OF: Final = 100  # one of so many
REMOVED_OF: Final = 200
ORPHANS_EACH: Final = 2
ROUNDS: Final = 3
PAYING: Final = {"rate_limit": "10M/50M"}
_COPIES: Final = """
INSERT INTO services (operator_id, subscriber_id, plan_id, method, username, address, control_router_id, authorised,
    authorised_stamp, authorised_at)
SELECT operator_id, subscriber_id, plan_id, method, 'sub' || lpad(number::text, 7, '0'),
    '10.0.0.0'::inet + number, %(first)s + number %% %(routers)s,
    authorised || jsonb_build_object('address', host('10.0.0.0'::inet + number)), authorised_stamp,
    now() - interval '1 day'
FROM services, generate_series(1, %(services)s) AS number WHERE username = 'first'
"""
_PASSWORDS: Final = """
UPDATE services SET password = row.password FROM unnest(%s::bigint[], %s::bytea[]) AS row (id, password)
WHERE services.id = row.id
"""
_PLACED: Final = """
INSERT INTO placements (operator_id, service_id, router_id, applied_at, created_at)
SELECT operator_id, id, control_router_id, now() - interval '1 day', now() - interval '1 day'
FROM services WHERE control_router_id IS NOT NULL
"""
_APPLIED: Final = """
UPDATE placements SET applied_stamp = row.stamp FROM unnest(%s::bigint[], %s::text[]) AS row (id, stamp)
WHERE placements.id = row.id
"""


class DriftBenchError(Exception):
    """Something else was found than what was done by hand, so that the time means nothing."""


@dataclass
class _Town:
    """The routers' items by router id, and how many findings there must be."""

    items: dict[int, Items] = field(default_factory=dict)
    by_hand: int = 0


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises one of ERRORS. About two minutes, some 10 s when `quick`."""
    routers, services = (QUICK_ROUTERS, QUICK_SERVICES) if quick else (ROUTERS, SERVICES)
    say = say or report.to_stderr
    process.sweep()
    with process.orderly_end() as stack, database("drift") as (databases, conninfo, state):
        box = secret_box(state)
        operator = _operator(databases, box, routers)
        say(f"making {services:,} services on {routers} routers")
        with psycopg.connect(conninfo, autocommit=True) as superuser:
            _fill(superuser, operator, services, routers, box)
            worker = databases.engine(Role.WORKER, pool=4)
            stack.callback(worker.dispose)
            town = _as_written(worker, superuser, operator)
            _change_by_hand(town)
            _connect(stack, superuser, town)
        rounds = [_round(worker, box, operator, list(town.items)) for _ in range(1 if quick else ROUNDS)]
    for ran, _, _ in rounds:
        _check(ran, town)
    seconds = [took_s for _, took_s, _ in rounds]
    say(f"{routers} routers with {services:,} services compared in {median(seconds):.1f} s; {town.by_hand} findings")
    return {
        "drift_seconds": round(median(seconds), 2),
        "drift_routers": routers,
        "drift_services": services,
        "drift_findings": town.by_hand,
        "drift_items_read": sum(one.looked_at for one in rounds[-1][0]),
        "drift_statements_each_router": round(rounds[-1][2] / routers, 1),
        "drift_routers_at_once": AT_ONCE,
        "drift_round_trip_ms": 20,
    }


def _operator(databases: Databases, box: SecretBox, routers: int) -> int:
    """An operator with a plan, the routers, and the first service, of which the others are copies."""
    engine = databases.engine(Role.WEB, pool=1)
    with Session(engine) as session, session.begin():
        operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR)
        plan = add_plan(session, operator.id, name="Home 50", facts=PAYING, price_minor=2500, actor=ACTOR)
        subscriber = add_subscriber(session, operator.id, reference="first", name="x", actor=ACTOR)
        add_service(
            session,
            operator.id,
            subscriber=subscriber,
            plan=plan,
            username="first",
            password="made up",
            method="pppoe",
            box=box,
            actor=ACTOR,
        )
        api = {"username": USER, "password": PASSWORD, "security": "plain", "style": {"ppp": "queue"}}
        for number in range(routers):
            name, address = f"router {number:03}", f"127.3.{number // 250}.{number % 250 + 1}"
            add_router(
                session, operator.id, name=name, address=address, secret=None, box=box, actor=ACTOR, api=dict(api)
            )
        found = operator.id
    engine.dispose()
    worker = databases.engine(Role.WORKER, pool=1)
    planning.review_operator(worker, found)
    worker.dispose()
    return found


def _fill(superuser: psycopg.Connection[Any], operator: int, services: int, routers: int, box: SecretBox) -> None:
    (first,) = superuser.execute("SELECT min(id) FROM routers").fetchone() or (0,)
    superuser.execute("SET session_replication_role = replica")  # nobody is to look at copies
    superuser.execute(_COPIES, {"first": first, "routers": routers, "services": services})
    rows = superuser.execute("SELECT id, username FROM services WHERE control_router_id IS NOT NULL").fetchall()
    sealed = [
        box.seal(subscribers.password(subscribers.number_of(name)), service_password_place(operator, name))
        for _, name in rows
    ]
    superuser.execute(_PASSWORDS, ([one for one, _ in rows], sealed))
    superuser.execute(_PLACED)
    superuser.execute("SET session_replication_role = origin")
    superuser.execute("ANALYZE")


def _as_written(worker: Engine, superuser: psycopg.Connection[Any], operator_id: int) -> _Town:
    """What the engine would have written to the routers, stored as proved there."""
    town = _Town()
    with acting_for(worker, operator_id) as session:
        placements = Placements(session, session.get_one(Operator, operator_id))
        for router_id in session.scalars(select(Router.id).order_by(Router.id)).all():
            placed = placements.find(Placement.router_id == router_id, database_time(session), lock=False)
            superuser.execute(_APPLIED, ([one.placement.id for one in placed], [one.target_stamp for one in placed]))
            # Profiles are shared by all who have the same.
            town.items[router_id] = _without_repeats([item for one in placed for item in _items(one)])
    return town


def _items(placed: Placed) -> Items:
    password = subscribers.password(subscribers.number_of(placed.line.username))
    items = wanted_items(placed.line._replace(password=password), placed.access, placed.style)
    mine = []
    for one in items:
        comment = {"comment": tagged(one.tag)} if menu_of(one.menu).comments else {}
        mine.append((one.menu, {name: text for name, text in (*one.key, *one.fields) if text} | comment))
    return mine


def _without_repeats(items: Items) -> Items:
    return list({(menu, *sorted(fields.items())): (menu, fields) for menu, fields in items}.values())


def _change_by_hand(town: _Town) -> None:
    """Queues with another limit, secrets that are gone, items of nobody; each is one finding."""
    for router_id, items in town.items.items():
        queues = [fields for menu, fields in items if menu == QUEUE]
        secrets = [place for place, (menu, _) in enumerate(items) if menu == PPP_SECRET]
        changed, removed = queues[::CHANGED_OF], secrets[1::REMOVED_OF]
        for fields in changed:
            fields["max-limit"] = "100M/100M"
        orphans: Items = [
            (QUEUE, {"name": f"old {one}", "target": f"10.99.0.{one}", "comment": tagged(f"service-{10**9 + one}")})
            for one in range(1, ORPHANS_EACH + 1)
        ]
        town.items[router_id] = [item for place, item in enumerate(items) if place not in removed] + orphans
        town.by_hand += len(changed) + len(removed) + ORPHANS_EACH


def _connect(stack: ExitStack, superuser: psycopg.Connection[Any], town: _Town) -> None:
    """Start the routers, and tell the database where they are."""
    routers = DriftRouters(list(town.items.values()))
    stack.callback(routers.stop)
    for router_id, (address, port) in zip(town.items, routers.ready(), strict=True):
        superuser.execute(
            "UPDATE routers SET api_address = %s, api_port = %s WHERE id = %s", (address, port, router_id)
        )


def _round(worker: Engine, box: SecretBox, operator_id: int, router_ids: list[int]) -> tuple[list[Ran], float, int]:
    """All routers, as many at once as the worker has; what came of each, seconds, and statements."""
    statements: list[str] = []

    def count(*arguments: Any) -> None:
        statements.append(arguments[2])

    async def compared() -> list[Ran]:
        slots = asyncio.Semaphore(AT_ONCE)
        async with Keeper() as keeper:
            drift = Drift(worker, keeper, box)

            async def one(router_id: int) -> Ran | None:
                async with slots:
                    return await drift.run(operator_id, router_id)

            return [ran for ran in await asyncio.gather(*map(one, router_ids)) if ran is not None]

    event.listen(worker, "before_cursor_execute", count)
    began = time.perf_counter()
    ran = asyncio.run(compared())
    took_s = time.perf_counter() - began
    event.remove(worker, "before_cursor_execute", count)
    return ran, took_s, len(statements)


def _check(ran: list[Ran], town: _Town) -> None:
    errors = [one.error for one in ran if one.error]
    found = sum(one.found for one in ran)
    if errors or found != town.by_hand or len(ran) != len(town.items):
        raise DriftBenchError(f"{found} findings instead of {town.by_hand} on {len(ran)} routers; {errors[:1]}")


ERRORS: Final = (DriftBenchError, Problem, psycopg.Error)
