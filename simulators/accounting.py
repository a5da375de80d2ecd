"""Start, Interim-Update and Stop (RFC 2866; RouterOS sends nothing else, no Accounting-On and no Accounting-Off)."""

from __future__ import annotations

import asyncio
from typing import Literal

from simulators import attributes, packets
from simulators.attributes import Pair
from simulators.clock import Clock
from simulators.radius_client import RadiusClient
from simulators.sessions import PACKET_BYTES, Session
from simulators.settings import AccountingOutcome, NasSettings, TerminateCause

Status = Literal["Start", "Interim-Update", "Stop"]
_MASK = 0xFFFFFFFF


class Accounting:
    """Writes the records of sessions and hands them to the RADIUS client."""

    def __init__(self, settings: NasSettings, radius: RadiusClient, clock: Clock) -> None:
        self._settings = settings
        self._radius = radius
        self._clock = clock

    def record(
        self, session: Session, status: Status, cause: TerminateCause | None = None
    ) -> asyncio.Future[AccountingOutcome]:
        """Send one record as things stand now. Counters do not move when it is sent again, Acct-Delay-Time does."""
        session.settle()
        pairs: list[Pair] = [
            ("Acct-Status-Type", status),
            ("Framed-IP-Address", session.address),
            ("Event-Timestamp", int(self._clock.wall() + self._settings.clock_skew_s)),
        ]
        if session.client.method == "pppoe":
            pairs.append(("Acct-Authentic", "RADIUS"))
        pairs += [("Class", value) for value in session.class_values]
        if status != "Start":
            pairs += _counted(session)
        if cause is not None:
            pairs.append(("Acct-Terminate-Cause", cause.value))
        body = session.identity + attributes.encode_all(pairs)
        secret = self._settings.key

        def build(identifier: int, delay_s: int) -> bytes:
            return packets.accounting_request(identifier, body + attributes.encode("Acct-Delay-Time", delay_s), secret)

        return self._radius.account(build)


def _counted(session: Session) -> list[Pair]:
    """Return time and volume. Input is what the client sent (RFC 2866 section 5.3), low 32 bits and Gigawords."""
    up, down = session.upload_octets, session.download_octets
    return [
        ("Acct-Session-Time", session.age_s),
        ("Acct-Input-Octets", up & _MASK),
        ("Acct-Input-Gigawords", up >> 32),
        ("Acct-Input-Packets", -(-up // PACKET_BYTES) & _MASK),
        ("Acct-Output-Octets", down & _MASK),
        ("Acct-Output-Gigawords", down >> 32),
        ("Acct-Output-Packets", -(-down // PACKET_BYTES) & _MASK),
    ]
