"""RouterOS values, in all the words that routers have for them."""

import contextlib
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from policy_strategies import rate_limits

from policy.errors import PolicyError
from policy.rate_limit import RateLimit
from policy.routeros import menus, values
from policy.routeros.values import HIDDEN, Kind, Version, same

READERS = [
    values.boolean,
    values.integer,
    values.rate_bps,
    values.rates_bps,
    values.duration,
    values.moment,
    values.address,
    values.host,
    values.version,
]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Kind.BOOLEAN, "yes", "true"),
        (Kind.BOOLEAN, "no", "false"),
        (Kind.INTEGER, "0", "00"),
        (Kind.RATE, "10M", "10000000"),
        (Kind.RATE, "1.5M", "1500k"),
        (Kind.RATE, "unlimited", "0"),
        (Kind.RATES, "10M/50M", "10000000/50000000"),
        (Kind.RATES, "512k", "512000/512000"),
        (Kind.RATE_LIMIT, "10M/50M", "10000k/50000k"),
        (Kind.RATE_LIMIT, "1M/2M 0/0 0/0 0/0 8 1M/2M", "1M/2M  0/0 0/0 0/0 8 1M/2M"),
        (Kind.DURATION, "1d02:03:04", "1d2h3m4s"),
        (Kind.DURATION, "01:22:53", "1h22m53s"),
        (Kind.DURATION, "1w2d3h", "9d03:00:00"),
        (Kind.DURATION, "300ms", "00:00:00.3"),
        (Kind.DURATION, "never", "0s"),
        (Kind.DURATION, "none", ""),
        (Kind.DURATION, "600", "10m"),
        (Kind.DURATIONS, "10s/10s", "10/10"),
        (Kind.COUNTDOWN, "1d", "23h59m58s"),
        (Kind.INTEGERS, "8/8", "8"),
        (Kind.TEXTS, "default-small", "default-small/default-small"),
        (Kind.HOST, "10.0.0.1", "10.0.0.1/32"),
        (Kind.HOST, "0.0.0.0", ""),  # noqa: S104 # what a router prints for none
        (Kind.ADDRESS, "10.0.0.1", "10.0.0.1/32"),
        (Kind.ADDRESS, "10.0.0.1/24", "10.0.0.0/24"),
        (Kind.ADDRESS, "2001:DB8::1", "2001:db8:0::1/128"),
        (Kind.ADDRESSES, "10.0.0.1,10.0.0.2/32", "10.0.0.2, 10.0.0.1"),
        (Kind.MAC, "02:00:00:00:00:ab", "0200.0000.00AB"),
        (Kind.MAC, "00:00:00:00:00:00", ""),
        (Kind.LIST, "paid,overdue", "overdue, paid"),
        (Kind.SECRET, "tops3cret", HIDDEN),
    ],
)
def test_one_value_in_other_words_is_the_same(kind, one, other):
    """Written one way, read back another."""
    assert same(kind, one, other)
    assert same(kind, other, one)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Kind.TEXT, "no", "false"),
        (Kind.TEXT, "0123", "123"),
        (Kind.TEXT, "1e3", "1000"),
        (Kind.TEXT, "łódź", "lódź"),
        (Kind.TEXT, "a", "a "),
        (Kind.SECRET, "no", "false"),
        (Kind.RATE, "10M", "10m"),
        (Kind.RATES, "10M/50M", "50M/10M"),
        (Kind.RATE_LIMIT, "10M/50M", "50M/10M"),
        (Kind.RATE_LIMIT, "10/50", "10M/50M"),
        (Kind.BOOLEAN, "yes", "1"),
        (Kind.COUNTDOWN, "1d", "0s"),
        (Kind.ADDRESS, "<pppoe-anna>", "<pppoe-Anna>"),
        (Kind.HOST, "pool1", "pool2"),
        (Kind.DURATION, "1h", "none"),
    ],
)
def test_what_is_another_value_stays_another(kind, one, other):
    """Text is text above all: a subscriber named `no` is not `false`."""
    assert not same(kind, one, other)


