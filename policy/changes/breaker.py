"""The circuit breaker of a router: after some missed answers in a row it is left alone for a while, then probed."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

# Packets of one attempt are sent again for 17 s already; three such silences in a row are no accident of the line.
MISSES_TO_OPEN = 3
LEFT_ALONE_FIRST_S = 10.0
LEFT_ALONE_FACTOR = 2.0
# A payment waits for this long at most once the router is back, and one probe in this time is no load.
LEFT_ALONE_LONGEST_S = 120.0


class Heard(StrEnum):
    """What an attempt tells about its router; a refusal is an answer."""

    ANSWER = "answer"
    MISS = "miss"
    NOTHING = "nothing"
    """Nothing was sent, or what came back cannot be told from a forgery."""


class Health(NamedTuple):
    """What is known of a router. `misses` in a row; `down_since` the first of them; a router not asked yet is well."""

    misses: int = 0
    down_since: datetime | None = None
    left_alone_until: datetime | None = None
    answered_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the router is given up for now, so that one probe at a time is all that it gets."""
        return self.misses >= MISSES_TO_OPEN

    def is_left_alone(self, now: datetime) -> bool:
        """Whether nothing at all is sent at this moment."""
        return self.is_open and self.left_alone_until is not None and now < self.left_alone_until


def left_alone_s(misses: int) -> float:
    """Seconds to leave a router alone after so many misses in a row; 0 while the breaker is closed. Never shrinks."""
    beyond = misses - MISSES_TO_OPEN
    if beyond < 0:
        return 0.0
    # The exponent is bounded too: a router that was removed from the roof is missed for years.
    return float(min(LEFT_ALONE_FIRST_S * LEFT_ALONE_FACTOR ** min(beyond, 16), LEFT_ALONE_LONGEST_S))


def after(health: Health, heard: Heard, at: datetime, *, probe: bool = False) -> Health:
    """What is known after one more attempt, which ended at `at`. `probe`: it was sent to find out."""
    if heard == Heard.NOTHING:
        return health
    if heard == Heard.ANSWER:
        return Health(answered_at=at if health.answered_at is None else max(at, health.answered_at))
    if health.is_left_alone(at) and not probe:
        # Sent before the router was given up, as one of a window of packets: news of the same silence, no new one.
        return health
    misses = health.misses + 1
    wait_s = left_alone_s(misses)
    return Health(
        misses,
        health.down_since or at,
        at + timedelta(seconds=wait_s) if wait_s else None,
        health.answered_at,
    )


def probing(health: Health, until: datetime) -> Health:
    """While a probe is on its way, until `until` at most, nobody sends another."""
    return health._replace(left_alone_until=until)


def spoke(health: Health) -> Health:
    """The router sent accounting: it is not down, whatever it does with CoA."""
    return health._replace(down_since=None)
