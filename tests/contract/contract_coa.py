"""The CoA connector with a simulated NAS: a customer is a live session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from contract_harness import FAST, HERE, SECRET, Ending, Harness, Trouble

from network.coa.abilities import OFFERS
from network.coa.target import Retransmission, Target
from network.coa.transport import Transport
from network.coa.verbs import Session, change_authorization, disconnect
from network.contract import Result, Secret
from simulators import rate_limit, sessions
from simulators.companion import Companion
from simulators.nas import Nas
from simulators.settings import Client, NasSettings

ADDRESS = "127.0.3.1"
QUICK = Retransmission(first_timeout_s=0.05, max_timeout_s=0.05, max_attempts=2)


class Unplugged(Companion):
    """Pulls the cable as soon as something was done, so that the answer is lost."""

    def __init__(self, nas: Nas) -> None:
        self._nas = nas

    def changed(self, _: sessions.Session) -> None:
        self._nas.cut()


class Babbler(asyncio.DatagramProtocol):
    """Answers every packet with the same bytes."""

    def __init__(self, nonsense: bytes) -> None:
        self._nonsense = nonsense

    def connection_made(self, transport):
        self._transport = transport

    def datagram_received(self, data, sender):
        # With and without what makes it look like the answer to this very packet.
        self._transport.sendto(self._nonsense, sender)
        self._transport.sendto(bytes((data[0] + 1, data[1])) + self._nonsense, sender)


class CoaHarness(Harness):
    """Sessions with a rate each; another customer's is beside them."""

    offers = OFFERS

    def __init__(self) -> None:
        super().__init__()
        self._nas = Nas(NasSettings(name="tower", address=ADDRESS, radius=((HERE, 9, 9),), coa_port=0, secret=SECRET))
        self._transport = Transport(HERE)
        self._online: dict[str, sessions.Session] = {}
        self._babbler: asyncio.DatagramTransport | None = None
        self._port = 0  # where it was, or where somebody else is

    async def __aenter__(self) -> Self:
        await self._nas.start()
        await self._transport.__aenter__()
        await self.customer("somebody else")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        await self._nas.stop()
        if self._babbler is not None:
            self._babbler.close()

    async def customer(self, name: str) -> None:
        number = len(self._online) + 1
        client = Client(username=name, mac=f"02:00:00:00:00:{number:02X}")
        reply = (("Mikrotik-Rate-Limit", FAST),)
        self._online[name] = self._nas.add_session(client, reply=reply, accounting=False)

    async def bring(self, name: str, rate: str) -> Ending:
        return await self.told(self._change(name, (("Mikrotik-Rate-Limit", rate),)))

    async def end(self, name: str) -> Ending:
        async def ended() -> Sequence[Result]:
            return (await disconnect(self._transport, self._target(), self._session(name)),)

        return await self.told(ended())

    def has(self, name: str) -> tuple[int, int] | None:
        session = self._online[name]
        return rate_limit.limits_bps(session.rate_limit) if session.online else None

    def others(self) -> object:
        other = self._online["somebody else"]
        return other.online, dict(other.attributes), other.session_id

    async def begin(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.SILENT:
                self._nas.cut()
            case Trouble.DEAD | Trouble.BREAKS_OFF:
                self._port = self._nas.coa_port
                await self._nas.stop()
            case Trouble.UNHEARD:
                self._nas.companion = Unplugged(self._nas)
            case Trouble.REFUSES:
                self._nas.switch(coa_requires=("NAS-Identifier",))

    async def heal(self) -> None:
        self._nas.companion = Companion()
        self._nas.restore()
        if self._port:
            await self._nas.start()
            self._port = 0

    async def babble(self, nonsense: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._babbler, _ = await loop.create_datagram_endpoint(lambda: Babbler(nonsense), local_addr=(ADDRESS, 0))
        self._port = self._babbler.get_extra_info("sockname")[1]

    async def _change(self, name: str, attributes: tuple[tuple[str, str], ...]) -> Sequence[Result]:
        return (await change_authorization(self._transport, self._target(), self._session(name), attributes),)

    def _session(self, name: str) -> Session:
        session = self._online[name]
        return Session(user_name=name, acct_session_id=session.session_id, framed_ip_address=session.address)

    def _target(self) -> Target:
        port = self._port or self._nas.coa_port
        return Target(address=ADDRESS, port=port, secret=Secret(SECRET), retransmission=QUICK)
