"""What every answer of a router means for a step; an acknowledgement is never proof."""

from datetime import UTC, datetime

import pytest

from network.contract import Outcome, Result
from policy.changes.breaker import Heard
from policy.changes.enforcement import ATTEMPTS_MAXIMUM, MOVES, Enforcement
from policy.changes.route import RouteKind
from sql.attempts import Claimed
from worker.outcomes import SESSION_GONE, judge

NOW = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
LAST = ATTEMPTS_MAXIMUM


def claimed(attempt: int = 1, *, was_unknown: bool = False, probe: bool = False) -> Claimed:
    """A step on its way."""
    pairs = (("Mikrotik-Rate-Limit", "1M/1M"),)
    return Claimed(
        step_id=1,
        operator_id=2,
        service_id=3,
        session_id=4,
        attempt=attempt,
        route=RouteKind.COA,
        attributes=pairs,
        target_stamp="1-ab",
        revision=None,
        username="anna",
        acct_session_id="8100",
        framed_address="",
        was_unknown=was_unknown,
        probe=probe,
    )


def result(outcome: Outcome, cause: str = "", *, may_retry: bool = False, **more) -> Result:
    """An answer."""
    values = {"sent": (), "reply": (), "attempts": 1, "round_trip_ms": 1.5} | more
    return Result(
        outcome=outcome,
        cause=cause,
        explanation="The router said so.",
        started_at=NOW,
        ended_at=NOW,
        may_retry=may_retry,
        **values,
    )


@pytest.mark.parametrize(
    ("outcome", "cause", "may_retry", "attempt", "state"),
    [
        (Outcome.APPLIED, "acknowledged", False, 1, Enforcement.ACKNOWLEDGED),
        (Outcome.APPLIED, "acknowledged", False, LAST, Enforcement.ACKNOWLEDGED),
        (Outcome.ALREADY_SO, "already_offline", False, 1, Enforcement.VERIFIED),
        (Outcome.REFUSED, SESSION_GONE, False, 1, Enforcement.VERIFIED),
        (Outcome.REFUSED, "error_cause:401", False, 1, Enforcement.REFUSED),
        (Outcome.REFUSED, "error_cause:506", True, 1, Enforcement.RETRYING),
        (Outcome.REFUSED, "error_cause:506", True, LAST, Enforcement.REFUSED),
        (Outcome.NO_ANSWER, "timeout", True, 1, Enforcement.RETRYING),
        (Outcome.NO_ANSWER, "timeout", True, LAST - 1, Enforcement.RETRYING),
        (Outcome.NO_ANSWER, "timeout", True, LAST, Enforcement.STUCK),
        (Outcome.NO_ANSWER, "wrong_secret_signs", False, 1, Enforcement.STUCK),
        (Outcome.UNREACHABLE, "port_unreachable", True, 1, Enforcement.RETRYING),
        (Outcome.UNREACHABLE, "port_unreachable", True, LAST, Enforcement.STUCK),
        (Outcome.UNKNOWN, "closed", True, 1, Enforcement.RETRYING),
        (Outcome.UNKNOWN, "closed", True, LAST, Enforcement.STUCK),
    ],
)
def test_every_answer_has_its_state(outcome, cause, may_retry, attempt, state):
    """Yes is acknowledged, gone is proof, silence is tried again until the attempts end, and a no stays a no."""
    judged = judge(claimed(attempt), result(outcome, cause, may_retry=may_retry))

    assert judged.state == state
    assert state in MOVES[Enforcement.STARTED]
    assert (judged.retry_after_s > 0) == (state == Enforcement.RETRYING)


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("may_retry", [True, False])
@pytest.mark.parametrize("attempt", [1, LAST, LAST + 5])
def test_no_answer_leaves_a_step_without_a_state(outcome, may_retry, attempt):
    """Whatever a connector says, the step goes somewhere, and never on for ever."""
    judged = judge(claimed(attempt), result(outcome, may_retry=may_retry))

    assert judged.state in MOVES[Enforcement.STARTED] - {Enforcement.STARTED}
    assert judged.state != Enforcement.RETRYING or attempt < LAST


@pytest.mark.parametrize("attempt", [1, LAST, LAST + 100])
def test_a_probe_of_a_silent_router_uses_up_no_attempt(attempt):
    """However often it is tried, the step waits for its router; an answer ends it as always."""
    silence = result(Outcome.NO_ANSWER, "timeout", may_retry=True)
    assert judge(claimed(attempt, probe=True), silence).state == Enforcement.RETRYING
    assert judge(claimed(LAST, probe=True), result(Outcome.REFUSED)).state == Enforcement.REFUSED
    assert judge(claimed(LAST, probe=True), result(Outcome.UNKNOWN, may_retry=True)).state == Enforcement.STUCK


@pytest.mark.parametrize(
    ("outcome", "cause", "may_retry", "packets", "heard"),
    [
        (Outcome.APPLIED, "acknowledged", False, 1, Heard.ANSWER),
        (Outcome.ALREADY_SO, "already_offline", False, 1, Heard.ANSWER),
        (Outcome.REFUSED, "error_cause:401", False, 1, Heard.ANSWER),
        (Outcome.REFUSED, "not_changeable:Framed-Pool", False, 0, Heard.NOTHING),
        (Outcome.NO_ANSWER, "timeout", True, 5, Heard.MISS),
        (Outcome.NO_ANSWER, "wrong_secret_signs", False, 5, Heard.NOTHING),
        (Outcome.UNREACHABLE, "port_unreachable", True, 5, Heard.MISS),
        (Outcome.UNREACHABLE, "secret_unusable", False, 0, Heard.NOTHING),
        (Outcome.UNKNOWN, "edge_behind", True, 0, Heard.NOTHING),
        (Outcome.UNKNOWN, "closed", True, 1, Heard.NOTHING),
    ],
)
def test_what_an_attempt_tells_about_its_router(outcome, cause, may_retry, packets, heard):
    """A refusal is an answer; what was not sent, or was answered by nobody knows whom, tells nothing."""
    assert judge(claimed(), result(outcome, cause, may_retry=may_retry, attempts=packets)).heard == heard


def test_a_session_the_router_does_not_know_is_over():
    """Both a Disconnect and a CoA may find that out."""
    assert judge(claimed(), result(Outcome.ALREADY_SO, "already_offline")).session_gone
    assert judge(claimed(), result(Outcome.REFUSED, SESSION_GONE)).session_gone
    assert not judge(claimed(), result(Outcome.REFUSED, "error_cause:401")).session_gone
    assert not judge(claimed(), result(Outcome.NO_ANSWER, "timeout")).session_gone


def test_the_explanation_says_what_was_unknown_and_what_was_waited_for():
    """A person reads all of it, in order."""
    judged = judge(claimed(was_unknown=True), result(Outcome.APPLIED), "Waited 0.50 s.")

    assert "outcome is unknown" in judged.explanation
    assert judged.explanation.endswith("Waited 0.50 s. The router said so.")


def test_evidence_can_be_stored_whatever_bytes_came():
    """Bytes that are no UTF-8 and zero bytes show as escapes."""
    judged = judge(claimed(), result(Outcome.REFUSED, reply=(("Reply-Message", "a\udcff\0ł"),)))

    assert judged.reply == [["Reply-Message", "a\\xff\\x00ł"]]
