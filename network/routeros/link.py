"""A connection's commands and replies: tags, the window, limits, and the end.

    ask() -> waiting (above the window) -> in flight -> Reply, or an error

Commands leave in the order in which they were asked for, and their tags are never used twice. Whatever is not the
protocol ends the link, since from there on no answer can be told to belong to a command: what is in flight becomes
unknown, what waits was not sent. Everything happens in callbacks of one event loop; what is asked for in one turn of
it leaves as one write, and one timer serves all commands.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from network.routeros.errors import (
    MAYBE_DONE,
    MalformedReplyError,
    NotSentError,
    RefusedError,
    RouterosError,
    TooManyError,
    UnknownOutcomeError,
)
from network.routeros.target import Limits
from network.routeros.traps import Trap, classify
from network.routeros.words import Reader, Sentence, decode, encode

MAX_WAITING: Final = 65_536  # a whole router's services, twice; memory stays bounded
MAX_TRAPS: Final = 16  # of one command; more is a flood
MAX_REASON: Final = 200  # characters of a router's last words that are kept


class Reply(NamedTuple):
    """A whole reply: its rows, the fields of `!done` (`ret` of an add), and how long it took from sending."""

    rows: list[dict[str, str]]
    done: dict[str, str]
    round_trip_ms: float


class Flight:
    """One command, from being asked for to its end."""

    __slots__ = ("deadline_s", "future", "held", "max_rows", "payload", "rows", "sent_s", "tag", "timeout_s", "traps")

    def __init__(
        self, tag: str, payload: bytes, future: asyncio.Future[Reply], timeout_s: float, max_rows: int
    ) -> None:
        self.tag = tag
        self.payload = payload
        self.future = future
        self.timeout_s = timeout_s
        self.max_rows = max_rows
        self.rows: list[dict[str, str]] = []
        self.traps: list[Trap] = []
        self.held = 0
        self.sent_s = 0.0
        self.deadline_s = math.inf


class Link(asyncio.Protocol):
    """The protocol of one connection; `ask` may be called by anything in its event loop."""

    def __init__(self, where: str, window: int, limits: Limits) -> None:
        self._where = where
        self._window = window
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._reader = Reader(begins=b"!")
        self._transport: asyncio.Transport | None = None
        self._tags = 0
        self._in_flight: dict[str, Flight] = {}
        self._waiting: deque[Flight] = deque()
        self._outgoing: list[bytes] = []
        self._held = 0
        self._paused = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at_s = math.inf
        self._lost = self._loop.create_future()
        self.heard_s = self._loop.time()
        """When the router was last heard of, by the loop's clock."""
        self.ended: tuple[str, str] | None = None
        """Why it is over, as a word and a sentence; None while it is not."""

    def ask(
        self, words: Sequence[str], *, timeout_s: float | None = None, max_rows: int | None = None
    ) -> asyncio.Future[Reply]:
        """Send a command as soon as the window allows; the future has the reply, or raises.

        RefusedError: the router said no. UnknownOutcomeError: it was sent, and the link ended before the answer.
        NotSentError: the link ended before. Raises InvalidCommandError and TooManyError at once. Cancelling the future
        sends nothing more, but what was sent is carried out all the same.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise TooManyError(f"{MAX_WAITING} commands wait for {self._where}; wait for them first.")
        self._tags += 1
        tag = str(self._tags)
        payload = encode((*words, f".tag={tag}"))
        future: asyncio.Future[Reply] = self._loop.create_future()
        if self.ended is not None:
            future.set_exception(NotSentError(*self.ended))
            return future
        limits = self._limits
        flight = Flight(tag, payload, future, timeout_s or limits.command_timeout_s, max_rows or limits.max_rows)
        self._waiting.append(flight)
        self._pump()
        return future

    def end(self, why: str, sentence: str) -> None:
        """Drop the connection; harmless when it is over."""
        if self.ended is not None:
            return
        self.ended = (why, sentence)
        if self._alarm is not None:
            self._alarm.cancel()
        if self._transport is not None:
            self._transport.abort()
        else:
            self._set_lost()
        for flight in self._in_flight.values():
            self._fail(flight, UnknownOutcomeError(why, f"{sentence} {MAYBE_DONE}"))
        for flight in self._waiting:
            self._fail(flight, NotSentError(why, f"{sentence} The command was not sent."))
        self._in_flight.clear()
        self._waiting.clear()
        self._outgoing.clear()

    async def lost(self) -> None:
        """Wait until the socket is closed."""
        await asyncio.shield(self._lost)

    @property
    def load(self) -> int:
        """Commands that are waiting or in flight."""
        return len(self._in_flight) + len(self._waiting)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("The API is spoken over a stream.")
        self._transport = transport
        if self.ended is not None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.ended is not None:
            return
        self.heard_s = self._loop.time()
        try:
            for words in self._reader.feed(data):
                self._take(decode(words), sum(map(len, words)))
                if self.ended is not None:
                    return
        except MalformedReplyError as error:
            self.end(
                "malformed", f"{self._where} sent what is not the API's protocol ({error}): is it another service?"
            )
        self._pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.end("closed", f"{self._where} ended the connection{f' ({error})' if error else ''}.")
        self._set_lost()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._pump()

    # Sending.

    def _pump(self) -> None:
        waiting, in_flight = self._waiting, self._in_flight
        while waiting and len(in_flight) < self._window and not self._paused and self._transport is not None:
            flight = waiting.popleft()
            if flight.future.cancelled():
                continue
            in_flight[flight.tag] = flight
            flight.sent_s = self._loop.time()
            flight.deadline_s = flight.sent_s + flight.timeout_s
            if flight.deadline_s < self._alarm_at_s:
                self._set_alarm(flight.deadline_s)
            if not self._outgoing:
                self._loop.call_soon(self._flush)
            self._outgoing.append(flight.payload)
            flight.payload = b""

    def _flush(self) -> None:
        if self._outgoing and self._transport is not None:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _set_alarm(self, at_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(at_s, self._look_at_the_clock)
        self._alarm_at_s = at_s

    def _look_at_the_clock(self) -> None:
        self._alarm, self._alarm_at_s = None, math.inf
        now_s = self._loop.time()
        first = min(self._in_flight.values(), key=lambda flight: flight.deadline_s, default=None)
        if first is None:
            return
        if first.deadline_s <= now_s:
            self.end("timeout", f"{self._where} did not answer within {first.timeout_s:g} s, and was hung up on.")
        else:
            self._set_alarm(first.deadline_s)

    # Taking in.

    def _take(self, sentence: Sentence, size: int) -> None:
        if sentence.kind == "!fatal":
            reason = "".join(one for one in " ".join(sentence.bare) if one.isprintable())[:MAX_REASON]
            self.end("fatal", f"{self._where} ended the connection ({reason or 'no reason given'}).")
            return
        flight = self._in_flight.get(sentence.tag)
        if flight is None:
            raise MalformedReplyError("an answer belongs to no command")
        if sentence.kind == "!done":
            self._land(flight, sentence)
            return
        flight.held += size
        self._held += size
        if self._held > self._limits.max_reply_bytes or len(flight.traps) >= MAX_TRAPS:
            self.end("too_large", f"{self._where} answered with more than {self._limits.max_reply_bytes} bytes.")
        elif sentence.kind == "!trap":
            flight.traps.append(Trap(sentence.fields.get("message", ""), sentence.fields.get("category", "")))
        elif sentence.kind == "!re":
            if len(flight.rows) >= flight.max_rows:
                self.end("too_large", f"{self._where} answered with more than {flight.max_rows} rows.")
            elif not flight.future.cancelled():
                flight.rows.append(sentence.fields)

    def _land(self, flight: Flight, done: Sentence) -> None:
        del self._in_flight[flight.tag]
        self._held -= flight.held
        if flight.future.cancelled():
            return
        if flight.traps:
            self._fail(flight, classify(flight.traps))
        else:
            took_ms = (self._loop.time() - flight.sent_s) * 1000
            flight.future.set_result(Reply(flight.rows, done.fields, took_ms))

    @staticmethod
    def _fail(flight: Flight, error: RouterosError | RefusedError) -> None:
        if not flight.future.done():
            flight.future.set_exception(error)

    def _set_lost(self) -> None:
        if not self._lost.done():
            self._lost.set_result(None)
