"""CoA and Disconnect packets as bytes (RFC 5176 section 2.3); pure, no sockets, no clock.

pyrad's `Packet` groups repeated attributes, mutates itself and costs about 13 us a packet; framing and signing
are four short functions here, and property tests hold them equal to pyrad's.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import struct
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import lru_cache, partial
from itertools import starmap
from typing import Final, NamedTuple

from network.coa.attributes import MESSAGE_AUTHENTICATOR, decode_attribute, encode_attribute
from network.coa.error_causes import ErrorCause
from network.coa.errors import (
    BadAuthenticatorError,
    BadMessageAuthenticatorError,
    InvalidAttributeError,
    MalformedReplyError,
    MissingMessageAuthenticatorError,
    WrongIdentifierError,
)

HEADER_BYTES: Final = 20
MAX_PACKET_BYTES: Final = 4096  # RFC 2865 section 3
SIGNATURE_BYTES: Final = 16
SIGNATURE_HEADER: Final = bytes((MESSAGE_AUTHENTICATOR, SIGNATURE_BYTES + 2))
SIGNATURE_AT: Final = HEADER_BYTES + 2  # we write Message-Authenticator first, against BlastRADIUS
ZEROS: Final = bytes(16)
ERROR_CAUSE: Final = 101
# The header with zeros as Request Authenticator, and where a signature is to follow.
_UNSIGNED_START: Final = struct.Struct("!BBH16x")
_SIGNED_START: Final = struct.Struct("!BBH16x2s")
CACHED_SECRETS: Final = 1024  # routers whose signing state is kept ready; under a kilobyte each
_INNER_PAD: Final = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104 section 2
_OUTER_PAD: Final = bytes(byte ^ 0x5C for byte in range(256))

_new_md5: Callable[[bytes], hashlib._Hash]
try:
    # The interpreter's own MD5: OpenSSL's takes twice as long for packets this short, most of it to set itself up.
    _new_md5 = importlib.import_module("_md5").md5
except ImportError:  # pragma: no cover - an interpreter built without it
    _new_md5 = partial(hashlib.md5, usedforsecurity=False)


class Kind(StrEnum):
    """The two requests of RFC 5176."""

    COA = "coa"
    DISCONNECT = "disconnect"


REQUEST_CODES: Final = {Kind.COA: 43, Kind.DISCONNECT: 40}  # RFC 5176 section 2.3, Code
# (code of the request, code of the reply): whether it is an ACK
ACKNOWLEDGES: Final = {(43, 44): True, (43, 45): False, (40, 41): True, (40, 42): False}


class Request(NamedTuple):
    """What is asked: `attributes` are (name, value) text pairs, sent in this order; a name may repeat."""

    kind: Kind
    attributes: tuple[tuple[str, str], ...]

    def encode_attributes(self) -> bytes:
        """The attributes on the wire, without Message-Authenticator.

        Raises InvalidAttributeError for the first that cannot be sent, or if all of them do not fit in one packet.
        """
        payload = b"".join(starmap(encode_attribute, self.attributes))
        room = MAX_PACKET_BYTES - HEADER_BYTES - len(SIGNATURE_HEADER) - SIGNATURE_BYTES
        if len(payload) > room:
            raise InvalidAttributeError(
                f"The attributes take {len(payload)} bytes and {room} fit in one packet; send fewer or shorter ones."
            )
        return payload

    def encode(self, secret: bytes, identifier: int, *, message_authenticator: bool = True) -> bytes:
        """The whole signed packet, at most 4096 bytes; `identifier` is 0..255.

        Raises InvalidAttributeError.
        """
        return sign_request(self.kind, identifier, self.encode_attributes(), secret, message_authenticator)


class Reply(NamedTuple):
    """An authentic reply. `error_cause` is the raw number, None if absent; `attributes` leave the signature out."""

    acknowledged: bool
    error_cause: int | None
    attributes: tuple[tuple[str, str], ...]
    signed: bool
    """Whether it carried a (right) Message-Authenticator."""

    @property
    def named_error_cause(self) -> ErrorCause | None:
        """The Error-Cause by name; None if there is none or RFC 5176 does not define it."""
        try:
            return ErrorCause(self.error_cause) if self.error_cause is not None else None
        except ValueError:
            return None


# Most routers send nothing but the header.
BARE_REPLIES: Final = {acknowledged: Reply(acknowledged, None, (), signed=False) for acknowledged in (True, False)}


def sign_request(kind: Kind, identifier: int, payload: bytes, secret: bytes, message_authenticator: bool) -> bytes:
    """Header, signatures and `payload` (attributes already on the wire format).

    Message-Authenticator is an HMAC-MD5 over the packet with a zero Request Authenticator, then the Request
    Authenticator is MD5 over the packet with zeros in its place and the secret (RFC 5176 sections 2.3 and 3.4).
    """
    code = REQUEST_CODES[kind]
    if not message_authenticator:
        start = _UNSIGNED_START.pack(code, identifier, HEADER_BYTES + len(payload))
        digest = md5(b"".join((start, payload, secret)))
        return b"".join((start[:4], digest, payload))
    start = _SIGNED_START.pack(code, identifier, SIGNATURE_AT + SIGNATURE_BYTES + len(payload), SIGNATURE_HEADER)
    signature = hmac_md5(secret, b"".join((start, ZEROS, payload)))
    digest = md5(b"".join((start, signature, payload, secret)))
    return b"".join((start[:4], digest, SIGNATURE_HEADER, signature, payload))


def decode_reply(data: bytes, request: bytes, secret: bytes, require_message_authenticator: bool = False) -> Reply:
    """The reply in `data` to the packet `request` (exactly as sent), fully checked.

    Bytes after the packet's own length are padding and ignored (RFC 2865 section 3). A Message-Authenticator that
    is present and wrong is refused whatever the settings. Values that do not fit their type are kept as hex.

    Raises MalformedReplyError, WrongIdentifierError, BadAuthenticatorError, BadMessageAuthenticatorError or
    MissingMessageAuthenticatorError (all ReplyError), and nothing else, whatever `data` is.
    """
    if not HEADER_BYTES <= len(data) <= MAX_PACKET_BYTES:
        raise MalformedReplyError(f"The reply has {len(data)} bytes; a packet has {HEADER_BYTES} to 4096.")
    length = data[2] << 8 | data[3]
    if length != len(data):
        if not HEADER_BYTES <= length < len(data):
            raise MalformedReplyError(f"The reply says {length} bytes and {len(data)} came.")
        data = data[:length]
    if data[1] != request[1]:
        raise WrongIdentifierError(f"The reply has identifier {data[1]} and the request {request[1]}.")
    acknowledged = ACKNOWLEDGES.get((request[0], data[0]))
    if acknowledged is None:
        raise MalformedReplyError(f"Code {data[0]} does not answer a request with code {request[0]}.")
    authenticator = request[4:HEADER_BYTES]
    body = data[HEADER_BYTES:]
    expected = md5(b"".join((data[:4], authenticator, body, secret)))
    if not hmac.compare_digest(expected, data[4:HEADER_BYTES]):
        raise BadAuthenticatorError("The Response Authenticator is wrong: the secrets differ, or it is forged.")
    parts = list(_split(body)) if body else []
    signed = bool(parts) and _check_signature(data, parts, authenticator, secret)
    if require_message_authenticator and not signed:
        raise MissingMessageAuthenticatorError("The reply has no Message-Authenticator and this router must send one.")
    return _read(acknowledged, parts, signed) if parts else BARE_REPLIES[acknowledged]


@lru_cache(maxsize=CACHED_SECRETS)
def _keyed(secret: bytes) -> tuple[hashlib._Hash, hashlib._Hash]:
    """The two MD5 states of RFC 2104 that depend on the secret alone."""
    block = (md5(secret) if len(secret) > 64 else secret).ljust(64, b"\0")
    states = [_new_md5(block.translate(pad)) for pad in (_INNER_PAD, _OUTER_PAD)]
    return states[0], states[1]


def hmac_md5(secret: bytes, data: bytes) -> bytes:
    """HMAC-MD5, RFC 2104, at a third of the cost of `hmac.digest`, which sets up the secret every time."""
    start, end = _keyed(secret)
    inner, outer = start.copy(), end.copy()
    inner.update(data)
    outer.update(inner.digest())
    return outer.digest()


def md5(data: bytes) -> bytes:
    """MD5, as RADIUS demands it (RFC 2865 section 3)."""
    return _new_md5(data).digest()


def _split(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(position in the packet, code, value) of each attribute; raises MalformedReplyError."""
    position = 0
    while position < len(body):
        length = body[position + 1] if position + 1 < len(body) else 0
        if length < 2 or position + length > len(body):
            raise MalformedReplyError(f"The attribute at byte {HEADER_BYTES + position} has a wrong length.")
        yield HEADER_BYTES + position, body[position], body[position + 2 : position + length]
        position += length


