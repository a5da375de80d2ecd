"""A router's walled garden by whoever asks: the worker's part for one router, with the worker's rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ispagents.database import Databases
from ispagents.errors import Problem
from ispagents.wiring.inspecting import target_of
from network.contract import Outcome
from network.routeros.errors import RouterosError
from network.routeros.keeper import Keeper
from network.routeros.target import RouterTarget
from policy.routeros.garden import Garden, read_garden
from policy.routeros.objects import Plan
from policy.routeros.terminal import command_text
from sql import audit
from sql.customers import router_by_name
from sql.errors import Refused
from sql.models import Operator
from sql.roles import Role
from sql.secrets import SecretBox
from sql.sessions import acting_for
from worker.garden import Tended, plan_garden, write_garden

Ask = Callable[[Plan], bool]


def tend_garden(
    databases: Databases, box: SecretBox, operator_id: int, router_name: str, *, remove: bool, actor: str, ask: Ask
) -> Tended | None:
    """Show `ask` what would be written, and write just that where it says yes. None: nothing to do, or no.

    What is sent, and what takes it back, stands in the audit before anything is sent. Raises NotFound, Refused while
    network writes are stopped, and Problem.
    """
    target = target_of(databases, box, operator_id, router_name)
    engine = databases.engine(Role.WORKER, pool=1)

    def note(event: str, **said: list[str]) -> None:
        with acting_for(engine, operator_id) as session:
            data: dict[str, Any] = {"name": router_name, **said}
            audit.record(session, operator_id, actor, event, **data)

    try:
        with acting_for(engine, operator_id) as session:
            if session.get_one(Operator, operator_id).writes_stopped_at is not None:
                raise Refused("Network writes are stopped; `ispagents network start` lets them go on.")
            style = router_by_name(session, operator_id, router_name).style
        garden = None if remove else read_garden(style)
        return asyncio.run(_tend(target, garden, ask, note))
    except RouterosError as error:
        raise Problem(str(error)) from error
    finally:
        engine.dispose()


async def _tend(target: RouterTarget, garden: Garden | None, ask: Ask, note: Callable[..., None]) -> Tended | None:
    async with Keeper() as keeper, keeper.connection(target) as connection:
        plan = await plan_garden(connection, garden)
        if plan.conflicts:
            raise Problem(
                "; ".join(dict.fromkeys(one.why for one in plan.conflicts)) + ". Remove it on the router first."
            )
        if not plan.changes or not ask(plan):
            return None
        # A person may have thought for long.
        if await plan_garden(connection, garden) != plan:
            raise Problem("Somebody has changed the router's rules meanwhile, so nothing was sent; look again.")
        note(
            "router:garden:write",
            commands=[command_text(change.command) for change in plan.changes],
            undo=[command_text(change.undo) for change in reversed(plan.changes) if change.undo is not None],
        )
        tended = await write_garden(connection, garden, plan)
        good = (Outcome.APPLIED, Outcome.ALREADY_SO)
        failed = [step.result.explanation for step in tended.applied.steps if step.result.outcome not in good]
        note("router:garden:prove", wrong=[*failed[:1], *tended.wrong])
        return tended
