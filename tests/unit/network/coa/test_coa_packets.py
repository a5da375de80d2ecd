"""CoA and Disconnect packets as bytes, against vectors of FreeRADIUS, hashlib and pyrad."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import CoAPacket
from scripted_router import SECRET, attribute, error_cause, reply_to

from network.coa.error_causes import MEANINGS, ErrorCause, meaning_of
from network.coa.errors import (
    BadAuthenticatorError,
    BadMessageAuthenticatorError,
    InvalidAttributeError,
    MalformedReplyError,
    MissingMessageAuthenticatorError,
    ReplyError,
    WrongIdentifierError,
)
from network.coa.packets import MAX_PACKET_BYTES, Kind, Request, decode_reply, hmac_md5, md5

SESSION = (("User-Name", "ann"), ("Acct-Session-Id", "81a00001"), ("Framed-IP-Address", "10.1.2.3"))
CHANGE = Request(Kind.COA, (*SESSION, ("Mikrotik-Rate-Limit", "10M/50M")))
DISCONNECT = Request(Kind.DISCONNECT, SESSION)
ASKED = CHANGE.encode(SECRET, 7)

# What radclient of FreeRADIUS 3.2.1 put on the wire for the same attributes with the secret "testing123".
RADCLIENT = [
    (
        CHANGE,
        False,
        (
            "2bba003833a6f6c82749d729bfdf37b42c74762b0105616e6e2c0a383161303030303108060a0102031a0f00003a8c"
            "080931304d2f35304d"
        ),
    ),
    (
        CHANGE,
        True,
        (
            "2b43004a930f2e26aba4907380e660538344b285501258a10ebf7ea639bbcbe20ff2ba1893a20105616e6e2c0a3831"
            "61303030303108060a0102031a0f00003a8c080931304d2f35304d"
        ),
    ),
    (
        DISCONNECT,
        False,
        "28e00029fc4d65c177ca00ea95bc1326ce7cbc270105616e6e2c0a383161303030303108060a010203",
    ),
    (
        DISCONNECT,
        True,
        (
            "2848003bc9e5bd82c395d51c6bfd0af9a35dbaa950121b592eab31173dec47aafe04781092750105616e6e2c0a3831"
            "61303030303108060a010203"
        ),
    ),
]


@pytest.mark.parametrize(("request_", "signed", "packet"), RADCLIENT)
def test_requests_of_radclient(request_, signed, packet):
    """Our packets are byte for byte those of radclient, with and without Message-Authenticator."""
    expected = bytes.fromhex(packet)
    assert request_.encode(SECRET, expected[1], message_authenticator=signed) == expected


PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
PAIRS = st.tuples(
    PLAIN_TEXT.map(lambda value: ("User-Name", value)),
    st.ip_addresses(v=4).map(lambda value: ("Framed-IP-Address", str(value))),
    st.integers(0, 2**32 - 1).map(lambda value: ("Session-Timeout", str(value))),
    st.sampled_from(["10M/50M", "64k/64k 0/0 0/0 0/0 8 1k/1k"]).map(lambda value: ("Mikrotik-Rate-Limit", value)),
    st.binary(min_size=1, max_size=253).map(lambda value: ("Class", "0x" + value.hex())),
)


@given(PAIRS, st.sampled_from(Kind), st.integers(0, 255), st.binary(min_size=1, max_size=100), st.booleans())
def test_requests_of_pyrad(dictionary, pairs, kind, identifier, secret, signed):
    """Whatever the values, the packet is the one pyrad builds, and pyrad accepts its signatures."""
    ours = Request(kind, pairs).encode(secret, identifier, message_authenticator=signed)
    code = 43 if kind is Kind.COA else 40
    theirs = CoAPacket(code, identifier, secret, dict=dictionary, message_authenticator=signed)
    for name, value in pairs:
        theirs.AddAttribute(name, value)
    assert ours == theirs.RequestPacket()
    assert CoAPacket(secret=secret, packet=ours, dict=dictionary).VerifyCoARequest()


def test_order_is_kept():
    """Repeated attributes stay where they were put, since RouterOS reads the first Ascend-Data-Rate as upload."""
    pairs = (("Ascend-Data-Rate", "1"), ("User-Name", "ann"), ("Ascend-Data-Rate", "2"))
    packet = Request(Kind.COA, pairs).encode(SECRET, 1, message_authenticator=False)
    first, user, second = packet.find(b"\xc5\x06\0\0\0\1"), packet.find(b"ann"), packet.find(b"\xc5\x06\0\0\0\2")
    assert 0 < first < user < second


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=100))
def test_hashes_of_the_standard_library(data, secret):
    """Our MD5 and HMAC-MD5 are those of hashlib and hmac, for secrets longer than a block too."""
    assert md5(data) == hashlib.md5(data, usedforsecurity=False).digest()
    assert hmac_md5(secret, data) == hmac.digest(secret, data, "md5")


def test_packet_is_bounded():
    """Attributes that do not fit in 4096 bytes are refused, and the largest that fit are sent."""
    long = ("Reply-Message", "x" * 253)
    assert len(Request(Kind.COA, (long,) * 15).encode(SECRET, 0)) <= MAX_PACKET_BYTES
    with pytest.raises(InvalidAttributeError, match="fit in one packet"):
        Request(Kind.COA, (long,) * 16).encode(SECRET, 0)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("asked", "acknowledged", "code"), [(ASKED, True, 44), (ASKED, False, 45)])
def test_reply_is_read(asked, acknowledged, code, signed):
    """An authentic reply gives ACK or NAK, Error-Cause and attributes as text."""
    body = error_cause(401) + attribute(18, b"no")
    reply = decode_reply(reply_to(asked, code=code, attributes=body, signed=signed), asked, SECRET)
    assert reply.acknowledged is acknowledged
    assert reply.error_cause == 401
    assert reply.named_error_cause is ErrorCause.UNSUPPORTED_ATTRIBUTE
    assert reply.attributes == (("Error-Cause", "401"), ("Reply-Message", "no"))
    assert reply.signed is signed


@given(pairs=st.sampled_from([(), (("Error-Cause", 503),)]), signed=st.booleans(), kind=st.sampled_from(Kind))
def test_replies_of_pyrad(pairs, signed, kind, dictionary):
    """Replies that pyrad signs are accepted."""
    asked = Request(kind, SESSION).encode(SECRET, 9)
    theirs = CoAPacket(secret=SECRET, packet=asked, dict=dictionary).CreateReply(message_authenticator=signed)
    for name, value in pairs:
        theirs.AddAttribute(name, value)
    reply = decode_reply(theirs.ReplyPacket(), asked, SECRET)
    assert (reply.acknowledged, reply.signed, reply.error_cause) == (True, signed, dict(pairs).get("Error-Cause"))


def test_padding_is_ignored():
    """Bytes after the packet's own length are padding (RFC 2865 section 3)."""
    assert decode_reply(reply_to(ASKED) + b"padding", ASKED, SECRET).acknowledged