def _check_signature(data: bytes, parts: list[tuple[int, int, bytes]], authenticator: bytes, secret: bytes) -> bool:
    """Whether a right Message-Authenticator is there; raises BadMessageAuthenticatorError for a wrong one.

    In a reply it covers the request's authenticator in the header's place (RFC 5176 section 3.4).
    """
    found = [(position, value) for position, code, value in parts if code == MESSAGE_AUTHENTICATOR]
    if not found:
        return False
    position, value = found[0]
    if len(found) > 1 or len(value) != SIGNATURE_BYTES:
        raise BadMessageAuthenticatorError("The reply has a Message-Authenticator of wrong length, or several.")
    after = position + 2 + SIGNATURE_BYTES
    covered = b"".join((data[:4], authenticator, data[HEADER_BYTES : position + 2], ZEROS, data[after:]))
    if not hmac.compare_digest(hmac_md5(secret, covered), value):
        raise BadMessageAuthenticatorError("The Message-Authenticator is wrong: the secrets differ, or it is forged.")
    return True


def _read(acknowledged: bool, parts: list[tuple[int, int, bytes]], signed: bool) -> Reply:
    error_cause = None
    attributes: list[tuple[str, str]] = []
    for _, code, value in parts:
        if code == MESSAGE_AUTHENTICATOR:
            continue
        if code == ERROR_CAUSE and len(value) == 4:
            error_cause = int.from_bytes(value, "big")
        attributes.extend(decode_attribute(code, value))
    return Reply(acknowledged, error_cause, tuple(attributes), signed)
