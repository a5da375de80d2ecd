"""MAC addresses in one spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.mac import canonical_mac

octets = st.binary(min_size=6, max_size=6)


@given(octets, st.sampled_from([(":", 2), ("-", 2), (".", 4), ("", 12)]), st.booleans())
def test_every_spelling_becomes_the_routers_own(raw, spelling, upper):
    """Colons, hyphens, dots or nothing: RouterOS's upper case with colons comes out."""
    mark, size = spelling
    digits = raw.hex().upper() if upper else raw.hex()
    text = mark.join(digits[place : place + size] for place in range(0, 12, size))
    assert canonical_mac(text) == raw.hex(":").upper()


@given(st.text() | st.text("0123456789ABCDEFabcdef:-.", max_size=18))
def test_any_text_is_canonical_or_empty(text):
    """Nothing raises, and what comes out is its own canonical form."""
    found = canonical_mac(text)
    assert canonical_mac(found) == found


@pytest.mark.parametrize("text", ["", "10.0.0.1", "02:00:00:00:00", "02:00:00:00:00:0G", "02:00:00:00:00:01\n"])
def test_what_is_no_mac_is_empty(text):
    """PPTP puts an IP address in its place."""
    assert canonical_mac(text) == ""
