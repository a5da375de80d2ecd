"""The load generator: a closed loop of logins against one server on loopback, in a process of its own.

    python -m bench.load --port 1812 --secret testing123 --users 10000 --seconds 4

Everything is encoded before the clock starts, answers are read into one buffer, and only a sample of them is kept and
verified after the clock has stopped, so that a login costs the generator about 6 us.
"""

import argparse
import gc
import json
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from itertools import cycle, islice
from typing import Final, Literal, get_args

from bench import packets, subscribers

MAX_SECONDS: Final = 120.0  # a load test must stop by itself
MAX_PACKETS: Final = 262_144  # about 90 MB of encoded requests; a longer run asks the same subscribers again
SAMPLE_EVERY: Final = 64  # one answer in so many is verified completely
MAX_SAMPLES: Final = 4_096
RESEND_AFTER_S: Final = 1.0  # between RouterOS's defaults of 0.3 and 1.1 s
GIVE_UP_AFTER_S: Final = 3.0  # for the last open requests, when the time is over
RECEIVE_BYTES: Final = 1 << 20  # socket buffer: a whole window of answers fits many times
# Answers are taken in bursts, as a network card with interrupt moderation hands them over. Otherwise a server that is
# slower than this process pays for waking it at every answer: 10 to 20 us of a login, which no server pays on a network
# and the fastest does not pay here.
MODERATION_S: Final = 0.0002
LARGEST_PACKET: Final = 4096  # RFC 2865 section 3

ExpectedRate = Literal["plan", "billing", "any", "none"]


class LoadError(Exception):
    """The load could not be put on; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask, of whom, for how long."""

    port: int
    secret: str
    users: int
    address: str = "127.0.0.1"
    seconds: float = 4.0
    warm_up_seconds: float = 0.3
    window: int = 64
    sockets: int = 4
    packets: int = MAX_PACKETS
    seed: int = 1
    rate: ExpectedRate = "plan"
    """`plan`: the subscriber's own; `billing`: what billing lets him have of it; `any`: some Mikrotik-Rate-Limit;
    `none`: answers are not verified at all.
    """

    def __post_init__(self) -> None:
        if not self.address.startswith("127."):
            raise LoadError(f"{self.address} is not on loopback: load goes to servers of this machine only")
        if not 0 < self.seconds + self.warm_up_seconds <= MAX_SECONDS:
            raise LoadError(f"a load runs for at most {MAX_SECONDS:.0f} s")
        if not 0 < self.users <= subscribers.MAX_SUBSCRIBERS:
            raise LoadError(f"users must be 1 to {subscribers.MAX_SUBSCRIBERS}")
        if self.window % self.sockets or not 0 < self.window <= self.sockets * packets.IDENTIFIERS // 2:
            raise LoadError("the window must be a multiple of the sockets, and at most 128 a socket")


@dataclass(slots=True)
class Outcome:
    """What one load run saw. Rate and latencies leave the warm-up and the end out; `answered` counts everything."""

    logins_per_s: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    measured: int = 0
    answered: int = 0
    rejected: int = 0
    resent: int = 0
    lost: int = 0
    stray: int = 0
    verified: int = 0
    signed: int = 0
    wrong: int = 0
    first_wrong: str = ""
    encode_us: float = 0.0
    generator_us: float = 0.0
    """CPU of the generator itself for each login, so that its share of the machine is known."""


@dataclass(slots=True)
class Lane:
    """One socket with its 256 identifiers."""

    receive: Callable[[bytearray], int]
    send: Callable[[bytes], int]
    upcoming: "cycle[bytes]"
    sent_at: list[float]  # by identifier; 0.0 means free
    flying: list[bytes]

    def send_next(self, now: float) -> None:
        packet = next(self.upcoming)
        while self.sent_at[packet[1]]:  # an identifier still open after 255 others: leave it to the resend
            packet = next(self.upcoming)
        self.sent_at[packet[1]] = now
        self.flying[packet[1]] = packet
        self.send(packet)

    def resend(self, before: float, now: float) -> int:
        late = [identifier for identifier, at in enumerate(self.sent_at) if 0.0 < at < before]
        for identifier in late:
            self.sent_at[identifier] = now
            self.send(self.flying[identifier])
        return len(late)

    def open(self) -> int:
        return sum(1 for at in self.sent_at if at)


