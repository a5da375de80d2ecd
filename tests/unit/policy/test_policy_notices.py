"""Notices: blanks are no programs, quiet hours are the operator's, and tries end."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.notices import AGAIN_AFTER, after_quiet, again_at, check_blanks, fill

NAMES = {"name": "", "open": ""}


@given(st.text(max_size=40), st.text(alphabet="{}name_.!0", max_size=12))
def test_what_is_checked_is_filled_and_nothing_else(text: str, value: str) -> None:
    """A template that passes holds no other blank; a value is never read as a template."""
    try:
        check_blanks(text, NAMES)
    except PolicyError:
        return
    assert fill(text + "{name}", {"name": value}).endswith(value)


@given(st.text(max_size=40))
def test_any_text_can_be_written_with_braces_doubled(text: str) -> None:
    """Nothing that a person means is out of reach."""
    doubled = text.replace("{", "{{").replace("}", "}}")
    check_blanks(doubled, NAMES)
    assert fill(doubled, {}) == text


@pytest.mark.parametrize(
    ("moment", "hours", "zone", "expected"),
    [
        ("2026-11-22T22:30+00:00", (21, 8), "UTC", "2026-11-23T08:00+00:00"),
        ("2026-11-22T03:00+00:00", (21, 8), "UTC", "2026-11-22T08:00+00:00"),
        ("2026-11-22T08:00+00:00", (21, 8), "UTC", "2026-11-22T08:00+00:00"),
        ("2026-11-22T20:59+00:00", (21, 8), "UTC", "2026-11-22T20:59+00:00"),
        ("2026-11-22T20:30+00:00", (21, 8), "Europe/Warsaw", "2026-11-23T07:00+00:00"),
        ("2026-11-22T13:00+00:00", (12, 15), "UTC", "2026-11-22T15:00+00:00"),
        ("2026-11-22T13:00+00:00", (0, 0), "UTC", "2026-11-22T13:00+00:00"),
        # The night in which 02:00 to 03:00 is left out, and the one in which it comes twice.
        ("2026-03-28T22:00+00:00", (21, 8), "Europe/Warsaw", "2026-03-29T06:00+00:00"),
        ("2026-10-24T22:00+00:00", (21, 8), "Europe/Warsaw", "2026-10-25T07:00+00:00"),
    ],
)
def test_quiet_hours_end_by_the_local_clock(moment: str, hours: tuple[int, int], zone: str, expected: str) -> None:
    """Over midnight and over changes of the clock."""
    found = after_quiet(datetime.fromisoformat(moment), time(hours[0]), time(hours[1]), zone)
    assert found == datetime.fromisoformat(expected)


@given(
    st.integers(1_767_225_600, 1_798_761_600).map(lambda second: datetime.fromtimestamp(second, UTC)),
    st.times(),
    st.times(),
    st.sampled_from(["UTC", "Europe/Warsaw", "America/Sao_Paulo", "Australia/Lord_Howe"]),
)
def test_nothing_waits_for_more_than_a_day(moment: datetime, start: time, end: time, zone: str) -> None:
    """And what is moved is never moved back, nor again."""
    found = after_quiet(moment, start, end, zone)
    assert moment <= found <= moment + timedelta(hours=25)
    assert after_quiet(found, None, None, zone) == found


def test_tries_end() -> None:
    """With more time between each, about a day in all."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    found = [again_at(now, attempts) for attempts in range(1, len(AGAIN_AFTER) + 3)]
    assert found[-2:] == [None, None]
    waits = [one - now for one in found if one is not None]
    assert waits == sorted(waits)
    assert timedelta(hours=20) < sum(waits, timedelta()) < timedelta(hours=30)
