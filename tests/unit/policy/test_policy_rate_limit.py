"""MikroTik's rate-limit grammar, both ways."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from policy_strategies import rate_limits

from policy.errors import PolicyError
from policy.rate_limit import Pair, RateLimit, canonical, parse


@given(rate_limits())
def test_what_is_rendered_reads_back_as_the_same(limit):
    """Every valid rate limit survives its own text."""
    assert parse(limit.render()) == limit


@given(rate_limits())
def test_the_canonical_text_is_its_own_canonical_text(limit):
    """Writing it anew changes nothing, so equal limits have equal stamps."""
    assert canonical(limit.render()) == limit.render()


@given(st.text() | st.text("0123456789kM/ ", max_size=60))
@example("\ud800")
@example("1M/1M 0/0 1M/1M")
def test_any_text_is_a_rate_limit_or_a_policy_error(text):
    """Nothing else is ever raised, and what is accepted is stable."""
    with contextlib.suppress(PolicyError):
        once = canonical(text)
        assert canonical(once) == once


@given(rate_limits())
def test_every_rate_that_is_not_zero_carries_its_unit(limit):
    """A bare number is kbit/s to accel-ppp and bit/s to RouterOS, so none is written."""
    words = limit.render().split()
    rates = [rate for place, word in enumerate(words) if place not in (3, 4) for rate in word.split("/")]
    assert all(rate == "0" or rate[-1] in "kM" for rate in rates)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10M/50M", RateLimit(Pair(10_000_000, 50_000_000))),
        ("10M", RateLimit(Pair(10_000_000, 10_000_000))),
        ("512000", RateLimit(Pair(512_000, 512_000))),
        (
            "1M 2M",
            RateLimit(Pair(10**6, 10**6), Pair(2 * 10**6, 2 * 10**6), Pair(10**6, 10**6), Pair(1, 1)),
        ),
        ("384k/1536k 0/0 0/0 0/0 8 96k/384k", RateLimit(Pair(384_000, 1_536_000), minimum_bps=Pair(96_000, 384_000))),
        (
            "1M/2M 2M/4M 512k/1M 10/20 3",
            RateLimit(
                Pair(10**6, 2 * 10**6), Pair(2 * 10**6, 4 * 10**6), Pair(512_000, 10**6), Pair(10, 20), priority=3
            ),
        ),
    ],
)
def test_the_grammar_has_the_routers_own_defaults(text, wanted):
    """What is left out is what RouterOS would take (RADIUS page, Mikrotik-Rate-Limit)."""
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",  # below one kbit/s, and surely meant as Mbit/s
        "1G",
        "1m/1m",
        "1.5M/1M",
        "-1M/1M",
        "10M/50M/1M",
        "10M/50M 5M/60M",  # burst below the rate
        "10M/50M 20M/60M 10M/50M 0/1",
        "10M/50M 20M/60M 10M/50M 3601/1",
        "10M/50M 0/0 10M/50M",
        "10M/50M 0/0 0/0 0/0 9",
        "10M/50M 0/0 0/0 0/0 8 20M/50M",  # minimum above the rate
        "1M 1M 1M 1 1 1M 1M",
        "1000001M",
        "٣M/٣M",
        "1M " * 100,
    ],
)
def test_what_a_router_would_misread_is_refused(text):
    """The error says something, and nothing is guessed."""
    with pytest.raises(PolicyError, match=r"\w"):
        parse(text)


def test_a_placeholder_is_no_value():
    """0/0 keeps a place in the text, so a limit holding it as burst or threshold cannot be made."""
    million = Pair(10**6, 10**6)
    with pytest.raises(PolicyError):
        RateLimit(million, Pair(0, 0), million, Pair(1, 1))
    with pytest.raises(PolicyError):
        RateLimit(million, million, Pair(0, 0), Pair(1, 1))


def test_an_incomplete_burst_is_refused():
    """Rate, threshold and time of a burst go together."""
    million = Pair(10**6, 10**6)
    with pytest.raises(PolicyError, match="together"):
        RateLimit(million, million)


def test_no_rate_limit_stays_none():
    """The empty text means that none is sent."""
    assert canonical("") == ""
