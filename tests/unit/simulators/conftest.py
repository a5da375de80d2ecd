"""A RADIUS server and a CoA client made of pyrad, so that the router is judged by another codec than its own."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import pytest
from pyrad import packet as pyrad_packet
from pyrad.dictionary import Dictionary

from simulators.attributes import DICTIONARY_FILE
from simulators.clock import Clock
from simulators.nas import Nas
from simulators.settings import NasSettings

SECRET = b"made-up-secret"
NAS_ADDRESS = "127.0.0.11"
DICTIONARY = Dictionary(str(DICTIONARY_FILE))
Reply = tuple[int, dict[str, Any]]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


class Server(asyncio.DatagramProtocol):
    """A scripted RADIUS server: keeps what it gets, answers what `reply` says, mute while `mute`."""

    def __init__(self) -> None:
        self.access: list[pyrad_packet.AuthPacket] = []
        self.records: list[pyrad_packet.AcctPacket] = []
        self.reply: Callable[[pyrad_packet.AuthPacket], Reply] = lambda _: (pyrad_packet.AccessAccept, {})
        self.signs = True
        self.secret = SECRET
        self.mute = 0  # this many packets get no answer
        self.transport: asyncio.DatagramTransport
        self._arrival = asyncio.Event()

    def connection_made(self, transport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)

    @property
    def address(self) -> tuple[str, int, int]:
        host, port = self.transport.get_extra_info("sockname")
        return (host, port, port)

    def accept(self, **attributes: Any) -> None:
        """Answer every login with an Access-Accept of these attributes."""
        named = {name.replace("_", "-"): value for name, value in attributes.items()}
        self.reply = lambda _: (pyrad_packet.AccessAccept, named)

    def records_of(self, status: str) -> list[pyrad_packet.AcctPacket]:
        return [record for record in self.records if record["Acct-Status-Type"] == [status]]

    async def heard(self) -> None:
        """Wait for the next packet."""
        self._arrival.clear()
        await self._arrival.wait()

    def datagram_received(self, data: bytes, source) -> None:
        self._arrival.set()
        is_access = data[0] == pyrad_packet.AccessRequest
        kind = pyrad_packet.AuthPacket if is_access else pyrad_packet.AcctPacket
        request = kind(packet=data, secret=SECRET, dict=DICTIONARY)
        (self.access if is_access else self.records).append(request)
        if not is_access:
            assert request.VerifyAcctRequest()
        if self.mute:
            self.mute -= 1
            return
        request.secret = self.secret
        reply = request.CreateReply()
        if is_access:
            reply.code, attributes = self.reply(request)
            for name, value in attributes.items():
                reply[name] = value
            reply.message_authenticator = None
            if self.signs:
                reply.add_message_authenticator()
        self.transport.sendto(reply.ReplyPacket(), source)


class CoaClient:
    """Sends CoA and Disconnect requests from one address with pyrad's codec."""

    def __init__(self, nas: Nas, address: str = "127.0.0.1", secret: bytes = SECRET) -> None:
        self._nas = nas
        self._secret = secret
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((address, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def request(self, code: int, *, signed: bool = True, **attributes: Any) -> pyrad_packet.CoAPacket:
        packet = pyrad_packet.CoAPacket(code, secret=self._secret, dict=DICTIONARY, message_authenticator=signed)
        for name, value in attributes.items():
            packet[name.replace("_", "-")] = value
        return packet

    def send(self, packet: pyrad_packet.CoAPacket) -> None:
        self._socket.sendto(packet.RequestPacket(), (self._nas.settings.address, self._nas.coa_port))

    async def answer_to(self, packet: pyrad_packet.CoAPacket) -> pyrad_packet.CoAPacket:
        data = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
        return packet.VerifyReply(packet.CreateReply(packet=data), data) and packet.CreateReply(packet=data)

    async def ask(self, code: int, **attributes: Any) -> tuple[int, list[Any]]:
        """Send a request and return the code and the Error-Cause of its genuine answer."""
        packet = self.request(code, **attributes)
        self.send(packet)
        reply = await self.answer_to(packet)
        assert reply, "the answer is not genuine"
        return reply.code, list(reply.get("Error-Cause", []))

    async def coa(self, **attributes: Any) -> tuple[int, list[Any]]:
        return await self.ask(pyrad_packet.CoARequest, **attributes)

    async def disconnect(self, **attributes: Any) -> tuple[int, list[Any]]:
        return await self.ask(pyrad_packet.DisconnectRequest, **attributes)

    def has_an_answer(self) -> bool:
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return False
        return True


Town = Callable[..., AbstractAsyncContextManager[tuple[Nas, Server]]]


@pytest.fixture
def town() -> Town:
    """A started router and its RADIUS server; keyword arguments are settings of the router."""

    @asynccontextmanager
    async def build(clock: Clock | None = None, **settings: Any) -> AsyncIterator[tuple[Nas, Server]]:
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
        wanted = {
            "name": "tower-1",
            "address": NAS_ADDRESS,
            "radius": (server.address,),
            "secret": SECRET,
            "coa_port": 0,
            **settings,
        }
        try:
            async with Nas(NasSettings(**wanted), clock) as nas:
                yield nas, server
        finally:
            transport.close()
            await asyncio.sleep(0)  # lets the transport close its socket

    return build


@pytest.fixture
def coa_client() -> type[CoaClient]:
    """A sender of CoA and Disconnect."""
    return CoaClient
