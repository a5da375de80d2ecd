"""Bytes that are no request, and bytes that must not be written anywhere."""

import random
import socket
import struct

import pytest
from fixtures_freeradius import ACCEPT, ACCOUNTING_RESPONSE, REJECT, SECRET, access_request

PACKETS = 400


def _lengths(random_, packet):
    """A packet whose length field, or an attribute's, points elsewhere."""
    data = bytearray(packet)
    place = random_.choice([2, 3, 21, 21 + data[21] if len(data) > 40 else 3])
    data[place] = random_.randrange(256)
    return bytes(data)


def _flipped(random_, packet):
    """A packet with some bytes changed."""
    data = bytearray(packet)
    for _ in range(random_.randrange(1, 8)):
        data[random_.randrange(len(data))] = random_.randrange(256)
    return bytes(data)


def _attributes(random_, _):
    """A signed request of random attributes with right lengths: the server's decoders get to see them."""
    body = b""
    for _ in range(random_.randrange(1, 20)):
        value = random_.randbytes(random_.randrange(0, 40))
        body += bytes((random_.choice([*range(1, 104), 26, 79, 80]), len(value) + 2)) + value
    code = random_.choice([1, 1, 1, 4, 12, 40, 43, 0, 255])
    return struct.pack("!BBH", code, random_.randrange(256), 20 + len(body)) + random_.randbytes(16) + body


KINDS = {
    "random": lambda random_, _: random_.randbytes(random_.randrange(1, 4096)),
    "truncated": lambda random_, packet: packet[: random_.randrange(1, len(packet))],
    "lengths": _lengths,
    "flipped": _flipped,
    "attributes": _attributes,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("port", ["auth_port", "acct_port"])
def test_garbage_leaves_the_server_answering(server, router, add, kind, port):
    """From a known router, seeded: whatever it is made of, the next login and record are served."""
    random_ = random.Random(f"{kind} {port}")
    add("anna")
    assert router.pap("anna", "right password").code == ACCEPT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind((router.address, 0))
        for number in range(PACKETS):
            pairs = [("User-Name", "anna"), ("NAS-Port-Id", "ether1"), ("User-Password", random_.randbytes(16))]
            whole = access_request(pairs, SECRET, random_.randbytes(16), signed=bool(number % 2))
            line.sendto(KINDS[kind](random_, whole), (server.layout.address, getattr(server.layout, port)))
            if number % 10 == 0:  # more at once would only fill the socket's buffer
                server.answers_others()
    assert server.is_running()
    assert router.pap("anna", "right password").code == ACCEPT
    assert router.account(1, "anna", "81").code == ACCOUNTING_RESPONSE


def test_no_file_holds_a_password(server, router, add, chosen):
    """Neither spool nor log nor output, in clear or as hexadecimal: by no protocol, right or wrong or let in anyhow."""
    add("anna", password="Zk7-right-and-long")
    for password, code in (("Zk7-right-and-long", ACCEPT), ("Zk7-wrong-and-long", REJECT)):
        for ask in (router.pap, router.chap, router.mschap):
            assert ask("anna", password).code == code
            assert ask("nobody", password).code == REJECT
    chosen('{"wrong_password": {"address_list": "wrong"}, "unknown_user": {"address_list": "unknown"}}')
    for ask in (router.pap, router.chap):
        assert ask("anna", "Zk7-wrong-and-long").code == ACCEPT
        assert ask("nobody", "Zk7-wrong-and-long").code == ACCEPT
        assert ask(b"\xff\xfe", "Zk7-wrong-and-long").code == REJECT
    router.account(1, "anna", "81", User_Password=b"Zk7-in-accounting", CHAP_Password=b"Zk7-chap-accounting")
    server.never_on_disk |= {b"Zk7-in-accounting", b"Zk7-chap-accounting", SECRET}
    assert server.leaks() == []


def test_the_search_for_passwords_would_find_one(server, router, notes):
    """A name that was tried stands in the spool, so the search looks where it should."""
    router.pap("Zk7-this-is-a-name", "any password")
    assert notes()
    server.never_on_disk.add(b"Zk7-this-is-a-name")
    try:
        assert server.leaks() == ["detail: b'Zk7-this-is-a-name'"]
    finally:
        server.never_on_disk.remove(b"Zk7-this-is-a-name")


def test_twenty_mishaps_are_not_twenty_lines(server, router, add):
    """Our own complaints come once in ten seconds for each kind, or an outage would fill the disk with itself."""
    add("anna", plan='{"nonsense": 1}')
    before = len(server.log().splitlines())
    for _ in range(20):
        assert router.pap("anna", "right password", silent=True) is None
    assert len(server.log().splitlines()) - before < 10
