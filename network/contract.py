"""What every connector says about what happened: one vocabulary of outcomes, never a bool.

House rule: a refusal, a silence and a success that was not needed are different facts, and a person reads them.

A verb tells of a device by a `Result`, and raises a `NetworkError` only where it changed nothing. Which verbs it has,
each connector declares as a set of `Offer`: their arguments differ too much to be one signature, since a live session
is not an item of a configuration. `tests/contract` holds every connector to it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

NOT_UTC: Final = "a Result carries aware UTC datetimes; pass datetime.now(UTC)"


class NetworkError(Exception):
    """Base of every error a connector raises; the message says what happened and what to do next.

    `may_retry` says whether the same call may succeed later without anybody changing anything.
    """

    may_retry: ClassVar[bool] = False


class Offer(StrEnum):
    """A verb that a connector may have (design section 6). What it lacks, nobody may promise of its devices."""

    OBSERVE = "observe"
    """Read what a device has."""
    PLAN = "plan"
    """Say before what it would send, and what takes that back."""
    APPLY = "apply"
    """Send it."""
    VERIFY = "verify"
    """Prove by reading that it is so. Without it, proof comes by another way, such as accounting."""
    UNDO = "undo"
    """Take back what was applied, only where the device still shows it."""


class Outcome(StrEnum):
    """How one verb ended, as far as this side can know."""

    APPLIED = "applied"
    """The device acknowledged it. An acknowledgement is not a proof: read back, or wait for accounting."""
    ALREADY_SO = "already_so"
    """The device was already in the wanted state, so nothing was left to do."""
    REFUSED = "refused"
    """The device, or our own declared abilities, said no; `Result.cause` has the reason."""
    NO_ANSWER = "no_answer"
    """Packets were sent and no acceptable answer came. The device may or may not have acted."""
    UNREACHABLE = "unreachable"
    """The network said that nobody is there (ICMP, no route)."""
    UNKNOWN = "unknown"
    """It was cut short after sending; look at the device before deciding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The evidence of one verb on one device; holds no secret and may be stored as it is.

    `cause`         short machine word: `acknowledged`, `error_cause:401`, `timeout`, `wrong_secret_signs`.
    `explanation`   one plain sentence: what happened, and what to do next.
    `attempts`      packets handed to the network; 0 means that nothing was sent.
    `round_trip_ms` from the first packet to the accepted reply (so it includes waiting when `attempts` > 1);
                    None without a reply.
    `sent`, `reply` what was said, as ordered (name, value) text pairs.
    `started_at`, `ended_at`  first packet and end, aware UTC.
    `may_retry`     whether sending the same again, later and unattended, can help.

    Raises ValueError for a time that is not aware UTC.
    """

    outcome: Outcome
    cause: str
    explanation: str
    attempts: int
    round_trip_ms: float | None
    sent: tuple[tuple[str, str], ...]
    reply: tuple[tuple[str, str], ...]
    started_at: datetime
    ended_at: datetime
    may_retry: bool

    def __post_init__(self) -> None:
        for moment in (self.started_at, self.ended_at):
            # The first test is for speed: a run makes ten thousand of these.
            if moment.tzinfo is not UTC and moment.utcoffset() != timedelta(0):
                raise ValueError(NOT_UTC)


def nothing_sent(outcome: Outcome, *, cause: str, explanation: str, now: datetime, may_retry: bool) -> Result:
    """What came of a verb for which nothing left this side."""
    return Result(
        outcome=outcome,
        cause=cause,
        explanation=explanation,
        attempts=0,
        round_trip_ms=None,
        sent=(),
        reply=(),
        started_at=now,
        ended_at=now,
        may_retry=may_retry,
    )


class Secret:
    """A shared secret or password that never shows itself in `repr`, `str`, logs or tracebacks.

    Takes text (encoded as UTF-8) or bytes; raises ValueError if empty. `reveal()` gives the bytes.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        if not value:
            raise ValueError("The secret is empty; set the same secret here and on the device.")
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The secret itself, for the one line that signs with it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        # A pickled secret would end up in a job's arguments.
        raise TypeError("A Secret is not serialised; store a reference to it instead.")
