"""What a CoA can change on a live session, declared; the planner asks here before it promises anything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from network.contract import Offer
from policy.changes.route import COA_ATTRIBUTES

# RADIUS cannot be asked what a session has, so nothing is read, proved or taken back: the earlier access is sent anew.
OFFERS: Final = frozenset({Offer.PLAN, Offer.APPLY})


class Ability(StrEnum):
    """Whether an attribute of a live session can be changed by CoA."""

    CHANGEABLE = "changeable"
    NEEDS_DISCONNECT = "needs_disconnect"
    """Never by CoA; disconnect, and the next login gets it."""
    UNPROVEN = "unproven"
    """Not documented: an ACK proves nothing, so read it back, or disconnect."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """The attributes of each kind, by RADIUS name; whatever is in neither set is unproven."""

    changeable: frozenset[str]
    needs_disconnect: frozenset[str]

    def of(self, name: str) -> Ability:
        """What is known of one attribute."""
        if name in self.changeable:
            return Ability.CHANGEABLE
        return Ability.NEEDS_DISCONNECT if name in self.needs_disconnect else Ability.UNPROVEN


ROUTEROS: Final = Abilities(
    # The complete list of help.mikrotik.com's RADIUS page: what the planner uses of it, and the rest.
    # The Ascend rates count only without a Rate-Limit.
    # Gigawords, Mikrotik-Total-Limit and Mikrotik-Address-List are not in it, so they stay unproven.
    changeable=COA_ATTRIBUTES
    | {
        "Mikrotik-Recv-Limit",
        "Mikrotik-Xmit-Limit",
        "Ascend-Data-Rate",
        "Ascend-Xmit-Rate",
        "Mikrotik-Advertise-URL",
        "Mikrotik-Advertise-Interval",
    },
    # "It is not possible to change IP address, pool or routes" by CoA (the same page).
    needs_disconnect=frozenset(
        {
            "Framed-IP-Address",
            "Framed-IP-Netmask",
            "Framed-Pool",
            "Framed-Route",
            "Framed-Interface-Id",
            "Framed-IPv6-Prefix",
            "Framed-IPv6-Address",
            "Framed-IPv6-Pool",
            "Framed-IPv6-Route",
            "Delegated-IPv6-Prefix",
            "Delegated-IPv6-Prefix-Pool",
            "Mikrotik-Delegated-IPv6-Pool",
        }
    ),
)
