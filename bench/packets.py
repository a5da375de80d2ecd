"""Access-Requests as a MikroTik sends them for PPPoE, and the check of the answer.

Not pyrad: it encodes 13,000 requests a second, which is slower than the servers answer. RFC 2865 section 3 (packet and
Response Authenticator), 5.2 (User-Password), RFC 3579 section 3.2 (Message-Authenticator).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import md5
from random import Random
from typing import Final

from bench import subscribers

ACCESS_REQUEST: Final = 1
ACCESS_ACCEPT: Final = 2
ACCESS_REJECT: Final = 3

HEADER_BYTES: Final = 20
IDENTIFIERS: Final = 256  # one octet: the most requests that one socket can have open

_USER_NAME: Final = 1
_USER_PASSWORD: Final = 2
_VENDOR_SPECIFIC: Final = 26
_MESSAGE_AUTHENTICATOR: Final = 80
_MIKROTIK: Final = 14988
_MIKROTIK_RATE_LIMIT: Final = 8

NAS_ADDRESS: Final = "127.0.0.1"
NAS_IDENTIFIER: Final = "bench-nas"


def attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def number(kind: int, value: int) -> bytes:
    return struct.pack("!BBI", kind, 6, value)


# What RouterOS sends for every PPPoE login, whoever dials (mikrotik-facts 3).
_FIXED: Final = (
    number(6, 2)  # Service-Type Framed-User
    + number(7, 1)  # Framed-Protocol PPP
    + number(61, 15)  # NAS-Port-Type Ethernet
    + attribute(30, b"internet")  # Called-Station-Id: the PPPoE service name
    + attribute(87, b"vlan100")  # NAS-Port-Id
    + attribute(32, NAS_IDENTIFIER.encode())
    + attribute(4, bytes((127, 0, 0, 1)))  # NAS-IP-Address
)


class Hmac:
    """HMAC-MD5 with the key's two blocks hashed once; the standard one hashes them for every packet."""

    def __init__(self, secret: bytes) -> None:
        key = (md5(secret, usedforsecurity=False).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        self._inner = md5(bytes(octet ^ 0x36 for octet in key), usedforsecurity=False)
        self._outer = md5(bytes(octet ^ 0x5C for octet in key), usedforsecurity=False)

    def digest(self, message: bytes) -> bytes:
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()


@dataclass(frozen=True, slots=True)
class Login:
    """One login attempt, before it is encoded."""

    subscriber: int
    password: str
    session: int

    @classmethod
    def of(cls, subscriber: int, session: int) -> "Login":
        return cls(subscriber, subscribers.password(subscriber), session)


class Encoder:
    """Turns logins into signed packets for one shared secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._hmac = Hmac(secret)

    def access_request(self, login: Login, identifier: int, authenticator: bytes) -> bytes:
        if len(authenticator) != 16:
            raise ValueError("a Request Authenticator has 16 octets")
        pad = md5(self._secret + authenticator, usedforsecurity=False).digest()
        clear = login.password.encode().ljust(16, b"\0")
        hidden = (int.from_bytes(clear) ^ int.from_bytes(pad)).to_bytes(16)
        body = b"".join(
            (
                authenticator,
                _FIXED,
                number(5, 15728640 + login.session),  # NAS-Port
                attribute(_USER_NAME, subscribers.user_name(login.subscriber).encode()),
                attribute(31, subscribers.mac(login.subscriber).encode()),  # Calling-Station-Id
                attribute(44, b"81%06x" % login.session),  # Acct-Session-Id: service, boot, session
                attribute(_USER_PASSWORD, hidden),
                b"\x50\x12",
            )
        )
        start = struct.pack("!BBH", ACCESS_REQUEST, identifier, 4 + len(body) + 16) + body
        return start + self._hmac.digest(start + bytes(16))

    def stream(self, seed: int, users: int, count: int) -> Iterator[bytes]:
        """`count` packets for subscribers drawn evenly from `users`; packet i has identifier i modulo 256.

        The same seed gives the same logins whatever the server, so that every server is asked the same.
        """
        random = Random(seed)
        for index in range(count):
            login = Login.of(random.randrange(users), index & 0xFFFFFF)
            yield self.access_request(login, index % IDENTIFIERS, random.randbytes(16))


@dataclass(frozen=True, slots=True)
class Reply:
    """What one verified answer said."""

    code: int
    rate_limit: str | None
    signed: bool  # carried a Message-Authenticator


class BadReplyError(Exception):
    """An answer that no RADIUS client may accept."""


class Verifier:
    """Checks answers to this secret's requests completely, as a router would."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._hmac = Hmac(secret)

    def check(self, request: bytes, answer: bytes) -> Reply:
        """Raises BadReplyError with what is wrong."""
        if len(answer) < HEADER_BYTES or struct.unpack_from("!H", answer, 2)[0] != len(answer):
            raise BadReplyError(f"the answer has {len(answer)} octets, which its length field denies")
        asked = answer[:4] + request[4:20] + answer[20:]
        if md5(asked + self._secret, usedforsecurity=False).digest() != answer[4:20]:
            raise BadReplyError("the Response Authenticator is wrong")
        rate: str | None = None
        signed = False
        for kind, start, end in attributes(answer):
            if kind == _MESSAGE_AUTHENTICATOR:
                if self._hmac.digest(asked[:start] + bytes(16) + asked[end:]) != answer[start:end]:
                    raise BadReplyError("the Message-Authenticator is wrong")
                signed = True
            elif kind == _VENDOR_SPECIFIC and answer[start : start + 5] == struct.pack(
                "!IB", _MIKROTIK, _MIKROTIK_RATE_LIMIT
            ):
                rate = answer[start + 6 : end].decode()
        return Reply(answer[0], rate, signed)


def attributes(packet: bytes) -> Iterator[tuple[int, int, int]]:
    """Kind, first and last octet (exclusive) of each attribute's value; BadReplyError where the lengths do not fit."""
    at = HEADER_BYTES
    while at < len(packet):
        if at + 2 > len(packet) or packet[at + 1] < 2 or at + packet[at + 1] > len(packet):
            raise BadReplyError(f"the attribute at octet {at} runs past the end")
        yield packet[at], at + 2, at + packet[at + 1]
        at += packet[at + 1]


def subscriber_of(request: bytes) -> int:
    """Whom one of our own requests asks for."""
    for kind, start, end in attributes(request):
        if kind == _USER_NAME:
            return subscribers.number_of(request[start:end].decode())
    raise BadReplyError("the request carries no User-Name")
