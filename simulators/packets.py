"""RADIUS packets as bytes: headers, authenticators, passwords and the checks on what comes back."""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from simulators import attributes, mschap
from simulators.attributes import MalformedPacketError, Pair

ACCESS_REQUEST, ACCESS_ACCEPT, ACCESS_REJECT, ACCESS_CHALLENGE = 1, 2, 3, 11  # RFC 2865 section 3
ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 4, 5  # RFC 2866 section 3
DISCONNECT_REQUEST, DISCONNECT_ACK, DISCONNECT_NAK = 40, 41, 42  # RFC 5176 section 2.3
COA_REQUEST, COA_ACK, COA_NAK = 43, 44, 45
HEADER_BYTES = 20
PACKET_BYTES_MAX = 4096  # RFC 2865 section 3
MESSAGE_AUTHENTICATOR = 80
_NO_AUTHENTICATOR = bytes(16)
_BLANK_SIGNATURE = attributes.wrap(MESSAGE_AUTHENTICATOR, bytes(16))


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose signatures are right."""

    code: int
    pairs: tuple[tuple[int, bytes], ...]

    def all(self, name: str) -> tuple[bytes, ...]:
        """Return the raw values of one attribute, in order."""
        key = attributes.key_of(name)
        return tuple(raw for found, raw in self.pairs if found == key)


def trim(data: bytes) -> bytes:
    """Return the packet without padding; MalformedPacketError when it is cut short (RFC 2865 section 3)."""
    if len(data) < HEADER_BYTES:
        raise MalformedPacketError(f"{len(data)} bytes are too few for a RADIUS packet")
    length = data[2] << 8 | data[3]
    if not HEADER_BYTES <= length <= min(len(data), PACKET_BYTES_MAX):
        raise MalformedPacketError(f"the packet says it has {length} bytes, {len(data)} came")
    return data[:length]


def hide_password(password: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """Return User-Password hidden by RFC 2865 section 5.2; ValueError above 128 bytes."""
    if len(password) > 128:
        raise ValueError(f"a User-Password has at most 128 bytes, this one has {len(password)}")
    padded = password + bytes(-len(password) % 16 if password else 16)
    hidden, last = b"", authenticator
    for start in range(0, len(padded), 16):
        mask = hashlib.md5(secret + last).digest()
        last = bytes(left ^ right for left, right in zip(padded[start : start + 16], mask, strict=True))
        hidden += last
    return hidden


def chap_password(identifier: int, password: bytes, challenge: bytes) -> bytes:
    """Return CHAP-Password: the identifier and MD5 over it, password and challenge (RFC 1994 section 4.1)."""
    ident = bytes((identifier,))
    return ident + hashlib.md5(ident + password + challenge).digest()


@dataclass(frozen=True, slots=True)
class Proof:
    """How a client shows that it knows its password, and how it checks that the server knows it too."""

    pairs: tuple[Pair, ...]
    server_is_genuine: Callable[[Reply], bool]


def _trusting(_: Reply) -> bool:
    return True


def prove(
    protocol: str, username: bytes, password: str, *, authenticator: bytes, secret: bytes, random: Random
) -> Proof:
    """Return the password attributes of an Access-Request for ``pap``, ``chap`` or ``mschapv2``."""
    raw = password.encode("utf-8", "surrogateescape")
    if protocol == "pap":
        return Proof((("User-Password", hide_password(raw, authenticator, secret)),), _trusting)
    ident, challenge = random.randrange(256), random.randbytes(16)
    if protocol == "chap":
        response = chap_password(ident, raw, challenge)
        return Proof((("CHAP-Challenge", challenge), ("CHAP-Password", response)), _trusting)
    peer = random.randbytes(16)
    nt = mschap.nt_response(challenge, peer, username, password)
    # RFC 2548 section 2.3.2: ident, flags, peer challenge, eight reserved bytes, response
    answer = bytes((ident, 0)) + peer + bytes(8) + nt

    def server_is_genuine(reply: Reply) -> bool:
        # RFC 2548 section 2.3.3: one byte of ident, then S=...; RFC 2759 section 5: a client must check it
        wanted = mschap.authenticator_response(password, nt, peer, challenge, username).encode()
        return any(raw[:1] == bytes((ident,)) and raw[1:43] == wanted for raw in reply.all("MS-CHAP2-Success"))

    return Proof((("MS-CHAP-Challenge", challenge), ("MS-CHAP2-Response", answer)), server_is_genuine)


def access_request(identifier: int, authenticator: bytes, body: bytes, secret: bytes, *, signed: bool) -> bytes:
    """Return an Access-Request, with Message-Authenticator as first attribute when `signed` (RFC 2869 section 5.14)."""
    start = _BLANK_SIGNATURE if signed else b""
    header = struct.pack("!BBH", ACCESS_REQUEST, identifier, HEADER_BYTES + len(start) + len(body)) + authenticator
    if not signed:
        return header + body
    signature = hmac.digest(secret, header + start + body, "md5")
    return header + start[:2] + signature + body


def accounting_request(identifier: int, body: bytes, secret: bytes) -> bytes:
    """Return an Accounting-Request with its authenticator (RFC 2866 section 3)."""
    header = struct.pack("!BBH", ACCOUNTING_REQUEST, identifier, HEADER_BYTES + len(body))
    return header + hashlib.md5(header + _NO_AUTHENTICATOR + body + secret).digest() + body


def request_is_signed(packet: bytes, secret: bytes) -> bool:
    """Tell whether a CoA, Disconnect or Accounting request bears the right authenticator (RFC 5176 section 2.3)."""
    wanted = hashlib.md5(packet[:4] + _NO_AUTHENTICATOR + packet[HEADER_BYTES:] + secret).digest()
    return wanted == packet[4:HEADER_BYTES]


def signature_is_right(packet: bytes, authenticator: bytes, secret: bytes) -> bool | None:
    """Check a Message-Authenticator, computed with `authenticator` in the header; None when there is none."""
    position = HEADER_BYTES
    while position + 2 <= len(packet):
        length = packet[position + 1]
        if packet[position] == MESSAGE_AUTHENTICATOR:
            blank = packet[:4] + authenticator + packet[HEADER_BYTES : position + 2] + bytes(16)
            wanted = hmac.digest(secret, blank + packet[position + 18 :], "md5")
            return length == 18 and wanted == packet[position + 2 : position + 18]
        if length < 2:
            break
        position += length
    return None


def request_signature_is_right(packet: bytes, secret: bytes) -> bool | None:
    """Check the Message-Authenticator of a CoA or Disconnect request (RFC 5176 section 3.3); None without one."""
    return signature_is_right(packet, _NO_AUTHENTICATOR, secret)


def answer(code: int, request: bytes, body: bytes, secret: bytes, *, signed: bool) -> bytes:
    """Return the reply to `request` with its authenticator, and Message-Authenticator when `signed`."""
    start = _BLANK_SIGNATURE if signed else b""
    header = struct.pack("!BBH", code, request[1], HEADER_BYTES + len(start) + len(body))
    asked = request[4:HEADER_BYTES]
    if signed:
        start = start[:2] + hmac.digest(secret, header + asked + start + body, "md5")
    return header + hashlib.md5(header + asked + start + body + secret).digest() + start + body


def check_reply(data: bytes, asked: bytes, secret: bytes, codes: tuple[int, ...], *, must_sign: bool) -> Reply | None:
    """Return the reply when it is genuine, else None: what RouterOS counts under bad-replies.

    `asked` is the authenticator of the request. The response authenticator is RFC 2865 section 3; `must_sign` is
    ``/radius require-message-auth``, which RouterOS 7.15 and newer has on.
    """
    try:
        packet = trim(data)
        pairs = attributes.split(packet)
    except MalformedPacketError:
        return None
    if packet[0] not in codes:
        return None
    if hashlib.md5(packet[:4] + asked + packet[HEADER_BYTES:] + secret).digest() != packet[4:HEADER_BYTES]:
        return None
    signature = signature_is_right(packet, asked, secret)
    if signature is False or (must_sign and signature is None):
        return None
    return Reply(packet[0], tuple(pairs))
