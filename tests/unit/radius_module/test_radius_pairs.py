"""Attributes on their way to FreeRADIUS."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius_module.pairs import ADD, UnfitValue, checked, escaped

NAMES = [
    "Mikrotik-Rate-Limit",
    "Mikrotik-Address-List",
    "Framed-Pool",
    "Framed-IP-Address",
    "Framed-IPv6-Prefix",
    "Session-Timeout",
    "Framed-Route",
]


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_escaped_reads_back_as_it_was(text):
    """Inside double quotes, undoing every backslash gives the text again, and no quote stands bare."""
    inside = escaped(text)
    assert re.sub(r"\\(.)", r"\1", inside, flags=re.DOTALL) == text
    assert re.fullmatch(r'(?:[^"\\]|\\.)*', inside, flags=re.DOTALL)


@given(st.sampled_from(NAMES), st.text() | st.from_regex(r"[0-9./:a-f]{1,20}", fullmatch=True))
def test_any_value_is_fit_or_unfit(name, value):
    """Nothing else is raised, and what passes is an exact tuple of plain text, as rlm_python3 demands."""
    with contextlib.suppress(UnfitValue):
        pair = checked(name, value)
        assert type(pair) is tuple
        assert [type(part) for part in pair] == [str, str, str]
        assert pair[:2] == (name, ADD)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Framed-IP-Address", "not an address"),
        ("Framed-IP-Address", "100.64.0.300"),
        ("Framed-IP-Address", "2001:db8::1"),
        ("Framed-IPv6-Prefix", "2001:db8::1/64"),
        ("Delegated-IPv6-Prefix", "100.64.0.0/10"),
        ("Session-Timeout", "abc"),
        ("Session-Timeout", "-1"),
        ("Session-Timeout", "4294967296"),
        ("Session-Timeout", "²"),
        ("Idle-Timeout", ""),
        ("Mikrotik-Total-Limit", "1.5"),
        ("Framed-Pool", ""),
        ("Framed-Pool", "x" * 254),
        ("Framed-Pool", "a\0b"),
        ("Framed-Pool", "\ud800"),
        ("Mikrotik-Address-List", "x" * 248),
        ("Mikrotik-Address-List", "ł" * 124),
    ],
)
def test_what_the_server_would_misread_is_unfit(name, value):
    """FreeRADIUS would send zero, or cut off the end; the error names the attribute."""
    with pytest.raises(UnfitValue, match=name):
        checked(name, value)


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("Session-Timeout", "4294967295", "4294967295"),
        ("Framed-IP-Address", "100.64.0.7", "100.64.0.7"),
        ("Framed-IPv6-Prefix", "2001:DB8:0:0::/64", "2001:db8::/64"),
        ("Framed-Pool", "x" * 253, "x" * 253),
        ("Mikrotik-Address-List", "x" * 247, "x" * 247),
        ("Mikrotik-Group", 'a"b\\c\nd', 'a\\"b\\\\c\nd'),
    ],
)
def test_what_fits_is_sent(name, value, wanted):
    """Up to the last byte that an attribute holds (RFC 2865 sections 5 and 5.26)."""
    assert checked(name, value) == (name, "+=", wanted)
