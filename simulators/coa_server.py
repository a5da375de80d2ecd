"""CoA-Request and Disconnect-Request as a router takes them (RFC 5176; the changeable list by RouterOS).

Silence is the answer to a wrong source, a wrong secret and a wrong Message-Authenticator; a NAK is the answer to a
request that cannot be done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from simulators import attributes, packets, rate_limit
from simulators.attributes import MalformedPacketError, key_of
from simulators.clock import Clock
from simulators.sessions import CALLING_STATION, FRAMED_IP, SESSION_ID, USER_NAME, Session, SessionTable
from simulators.settings import Counters, NasSettings, TerminateCause, UnsupportedByCoA
from simulators.udp import Address

CHANGEABLE = frozenset(
    key_of(name)
    for name in (
        "Mikrotik-Group",
        "Mikrotik-Recv-Limit",
        "Mikrotik-Recv-Limit-Gigawords",
        "Mikrotik-Xmit-Limit",
        "Mikrotik-Xmit-Limit-Gigawords",
        "Mikrotik-Rate-Limit",
        "Ascend-Data-Rate",
        "Ascend-Xmit-Rate",
        "Mikrotik-Mark-Id",
        "Filter-Id",
        "Mikrotik-Advertise-URL",
        "Mikrotik-Advertise-Interval",
        "Session-Timeout",
        "Idle-Timeout",
        "Port-Limit",
    )
)
ADDRESS_LIST = key_of("Mikrotik-Address-List")
RATE_LIMIT = key_of("Mikrotik-Rate-Limit")
PROXY_STATE = key_of("Proxy-State")
_IDENTIFIERS = frozenset({SESSION_ID, USER_NAME, FRAMED_IP, CALLING_STATION})
_NAS_IP, _NAS_NAME = key_of("NAS-IP-Address"), key_of("NAS-Identifier")
# Neither identify nor change: Message-Authenticator, Proxy-State, Event-Timestamp and where the client is plugged in
_PASSED_OVER = frozenset(
    key_of(name)
    for name in (
        "Message-Authenticator",
        "Proxy-State",
        "Event-Timestamp",
        "NAS-Port",
        "NAS-Port-Id",
        "NAS-Port-Type",
        "Called-Station-Id",
    )
)
# RFC 5176 section 3.5
UNSUPPORTED_ATTRIBUTE, MISSING_ATTRIBUTE, WRONG_NAS, INVALID_VALUE, NO_SESSION = 401, 402, 403, 407, 503
ANSWERS_KEPT_MAX = 20_000  # a retransmission comes within seconds; two of the largest bench runs


@dataclass(slots=True)
class Received:
    """One CoA or Disconnect request, and what became of it."""

    at_s: float  # the router's clock, monotonic
    wall_s: float
    source: Address
    packet: bytes = field(repr=False)
    answer_code: int | None = None  # None: dropped in silence
    error_cause: int | None = None
    why: str = ""  # why it was dropped or refused
    duplicate: bool = False

    @property
    def code(self) -> int:
        """Return the packet code, 43 for CoA and 40 for Disconnect."""
        return self.packet[0] if self.packet else 0

    @property
    def acked(self) -> bool:
        """Tell whether the router said yes."""
        return self.answer_code in {packets.COA_ACK, packets.DISCONNECT_ACK}

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """Return the request's attributes as (name, text), nothing when it could not be read."""
        try:
            return attributes.describe(attributes.split(packets.trim(self.packet)))
        except MalformedPacketError:
            return ()


class CoaHost(Protocol):
    """What the server needs from its router."""

    @property
    def settings(self) -> NasSettings: ...
    @property
    def sessions(self) -> SessionTable: ...
    @property
    def counters(self) -> Counters: ...
    @property
    def clock(self) -> Clock: ...
    def terminate(self, session: Session, cause: TerminateCause) -> object:
        """End a session and send its Stop."""

    def changed(self, session: Session, names: frozenset[str]) -> None:
        """Look again at timeouts and limits after a change."""

    def note(self, received: Received) -> None:
        """Keep the record of a request."""


class Refusal(Exception):  # noqa: N818 - the RFC's word is NAK, and it is an answer rather than a mistake
    """The request is answered with a NAK."""

    def __init__(self, error_cause: int, why: str) -> None:
        super().__init__(why)
        self.error_cause = error_cause
        self.why = why


