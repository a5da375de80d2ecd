"""A look at a router by whoever asks, and the end of our marks there: the worker's part, with the worker's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from ispagents.database import Databases
from ispagents.errors import Problem
from network.routeros.errors import RouterosError, while_reading
from network.routeros.target import RouterTarget
from sql.customers import router_by_name
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for
from worker.configure import reach
from worker.inspecting import Look, look
from worker.releasing import release


def look_at(databases: Databases, box: SecretBox, operator_id: int, router_name: str) -> Look:
    """Read a router. Raises NotFound, and Problem where it cannot be reached."""
    target = target_of(databases, box, operator_id, router_name)
    try:
        return asyncio.run(look(target))
    except RouterosError as error:
        raise Problem(while_reading(error)) from error


def release_marks(
    databases: Databases, box: SecretBox, operator_id: int, router_name: str, tags: Collection[str]
) -> int:
    """Take our marks off a router's items; returns how many there were. Raises NotFound, and Problem."""
    target = target_of(databases, box, operator_id, router_name)
    try:
        marked, left = asyncio.run(release(target, tags))
    except RouterosError as error:
        raise Problem(str(error)) from error
    if left:
        raise Problem(
            f"{len(left)} items of {router_name!r} still carry our mark, the first is the {left[0]}; "
            "nothing was closed, try again."
        )
    return marked


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
