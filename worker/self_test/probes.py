"""One harmless request to a router: about a session that cannot exist, so that nobody's access can change."""

from __future__ import annotations

import secrets
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

from network.coa.packets import Kind
from network.coa.target import Retransmission, Target
from network.coa.transport import Transport
from network.coa.verbs import Session, change_authorization, disconnect
from network.contract import Result
from policy.explanations import explain
from worker.self_test.place import Place

# Three packets in 3.5 seconds: a lost one does not spoil the test, and a person is waiting.
PATIENCE: Final = Retransmission(first_timeout_s=0.5, max_attempts=3)
# What a CoA-Request asks for; a router that took it for somebody would end his session after an idle hour, no more.
HARMLESS: Final = (("Idle-Timeout", "3600"),)
NOBODY_ADDRESS: Final = "240.0.0.1"  # RFC 1112 section 4: reserved, so no customer has it


class Aim(StrEnum):
    """What a probe wants to find out."""

    CONFIGURED = "configured"
    DISCONNECT = "disconnect"
    PORT = "port"
    SIGNING = "signing"
    ADDRESS = "address"
    SOURCE = "source"
    IDENTIFICATION = "identification"


class Probe(NamedTuple):
    """One request and what came back. `answered`: an answer signed with our secret came."""

    aim: Aim
    source: str
    address: str
    port: int
    identified_by: tuple[str, ...]
    cause: str
    answered: bool
    packets: int
    round_trip_ms: float | None
    sent: str
    came_back: str
    means: str

    @property
    def where(self) -> str:
        """Address and port, for people."""
        return f"{self.address} port {self.port}"

    @property
    def nobody_listens(self) -> bool:
        """Whether the machine there said so, by ICMP."""
        return self.cause == "port_unreachable"

    @property
    def somebody_there(self) -> bool:
        """Whether anything came back from that port, whatever its signature."""
        return self.answered or self.cause in ("wrong_secret_signs", "missing_message_authenticator")


def nobody(place: Place) -> Session:
    """The identification of a session that cannot exist, new for every test."""
    own = place.nas_address or place.radius_address
    return Session(
        user_name=f"ispagents-test-{secrets.token_hex(8)}",
        acct_session_id=secrets.token_hex(12),
        framed_ip_address=NOBODY_ADDRESS,
        nas_ip_address="" if ":" in own else own,
        nas_identifier=place.name,
        calling_station_id=":".join(["02", *(f"{byte:02X}" for byte in secrets.token_bytes(5))]),
    )


async def ask(
    transport: Transport, place: Place, who: Session, aim: Aim, target: Target, kind: Kind = Kind.COA
) -> Probe:
    """Send one request about `who` to `target` and wait for what comes back.

    Raises CoaError where this machine cannot send it.
    """
    if kind is Kind.COA:
        result = await change_authorization(transport, target, who, HARMLESS)
    else:
        result = await disconnect(transport, target, who)
    return _probe(transport.source_address, place, aim, target, kind, result)


def variant(target: Target, *, patience: Retransmission, **changes: object) -> Target:
    """The same router asked another way."""
    return replace(target, retransmission=patience, **changes)  # type: ignore[arg-type] # names of Target's own fields


def _probe(source: str, place: Place, aim: Aim, target: Target, kind: Kind, result: Result) -> Probe:
    answered = result.round_trip_ms is not None
    where = f"{target.address} port {target.port}"
    return Probe(
        aim=aim,
        source=source,
        address=target.address,
        port=target.port,
        identified_by=target.identify_by,
        cause=result.cause,
        answered=answered,
        packets=result.attempts,
        round_trip_ms=result.round_trip_ms,
        sent=_sent(source, place, aim, target, kind),
        came_back=_came_back(result, answered),
        means=_means(place, aim, result.cause, answered, where),
    )


def _sent(source: str, place: Place, aim: Aim, target: Target, kind: Kind) -> str:
    name = "CoA" if kind is Kind.COA else "Disconnect"
    to = f"{name} for a session that cannot exist, to {target.address} port {target.port}"
    if aim is Aim.SIGNING:
        return f"{to}, {'with' if target.message_authenticator else 'without'} Message-Authenticator"
    if aim is Aim.IDENTIFICATION:
        return f"{to}, identified by {', '.join(target.identify_by)}"
    return f"{to}, from {source}" if source != place.source else to


def _came_back(result: Result, answered: bool) -> str:
    if not answered:
        signs = {
            "timeout": f"nothing, to {result.attempts} packets",
            "port_unreachable": "ICMP: nothing listens there",
            "wrong_secret_signs": "answers with a wrong signature",
            "malformed_replies": "something that is no RADIUS answer",
        }
        return signs.get(result.cause, result.cause.removeprefix("network:"))
    took = f" in {result.round_trip_ms:.1f} ms"
    if result.cause == "acknowledged":
        return f"yes (ACK){took}"
    numbers = [value for name, value in result.reply if name == "Error-Cause"]
    return f"no (NAK{f', Error-Cause {numbers[0]}' if numbers else ''}){took}"


def _means(place: Place, aim: Aim, cause: str, answered: bool, where: str) -> str:
    if cause in ("session_gone", "already_offline"):
        return {
            Aim.IDENTIFICATION: "It understands this identification.",
            Aim.DISCONNECT: "It takes Disconnect as well.",
            Aim.SOURCE: "Reachable, right port and secret; it takes requests from this address.",
        }.get(aim, "Reachable, right port, right secret, and our address is accepted.")
    if cause == "acknowledged":
        return "It says yes to a session that cannot exist, so its yes proves nothing."
    if cause == "timeout":
        return "Silence; by itself it does not say why."
    if answered and aim is Aim.CONFIGURED:
        return f"Reachable, right port and secret; but: {explain(cause, router=place.name, where=where).happened}"
    return explain(cause, router=place.name, where=where).happened
