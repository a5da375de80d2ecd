"""A look at a router by whoever asks: the worker's part for one router, with the worker's rights, read only."""

from __future__ import annotations

import asyncio

from ispagents.database import Databases
from ispagents.errors import Problem
from network.routeros.errors import RouterosError
from network.routeros.target import RouterTarget
from sql.customers import router_by_name
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for
from worker.configure import reach
from worker.inspecting import Look, look


def look_at(databases: Databases, box: SecretBox, operator_id: int, router_name: str) -> Look:
    """Read a router. Raises NotFound, and Problem where it cannot be reached."""
    target = target_of(databases, box, operator_id, router_name)
    try:
        return asyncio.run(look(target))
    except RouterosError as error:
        raise Problem(str(error)) from error


def target_of(databases: Databases, box: SecretBox, operator_id: int, router_name: str) -> RouterTarget:
    """How a router's API is reached. Raises NotFound, and Problem where it has none."""
    engine = databases.engine(Role.WORKER, pool=1)
    try:
        with acting_for(engine, operator_id) as session:
            reached = reach(router_by_name(session, operator_id, router_name), box)
    finally:
        engine.dispose()
    if reached.target is None:
        raise Problem(reached.problem)
    return reached.target
