"""The RouterOS connector with a simulated router: a customer is a PPP secret and a queue, both marked as ours."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self

from contract_harness import FAST, HERE, PASSWORD, SECRET, Ending, Harness, Trouble

from network.contract import Result, Secret
from network.routeros.abilities import OFFERS
from network.routeros.connection import Connection, connect
from network.routeros.target import Limits, RouterTarget, Security
from network.routeros.undoing import undo_all
from network.routeros.verbs import Applied, apply_all, observe
from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros.difference import difference, proved
from policy.routeros.objects import Item, Wanted
from policy.routeros.style import Style, Way
from policy.routeros.wanted import Line, removal_items, wanted_items
from simulators.routeros import ApiUser, Break, RouterOs, RouterOsSettings
from worker.routeros_reading import queries

USER = "ispagents"
GROUPS = {"looker": "read,api"}
LIMITS = Limits(connect_timeout_s=0.5, command_timeout_s=0.3)
STYLE = Style(ppp=Way.QUEUE)
MENUS = ("/ppp/secret", "/ppp/profile", "/queue/simple", "/ip/firewall/address-list")


class Babbler(asyncio.Protocol):
    """Answers whatever it hears with the same bytes; some of them let everybody in first."""

    def __init__(self, nonsense: bytes, talking: list[asyncio.Transport]) -> None:
        self._nonsense = nonsense
        self._talking = talking

    def connection_made(self, transport):
        self._transport = transport
        self._talking.append(transport)

    def data_received(self, _):
        self._transport.write(self._nonsense)


class RouterOsHarness(Harness):
    """Each verb opens a connection of its own, as after a break."""

    offers = OFFERS

    def __init__(self) -> None:
        super().__init__()
        user = ApiUser(name=USER, password=SECRET)
        self._router = RouterOs(RouterOsSettings(users=(user,), groups=GROUPS))
        self._lines: dict[str, Line] = {}
        self._done: Sequence[Applied] = ()
        self._babbler: asyncio.Server | None = None
        self._talking: list[asyncio.Transport] = []
        self._port = 0  # where it was, or where somebody else is

    async def __aenter__(self) -> Self:
        await self._router.start()
        self._router.add("/ppp/secret", name="somebody else", password="theirs")
        self._router.add("/ppp/secret", name="marked by others", comment="ispagents")
        self._router.add("/queue/simple", name="theirs", target="10.9.9.9/32", max_limit="1M/1M")
        self._router.add("/ip/firewall/address-list", list="paid", address="10.9.9.9")
        self._foreign = self._ids()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._babbler is not None:
            self._babbler.close()
            for transport in self._talking:
                transport.abort()
        await self._router.stop()

    async def customer(self, name: str) -> None:
        number = len(self._lines) + 1
        address = f"10.5.0.{number}"
        self._lines[name] = Line(number, name, Method.PPPOE, password=PASSWORD, address=address)
        await self.bring(name, FAST)

    async def bring(self, name: str, rate: str) -> Ending:
        async def brought() -> Sequence[Result]:
            return await self._apply(name, self._wanted(name, rate))

        return await self.told(brought())

    async def end(self, name: str) -> Ending:
        return await self.told(self._apply(name, removal_items(self._lines[name])))

    def has(self, name: str) -> tuple[int, int] | None:
        line = self._lines[name]
        secrets = self._router.rows("/ppp/secret", name=name, disabled="false")
        standing = self._router.do(lambda device: device.standing(line.address))
        rates = (standing.upload_bps, standing.download_bps)
        return rates if secrets or any(rates) else None

    def others(self) -> object:
        return [row for menu in MENUS for row in self._router.rows(menu) if (menu, row[".id"]) in self._foreign]

    async def begin(self, trouble: Trouble) -> None:
        match trouble:
            case Trouble.SILENT:
                self._router.switch_faults(latency_s=60.0)
            case Trouble.DEAD:
                self._port = self._router.port
                await self._router.stop()
            case Trouble.UNHEARD:
                self._router.break_next("/queue/simple/set", Break.MID_REPLY)
            case Trouble.BREAKS_OFF:
                self._router.break_next("/queue/simple/set", Break.BEFORE)
            case Trouble.REFUSES:
                self._router.set("/user", USER, group="looker")

    async def heal(self) -> None:
        self._router.switch_faults(latency_s=0.0)
        if self._port:
            await self._router.start()
            self._port = 0

    async def babble(self, nonsense: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._babbler = await loop.create_server(lambda: Babbler(nonsense, self._talking), HERE, 0)
        self._port = self._babbler.sockets[0].getsockname()[1]

    async def shows(self, name: str, rate: str) -> bool:
        items = self._wanted(name, rate)
        connection = await self._connected()
        try:
            return not proved(items, await self._seen(connection, name, items))
        finally:
            await connection.close()

    async def undo(self) -> Ending:
        async def undone() -> Sequence[Result]:
            connection = await self._connected()
            try:
                return _results(await undo_all(connection, self._done))
            finally:
                await connection.close()

        return await self.told(undone())

    async def _apply(self, name: str, items: tuple[Wanted, ...]) -> Sequence[Result]:
        connection = await self._connected()
        try:
            plan = difference(items, await self._seen(connection, name, items))
            self._done = await apply_all(connection, [plan])
            return _results(self._done)
        finally:
            await connection.close()

    async def _seen(self, connection: Connection, name: str, items: tuple[Wanted, ...]) -> dict[str, tuple[Item, ...]]:
        found = await observe(connection, queries([(self._lines[name], items)]))
        return {menu: read for menu, read in found.items() if read is not None}

    async def _connected(self) -> Connection:
        port = self._port or self._router.port
        security = Security.PLAIN
        return await connect(
            RouterTarget(
                address=HERE, port=port, username=USER, password=Secret(SECRET), security=security, limits=LIMITS
            )
        )

    def _wanted(self, name: str, rate: str) -> tuple[Wanted, ...]:
        return wanted_items(self._lines[name], Access(Kind.GRANT, Reason.PLAN, rate_limit=rate), STYLE)

    def _ids(self) -> set[tuple[str, str]]:
        return {(menu, row[".id"]) for menu in MENUS for row in self._router.rows(menu)}


def _results(applied: Iterable[Applied]) -> list[Result]:
    return [step.result for one in applied for step in one.steps]
