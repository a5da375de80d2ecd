"""One router as this connector needs it: where, as whom, how its certificate is known, and the limits of patience."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from network.contract import Secret
from network.routeros.errors import InvalidTargetError

API_PORT: Final = 8728
API_SSL_PORT: Final = 8729
MAX_WINDOW: Final = 1024  # commands on their way at once; more than a router takes in
MAX_TIMEOUT_S: Final = 600.0
MAX_ROWS: Final = 10_000_000
MAX_REPLY_BYTES: Final = 1 << 30
MAX_NAME_BYTES: Final = 1024
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class Security(StrEnum):
    """How we know that it is the router, before it is told a password."""

    VERIFIED = "verified"
    """TLS with a certificate that an authority vouches for, made out to the server name."""
    PINNED = "pinned"
    """TLS with the very certificate whose SHA-256 fingerprint we hold."""
    PLAIN = "plain"
    """No TLS: whoever is on the way reads and writes everything. Only inside a tunnel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What ends a connection. All are bounds on what a broken or hostile router can cost.

    `connect_timeout_s`  until it is connected, trusted and logged in.
    `command_timeout_s`  from sending a command to the end of its reply; with many on their way, the wait in the router
                         is in it.
    `max_rows`, `max_reply_bytes`  of one reply; the bytes are those of all unfinished replies of a connection.
    Raises InvalidTargetError.
    """

    connect_timeout_s: float = 10.0
    command_timeout_s: float = 30.0
    max_rows: int = 100_000
    max_reply_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for seconds in (self.connect_timeout_s, self.command_timeout_s):
            if not (math.isfinite(seconds) and 0 < seconds <= MAX_TIMEOUT_S):
                raise InvalidTargetError(f"A timeout of {seconds:g} s is out of range; use up to {MAX_TIMEOUT_S:g}.")
        if not 1 <= self.max_rows <= MAX_ROWS or not 1024 <= self.max_reply_bytes <= MAX_REPLY_BYTES:
            raise InvalidTargetError(
                f"The limits of a reply are out of range; use 1 to {MAX_ROWS} rows and 1024 to {MAX_REPLY_BYTES} bytes."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterTarget:
    """A router's API.

    `address`      IPv4 or IPv6 literal; a name could lead elsewhere tomorrow.
    `port`         usually 8729 with TLS and 8728 without.
    `server_name`  verified: what the certificate is made out to; "" is the address.
    `authorities`  verified: certificates of authorities as PEM text; "" is what this machine trusts.
    `fingerprint`  pinned: SHA-256 of the certificate, 64 hex digits; colons, blanks and upper case are taken too.
    `old_login`    answer the challenge of releases before 6.43. It proves the password with one MD5, from which whoever
                   listened can guess it, so it is never done unless asked for.
    `window`       commands on their way at once; what is above waits.
    Raises InvalidTargetError.
    """

    address: str
    port: int
    username: str
    password: Secret
    security: Security = Security.VERIFIED
    server_name: str = ""
    authorities: str = ""
    fingerprint: str = ""
    old_login: bool = False
    window: int = 64
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.address)
        except ValueError:
            raise InvalidTargetError(
                f"{self.address!r} is not an IP address; give a literal such as 192.0.2.1, not a name."
            ) from None
        if not 1 <= self.port <= 65535:
            raise InvalidTargetError(f"Port {self.port} is out of range; see /ip service of the router.")
        if not 1 <= len(self.username.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES:
            raise InvalidTargetError("The user name is empty or too long; give that of the router's /user entry.")
        if not 1 <= self.window <= MAX_WINDOW:
            raise InvalidTargetError(f"A window of {self.window} is out of range; use 1 to {MAX_WINDOW}.")
        self._check_security()

    def _check_security(self) -> None:
        if self.security not in set(Security):
            raise InvalidTargetError(f"{self.security!r} is no security; use verified, pinned or plain.")
        plain = re.sub(r"[:\s]", "", self.fingerprint).lower()
        if self.security is Security.PINNED and not _FINGERPRINT.fullmatch(plain):
            raise InvalidTargetError("The fingerprint is not a SHA-256; give its 64 hex digits.")
        if self.security is not Security.PINNED and plain:
            raise InvalidTargetError(f"A fingerprint is set, but security is {self.security}; use pinned.")
        if self.security is not Security.VERIFIED and (self.server_name or self.authorities):
            raise InvalidTargetError(
                f"A server name or authorities are set, but security is {self.security}; use verified."
            )
        object.__setattr__(self, "fingerprint", plain)

    @property
    def where(self) -> str:
        """The router in a sentence."""
        return f"{self.address} port {self.port}"
