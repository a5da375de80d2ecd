"""What an answer of a router means for a step. An acknowledgement is never proof."""

from __future__ import annotations

from typing import TypeVar

from network.contract import Outcome as Answer
from network.contract import Result
from policy.changes.breaker import Heard
from policy.changes.enforcement import ATTEMPTS_MAXIMUM, Enforcement, retry_after_s
from sql.attempts import Attempt, Outcome

Claimed = TypeVar("Claimed", bound=Attempt)

STUCK_HINT = "It is tried again by itself when the session next reports, or when something else is authorised."
SESSION_GONE = "session_gone"
# Something answered, but nobody can tell whether it was the router.
FORGED = frozenset({"wrong_secret_signs", "missing_message_authenticator"})


def judge(claimed: Claimed, result: Result, waited: str = "") -> Outcome[Claimed]:
    """The outcome of one attempt. `waited` is a sentence on what it had to wait for, or ""."""
    state = _state(claimed, result)
    gone = result.outcome == Answer.ALREADY_SO or result.cause == SESSION_GONE
    parts = (_unknown(claimed), waited, result.explanation, STUCK_HINT if state == Enforcement.STUCK else "")
    explanation = " ".join(part for part in parts if part)
    return Outcome(
        claimed=claimed,
        state=state,
        outcome=result.outcome.value,
        cause=result.cause,
        explanation=explanation,
        sent=_storable(result.sent),
        reply=_storable(result.reply),
        packets=result.attempts,
        round_trip_ms=result.round_trip_ms,
        started_at=result.started_at,
        ended_at=result.ended_at,
        retry_after_s=retry_after_s(claimed.attempt) if state == Enforcement.RETRYING else 0.0,
        session_gone=gone,
        heard=_heard(result),
    )


def _state(claimed: Attempt, result: Result) -> Enforcement:
    if result.outcome == Answer.APPLIED:
        return Enforcement.ACKNOWLEDGED
    if result.outcome == Answer.ALREADY_SO or result.cause == SESSION_GONE:
        return Enforcement.VERIFIED
    # A router that is down uses up nobody's attempts: the alarm is the router's, and the step waits for it.
    if result.may_retry and (claimed.attempt < ATTEMPTS_MAXIMUM or (claimed.probe and _heard(result) == Heard.MISS)):
        return Enforcement.RETRYING
    return Enforcement.REFUSED if result.outcome == Answer.REFUSED else Enforcement.STUCK


def _heard(result: Result) -> Heard:
    """What the attempt tells about the router; a refusal is an answer."""
    if result.outcome in (Answer.NO_ANSWER, Answer.UNREACHABLE):
        return Heard.MISS if result.may_retry and result.cause not in FORGED else Heard.NOTHING
    answered = result.outcome in (Answer.APPLIED, Answer.ALREADY_SO, Answer.REFUSED) and result.attempts > 0
    return Heard.ANSWER if answered else Heard.NOTHING


def _unknown(claimed: Attempt) -> str:
    if not claimed.was_unknown:
        return ""
    return "An earlier attempt was interrupted and its outcome is unknown, so the same was sent again."


def _storable(pairs: tuple[tuple[str, str], ...]) -> list[list[str]]:
    """Attributes as JSON that PostgreSQL takes: bytes that are no UTF-8 and zero bytes become visible escapes."""
    return [
        [name, value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace("\0", "\\x00")]
        for name, value in pairs
    ]
