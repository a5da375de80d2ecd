"""What a transport remembers: each request between `exchange()` and its end, each router, and each deadline."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from heapq import heapify, heappop, heappush
from typing import Final

from network.coa.exchange import Exchange
from network.coa.identifiers import Identifiers
from network.coa.packets import Kind
from network.coa.target import Target

ENDED_KEPT: Final = 256  # deadlines of ended flights that may lie about, besides one for each that is flying


class Flight:
    """One request between `exchange()` and its end."""

    __slots__ = (
        "future", "kind", "network_errno", "over", "packet", "payload", "rejected", "router", "sent", "slot",
        "started_s", "target", "tries",
    )  # fmt: skip

    def __init__(
        self, target: Target, kind: Kind, payload: bytes, router: Router, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.target = target
        self.kind = kind
        self.payload = payload
        self.router = router
        self.future: asyncio.Future[Exchange] = asyncio.Future(loop=loop)
        self.slot = -1
        self.packet = b""
        self.tries = 0
        self.sent = 0
        self.started_s = 0.0
        self.rejected: Counter[str] | None = None
        self.network_errno = 0
        self.over = False


class Router:
    """What is remembered of one (address, port)."""

    __slots__ = ("endpoint", "identifiers", "in_flight", "waiting", "wake")

    def __init__(self, endpoint: tuple[str, int], max_sockets: int) -> None:
        self.endpoint = endpoint
        self.identifiers = Identifiers(max_sockets)
        self.in_flight: dict[int, Flight] = {}
        self.waiting: OrderedDict[Flight, None] = OrderedDict()  # an ordered set: cancelling one is cheap
        self.wake: asyncio.TimerHandle | None = None


class Deadlines:
    """When each flight is looked at next; the earliest first, and equal ones in the order they were set.

    Nearly all flights end long before their deadline. Taking one out of the middle of a heap is dear, so an ended
    flight stays until its time comes or the heap has doubled; then all of those leave at once.
    """

    __slots__ = ("_clean_above", "_heap", "_number")

    def __init__(self) -> None:
        # The number keeps flights from being compared.
        self._heap: list[tuple[float, int, Flight]] = []
        self._number = 0
        self._clean_above = ENDED_KEPT

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, at_s: float, flight: Flight) -> None:
        """`flight` has no deadline now, and gets this one."""
        heap = self._heap
        if len(heap) >= self._clean_above:
            heap[:] = [one for one in heap if not one[2].over]
            heapify(heap)
            # Doubling keeps the cost of looking at all of them small per flight.
            self._clean_above = 2 * len(heap) + ENDED_KEPT
        self._number += 1
        heappush(heap, (at_s, self._number, flight))

    def next_at_s(self) -> float | None:
        """The earliest deadline of a flight that is not over; None if there is none."""
        heap = self._heap
        while heap and heap[0][2].over:
            heappop(heap)
        return heap[0][0] if heap else None

    def take(self, now_s: float) -> Flight | None:
        """A flight whose deadline has come, which it then has no more; None if there is none."""
        at_s = self.next_at_s()
        return heappop(self._heap)[2] if at_s is not None and at_s <= now_s else None
