"""The direct codec says what pyrad says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad import packet as pyrad_packet
from pyrad.dictionary import Dictionary

from simulators import attributes
from simulators.attributes import DICTIONARY_FILE, MalformedPacketError

DICTIONARY = Dictionary(str(DICTIONARY_FILE))
PAIRS = [
    ("User-Name", "łódź"),
    ("Class", b"\x00\xffstamp"),
    ("Framed-IP-Address", "10.0.0.7"),
    ("Session-Timeout", 4_294_967_295),
    ("NAS-Port-Type", "Ethernet"),
    ("Delegated-IPv6-Prefix", "2001:db8:1::/56"),
    ("Framed-Interface-Id", "0000:0000:0000:0001"),
    ("NAS-IPv6-Address", "2001:db8::1"),
    ("Event-Timestamp", 1_700_000_000),
    ("Mikrotik-Rate-Limit", "10M/50M"),
    ("Mikrotik-Address-List", "overdue"),
    ("Mikrotik-Host-IP", "192.168.88.9"),
    ("MS-CHAP2-Success", b"\x01S=00"),
    ("Ascend-Data-Rate", 1000),
]


def test_dictionary_has_mikrotik_in_full():
    """All thirty MikroTik attributes are there, each once."""
    numbers = [one.key & 0xFF for one in attributes.BY_NAME.values() if one.key >> 8 == 14988]
    assert sorted(numbers) == list(range(1, 31))


@pytest.mark.parametrize(("name", "value"), PAIRS)
def test_encodes_as_pyrad(name, value):
    """One attribute has the bytes that pyrad gives it."""
    packet = pyrad_packet.AcctPacket(secret=b"s", dict=DICTIONARY, id=1)
    packet[name] = value
    assert attributes.encode(name, value) == packet.RequestPacket()[20:]


@pytest.mark.parametrize(("name", "value"), PAIRS)
def test_text_returns(name, value):
    """What was encoded comes back as text that encodes to the same bytes."""
    data = attributes.encode(name, value)
    ((key, raw),) = attributes.split(data, 0)
    assert attributes.key_name(key) == name
    assert attributes.encode(name, attributes.to_text(key, raw)) == data


def test_text_keeps_what_is_not_utf8():
    """A user name in another character set survives as text and returns to its bytes."""
    data = attributes.wrap(1, b"J\xfcrgen")
    ((key, raw),) = attributes.split(data, 0)
    assert attributes.encode("User-Name", attributes.to_text(key, raw)) == data


def test_unknown_attributes_have_names():
    """What the dictionary lacks is shown by its numbers and in hex."""
    data = attributes.wrap(241, b"\x01") + attributes.wrap(9 << 8 | 1, b"ab")
    assert attributes.describe(attributes.split(data, 0)) == (("Attr-241", "0x01"), ("Attr-26.9.1", "0x6162"))


def test_several_in_one_vendor_specific():
    """Several sub-attributes in one Vendor-Specific are several attributes (RFC 2865 section 5.26)."""
    inner = b"\x08\x04ab" + b"\x13\x05xyz"
    data = bytes((26, len(inner) + 6)) + (14988).to_bytes(4, "big") + inner
    found = attributes.describe(attributes.split(data, 0))
    assert found == (("Mikrotik-Rate-Limit", "ab"), ("Mikrotik-Address-List", "xyz"))


@pytest.mark.parametrize("value", ["x" * 254, -1, 2**32])
def test_values_that_do_not_fit(value):
    """A value that its attribute cannot carry is an error that says so."""
    with pytest.raises(ValueError, match=r"fit|cannot be"):
        attributes.encode("User-Name" if isinstance(value, str) else "Session-Timeout", value)


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Arbitrary bytes are attributes or malformed, never anything else; attributes can always be shown."""
    try:
        pairs = attributes.split(data, 0)
    except MalformedPacketError:
        return
    assert len(attributes.describe(pairs)) == len(pairs)
