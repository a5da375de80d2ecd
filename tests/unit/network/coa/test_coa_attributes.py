"""Attributes between text and bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network.coa.attributes import HIDDEN, by_number, decode_attribute, definitions, encode_attribute
from network.coa.errors import InvalidAttributeError

EXAMPLES = {
    "string": "łódź",
    "octets": "0x00ff",
    "integer": "4294967295",
    "date": "1795348800",
    "ipaddr": "192.0.2.1",
    "ipv6addr": "2001:db8::1",
    "ipv6prefix": "2001:db8::/56",
    "ifid": "211:22ff:fe33:4455",
}
SENDABLE = [
    entry
    for entry in definitions().values()
    if not entry.encrypted
    and entry.name not in {"CHAP-Password", "Message-Authenticator"}
    and not entry.name.startswith(("Mikrotik-Wireless-Enc-Key", "Mikrotik-Wireless-PSK", "Mikrotik-Wireless-MPKey"))
]


def back(encoded: bytes) -> tuple[tuple[str, str], ...]:
    return decode_attribute(encoded[0], encoded[2:])


@pytest.mark.parametrize("entry", SENDABLE, ids=lambda entry: entry.name)
def test_every_attribute_round_trips(entry):
    """Every attribute of the dictionary that may be sent comes back as the same text."""
    value = EXAMPLES[entry.kind]
    assert back(encode_attribute(entry.name, value)) == ((entry.name, value),)


def test_numbers_are_unique():
    """No number of the dictionary has two names, or the second would win when a packet is read."""
    assert len(by_number()) == len(definitions())


@pytest.mark.parametrize("number", range(1, 31))
def test_mikrotik_is_complete(number):
    """All thirty attributes of vendor 14988 are known."""
    assert by_number()[14988, number].name.startswith("Mikrotik-")


@given(st.binary(min_size=1, max_size=253))
def test_any_received_name_goes_back_unchanged(data):
    """A User-Name that is not UTF-8 goes back to the router as it came."""
    ((name, value),) = decode_attribute(1, data)
    assert encode_attribute(name, value)[2:] == data


@pytest.mark.parametrize("name", ["no", "0123", "0x41", "a'b\"c", "line\nbreak", " ", "\x00"])
def test_odd_user_names(name):
    """Names that look like something else are sent as they are."""
    assert encode_attribute("User-Name", name)[2:] == name.encode()


def test_octets_are_bytes_or_text():
    """Octets are hex with 0x, and otherwise text, digits too."""
    assert encode_attribute("Class", "0x0102")[2:] == b"\1\2"
    assert encode_attribute("Class", "65")[2:] == b"65"
    assert encode_attribute("Class", "0x012")[2:] == b"0x012"


def test_named_values():
    """A value may be given by its name, and comes back by it."""
    encoded = encode_attribute("Acct-Terminate-Cause", "Admin-Reset")
    assert encoded == b"\x31\x06\0\0\0\6"
    assert back(encoded) == (("Acct-Terminate-Cause", "Admin-Reset"),)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("Mikrotik-Rate-Limits", "1M", "spelled exactly"),
        ("user-name", "ann", "spelled exactly"),
        ("User-Name", "", "leave it out"),
        ("User-Name", "x" * 254, "at most 253"),
        ("User-Name", "ł" * 127, "at most 253"),
        ("Mikrotik-Rate-Limit", "x" * 248, "at most 247"),
        ("User-Name", "\ud800", "half a character"),
        ("Session-Timeout", "-1", "must be digits"),
        ("Session-Timeout", "1_000", "must be digits"),
        ("Session-Timeout", "\u0663", "must be digits"),
        ("Session-Timeout", " 1", "must be digits"),
        ("Mikrotik-Recv-Limit", "4294967296", "Gigawords"),
        ("Service-Type", "Nothing", "Framed-User"),
        ("Framed-IP-Address", "10.0.0", "IPv4"),
        ("Framed-IP-Address", "10.0.0.256", "IPv4"),
        ("Framed-IP-Address", "010.0.0.1", "IPv4"),
        ("Framed-IP-Address", "10.0.0.1\x00", "IPv4"),
        ("Framed-IPv6-Prefix", "2001:db8::1/56", "no host bits"),
        ("Framed-IPv6-Prefix", "2001:db8::", "with a length"),
        ("Framed-IPv6-Address", "fe80::1%eth0", "without a zone"),
        ("Framed-Interface-Id", "1:2:3", "four groups"),
        ("User-Password", "hush", "never sent"),
        ("Mikrotik-Wireless-PSK", "hush", "never sent"),
        ("Message-Authenticator", "0x00", "computed"),
        ("Session-Timeout", 60, "needs text"),
    ],
)
def test_bad_values(name, value, says):
    """A value that cannot be sent is refused with what would be right."""
    with pytest.raises(InvalidAttributeError, match=says):
        encode_attribute(name, value)


@given(st.text(max_size=300), st.sampled_from(sorted(definitions())))
def test_any_text(value, name):
    """Any text is either encoded within the limits or refused by its type, never by another exception."""
    try:
        encoded = encode_attribute(name, value)
    except InvalidAttributeError:
        return
    assert len(encoded) == encoded[1]


@given(st.integers(0, 255), st.binary(max_size=253))
def test_any_received_bytes(code, data):
    """Reading never fails, whatever a router sends."""
    assert all(isinstance(text, str) for pair in decode_attribute(code, data) for text in pair)


@pytest.mark.parametrize(
    ("code", "data", "pairs"),
    [
        (200, b"\1", (("Attr-200", "0x01"),)),
        (26, b"\0\0\x3a\x8c\x63\3\1", (("Attr-26.14988.99", "0x01"),)),
        (26, b"\0\0\x3a\x8c\x08\3a\x13\3b", (("Mikrotik-Rate-Limit", "a"), ("Mikrotik-Address-List", "b"))),
        (26, b"\0\0\x3a\x8c\x08\x09a", (("Attr-26.14988", "0x080961"),)),
        (26, b"\0\0", (("Attr-26", "0x0000"),)),
        (27, b"\1", (("Session-Timeout", "0x01"),)),
        (2, b"0123456789abcdef", (("User-Password", HIDDEN),)),
    ],
)
def test_received_oddities(code, data, pairs):
    """Unknown attributes and unfit values are kept as hex, secrets are hidden."""
    assert decode_attribute(code, data) == pairs
