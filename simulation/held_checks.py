"""What must be true at rest of routers that hold services."""

from __future__ import annotations

from collections.abc import Iterator

from policy.access import Access, Kind
from simulation.held import Held, Holding
from simulation.held_routers import HeldRouter
from simulation.world import World
from simulators import rate_limit

# What is live ends, and a profile stays: others may use it by then.
NOT_TAKEN_BACK = ("/ppp active", "/ip firewall connection", "/ppp profile")
# Where a password could be found if somebody had been careless.
_TABLES = ("steps", "evidence", "changes", "audit_events", "placements", "procrastinate_jobs", "procrastinate_events")


def held_violations(held: Held, world: World) -> Iterator[str]:
    """Everything that is wrong with them, in sentences."""
    yield from held.all_wrong()
    for router in held.routers:
        yield from _foreign(router)
        yield from _drops(router)
    for one in held.holdings():
        yield from _gets(one, held.access(one))
    yield from _steps(world)
    yield from _told(held, world)


def _foreign(router: HeldRouter) -> Iterator[str]:
    """What others have is as they left it."""
    for (menu, row_id), fields in router.foreign.items():
        row = router.device[menu].get(row_id)
        if row is None or row.fields != fields:
            yield f"{router.name} {menu} {row_id} of somebody else is {row.fields if row else 'gone'}, it was {fields}"


def _drops(router: HeldRouter) -> Iterator[str]:
    """Nobody is dropped who gets the same again, where it was known what they have."""
    for drop in router.drops:
        yield f"{drop.username} was dropped by {router.name} for nothing: a new login gives the same, {drop.had}"


def _gets(one: Holding, access: Access) -> Iterator[str]:
    """Whoever may be online is, and gets what is authorised."""
    name = one.line.username
    standing = one.router.device.standing(name)
    if standing.online != (access.kind != Kind.DENY):
        yield f"{name} at {one.router.name}: online is {standing.online}, authorised is {access}"
    elif standing.online and one.line.service_id not in one.router.misled:
        rates = rate_limit.limits_bps(access.rate_limit) if access.rate_limit else (0, 0)
        if (standing.upload_bps, standing.download_bps, standing.lists) != (*rates, frozenset(access.address_lists)):
            yield f"{name} at {one.router.name} gets {standing}, authorised is {access}"


def _steps(world: World) -> Iterator[str]:
    """No step is left open, no placement in doubt, and each command that was sent has its reverse written down."""
    for step_id, state, explanation in world.look(
        "SELECT id, state, explanation FROM steps WHERE placement_id IS NOT NULL "
        "AND state IN ('waiting', 'started', 'retrying', 'acknowledged')"
    ):
        yield f"step {step_id} about a placement is still {state}: {explanation}"
    for step_id, attempt, sent in world.look(
        "SELECT step_id, attempt, sent FROM evidence JOIN steps ON steps.id = step_id "
        "WHERE placement_id IS NOT NULL AND undo IS NULL AND jsonb_array_length(sent) > 0"
    ):
        if any(not command.startswith(NOT_TAKEN_BACK) for _, command in sent):
            yield f"attempt {attempt} of step {step_id} has sent {sent}, and nothing says what takes it back"


def _told(held: Held, world: World) -> Iterator[str]:
    """No password stands anywhere in clear."""
    for table in _TABLES:
        found = world.look(
            f"SELECT count(*) FROM {table} AS one WHERE strpos(row_to_json(one)::text, %s) > 0",  # noqa: S608 - named above
            held.secrets[0],
        )
        if found[0][0]:
            yield f"{found[0][0]} rows of {table} tell a password"
