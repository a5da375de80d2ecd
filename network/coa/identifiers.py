"""Which identifier a request to one router may use; pure.

A reply is matched by socket, router and identifier, so a pair of socket and identifier is a *slot*, and a slot
rests after use: a reply that comes late must find nobody (RFC 5176 section 2.3, RFC 5080 section 2.2.2).
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import Final

PER_SOCKET: Final = 256  # the identifier is one octet
# One packet and one reply: only the network itself could still deliver a copy.
ANSWERED_REST_S: Final = 1.0
# Repeated or never answered: replies may really be on their way, and a server may remember the packet (RFC 5080).
DOUBTFUL_REST_S: Final = 30.0


class Identifiers:
    """The slots of one router over at most `max_sockets` sockets; slot // 256 is the socket's index.

    All 256 of a socket are used before any is used again, and rested ones before the next socket. Times are seconds
    of one monotonic clock and never go back.
    """

    __slots__ = ("_answered", "_capacity", "_doubtful", "_fresh", "_last", "in_use")

    def __init__(self, max_sockets: int) -> None:
        self._capacity = max_sockets * PER_SOCKET
        self._fresh = 0
        # Two queues, since each has one resting time and is therefore in order of release.
        self._answered: deque[tuple[float, int]] = deque()
        self._doubtful: deque[tuple[float, int]] = deque()
        self._last = array("q")
        self.in_use = 0

    def take(self, now_s: float) -> int | None:
        """A slot nobody else has, or None if all are in use or resting (see `next_at_s`)."""
        slot = self._fresh
        if slot % PER_SOCKET == 0 and slot:
            for resting in (self._answered, self._doubtful):
                if resting and resting[0][0] <= now_s:
                    self.in_use += 1
                    return resting.popleft()[1]
        if slot >= self._capacity:
            return None
        self._fresh = slot + 1
        self.in_use += 1
        self._last.append(0)
        return slot

    def repeats(self, slot: int, authenticator: bytes) -> bool:
        """Whether the last request of `slot` had this Request Authenticator; if not, it is the last one now.

        The same bytes from the same slot are a retransmission to the router, which may repeat its old answer
        without acting (RFC 5080 section 2.2.2): list set, list taken away, list set again would end wrongly.
        """
        fingerprint = hash(authenticator)
        if self._last[slot] == fingerprint:
            return True
        self._last[slot] = fingerprint
        return False

    def give_back(self, slot: int, now_s: float, doubtful: bool) -> None:
        """End the use of `slot`; it rests, longer if replies may still come."""
        self.in_use -= 1
        if doubtful:
            self._doubtful.append((now_s + DOUBTFUL_REST_S, slot))
        else:
            self._answered.append((now_s + ANSWERED_REST_S, slot))

    def next_at_s(self) -> float | None:
        """When the next resting slot is free; None if none rests."""
        heads = [resting[0][0] for resting in (self._answered, self._doubtful) if resting]
        return min(heads, default=None)

    def idle(self, now_s: float) -> bool:
        """Whether nothing is in use or resting, so that forgetting this object is safe."""
        return not self.in_use and all(not resting or resting[-1][0] <= now_s for resting in self._resting())

    def _resting(self) -> tuple[deque[tuple[float, int]], deque[tuple[float, int]]]:
        return self._answered, self._doubtful
