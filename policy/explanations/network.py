"""What this machine or the network said while a packet was on its way, by the names of errno."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from policy.explanations.words import Words

NETWORK: Final = MappingProxyType(
    {
        "EHOSTUNREACH": Words(
            "The network said that {where} cannot be reached.",
            "{router} is down, or the last line or tunnel to it is.",
            "Check power, line and tunnel of {router}; what waits is sent when it is back.",
        ),
        "ENETUNREACH": Words(
            "This machine has no route to {where}.",
            "A tunnel or interface here is down, or the address is wrong.",
            "Check `ip route get` for that address on this machine, and the router's CoA address.",
        ),
        "EACCES": Words(
            "This machine or a router on the way forbids packets to {where}.",
            "A firewall rejects them.",
            "Allow UDP to the CoA port there, from our address.",
        ),
        "EPERM": Words(
            "This machine's own firewall forbids packets to {where}.",
            "An output rule drops them.",
            "Allow UDP to the CoA port from this machine.",
        ),
        "EINVAL": Words(
            "This machine cannot send to {where} from the address that its CoA leaves from.",
            "The node address is 127.0.0.1 while the router is elsewhere.",
            "Set ISPAGENTS_NODE_ADDRESS to the address that the routers know as their RADIUS server.",
        ),
        "EADDRNOTAVAIL": Words(
            "This machine does not have the address that its CoA should leave from.",
            "ISPAGENTS_NODE_ADDRESS names an address that is not here, or not up yet.",
            "Correct ISPAGENTS_NODE_ADDRESS, or bring the address up.",
        ),
        "EMSGSIZE": Words(
            "The packet is too large for the way to {where}.",
            "A tunnel on the way takes smaller packets only, and forbids to cut them.",
            "Raise the tunnel's MTU, or give the plan fewer attributes.",
        ),
        "EPROTO": Words(
            "{where} said that it does not speak UDP there.",
            "A firewall rejects the packets in its own way.",
            "Allow UDP to the CoA port on {router}.",
        ),
    }
)

OTHER: Final = Words(
    "The system or the network refused a packet to {where} ({detail}).",
    "The route, the tunnel, our source address or a firewall on the way is not as it should be.",
    "Check these on this machine and on the way, then run `ispagents router test`.",
)