ACK = reply_to(ASKED)
SIGNED_ACK = reply_to(ASKED, signed=True)


def resign(packet: bytes) -> bytes:
    """The packet with a right Response Authenticator, whatever else is wrong with it."""
    return reply_to(ASKED, code=packet[0], attributes=packet[20:])


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", MalformedReplyError),
        (ACK[:19], MalformedReplyError),
        (ACK[:2] + struct.pack("!H", 21) + ACK[4:], MalformedReplyError),
        (ACK[:2] + struct.pack("!H", 19) + ACK[4:], MalformedReplyError),
        (ACK + bytes(MAX_PACKET_BYTES), MalformedReplyError),
        (bytes((2,)) + ACK[1:], MalformedReplyError),
        (reply_to(ASKED, code=41), MalformedReplyError),
        (reply_to(ASKED, attributes=b"\x12"), MalformedReplyError),
        (reply_to(ASKED, attributes=b"\x12\x01"), MalformedReplyError),
        (reply_to(ASKED, attributes=b"\x12\x05ab"), MalformedReplyError),
        (reply_to(bytes((43, 8)) + ASKED[2:]), WrongIdentifierError),
        (reply_to(ASKED, secret=b"other"), BadAuthenticatorError),
        (ACK[:-1] + bytes((ACK[-1] ^ 1,)), BadAuthenticatorError),
        (resign(SIGNED_ACK[:-1] + bytes((SIGNED_ACK[-1] ^ 1,))), BadMessageAuthenticatorError),
        (reply_to(ASKED, attributes=attribute(80, b"short")), BadMessageAuthenticatorError),
        (reply_to(ASKED, attributes=SIGNED_ACK[20:] * 2), BadMessageAuthenticatorError),
    ],
)
def test_bad_replies(data, error):
    """Each way in which a reply can be wrong has its own error."""
    with pytest.raises(error):
        decode_reply(data, ASKED, SECRET)


def test_message_authenticator_may_be_required():
    """Only a router set to sign its replies is ignored for an unsigned one."""
    assert decode_reply(SIGNED_ACK, ASKED, SECRET, require_message_authenticator=True).signed
    with pytest.raises(MissingMessageAuthenticatorError):
        decode_reply(ACK, ASKED, SECRET, require_message_authenticator=True)


@given(st.binary(max_size=200))
def test_any_bytes(data):
    """Any bytes give a typed error and never another exception."""
    with pytest.raises(ReplyError):
        decode_reply(data, ASKED, SECRET)


@given(st.binary(max_size=200), st.booleans())
def test_any_authentic_body(body, refused):
    """Any attributes under a right authenticator are either read as text or a typed error."""
    data = reply_to(ASKED, code=45 if refused else 44, attributes=body)
    try:
        reply = decode_reply(data, ASKED, SECRET)
    except (MalformedReplyError, BadMessageAuthenticatorError):
        return
    assert all(isinstance(text, str) for pair in reply.attributes for text in pair)


@given(st.integers(0, 8 * len(SIGNED_ACK) - 1))
def test_any_flipped_bit(bit):
    """No bit of a reply can change without being noticed."""
    changed = bytearray(SIGNED_ACK)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ReplyError):
        decode_reply(bytes(changed), ASKED, SECRET)


def test_every_error_cause_has_words():
    """Every Error-Cause of RFC 5176 has a sentence with its number; others have one too, and are not retried."""
    assert set(MEANINGS) == set(ErrorCause)
    assert all(f"({cause.value})" in meaning_of(cause).sentence for cause in ErrorCause)
    assert "999" in meaning_of(999).sentence
    assert not meaning_of(999).may_retry
    assert {cause for cause in ErrorCause if meaning_of(cause).may_retry} == {504, 505, 506}