class Generator:
    """One run. Sockets live only inside `run`."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._outcome = Outcome()
        self._latencies: list[float] = []
        self._samples: list[tuple[bytes, bytes]] = []

    def run(self) -> Outcome:
        load = self._load
        lane_packets = -(-min(load.packets, MAX_PACKETS) // (load.sockets * packets.IDENTIFIERS)) * packets.IDENTIFIERS
        started = time.perf_counter()
        encoder = packets.Encoder(load.secret.encode())
        stream = encoder.stream(load.seed, load.users, lane_packets * load.sockets)
        prepared = [list(islice(stream, lane_packets)) for _ in range(load.sockets)]
        self._outcome.encode_us = (time.perf_counter() - started) / (lane_packets * load.sockets) * 1e6
        sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in prepared]
        gc.collect()
        gc.disable()
        try:
            for one in sockets:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                one.connect((load.address, load.port))
            lanes = {
                one.fileno(): Lane(one.recv_into, one.send, cycle(own), [0.0] * 256, [b""] * 256)
                for one, own in zip(sockets, prepared, strict=True)
            }
            cpu = time.process_time()
            self._drive(lanes)
            self._drain(lanes)
            self._outcome.generator_us = (time.process_time() - cpu) / max(1, self._outcome.answered) * 1e6
        except ConnectionRefusedError:
            raise LoadError(f"nothing listens on {load.address}:{load.port}; look at the server's log") from None
        finally:
            gc.enable()
            for one in sockets:
                one.close()
        self._summarise()
        return self._outcome

    def _drive(self, lanes: dict[int, Lane]) -> None:
        """The hot loop: nothing here that is not needed for every packet."""
        load, outcome, latencies, samples = self._load, self._outcome, self._latencies, self._samples
        clock, sleep, buffer = time.perf_counter, time.sleep, bytearray(LARGEST_PACKET)
        answered = rejected = stray = 0
        with select.epoll() as poller:
            for descriptor in lanes:
                poller.register(descriptor, select.EPOLLIN)
            poll, sockets = poller.poll, len(lanes)
            now = clock()
            counted_from = now + load.warm_up_seconds
            until = counted_from + load.seconds
            look_at = now + RESEND_AFTER_S / 4
            for lane in lanes.values():
                for _ in range(load.window // sockets):
                    lane.send_next(now)
            while now < until:
                events = poll(0, sockets)
                if not events:
                    sleep(MODERATION_S)
                    events = poll(0.05, sockets)
                for descriptor, _ in events:
                    lane = lanes[descriptor]
                    size = lane.receive(buffer)
                    now = clock()
                    sent_at, identifier = lane.sent_at, buffer[1]
                    sent = sent_at[identifier]
                    if not sent:
                        stray += 1
                        continue
                    answered += 1
                    if now >= counted_from:
                        latencies.append(now - sent)
                    if buffer[0] != packets.ACCESS_ACCEPT:
                        rejected += 1
                    if not answered % SAMPLE_EVERY and len(samples) < MAX_SAMPLES:
                        samples.append((lane.flying[identifier], bytes(buffer[:size])))
                    sent_at[identifier] = 0.0
                    packet = next(lane.upcoming)
                    while sent_at[packet[1]]:
                        packet = next(lane.upcoming)
                    sent_at[packet[1]] = now
                    lane.flying[packet[1]] = packet
                    lane.send(packet)
                now = clock()
                if now >= look_at:
                    look_at = now + RESEND_AFTER_S / 4
                    outcome.resent += sum(lane.resend(now - RESEND_AFTER_S, now) for lane in lanes.values())
        outcome.answered, outcome.rejected, outcome.stray = answered, rejected, stray
        outcome.measured = len(latencies)
        outcome.logins_per_s = len(latencies) / (now - counted_from)

    def _drain(self, lanes: dict[int, Lane]) -> None:
        """Waits for what is still open, so that the next server is not measured beside this one's rest."""
        buffer = bytearray(LARGEST_PACKET)
        until = time.perf_counter() + GIVE_UP_AFTER_S
        while (waiting := [d for d, lane in lanes.items() if lane.open()]) and time.perf_counter() < until:
            for descriptor in select.select(waiting, [], [], 0.05)[0]:
                lanes[descriptor].receive(buffer)
                if lanes[descriptor].sent_at[buffer[1]]:
                    lanes[descriptor].sent_at[buffer[1]] = 0.0
                    self._outcome.answered += 1
        self._outcome.lost = sum(lane.open() for lane in lanes.values())

    def _summarise(self) -> None:
        outcome, ordered = self._outcome, sorted(self._latencies)
        if ordered:
            outcome.p50_ms = ordered[len(ordered) // 2] * 1e3
            outcome.p99_ms = ordered[len(ordered) * 99 // 100] * 1e3
            outcome.max_ms = ordered[-1] * 1e3
        if self._load.rate == "none":
            return
        verifier = packets.Verifier(self._load.secret.encode())
        for request, answer in self._samples:
            outcome.verified += 1
            try:
                reply = verifier.check(request, answer)
                outcome.signed += reply.signed
                self._compare(request, reply)
            except packets.BadReplyError as error:
                outcome.wrong += 1
                outcome.first_wrong = outcome.first_wrong or str(error)

    def _compare(self, request: bytes, reply: packets.Reply) -> None:
        subscriber = packets.subscriber_of(request)
        name = subscribers.user_name(subscriber)
        if reply.code != packets.ACCESS_ACCEPT:
            raise packets.BadReplyError(f"{name} was answered with code {reply.code}")
        match self._load.rate:
            case "plan":
                right: str | None = subscribers.rate_limit(subscriber)
            case "billing":
                right = subscribers.decided_rate(subscriber)
            case _:
                right = reply.rate_limit
        if reply.rate_limit is None or reply.rate_limit != right:
            raise packets.BadReplyError(f"{name} was given the rate {reply.rate_limit}, not {right}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Logins against one RADIUS server on loopback.")
    for field in fields(Load):
        required = field.name in {"port", "secret", "users"}
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default) if not required else (str if field.name == "secret" else int),
            required=required,
            default=None if required else field.default,
            choices=get_args(ExpectedRate) if field.name == "rate" else None,
        )
    try:
        outcome = Generator(Load(**vars(parser.parse_args()))).run()
    except LoadError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print(json.dumps(asdict(outcome)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
