"""How one exchange of packets ended, and what a transport counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from network.coa.packets import Reply


class Ending(StrEnum):
    """How an exchange ended on the wire."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"
    """No answer, and ICMP or this machine's routing said that nobody is there."""
    CLOSED = "closed"
    """The transport was closed first."""


class Exchange(NamedTuple):
    """One request and what became of it.

    `attempts` packets handed to the kernel; `round_trip_ms` from the first of them to the reply; `rejected` counts
    replies for this very request that were not acceptable, by cause; `network_errno` is the last ICMP or sending
    error, 0 if none. `started_at` is the first packet (or the end, if none was sent), both aware UTC.
    """

    ending: Ending
    reply: Reply | None
    attempts: int
    round_trip_ms: float | None
    started_at: datetime
    ended_at: datetime
    rejected: tuple[tuple[str, int], ...] = ()
    network_errno: int = 0


@dataclass(slots=True)
class Counters:
    """What a transport has seen since it was opened; each is a number of packets."""

    sent: int = 0
    retransmitted: int = 0
    answered: int = 0
    unanswered: int = 0
    late_or_duplicate: int = 0
    """From a known router, for no request in flight."""
    foreign: int = 0
    """From an address and port that nothing was sent to."""
    rejected: int = 0
    """For a request in flight, but malformed or wrongly signed."""
    network_errors: int = 0
    send_errors: int = 0