class CoaServer:
    """Answers requests; each is executed once however often it arrives."""

    def __init__(self, host: CoaHost, send: Callable[[bytes, Address], None]) -> None:
        self._host = host
        self._send = send
        self._answers: dict[tuple[Address, bytes], tuple[bytes, int, int | None]] = {}

    def forget(self) -> None:
        """Lose the memory of what was answered, as a reboot does."""
        self._answers.clear()

    def handle(self, data: bytes, source: Address) -> None:
        """Take one datagram."""
        host = self._host
        host.counters.coa_received += 1
        record = Received(host.clock.now(), host.clock.wall(), source, data)
        try:
            packet = packets.trim(data)
            pairs = attributes.split(packet)
        except MalformedPacketError as error:
            self._drop(record, str(error))
            return
        why, signed = self._why_silent(packet, source)
        if why:
            self._drop(record, why)
            return
        key = (source, packet[1:2] + packet[4:20])
        known = self._answers.get(key)
        if known is not None:
            host.counters.coa_duplicates += 1
            reply, record.answer_code, record.error_cause = known
            record.duplicate = True
        else:
            reply = self._execute(record, packet, pairs, signed)
            if len(self._answers) >= ANSWERS_KEPT_MAX:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = (reply, record.answer_code or 0, record.error_cause)
        self._send(reply, source)
        host.note(record)

    def _drop(self, record: Received, why: str) -> None:
        self._host.counters.coa_dropped += 1
        record.why = why
        self._host.note(record)

    def _why_silent(self, packet: bytes, source: Address) -> tuple[str, bool]:
        """Return why the request gets no answer ("" when it does), and whether it bears a Message-Authenticator."""
        settings = self._host.settings
        if not settings.accept_incoming:
            return "the router does not accept incoming requests", False
        if settings.check_coa_source and source[0] not in settings.allowed_coa_sources:
            return f"{source[0]} is not a RADIUS server of this router", False
        if packet[0] not in {packets.COA_REQUEST, packets.DISCONNECT_REQUEST}:
            return f"packet code {packet[0]} is neither CoA nor Disconnect", False
        if not packets.request_is_signed(packet, settings.key):
            return "the authenticator is wrong: another secret?", False
        signature = packets.request_signature_is_right(packet, settings.key)
        if signature is False:
            return "the Message-Authenticator is wrong", False
        if signature is None and settings.require_message_authenticator_on_coa:
            return "the Message-Authenticator is missing", False
        return "", signature is True

    def _execute(self, record: Received, packet: bytes, pairs: list[tuple[int, bytes]], signed: bool) -> bytes:
        counters = self._host.counters
        is_coa = packet[0] == packets.COA_REQUEST
        body = b"".join(attributes.wrap(PROXY_STATE, raw) for key, raw in pairs if key == PROXY_STATE)
        try:
            sessions, changes = self._read(pairs)
            allowed = self._allowed(changes, is_coa)
        except Refusal as refusal:
            counters.coa_naked += 1
            record.error_cause, record.why = refusal.error_cause, refusal.why
            record.answer_code = packets.COA_NAK if is_coa else packets.DISCONNECT_NAK
            body += attributes.encode("Error-Cause", refusal.error_cause)
        else:
            counters.coa_acked += 1
            record.answer_code = packets.COA_ACK if is_coa else packets.DISCONNECT_ACK
            if not self._host.settings.ack_without_effect:
                self._apply(sessions, allowed, is_coa)
        return packets.answer(record.answer_code, packet, body, self._host.settings.key, signed=signed)

    def _read(self, pairs: list[tuple[int, bytes]]) -> tuple[list[Session], list[tuple[int, bytes]]]:
        """Return the sessions meant and the changes asked for; raises Refusal."""
        settings = self._host.settings
        wanted: dict[int, bytes] = {}
        changes: list[tuple[int, bytes]] = []
        for key, raw in pairs:
            if key in _IDENTIFIERS:
                wanted[key] = raw
            elif key == _NAS_IP:
                if attributes.to_text(key, raw) != settings.nas_ip:
                    raise Refusal(WRONG_NAS, "NAS-IP-Address is not this router's")
            elif key == _NAS_NAME:
                if attributes.to_text(key, raw) != settings.name:
                    raise Refusal(WRONG_NAS, "NAS-Identifier is not this router's")
            elif key not in _PASSED_OVER:
                changes.append((key, raw))
        for name in settings.coa_requires:
            if all(key != key_of(name) for key, _ in pairs):
                raise Refusal(MISSING_ATTRIBUTE, f"{name} is missing")
        if not wanted:
            raise Refusal(MISSING_ATTRIBUTE, "nothing says which session is meant")
        sessions = self._host.sessions.find(wanted, settings.coa_identify_by)
        if not sessions:
            raise Refusal(NO_SESSION, "no such session")
        address = wanted.get(FRAMED_IP)
        if address is not None and all(session.identifiers[FRAMED_IP] != address for session in sessions):
            changes.append((FRAMED_IP, address))  # only where any identifier is enough: the address is then a change
        return sessions, changes

    def _allowed(self, changes: list[tuple[int, bytes]], is_coa: bool) -> dict[str, tuple[str, ...]]:
        """Return what will be changed, in text by name; raises Refusal before anything is touched."""
        settings = self._host.settings
        allowed: dict[str, tuple[str, ...]] = {}
        for key, raw in changes:
            changeable = is_coa and (key in CHANGEABLE or (key == ADDRESS_LIST and settings.coa_address_list))
            if not changeable:
                if settings.coa_unsupported is UnsupportedByCoA.NAK:
                    raise Refusal(UNSUPPORTED_ATTRIBUTE, f"{attributes.key_name(key)} cannot be changed")
                continue
            text = attributes.to_text(key, raw)
            if not attributes.is_valid(key, raw) or (key == RATE_LIMIT and not self._readable(text)):
                raise Refusal(INVALID_VALUE, f"{attributes.key_name(key)} cannot be {text}")
            name = attributes.key_name(key)
            allowed[name] = (*allowed.get(name, ()), text)
        return allowed

    def _readable(self, text: str) -> bool:
        if not self._host.settings.refuses_malformed_rate_limit:
            return True
        try:
            rate_limit.limits_bps(text)
        except ValueError:
            return False
        return True

    def _apply(self, sessions: list[Session], allowed: dict[str, tuple[str, ...]], is_coa: bool) -> None:
        for session in sessions:
            if not is_coa:
                self._host.terminate(session, TerminateCause.ADMIN_RESET)
                continue
            for name, values in allowed.items():
                session.change(name, values)
            if allowed:
                self._host.changed(session, frozenset(allowed))
