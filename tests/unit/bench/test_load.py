"""The generator against a responder on loopback that this test runs itself."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from hashlib import md5

import pytest

from bench import packets, subscribers
from bench.load import Generator, Load, LoadError

SECRET = "of-the-bench"
Answer = Callable[[bytes], bytes | None]


@pytest.fixture
def responder() -> Iterator[Callable[[Answer], int]]:
    """Starts a server that answers each packet by the given function; ends with the test."""
    ended: list[tuple[socket.socket, threading.Thread]] = []
    over = threading.Event()

    def serve(one: socket.socket, answer: Answer) -> None:
        while not over.is_set():
            try:
                request, asker = one.recvfrom(4096)
            except TimeoutError:
                continue
            if (reply := answer(request)) is not None:
                one.sendto(reply, asker)

    def start(answer: Answer) -> int:
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        one.settimeout(0.05)
        thread = threading.Thread(target=serve, args=(one, answer))
        thread.start()
        ended.append((one, thread))
        port: int = one.getsockname()[1]
        return port

    yield start
    over.set()
    for one, thread in ended:
        thread.join()
        one.close()


def _accept(request: bytes, *, rate: str | None = None, code: int = packets.ACCESS_ACCEPT) -> bytes:
    text = (rate or subscribers.rate_limit(packets.subscriber_of(request))).encode()
    body = packets.attribute(26, struct.pack("!IBB", 14988, 8, len(text) + 2) + text)
    head = struct.pack("!BBH", code, request[1], 20 + len(body))
    return head + md5(head + request[4:20] + body + SECRET.encode(), usedforsecurity=False).digest() + body


def _load(port: int) -> Load:
    return Load(port=port, secret=SECRET, users=500, seconds=0.3, warm_up_seconds=0.05, window=16, packets=2048)


def test_correct_answers_are_counted_and_verified(responder: Callable[[Answer], int]) -> None:
    """Every login is answered, a sample is verified, the percentiles are in order."""
    outcome = Generator(_load(responder(_accept))).run()
    assert outcome.measured > 100
    assert (outcome.rejected, outcome.lost, outcome.wrong, outcome.stray) == (0, 0, 0, 0)
    assert outcome.verified > 0
    assert 0 < outcome.p50_ms <= outcome.p99_ms <= outcome.max_ms


def test_a_wrong_rate_is_found(responder: Callable[[Answer], int]) -> None:
    """A fast server that gives everybody the same speed does not pass."""
    outcome = Generator(_load(responder(lambda request: _accept(request, rate="1/1")))).run()
    assert outcome.wrong == outcome.verified > 0
    assert "was given the rate 1/1" in outcome.first_wrong


def test_refusals_are_counted(responder: Callable[[Answer], int]) -> None:
    """Access-Reject is an answer, but not a login."""
    outcome = Generator(_load(responder(lambda request: _accept(request, code=packets.ACCESS_REJECT)))).run()
    assert outcome.rejected > 0
    assert outcome.wrong > 0


def test_silence_ends_by_itself_and_is_counted(
    responder: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that never answers costs the run's time, not for ever; open requests are lost and were sent again."""
    monkeypatch.setattr("bench.load.RESEND_AFTER_S", 0.1)
    monkeypatch.setattr("bench.load.GIVE_UP_AFTER_S", 0.1)
    outcome = Generator(_load(responder(lambda _: None))).run()
    assert (outcome.measured, outcome.lost) == (0, 16)
    assert outcome.resent >= 16


def test_a_closed_port_is_a_sentence() -> None:
    """Nothing listening is told as such."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with pytest.raises(LoadError, match="nothing listens"):
        Generator(_load(port)).run()


@pytest.mark.parametrize(
    "wrong",
    [{"address": "192.0.2.1"}, {"seconds": 1e9}, {"users": 0}, {"window": 63}, {"window": 1024}],
)
def test_unbounded_or_foreign_load_is_refused(wrong: dict[str, object]) -> None:
    """Load stays on loopback and bounded."""
    with pytest.raises(LoadError):
        Load(**{"port": 1, "secret": "x", "users": 1, **wrong})  # type: ignore[arg-type]
