"""Hashes and handshakes agree with the vectors their RFCs publish."""

from __future__ import annotations

import hashlib
from random import Random

import pytest

from simulators import mschap, packets
from simulators.attributes import MalformedPacketError
from simulators.md4 import md4

AUTHENTICATOR_CHALLENGE = bytes.fromhex("5B5D7C7D7B3F2F3E3C2C602132262628")
PEER_CHALLENGE = bytes.fromhex("21402324255E262A28295F2B3A337C7E")
NT_RESPONSE = bytes.fromhex("82309ECD8D708B5EA08FAA3981CD83544233114A3D85D6DF")
PASSWORD_HASH = bytes.fromhex("44EBBA8D5312B8D611474411F56989AE")
USER, PASSWORD = b"User", "clientPass"


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        ("a", "bde52cb31de33e46245e05fbdbd6fb24"),
        ("abc", "a448017aaf21d8525fc10ae87aa6729d"),
        ("message digest", "d9130a8164549fe818874806e1c7014b"),
        ("abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "043f8582f241db351ce627e153e7f0e4"),
        ("1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_vectors(text, digest):
    """MD4 gives the digests of RFC 1320 appendix A.5."""
    assert md4(text.encode()).hex() == digest


def test_rfc2759_section_9_2():
    """Every value of the worked example in RFC 2759 section 9.2 comes out."""
    challenge = mschap.challenge_hash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, USER)
    assert challenge == bytes.fromhex("D02E4386BCE91226")
    assert mschap.nt_password_hash(PASSWORD) == PASSWORD_HASH
    assert md4(PASSWORD_HASH) == bytes.fromhex("41C00C584BD2D91C4017A2A12FA59F3F")
    assert mschap.nt_response(AUTHENTICATOR_CHALLENGE, PEER_CHALLENGE, USER, PASSWORD) == NT_RESPONSE
    proof = mschap.authenticator_response(PASSWORD, NT_RESPONSE, PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, USER)
    assert proof == "S=407A5589115FD0D6209F510FE9C04566932CDA56"


def test_domain_does_not_take_part():
    """A domain before the user name leaves the challenge as it is (RFC 2759 section 8.2)."""
    with_domain = mschap.challenge_hash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, b"BIGCO\\User")
    assert with_domain == mschap.challenge_hash(PEER_CHALLENGE, AUTHENTICATOR_CHALLENGE, USER)


def test_chap_response():
    """CHAP-Password is the identifier and MD5 of identifier, secret and challenge (RFC 1994 section 4.1)."""
    challenge = bytes(range(16))
    wanted = hashlib.md5(b"\x07" + b"geheim" + challenge).digest()  # noqa: S324 - the RFC's hash
    assert packets.chap_password(7, b"geheim", challenge) == b"\x07" + wanted


def test_rfc2865_section_7_1():
    """The User-Password of the example in RFC 2865 section 7.1 comes out."""
    authenticator = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    hidden = packets.hide_password(b"arctangent", authenticator, b"xyzzy5461")
    assert hidden == bytes.fromhex("0dbe708d93d413ce3196e43f782a0aee")


def test_long_password_is_refused():
    """A password that User-Password cannot carry is an error before anything is sent."""
    with pytest.raises(ValueError, match="at most 128 bytes"):
        packets.hide_password(b"x" * 129, bytes(16), b"secret")


def test_proofs_repeat_by_seed():
    """The same seed gives the same challenges."""
    made = [
        packets.prove("mschapv2", b"anna", "pw", authenticator=bytes(16), secret=b"s", random=Random(5))
        for _ in range(2)
    ]
    assert made[0].pairs == made[1].pairs


@pytest.mark.parametrize("data", [b"", bytes(19), b"\x02\x01\x00\x13" + bytes(16), b"\x02\x01\x00\x30" + bytes(16)])
def test_cut_packets(data):
    """A packet shorter than it says, or than a header, is no packet."""
    with pytest.raises(MalformedPacketError):
        packets.trim(data)
