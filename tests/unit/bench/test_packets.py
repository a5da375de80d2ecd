"""The bench's own RADIUS codec against pyrad, which is another hand's work."""

import hmac
import struct
from hashlib import md5

import pytest
from pyrad.packet import AuthPacket

from bench import packets, subscribers

SECRET = b"of-the-bench"
AUTHENTICATOR = bytes(range(16))


def _request(number: int = 42) -> bytes:
    return packets.Encoder(SECRET).access_request(packets.Login.of(number, 7), 9, AUTHENTICATOR)


def _answer(request: bytes, code: int = packets.ACCESS_ACCEPT, body: bytes = b"") -> bytes:
    head = struct.pack("!BBH", code, request[1], 20 + len(body))
    digest = md5(head + request[4:20] + body + SECRET, usedforsecurity=False).digest()
    return head + digest + body


def test_pyrad_accepts_the_signature_and_reads_the_password() -> None:
    """A request verifies and decrypts in an independent implementation."""
    raw = _request()
    parsed = AuthPacket(secret=SECRET, packet=raw)
    assert parsed.verify_message_authenticator()
    assert parsed.PwDecrypt(parsed[2][0]) == subscribers.password(42)
    assert struct.unpack_from("!H", raw, 2)[0] == len(raw)


def test_a_request_says_who_asks() -> None:
    """The subscriber can be read back from the packet."""
    assert packets.subscriber_of(_request(9_999_999)) == 9_999_999


def test_the_stream_is_the_same_for_the_same_seed() -> None:
    """Every server is asked the same logins, and identifiers go round in order."""
    encoder = packets.Encoder(SECRET)
    first, again = (list(encoder.stream(5, 1000, 300)) for _ in range(2))
    assert first == again
    assert [packet[1] for packet in first] == [index % 256 for index in range(300)]
    assert first != list(encoder.stream(6, 1000, 300))


def test_hmac_is_the_standard_one() -> None:
    """The prepared HMAC gives what the standard library gives, for short and long keys."""
    for key in (b"k", b"k" * 64, b"k" * 100):
        assert packets.Hmac(key).digest(b"message") == hmac.digest(key, b"message", "md5")


def test_a_genuine_answer_tells_its_rate() -> None:
    """Mikrotik-Rate-Limit is read from its vendor attribute."""
    request = _request()
    value = struct.pack("!IBB", 14988, 8, 9) + b"10M/50M"
    reply = packets.Verifier(SECRET).check(request, _answer(request, body=packets.attribute(26, value)))
    assert reply == packets.Reply(code=2, rate_limit="10M/50M", signed=False)


@pytest.mark.parametrize("octet", [0, 1, 4, 20, 25])
def test_an_altered_answer_is_refused(octet: int) -> None:
    """Any octet that differs from what the server signed is noticed."""
    request = _request()
    answer = bytearray(_answer(request, body=packets.attribute(25, b"class")))
    answer[octet] ^= 1
    with pytest.raises(packets.BadReplyError):
        packets.Verifier(SECRET).check(request, bytes(answer))


def test_a_wrong_message_authenticator_is_refused() -> None:
    """A present signature counts even when the Response Authenticator is right."""
    request = _request()
    answer = _answer(request, body=packets.attribute(80, bytes(16)))
    with pytest.raises(packets.BadReplyError, match="Message-Authenticator"):
        packets.Verifier(SECRET).check(request, answer)
