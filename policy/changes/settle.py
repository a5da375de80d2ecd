"""What a CoA without an answer leaves behind: nobody knows what the session has, and the packet may still arrive."""

from __future__ import annotations

from policy.access import Access
from policy.changes.route import Abilities, Route, RouteKind, choose

# How long a packet may be held on its way. After a CoA that was not answered at once, the final state is sent once more
# when this time is over: a late duplicate cannot undo it then.
LATE_S = 30.0

_WEIGHT = (RouteKind.NOTHING, RouteKind.COA, RouteKind.DISCONNECT, RouteKind.NEXT_LOGIN)


def choose_unsettled(
    applied: Access | None, attempted: tuple[Access | None, ...], target: Access, abilities: Abilities
) -> Route:
    """The route to `target` for a session that has `applied` or any of what was `attempted` without an answer.

    It must be right from each of them, so the weightiest is taken. None stands for an access that is not known.
    """
    routes = [choose(one, target, abilities) for one in (applied, *attempted)]
    chosen = max(routes, key=lambda route: _WEIGHT.index(route.kind))
    if chosen.kind == RouteKind.NOTHING:
        return chosen
    return chosen._replace(why=f"An earlier CoA was never answered, so what the session has is not known. {chosen.why}")


def once_more(seconds: float) -> str:
    """Why an acknowledged CoA is sent again, in words."""
    return (
        "An earlier CoA to this session was not answered at once and may still arrive, which would undo this; so the "
        f"same is sent once more in {seconds:.0f} s."
    )
