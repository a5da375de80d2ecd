"""One router as this connector needs it: where, with which secret, how many at once, how long to go on."""

from __future__ import annotations

import math
import socket
from dataclasses import dataclass, field
from typing import Final

from network.coa.errors import InvalidTargetError
from network.contract import Secret

MAX_WINDOW: Final = 4096  # more in flight than any router queues; RouterOS is happier with tens
MAX_ATTEMPTS: Final = 20  # with the longest timeout that is already minutes for one session
MAX_TIMEOUT_S: Final = 60.0
DEFAULT_IDENTIFY_BY: Final = ("User-Name", "Acct-Session-Id", "Framed-IP-Address")
IDENTIFICATION: Final = (*DEFAULT_IDENTIFY_BY, "NAS-IP-Address", "NAS-Identifier", "Calling-Station-Id")


@dataclass(frozen=True, slots=True)
class Retransmission:
    """When to send the same packet again (RFC 5176 section 2.3, in the manner of RFC 5080 section 2.2.1).

    The n-th wait is `first_timeout_s * back_off ** n`, at most `max_timeout_s`, plus a random share of itself up
    to `jitter`, so that a thousand lost packets do not come back as one burst. `max_attempts` counts the first
    packet too. Defaults: a lost packet is repeated after half a second, and 15 seconds end it.
    Raises InvalidTargetError.
    """

    first_timeout_s: float = 0.5
    back_off: float = 2.0
    max_timeout_s: float = 8.0
    max_attempts: int = 5
    jitter: float = 0.1

    def __post_init__(self) -> None:
        numbers = (self.first_timeout_s, self.back_off, self.max_timeout_s, self.jitter)
        if not all(map(math.isfinite, numbers)):
            raise InvalidTargetError("A retransmission setting is not a finite number; give seconds and factors.")
        if not 0 < self.first_timeout_s <= self.max_timeout_s <= MAX_TIMEOUT_S:
            raise InvalidTargetError(f"Timeouts must be 0 < first_timeout_s <= max_timeout_s <= {MAX_TIMEOUT_S:g}.")
        if not 1 <= self.back_off <= 10 or not 0 <= self.jitter <= 1:
            raise InvalidTargetError("back_off must be 1 to 10 and jitter 0 to 1.")
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise InvalidTargetError(f"max_attempts must be 1 to {MAX_ATTEMPTS}.")

    def wait_s(self, sent: int, chance: float) -> float:
        """Seconds to wait after the `sent`-th packet (1 is the first); `chance` is in [0, 1)."""
        if sent == 1:
            return self.first_timeout_s * (1 + self.jitter * chance)  # never above the longest, and nearly always this
        # Exponents are bounded by MAX_ATTEMPTS, so this cannot overflow.
        wait = min(self.first_timeout_s * self.back_off ** (sent - 1), self.max_timeout_s)
        return wait * (1 + self.jitter * chance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A router. There is no default port: RouterOS documents 1700, and most configurations say 3799.

    `address`       IPv4 or IPv6 literal that CoA is sent to; not a name, and not always NAS-IP-Address.
    `window`        requests in flight at this router; what is above waits its turn.
    `message_authenticator`          sign our requests with it too (RFC 5176 section 3.4).
    `require_message_authenticator`  ignore replies without it; a wrong one is ignored always.
    `identify_by`   which of the session's attributes are sent, in this order.
    Raises InvalidTargetError.
    """

    address: str
    port: int
    secret: Secret
    window: int = 32
    retransmission: Retransmission = Retransmission()
    message_authenticator: bool = True
    require_message_authenticator: bool = False
    identify_by: tuple[str, ...] = DEFAULT_IDENTIFY_BY
    endpoint: tuple[str, int] = field(init=False, repr=False, compare=False)
    """(canonical address, port): what the kernel says a reply came from."""

    def __post_init__(self) -> None:
        canonical, _ = canonical_address(self.address)
        if not 1 <= self.port <= 65535:
            raise InvalidTargetError(f"Port {self.port} is out of range; use the one in the router's /radius incoming.")
        if not 1 <= self.window <= MAX_WINDOW:
            raise InvalidTargetError(f"A window of {self.window} is out of range; use 1 to {MAX_WINDOW}.")
        unknown = [name for name in self.identify_by if name not in IDENTIFICATION]
        if unknown or not self.identify_by:
            raise InvalidTargetError(
                f"identify_by has {unknown or 'nothing'}; use some of {', '.join(IDENTIFICATION)}."
            )
        object.__setattr__(self, "endpoint", (canonical, self.port))


def canonical_address(address: str) -> tuple[str, socket.AddressFamily]:
    """The address as the kernel spells it, and its family; raises InvalidTargetError for anything but a literal."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, address)), family
        except (OSError, ValueError, TypeError):
            continue
    raise InvalidTargetError(f"{address!r} is not an IP address; give a literal such as 192.0.2.1, not a name.")