@given(rate_limits(), st.sampled_from([Kind.RATE_LIMIT]))
def test_every_rate_limit_equals_itself_in_plain_digits(limit, kind):
    """As a router may write it back."""
    words = limit.render().replace("M", "000000").replace("k", "000")
    assert same(kind, words, RateLimit.render(limit))


@given(st.integers(0, 10**9))
def test_a_length_of_time_reads_back_as_it_was_written(seconds):
    """In the dialect that both releases take."""
    assert values.duration(values.duration_text(seconds)) == timedelta(seconds=seconds)


@given(st.sampled_from(Kind), st.text(max_size=40) | st.text("0123456789:/.-,kMdhms ", max_size=40))
@example(Kind.RATE, "٣M")
@example(Kind.DURATION, "9" * 12 + "w")
@example(Kind.ADDRESS, "\udc80")
def test_any_text_can_be_compared(kind, text):
    """Nothing is ever raised, and a text equals itself."""
    assert same(kind, text, text)
    same(kind, text, "10.0.0.1")
    same(kind, "10M/50M", text)


@given(st.text(max_size=40) | st.text("0123456789:/.-,kMdhmsnov ", max_size=40))
def test_any_text_is_a_value_or_a_policy_error(text):
    """Nothing else is ever raised."""
    for read in READERS:
        with contextlib.suppress(PolicyError):
            read(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("nov/22/2026 10:00:00", datetime(2026, 11, 22, 10)),  # noqa: DTZ001 # a router tells no zone
        ("2026-11-22 10:00:00", datetime(2026, 11, 22, 10)),  # noqa: DTZ001
        ("Nov/02/2026", datetime(2026, 11, 2)),  # noqa: DTZ001
        ("2026-11-02", datetime(2026, 11, 2)),  # noqa: DTZ001
    ],
)
def test_dates_of_both_releases_are_read(text, wanted):
    """v6 and v7."""
    assert values.moment(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "22.11.2026", "xyz/22/2026", "2026-02-30", "feb/30/2026 10:00:00", "2026-11-22T10"]
)
def test_what_is_no_date_is_said(text):
    """With an example of one."""
    with pytest.raises(PolicyError, match="date"):
        values.moment(text)


def test_versions_stand_in_order():
    """Betas before candidates, those before the release, numbers as numbers."""
    texts = [
        "6.49.10 (long-term)",
        "7.2",
        "7.16rc1",
        "7.16",
        "7.16.1 (stable)",
        "7.17beta4 (testing)",
        "7.17rc1",
        "7.17",
    ]
    read = [values.version(text) for text in texts]
    assert read == sorted(read)
    assert len(set(read)) == len(read)
    with pytest.raises(PolicyError, match="version"):
        values.version("CHR")


def test_every_field_with_a_default_equals_its_absence():
    """And what we write always belongs to a menu that we know."""
    for path, menu in menus.MENUS.items():
        for name, field in menu.fields.items():
            assert menus.same(path, name, menus.value(path, {}, name), field.default)
    assert menus.value("/ppp/secret", {}, "service") == "any"
    assert menus.field_of("/unheard/of", "name").kind == Kind.TEXT


def test_fields_are_asked_for_by_release():
    """An old router is not asked for what it does not know."""
    assert "ipv6-routes" not in menus.columns(menus.PPP_SECRET, values.version("6.49.10"))
    assert menus.columns(menus.PPP_SECRET, Version(7, 16))[:2] == (".id", "disabled")


def test_a_field_without_an_empty_value_is_taken_away():
    """`!name` is how the API says it."""
    fields = (("remote-address", ""), ("rate-limit", ""), ("name", "x"))
    assert menus.as_sent(menus.PPP_PROFILE, fields) == (("!remote-address", ""), ("rate-limit", ""), ("name", "x"))
