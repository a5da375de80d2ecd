"""One non-blocking UDP socket with exactly one source address, and what the network says about its packets.

An unconnected socket learns of ICMP errors only with IP_RECVERR (Linux ip(7)); the error queue gives back the
packet that caused each, so an error is charged to one exchange and not to a whole router. Where the system has
no such queue, a closed port looks like silence.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Any, Final

from network.coa.errors import SourceAddressError

BUFFER_BYTES: Final = 4 * 1024 * 1024  # a burst of replies waits here; the system may give less
RECEIVE_BYTES: Final = 4097  # one more than the largest packet, so that a longer one is seen to be too long
BATCH: Final = 64  # datagrams read before the event loop gets its turn
ERRORS_PER_READ: Final = 256
SEND_TRIES: Final = 8  # each try clears one pending ICMP error of somebody else's packet
IP_RECVERR: Final = 11  # linux/in.h; the socket module does not name them
IPV6_RECVERR: Final = 25
ERROR_QUEUE: Final = getattr(socket, "MSG_ERRQUEUE", None)

NetworkErrorSeen = tuple[tuple[str, int], int, int]
"""((address, port), identifier or -1 if not quoted, errno)"""


class SourceSocket:
    """A socket bound to `source_address` and a port of the system's choice.

    Raises SourceAddressError if this machine does not have the address or has no descriptor left.
    """

    def __init__(self, source_address: str, family: socket.AddressFamily) -> None:
        self.error_pending = False
        """Whether `datagrams` met an ICMP error, which `errors` has to take."""
        try:
            self.socket = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise SourceAddressError(
                f"No socket could be opened ({error.strerror}); raise the open files limit."
            ) from None
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            if ERROR_QUEUE is not None:
                level = (socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)
                self.socket.setsockopt(*level[family == socket.AF_INET6], 1)
            self.socket.bind((source_address, 0))
        except OSError as error:
            self.socket.close()
            raise SourceAddressError(
                f"Packets cannot be sent from {source_address} ({error.strerror}); "
                "routers answer only their RADIUS server's address, so set one that this machine has."
            ) from None

    def send(self, packet: bytes, endpoint: tuple[str, int]) -> tuple[int, Sequence[NetworkErrorSeen]]:
        """Send; returns (0 or the errno that kept it here, errors met on the way as `errors` gives them)."""
        try:
            self.socket.sendto(packet, endpoint)
        except OSError as error:
            return self._send_after(error, packet, endpoint)
        return 0, ()

    def _send_after(
        self, error: OSError, packet: bytes, endpoint: tuple[str, int]
    ) -> tuple[int, Sequence[NetworkErrorSeen]]:
        met: list[NetworkErrorSeen] = []
        for _ in range(SEND_TRIES - 1):
            # A pending ICMP error, even of another router, fails the next call; reading the queue clears it.
            pending = list(self.errors())
            met += pending
            if not pending:
                return error.errno or errno.EIO, met
            try:
                self.socket.sendto(packet, endpoint)
            except OSError as following:
                error = following
            else:
                return 0, met
        return errno.EAGAIN, met

    def datagrams(self) -> list[tuple[bytes, tuple[Any, ...]]]:
        """At most one batch of what has arrived: (bytes, (address, port, and with IPv6 two numbers more))."""
        self.error_pending = False
        receive = self.socket.recvfrom
        found: list[tuple[bytes, tuple[Any, ...]]] = []
        try:
            # What was read before the error stays in the list.
            found.extend(map(receive, repeat(RECEIVE_BYTES, BATCH)))
        except BlockingIOError:
            pass
        except OSError:
            self.error_pending = True
        return found

    def errors(self) -> Iterator[NetworkErrorSeen]:
        """ICMP errors since the last call."""
        if ERROR_QUEUE is None:
            return
        for _ in range(ERRORS_PER_READ):
            try:
                data, ancillary, _, sender = self.socket.recvmsg(RECEIVE_BYTES, 512, ERROR_QUEUE)
            except OSError:
                return
            number = 0
            for _, _, control in ancillary:
                with suppress(struct.error):
                    (number,) = struct.unpack_from("=I", control)  # sock_extended_err.ee_errno comes first
            if sender:
                yield (sender[0], sender[1]), data[1] if len(data) > 1 else -1, number

    def close(self) -> None:
        """Give the port back; late replies are then the kernel's to refuse."""
        self.socket.close()
