"""The outcome types that every connector shares."""

import pickle
from datetime import UTC, datetime, timedelta, timezone

import pytest

from network.contract import NetworkError, Outcome, Result, Secret

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def result(started_at: datetime) -> Result:
    return Result(
        outcome=Outcome.APPLIED,
        cause="acknowledged",
        explanation="The router acknowledged it.",
        attempts=1,
        round_trip_ms=1.5,
        sent=(("User-Name", "ann"),),
        reply=(),
        started_at=started_at,
        ended_at=NOON,
        may_retry=False,
    )


def test_outcomes():
    """The six outcomes are words that can be stored, and none is a bool."""
    assert [str(outcome) for outcome in Outcome] == [
        "applied",
        "already_so",
        "refused",
        "no_answer",
        "unreachable",
        "unknown",
    ]


@pytest.mark.parametrize("when", [NOON.replace(tzinfo=None), NOON.astimezone(timezone(timedelta(hours=2)))])
def test_result_times(when):
    """A result takes aware UTC times only."""
    assert result(NOON).started_at == NOON
    with pytest.raises(ValueError, match="UTC"):
        result(when)


def test_secret_is_never_shown():
    """A secret shows itself neither in text nor in a pickle, only to `reveal`."""
    secret = Secret("hush-hush")
    assert "hush" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == b"hush-hush"
    with pytest.raises(TypeError, match="reference"):
        pickle.dumps(secret)


def test_secrets_compare():
    """Secrets are equal when their bytes are, and never to plain text."""
    assert Secret("one") == Secret(b"one")
    assert hash(Secret("one")) == hash(Secret(b"one"))
    assert Secret("one") != Secret("two")
    assert Secret("one") != "one"


def test_empty_secret():
    """An empty secret is refused with what to do."""
    with pytest.raises(ValueError, match="set the same secret"):
        Secret("")


def test_errors_say_whether_to_retry():
    """An error does not invite a retry unless its type says so."""
    assert NetworkError.may_retry is False
