"""What the firewall does with a customer's traffic: filter and nat in their order, tracked connections, fasttrack.

Only what decides between a customer and the internet: the chain `forward`, `dstnat`, and jumps from them. Matchers that
are not read here make a rule match nothing, so that no test rests on one that was only passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from simulators.routeros.standing import covers, lists_of
from simulators.routeros.store import Fields, Row

if TYPE_CHECKING:
    from simulators.routeros.device import Device

FILTER, NAT, CONNECTIONS = "/ip/firewall/filter", "/ip/firewall/nat", "/ip/firewall/connection"
JUMPS_MAX = 16
CLIENT_PORT = 40_000
_ACTIONS = frozenset({"action", "jump-target", "to-addresses", "to-ports", "reject-with", "log", "log-prefix"})
_PASSED_OVER = frozenset({"chain", "comment", "disabled", "dynamic", "invalid", "bytes", "packets", "hw-offload"})


class Packet(NamedTuple):
    """The first packet of a connection, or one within it (`state`). `port` is where it goes."""

    source: str
    destination: str
    protocol: str = "tcp"
    port: int = 443
    source_port: int = CLIENT_PORT
    state: str = "new"
    dst_nat: bool = False
    interface: str = ""


class Seen(NamedTuple):
    """A packet, and the address lists that its two ends are in."""

    packet: Packet
    source_lists: frozenset[str]
    destination_lists: frozenset[str]


@dataclass(frozen=True, slots=True)
class Passage:
    """How a connection was opened. `to` is where it really went, after dst-nat; `row` is its tracked connection."""

    passed: bool
    to: str = ""
    row: Row | None = None


class Firewall:
    """Decides over connections by the rules as they stand at that moment."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def open(self, source: str, destination: str, *, protocol: str = "tcp", port: int = 443) -> Passage:
        """Open a connection from a customer to the internet; one that passes is tracked."""
        online = self._device.customers.at(source)
        interface = online.interface if online is not None else ""
        packet = Packet(source, destination, protocol, port, interface=interface)
        redirected = self._walk(NAT, "dstnat", packet)
        to, to_port = destination, str(port)
        if redirected is not None and redirected["action"] in {"dst-nat", "redirect"}:
            to_port = redirected.get("to-ports", to_port)
            if redirected["action"] == "redirect":
                return Passage(passed=True, to=f"router:{to_port}")  # input to the router itself, not forwarded
            to = redirected.get("to-addresses", to)
        dst_nat = redirected is not None and redirected["action"] == "dst-nat"
        if not self._forwards(packet._replace(destination=to, port=int(to_port), dst_nat=dst_nat)):
            return Passage(passed=False, to=f"{to}:{to_port}")
        row = self._device[CONNECTIONS].add(
            {
                "protocol": protocol,
                "src-address": f"{source}:{CLIENT_PORT}",
                "dst-address": f"{destination}:{port}",
                "reply-src-address": f"{to}:{to_port}",
                "reply-dst-address": f"{source}:{CLIENT_PORT}",
                "timeout": "1d",
                "seen-reply": "true",
                "assured": "true",
                "fasttrack": "false",
                **({"tcp-state": "established"} if protocol == "tcp" else {}),
            },
            dynamic=True,
        )
        return Passage(passed=True, to=f"{to}:{to_port}", row=row)

    def goes_on(self, passage: Passage) -> bool:
        """Tell whether traffic of an open connection still passes.

        Fasttracked ones pass no filter. One that was removed from the table is a new one to the filter.
        """
        row = passage.row
        if row is None:
            return False
        fields = row.fields
        tracked = self._device[CONNECTIONS].get(row.id) is row
        if tracked and fields["fasttrack"] == "true":
            return True
        source, _, _ = fields["src-address"].partition(":")
        destination, _, port = fields["reply-src-address"].partition(":")
        online = self._device.customers.at(source)
        packet = Packet(
            source,
            destination,
            fields["protocol"],
            int(port),
            state="established" if tracked else "new",
            dst_nat=fields["dst-address"] != fields["reply-src-address"],
            interface=online.interface if online is not None else "",
        )
        return self._forwards(packet, row if tracked else None)

    def _forwards(self, packet: Packet, row: Row | None = None) -> bool:
        """Tell whether a packet and the answer to it pass; a fasttrack rule takes a tracked connection out of both."""
        answer = packet._replace(
            source=packet.destination,
            destination=packet.source,
            port=packet.source_port,
            source_port=packet.port,
            state="established",
            interface="",
        )
        for one in (packet, answer):
            verdict = self._walk(FILTER, "forward", one)
            if verdict is None:
                continue  # the end of a chain of RouterOS accepts
            if verdict["action"] not in {"accept", "fasttrack-connection"}:
                return False
            if verdict["action"] == "fasttrack-connection" and row is not None:
                row.fields["fasttrack"] = "true"
        return True

    def _walk(self, menu: str, chain: str, packet: Packet, depth: int = 0) -> Fields | None:
        """Return the rule that decides, None where the chain ends without one."""
        entries = self._device["/ip/firewall/address-list"]
        seen = Seen(packet, lists_of(entries, packet.source), lists_of(entries, packet.destination))
        for row in self._device[menu]:
            rule = row.fields
            if rule["chain"] != chain or rule.get("disabled") == "true" or not _matches(rule, seen):
                continue
            if rule["action"] == "return":
                return None
            if rule["action"] == "jump" and depth < JUMPS_MAX:
                inner = self._walk(menu, rule.get("jump-target", ""), packet, depth + 1)
                if inner is not None:
                    return inner
            elif rule["action"] not in {"jump", "log", "passthrough"} and not rule["action"].startswith("add-"):
                return rule
        return None


def _matches(rule: Fields, seen: Seen) -> bool:
    for name, wanted in rule.items():
        if name in _ACTIONS or name in _PASSED_OVER or not wanted:
            continue
        matcher = _MATCHERS.get(name)
        if matcher is None or matcher(wanted.removeprefix("!"), seen) == wanted.startswith("!"):
            return False
    return True


def _in_ports(text: str, port: int) -> bool:
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(first) <= port <= int(last or first):
            return True
    return False


_NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1"}
_MATCHERS: dict[str, Callable[[str, Seen], bool]] = {
    "src-address": lambda text, seen: covers(text, seen.packet.source),
    "dst-address": lambda text, seen: covers(text, seen.packet.destination),
    "src-address-list": lambda text, seen: text in seen.source_lists,
    "dst-address-list": lambda text, seen: text in seen.destination_lists,
    "protocol": lambda text, seen: text in {seen.packet.protocol, _NUMBERS.get(seen.packet.protocol, "")},
    "dst-port": lambda text, seen: _in_ports(text, seen.packet.port),
    "src-port": lambda text, seen: _in_ports(text, seen.packet.source_port),
    "port": lambda text, seen: _in_ports(text, seen.packet.port) or _in_ports(text, seen.packet.source_port),
    "connection-state": lambda text, seen: seen.packet.state in text.split(","),
    "connection-nat-state": lambda text, seen: seen.packet.dst_nat and text == "dstnat",
    "in-interface": lambda text, seen: (
        text == seen.packet.interface or (text == "all-ppp" and seen.packet.interface.startswith("<pppoe-"))
    ),
}
