"""UDP sockets read in batches, with a cable that can be cut and a line that may be bad."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from simulators.faults import Line

Address = tuple[str, int]
Handler = Callable[[bytes, Address], None]

BATCH_PACKETS = 64  # read at one wake-up; more would starve timers, fewer costs a poll per packet
BUFFER_BYTES = 4 << 20  # 10,000 CoA in a burst; the kernel gives what rmem_max allows


class Cable:
    """What joins a router to the world. Cut, nothing goes in or out."""

    __slots__ = ("connected", "packets_not_sent")

    def __init__(self) -> None:
        self.connected = True
        self.packets_not_sent = 0  # the kernel's buffer was full: lost, as on a real line


class UdpPort:
    """One bound socket. Opens on construction; OSError when the address is taken or not ours."""

    def __init__(self, bind: Address, handler: Handler, *, cable: Cable, inbound: Line, outbound: Line) -> None:
        self._handler = handler
        self._cable = cable
        self._inbound = inbound
        self._outbound = outbound
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            self._socket.bind(bind)
        except OSError:
            self._socket.close()
            raise
        bound: Address = self._socket.getsockname()
        self.address = bound
        self._loop.add_reader(self._socket.fileno(), self._read)

    def send(self, data: bytes, to: Address) -> None:
        """Send one packet, or what the line makes of it. Never blocks and never raises for the network's sake."""
        if self._outbound.none:
            self._put(data, to)
        else:
            self._outbound.carry(partial(self._put, data, to))

    def close(self) -> None:
        """Stop reading and give the port back; packets still on the line are lost."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _put(self, data: bytes, to: Address) -> None:
        if self._closed or not self._cable.connected:
            return
        try:
            self._socket.sendto(data, to)
        except OSError:  # full buffer, or an ICMP error of an earlier packet
            self._cable.packets_not_sent += 1

    def _read(self) -> None:
        for _ in range(BATCH_PACKETS):
            if self._closed:
                return
            try:
                data, source = self._socket.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error of an earlier packet; the next read goes on
                continue
            if self._inbound.none:
                self._take(data, source)
            else:
                self._inbound.carry(partial(self._take, data, source))

    def _take(self, data: bytes, source: Address) -> None:
        if self._cable.connected and not self._closed:
            self._handler(data, source)
