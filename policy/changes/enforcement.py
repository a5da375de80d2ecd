"""The life of a step: observed becomes authorised, on one device."""

from __future__ import annotations

from enum import StrEnum


class Enforcement(StrEnum):
    """Where a step stands.

    `started` is stored before the device is touched: a step found in it after a crash is unknown, and an idempotent
    one is sent again. `acknowledged` means that the router said yes; only `verified` is proof. `unverified`: the proof
    did not come in time, which is an alarm.
    """

    WAITING = "waiting"
    STARTED = "started"
    RETRYING = "retrying"
    ACKNOWLEDGED = "acknowledged"
    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    REFUSED = "refused"
    STUCK = "stuck"
    SUPERSEDED = "superseded"


MOVES: dict[Enforcement, frozenset[Enforcement]] = {
    Enforcement.WAITING: frozenset({Enforcement.STARTED, Enforcement.VERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.STARTED: frozenset(
        {
            Enforcement.STARTED,
            Enforcement.ACKNOWLEDGED,
            Enforcement.VERIFIED,
            Enforcement.RETRYING,
            Enforcement.REFUSED,
            Enforcement.STUCK,
        }
    ),
    Enforcement.RETRYING: frozenset(
        {Enforcement.STARTED, Enforcement.VERIFIED, Enforcement.SUPERSEDED, Enforcement.STUCK}
    ),
    Enforcement.ACKNOWLEDGED: frozenset({Enforcement.VERIFIED, Enforcement.UNVERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.UNVERIFIED: frozenset({Enforcement.VERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.REFUSED: frozenset({Enforcement.SUPERSEDED, Enforcement.VERIFIED}),
    Enforcement.STUCK: frozenset({Enforcement.SUPERSEDED, Enforcement.VERIFIED, Enforcement.WAITING}),
    Enforcement.VERIFIED: frozenset(),
    Enforcement.SUPERSEDED: frozenset(),
}

OPEN_STATES = (Enforcement.WAITING, Enforcement.STARTED, Enforcement.RETRYING)

ATTEMPTS_MAXIMUM = 8
RETRY_FIRST_S = 2.0
RETRY_FACTOR = 2.0
RETRY_LONGEST_S = 300.0


def retry_after_s(attempt: int) -> float:
    """Seconds to wait after the given attempt (1 is the first) failed in a way that may pass."""
    return float(min(RETRY_FIRST_S * RETRY_FACTOR ** (attempt - 1), RETRY_LONGEST_S))
