"""The life of a step: observed becomes authorised, on one device."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from policy.changes.intent import ChangeKind
from policy.changes.route import RouteKind


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
            # Only where the worker vanished and the target has moved since: then the newer one is sent instead.
            Enforcement.SUPERSEDED,
        }
    ),
    Enforcement.RETRYING: frozenset({Enforcement.STARTED, Enforcement.VERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.ACKNOWLEDGED: frozenset({Enforcement.VERIFIED, Enforcement.UNVERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.UNVERIFIED: frozenset({Enforcement.VERIFIED, Enforcement.SUPERSEDED}),
    Enforcement.REFUSED: frozenset({Enforcement.VERIFIED}),
    Enforcement.STUCK: frozenset({Enforcement.SUPERSEDED, Enforcement.VERIFIED}),
    Enforcement.VERIFIED: frozenset(),
    Enforcement.SUPERSEDED: frozenset(),
}

OPEN_STATES = (Enforcement.WAITING, Enforcement.STARTED, Enforcement.RETRYING)

# Why a session is ended that has to make room: it begins the step's `why`, and its end is told apart by it.
MAKES_ROOM = "More devices are online than the plan allows, and this one has been for longest."

# Lower is sent first: who has paid waits for nobody, and what was never asked for by anyone waits for all.
PRIORITIES: dict[ChangeKind, int] = {
    ChangeKind.RESTORE: 1,
    ChangeKind.OPEN: 1,
    ChangeKind.PLAN: 3,
    ChangeKind.ADDRESS: 3,
    ChangeKind.SUSPEND: 6,
    ChangeKind.CLOSE: 6,
}
# An access that changes by itself (a window's edge, a prepaid end) was authorised with its plan.
BY_ITSELF_PRIORITY = 3
HEALING_PRIORITY = 8
# Up to here somebody may be waiting for it: planned and sent beside the batches, not after them.
HURRY_PRIORITY = 3
LAST_PRIORITY = HEALING_PRIORITY

ATTEMPTS_MAXIMUM = 8
RETRY_FIRST_S = 2.0
RETRY_FACTOR = 2.0
RETRY_LONGEST_S = 300.0


def retry_after_s(attempt: int) -> float:
    """Seconds to wait after the given attempt (1 is the first) failed in a way that may pass."""
    return float(min(RETRY_FIRST_S * RETRY_FACTOR ** (attempt - 1), RETRY_LONGEST_S))


class Proof(NamedTuple):
    """Whether a proof follows an acknowledgement on this route, so that its absence is an alarm; and why."""

    awaited: bool
    why: str


PROOFS: dict[RouteKind, Proof] = {
    RouteKind.DISCONNECT: Proof(
        True,
        "A session that ends sends a Stop, and its customer's redial is a new session with the authorised stamp; a "
        "session that goes on reporting was not ended.",
    ),
    RouteKind.COA: Proof(
        False,
        "Accounting does not echo what a session has (RFC 2866 knows no attribute for it), so a session that was "
        "changed and one that was not report alike: it stays acknowledged until it ends, or a connector reads back.",
    ),
    RouteKind.NEXT_LOGIN: Proof(False, "Nothing is sent, so nothing is acknowledged; the next login is the proof."),
    RouteKind.CONFIGURE: Proof(
        False, "What was written is read back in the same attempt, so nothing is only acknowledged."
    ),
    RouteKind.NOTHING: Proof(False, "Nothing is sent, since the session has this access already."),
}

# The Stop may be on its way through a spool, and the interim that tells of a living session is one interval away:
# one may be lost.
VERIFY_SHORTEST_S = 60.0
VERIFY_SLACK_S = 30.0
# A record that was on its way while the router answered is no sign that the session lives on.
ECHO_S = 5.0


def verify_within_s(interim_interval_s: int) -> float:
    """Seconds after an acknowledgement by which its proof is due, for a session that reports at this interval."""
    return max(2.0 * interim_interval_s + VERIFY_SLACK_S, VERIFY_SHORTEST_S)


def unproved(*, restricting: bool, still_reports: bool) -> str:
    """What people read of a step whose proof did not come: what is so now, and what to try."""
    state = "Still unrestricted" if restricting else "Still with the earlier access"
    if still_reports:
        return (
            f"{state}: the router acknowledged the disconnect, but the session goes on reporting. It is disconnected "
            "again by itself; if that does not help, remove the session on the router by hand, and look whether the "
            "router knows it under another session id or user name."
        )
    return (
        f"{state}: the router acknowledged the disconnect, but no Stop and no new login came. Look on the router "
        "whether the session is still there and remove it by hand; if it is gone, the router's accounting does not "
        "reach this server."
    )
