"""A UDP peer that plays a router by a script, and replies built with hashlib and hmac alone."""

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Callable

SECRET = b"testing123"
Script = Callable[["ScriptedRouter", bytes, tuple[str, int]], None]


def attribute(code: int, value: bytes) -> bytes:
    return bytes((code, len(value) + 2)) + value


def error_cause(value: int) -> bytes:
    return attribute(101, value.to_bytes(4, "big"))


def reply_to(
    request: bytes,
    *,
    code: int | None = None,
    attributes: bytes = b"",
    secret: bytes = SECRET,
    signed: bool = False,
) -> bytes:
    """An ACK to `request` (or `code`), by RFC 5176 section 2.3; `signed` adds Message-Authenticator at the end."""
    code = request[0] + 1 if code is None else code
    length = 20 + len(attributes) + (18 if signed else 0)
    start = bytes((code, request[1])) + length.to_bytes(2, "big")
    if signed:
        covered = start + request[4:20] + attributes + b"\x50\x12" + bytes(16)
        attributes += b"\x50\x12" + hmac.new(secret, covered, "md5").digest()
    return start + hashlib.md5(start + request[4:20] + attributes + secret, usedforsecurity=False).digest() + attributes


def nak_to(request: bytes, cause: int | None) -> bytes:
    return reply_to(request, code=request[0] + 2, attributes=b"" if cause is None else error_cause(cause))


def values_of(packet: bytes, wanted: int) -> list[bytes]:
    found, position = [], 20
    while position < len(packet):
        code, length = packet[position], packet[position + 1]
        if code == wanted:
            found.append(packet[position + 2 : position + length])
        position += length
    return found


def acknowledge(router: "ScriptedRouter", data: bytes, sender: tuple[str, int]) -> None:
    router.send(reply_to(data), sender)


def stay_silent(router: "ScriptedRouter", data: bytes, sender: tuple[str, int]) -> None:
    pass


class ScriptedRouter(asyncio.DatagramProtocol):
    """Async context manager; `received` has every packet with its sender, `until(n)` waits for the n-th."""

    def __init__(self, script: Script = acknowledge, address: str = "127.0.0.2") -> None:
        self.script = script
        self.address = address
        self.received: list[tuple[bytes, tuple[str, int]]] = []
        self._changed = asyncio.Event()
        self._closed = asyncio.Event()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(self.address, 0))
        # Hundreds of packets wait here while a test holds its answers.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.port = self.transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_):
        await self.stop()

    async def stop(self) -> None:
        self.transport.close()
        await self._closed.wait()

    def connection_lost(self, _error):
        self._closed.set()

    def datagram_received(self, data, addr):
        self.received.append((data, addr))
        self.script(self, data, addr)
        self._changed.set()

    def send(self, data: bytes, receiver: tuple[str, int]) -> None:
        self.transport.sendto(data, receiver)

    async def until(self, count: int) -> None:
        while len(self.received) < count:
            self._changed.clear()
            await self._changed.wait()
