"""How an access reaches a live session: CoA, Disconnect, or only its next login; and why, in one sentence."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from policy.access import Access, Kind
from policy.attributes import Attributes, reply_attributes
from policy.reasons import Reason

# What RouterOS changes by CoA (help.mikrotik.com, RADIUS page, "Change of Authorization"); address, pool and routes
# cannot change. Mikrotik-Address-List is not on the list, so it counts only where a router was seen applying it.
COA_ATTRIBUTES = frozenset(
    {
        "Mikrotik-Group",
        "Mikrotik-Rate-Limit",
        "Mikrotik-Mark-Id",
        "Filter-Id",
        "Session-Timeout",
        "Idle-Timeout",
        "Port-Limit",
    }
)
ADDRESS_LIST = "Mikrotik-Address-List"
# These steer the server side or run down by themselves: a live session keeps what it has until its next login.
LEFT_ALONE = frozenset({"Acct-Interim-Interval", "Mikrotik-Total-Limit", "Mikrotik-Total-Limit-Gigawords"})


class RouteKind(StrEnum):
    """The ways to a live session, and to a router whose own configuration holds the service."""

    NOTHING = "nothing"
    COA = "coa"
    DISCONNECT = "disconnect"
    NEXT_LOGIN = "next_login"
    CONFIGURE = "configure"


class Abilities(NamedTuple):
    """What a router is known to do. `coa_address_list`: a CoA was seen changing address lists there."""

    dynamic_authorization: bool = True
    coa_address_list: bool = False


class Route(NamedTuple):
    """The chosen way, the sentence why, and the CoA's attributes (empty for every other kind)."""

    kind: RouteKind
    why: str
    attributes: Attributes = ()


def choose(applied: Access | None, target: Access, abilities: Abilities) -> Route:
    """The gentlest route from what a session has (None: not known) to what it should have."""
    if not abilities.dynamic_authorization:
        return Route(
            RouteKind.NEXT_LOGIN, "This router takes no CoA or Disconnect, so the change waits for the next login."
        )
    if target.kind == Kind.DENY and target.reason == Reason.TOO_MANY_SESSIONS:
        return Route(RouteKind.DISCONNECT, "Its session is disconnected, so that the newer one has its place.")
    if target.kind == Kind.DENY:
        return Route(RouteKind.DISCONNECT, "The service gets no access any more, so the session is disconnected.")
    if applied is None:
        # A CoA cannot clear what it does not know of: a pool, a group, a filter.
        return Route(
            RouteKind.DISCONNECT,
            "What this session was given is not known, so it is disconnected; the client redials with the new access.",
        )
    return _by_difference(applied, target, abilities)


def _changeable(abilities: Abilities) -> frozenset[str]:
    return COA_ATTRIBUTES | {ADDRESS_LIST} if abilities.coa_address_list else COA_ATTRIBUTES


def _by_difference(applied: Access, target: Access, abilities: Abilities) -> Route:
    had, wanted = _lasting(applied), _lasting(target)
    names = {name for name, _ in had} | {name for name, _ in wanted}
    differing = {
        name
        for name in names - LEFT_ALONE
        if [value for key, value in had if key == name] != [value for key, value in wanted if key == name]
    }
    if not differing:
        return Route(RouteKind.NOTHING, "The session already has this access.")
    fixed = sorted(differing - _changeable(abilities))
    if fixed:
        return Route(
            RouteKind.DISCONNECT,
            f"CoA cannot change {_names(fixed)} on this router, so the session is disconnected; "
            "the client redials with the new access.",
        )
    vanishing = sorted(differing - {name for name, _ in wanted})
    if vanishing:
        # A value set by CoA stays until another replaces it: leaving it out would leave the customer restricted.
        return Route(
            RouteKind.DISCONNECT,
            f"CoA can replace {_names(vanishing)} but not remove it, and the new access has none, "
            "so the session is disconnected; the client redials with the new access.",
        )
    return Route(
        RouteKind.COA,
        f"CoA can change {_names(sorted(differing))} on this router, so the session stays up.",
        _coa(target, abilities),
    )


def _lasting(access: Access) -> list[tuple[str, str]]:
    """The attributes with the session time of the plan, since what is left of it runs down by itself."""
    return reply_attributes(access._replace(session_timeout_s=access.plan_session_timeout_s))


def _coa(target: Access, abilities: Abilities) -> Attributes:
    """All of the target that CoA can set, not only what differs: a lost earlier CoA is then healed as well."""
    left_s = target.session_timeout_s or target.plan_session_timeout_s
    changeable = _changeable(abilities)
    pairs = reply_attributes(target._replace(session_timeout_s=left_s))
    return tuple((name, value) for name, value in pairs if name in changeable)


def _names(names: list[str]) -> str:
    plain = {
        ADDRESS_LIST: "the address list",
        "Mikrotik-Rate-Limit": "the speed",
        "Framed-IP-Address": "the address",
        "Framed-Pool": "the address pool",
        "Framed-Route": "the routes",
        "Session-Timeout": "the session time",
    }
    return " and ".join(plain.get(name, name) for name in names)
