"""The sockets of a router's API: connections, logins, tags, and everything that goes wrong on the way."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from functools import partial

from simulators.clock import Timer
from simulators.routeros import traps
from simulators.routeros.commands import Answer, Commands, Request, read_request
from simulators.routeros.device import Device
from simulators.routeros.permissions import allowed_from, log_in
from simulators.routeros.settings import CHALLENGE_LOGIN_UNTIL, EMPTY_SINCE, PLAIN_LOGIN_SINCE, Break
from simulators.routeros.store import Row
from simulators.routeros.traps import TrapError
from simulators.routeros.trouble import Trouble
from simulators.routeros.words import SENTENCE_BYTES_MAX, Decoder, FramingError, encode


class Connection(asyncio.Protocol):
    """One client. Commands are carried out in the order in which they came, unless a menu is slow."""

    def __init__(self, device: Device, trouble: Trouble, open_ones: set[Connection], service: str) -> None:
        self._device = device
        self._trouble = trouble
        self._open_ones = open_ones
        self._service = service
        self._commands = Commands(device)
        self._decoder = Decoder()
        self._transport: asyncio.Transport
        self._policies: frozenset[str] | None = None
        self._challenge = b""
        self._source = ""
        self._waiting: dict[str | None, list[Timer]] = {}  # what is still under way, by tag
        self._due_s = 0.0
        self._shown: Row | None = None

    # -- the socket ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # a stream server gives nothing else
        self._transport = transport
        self._source = str(transport.get_extra_info("peername")[0])
        service = self._device["/ip/service"].named(self._service)
        if service is None or service.fields["disabled"] == "true" or self._trouble.booting():
            transport.abort()
            return
        if not allowed_from(service.fields["address"], self._source):
            transport.abort()
            return
        self._open_ones.add(self)
        self._show(service.fields)

    def connection_lost(self, _: Exception | None) -> None:
        self._open_ones.discard(self)
        if self._shown is not None:
            self._device["/ip/service"].remove(self._shown)
        for timers in self._waiting.values():
            for timer in timers:
                timer.cancel()
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        delay_s = self._trouble.delay_s()
        if delay_s <= 0.0:
            self._take(data)
            return
        # What came first is seen first, whatever the jitter
        self._due_s = max(self._due_s, self._device.clock.now() + delay_s)
        self._device.clock.call_later(self._due_s - self._device.clock.now(), lambda: self._take(data))

    def _show(self, service: Mapping[str, str]) -> None:
        """Add this connection to /ip/service, as version 7 does (measured by others on 7.23)."""
        settings = self._device.settings
        if settings.release >= (7,) and settings.shows_connections:
            ends = [self._transport.get_extra_info(name) for name in ("sockname", "peername")]
            local, remote = (f"{host}:{port}" for host, port in ends)
            fields = {"name": self._service, "port": service["port"], "connection": "true", "proto": "tcp"}
            self._shown = self._device["/ip/service"].add({**fields, "local": local, "remote": remote}, dynamic=True)

    def drop(self) -> None:
        """End the connection without a word, as a dying router does."""
        self._transport.abort()

    def _take(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            sentences = self._decoder.feed(data)
        except FramingError:
            self.drop()
            return
        for words in sentences:
            if self._transport.is_closing():
                return
            self._handle(read_request(words))

    # -- one request --------------------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> None:
        if request.command == "/login":
            self._login(request)
        elif request.command == "/quit":
            self._fatal("session terminated on request")
        elif self._policies is None:
            self._fatal("not logged in")
        elif request.command == "/cancel":
            self._cancel(request)
        else:
            self._begin(request)

    def _begin(self, request: Request) -> None:
        delay_s = self._trouble.slow_s(request)
        if delay_s <= 0.0:
            self._carry_out(request)
            return

        def late() -> None:
            self._waiting.pop(request.tag, None)
            if not self._transport.is_closing():
                self._carry_out(request)

        self._waiting.setdefault(request.tag, []).append(self._device.clock.call_later(delay_s, late))

    def _carry_out(self, request: Request) -> None:
        broken = self._trouble.next_break(request)
        if broken is Break.BEFORE:
            self.drop()
        elif broken is Break.FATAL:
            self._fatal("connection terminated")
        elif broken is Break.TRAP:
            self._answer(request, TrapError("failure: interrupted"))
        else:
            self._deliver(self._reply(request, self._run(request)), broken)

    def _run(self, request: Request) -> Answer | TrapError:
        assert self._policies is not None  # noqa: S101  # nobody comes here without a login
        try:
            return self._commands.run(request, self._policies)
        except TrapError as trap:
            return trap

    def _deliver(self, data: bytes, broken: Break | None) -> None:
        if broken is Break.SILENT:
            return
        if broken is Break.AFTER:
            self.drop()
        elif broken is Break.MID_REPLY:
            self._transport.write(data[: max(len(data) // 2, 1)])
            self._transport.close()
        else:
            self._transport.write(data)
            if broken is Break.REBOOT:
                self._transport.close()
                self._device.reboot()

    # -- answers ------------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, outcome: Answer | TrapError) -> None:
        self._transport.write(self._reply(request, outcome))

    def _reply(self, request: Request, outcome: Answer | TrapError) -> bytes:
        tag = () if request.tag is None else (f".tag={request.tag}",)
        if isinstance(outcome, TrapError):
            fields = {} if outcome.category is None else {"category": str(outcome.category)}
            return _sentence("!trap", tag, {**fields, "message": outcome.message}) + _sentence("!done", tag)
        parts = [_sentence("!re", tag, row) for row in outcome.rows]
        asked_rows = request.verb in {"print", "getall"} and not outcome.done
        if asked_rows and not parts and self._device.settings.release >= EMPTY_SINCE:
            parts.append(_sentence("!empty", tag))
        parts.append(_sentence("!done", tag, outcome.done))
        return b"".join(parts)

    def _fatal(self, message: str) -> None:
        self._transport.write(_words(["!fatal", message]))
        self._transport.close()

    def _cancel(self, request: Request) -> None:
        tag = request.arguments.get("tag")
        ended = [tag] if tag is not None else list(self._waiting)
        for one in ended:
            for timer in self._waiting.pop(one, []):
                timer.cancel()
                self._answer(Request("", tag=one), TrapError("interrupted", traps.INTERRUPTED))
        self._answer(request, Answer())

    # -- login --------------------------------------------------------------------------------------------------------

    def _login(self, request: Request) -> None:
        arguments, release = request.arguments, self._device.settings.release
        plain = "password" in arguments and release >= PLAIN_LOGIN_SINCE
        if not plain and "response" not in arguments:
            self._challenge = self._device.random.randbytes(16)
            self._answer(request, Answer(done={"ret": self._challenge.hex()}))
            return
        policies = None
        if plain or (release < CHALLENGE_LOGIN_UNTIL and self._challenge):
            policies = log_in(
                self._device.store,
                arguments.get("name", ""),
                self._source,
                password=arguments["password"] if plain else None,
                response=arguments.get("response", ""),
                challenge=self._challenge,
            )
        self._challenge = b""
        if policies is None:
            refused = "invalid user name or password (6)" if release >= PLAIN_LOGIN_SINCE else "cannot log in"
            self._answer(request, TrapError(refused))
            return
        self._policies = policies
        self._decoder.limit_bytes = SENTENCE_BYTES_MAX
        self._answer(request, Answer())


def _words(words: Iterable[str]) -> bytes:
    return encode(word.encode("utf-8", "surrogateescape") for word in words)


def _sentence(reply: str, tag: Iterable[str], fields: Mapping[str, str] | None = None) -> bytes:
    return _words((reply, *tag, *(f"={name}={value}" for name, value in (fields or {}).items())))


class ApiServer:
    """The listening sockets of one router."""

    def __init__(self, device: Device, trouble: Trouble) -> None:
        self._device = device
        self._trouble = trouble
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[Connection] = set()
        device.on_reboot.append(self.drop_all)

    async def start(self) -> None:
        """Listen; OSError when an address or port cannot be had, and then nothing is left open."""
        settings = self._device.settings
        wanted: list[tuple[str, int, ssl.SSLContext | None]] = [("api", settings.port, None)]
        if settings.tls is not None:
            wanted.append(("api-ssl", settings.tls_port, settings.tls.context()))
        loop = asyncio.get_running_loop()
        try:
            for service, port, tls in wanted:
                client = partial(Connection, self._device, self._trouble, self._connections, service)
                self._servers[service] = await loop.create_server(client, settings.address, port, ssl=tls)
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything. Stopping twice does no harm."""
        for server in self._servers.values():
            server.close()
        self.drop_all()
        for server in self._servers.values():
            await server.wait_closed()
        self._servers.clear()

    def port(self, service: str) -> int:
        """Return the port that api or api-ssl listens on."""
        return int(self._servers[service].sockets[0].getsockname()[1])

    @property
    def ports(self) -> list[int]:
        """Return all ports, api's first."""
        return [self.port(service) for service in self._servers]

    def drop_all(self) -> None:
        """End every connection without a word."""
        for connection in list(self._connections):
            connection.drop()
