"""Accounting load: a closed loop of interims against one server on loopback, in a process of its own.

    python -m bench.acct_load --port 1813 --secret testing123 --sessions 1000 --packets 20000 --first 0

Everything is encoded before the clock starts. Each session reports in turn, with counters that grow, as routers do.
"""

import argparse
import gc
import json
import select
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass
from hashlib import md5
from typing import Final

from bench import packets, subscribers

ACCOUNTING_REQUEST: Final = 4
ACCOUNTING_RESPONSE: Final = 5
START, INTERIM = 1, 3
SOCKETS: Final = 4
RESEND_AFTER_S: Final = 2.0
GIVE_UP_AFTER_S: Final = 30.0
BEGAN: Final = 1_790_000_000  # when all sessions began, seconds of the epoch: a start that moves would be another test
BYTES_AN_INTERIM: Final = 7_654_321
STAMP: Final = "1-0123456789abcdef"


@dataclass(slots=True)
class Sent:
    """What one load run did; `began` and `ended` are of the wall clock, for those who wait for rows."""

    packets: int = 0
    seconds: float = 0.0
    resent: int = 0
    lost: int = 0
    began: float = 0.0
    ended: float = 0.0


def attributes(number: int, status: int, interims: int) -> bytes:
    """What RouterOS tells of the session of a subscriber (mikrotik-facts 3)."""
    upload, download = interims * BYTES_AN_INTERIM, interims * BYTES_AN_INTERIM * 9
    address = bytes((10, number >> 16 & 255, number >> 8 & 255, number & 255))
    return b"".join(
        (
            packets.number(40, status),
            packets.attribute(1, subscribers.user_name(number).encode()),
            packets.attribute(44, session_id(number).encode()),
            packets.number(6, 2),
            packets.number(7, 1),
            packets.number(61, 15),
            packets.number(5, 15728640 + number),
            packets.attribute(31, subscribers.mac(number).encode()),
            packets.attribute(30, b"internet"),
            packets.attribute(87, b"vlan100"),
            packets.attribute(8, address),
            packets.attribute(25, class_text(number).encode()),
            packets.number(45, 1),
            packets.number(46, int(time.time()) - BEGAN),
            packets.number(42, upload & 0xFFFFFFFF),
            packets.number(52, upload >> 32),
            packets.number(47, upload >> 10),
            packets.number(43, download & 0xFFFFFFFF),
            packets.number(53, download >> 32),
            packets.number(48, download >> 10),
            packets.number(55, int(time.time())),
            packets.attribute(32, packets.NAS_IDENTIFIER.encode()),
            packets.attribute(4, bytes((127, 0, 0, 1))),
            packets.number(41, 0),
        )
    )


def session_id(number: int) -> str:
    """Acct-Session-Id of a subscriber: service, boot, session."""
    return f"811{number:05x}"


def class_text(number: int) -> str:
    """The Class of a subscriber's session: login id, service, stamp."""
    return f"ai:{number:032x}:{number + 1}:{STAMP}"


def encode(secret: bytes, identifier: int, body: bytes) -> bytes:
    """A whole packet with its authenticator (RFC 2866 section 3)."""
    head = struct.pack("!BBH", ACCOUNTING_REQUEST, identifier, packets.HEADER_BYTES + len(body))
    return head + md5(head + bytes(16) + body + secret, usedforsecurity=False).digest() + body


def run(port: int, secret: str, sessions: int, count: int, first: int, window: int, status: int) -> Sent:
    """Send so many packets and wait for every answer. `first`: how many interims each session has sent before."""
    key = secret.encode()
    ready = [
        encode(key, number // SOCKETS % 256, attributes(number % sessions, status, first + number // sessions + 1))
        for number in range(count)
    ]
    lanes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(SOCKETS)]
    for lane in lanes:
        lane.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        lane.connect(("127.0.0.1", port))
    gc.collect()
    gc.disable()
    try:
        return _drive(lanes, ready, window)
    finally:
        gc.enable()
        for lane in lanes:
            lane.close()


def _drive(lanes: list[socket.socket], ready: list[bytes], window: int) -> Sent:
    sent = Sent(began=time.time())
    flying: dict[tuple[int, int], tuple[float, bytes]] = {}
    upcoming = 0
    by_descriptor = {lane.fileno(): place for place, lane in enumerate(lanes)}
    began = heard_at = looked_at = time.perf_counter()
    while upcoming < len(ready) or flying:
        now = time.perf_counter()
        while upcoming < len(ready) and len(flying) < window:
            packet, lane = ready[upcoming], upcoming % SOCKETS
            if (lane, packet[1]) in flying:
                break
            flying[lane, packet[1]] = (now, packet)
            lanes[lane].send(packet)
            upcoming += 1
        for descriptor in select.select(lanes, [], [], 0.05)[0]:
            answer = descriptor.recv(4096)
            place = (by_descriptor[descriptor.fileno()], answer[1])
            if answer[0] == ACCOUNTING_RESPONSE and place in flying:
                del flying[place]
                sent.packets += 1
                heard_at = now
        if now - looked_at > RESEND_AFTER_S / 4:
            looked_at = now
            for (lane, identifier), (at, packet) in list(flying.items()):
                if now - at > RESEND_AFTER_S:
                    flying[lane, identifier] = (now, packet)
                    lanes[lane].send(packet)
                    sent.resent += 1
        if now - heard_at > GIVE_UP_AFTER_S:
            break
    sent.lost = len(ready) - sent.packets
    sent.seconds = time.perf_counter() - began
    sent.ended = time.time()
    return sent


def main() -> int:
    parser = argparse.ArgumentParser(description="Accounting against one RADIUS server on loopback.")
    for name in ("port", "sessions", "count", "first", "window", "status"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--secret", required=True)
    try:
        sent = run(**vars(parser.parse_args()))
    except ConnectionRefusedError:
        sys.stderr.write("nothing listens there; look at the server's log\n")
        return 1
    print(json.dumps(asdict(sent)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
