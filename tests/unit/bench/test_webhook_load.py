"""The webhooks' load: each once, signed, and its time counts from the moment at which it was due."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.webhook_load import WebhookError, WebhookLoad, Webhooks
from web.hooks import signed

SECRET = "a made-up secret of the test"
STALL_S = 0.4


class _Bank(BaseHTTPRequestHandler):
    """Books what is signed; stalls at a payment of K-7, and refuses one of K-8."""

    protocol_version = "HTTP/1.1"
    told: list[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        (payment,) = signed.verify(headers, body, SECRET, datetime.now(UTC))
        self.told.append(payment.external_id)
        if payment.reference.endswith("K-7"):
            time.sleep(STALL_S)
        said = json.dumps({"outcome": "refused" if payment.reference.endswith("K-8") else "booked"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def bank() -> Iterator[ThreadingHTTPServer]:
    """A web server of the test's own; what it was told is kept in its handler."""
    _Bank.told = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Bank) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _load(bank: ThreadingHTTPServer, references: list[str], count: int, connections: int, per_s: float) -> WebhookLoad:
    return WebhookLoad(
        Webhooks("127.0.0.1", bank.server_port, "/hook", SECRET, references, 5, count, connections, per_s)
    )


def test_each_webhook_is_sent_once(bank: ThreadingHTTPServer) -> None:
    """Over several connections, numbered from the first, and not before it is told to begin."""
    load = _load(bank, ["K-1", "K-2"], count=40, connections=4, per_s=0.0)
    assert not load.is_over()
    load.begin()
    taken = load.taken()
    load.stop()
    assert len(taken) == 40
    assert sorted(_Bank.told) == sorted(f"T-{number}" for number in range(5, 45))


def test_a_stall_is_not_hidden(bank: ThreadingHTTPServer) -> None:
    """Whoever was due while the only connection was busy has waited for it, and that counts."""
    per_s = 100.0
    load = _load(bank, ["K-1", "K-2", "K-7", "K-4", "K-5"], count=5, connections=1, per_s=per_s)
    load.begin()
    taken = load.taken()
    load.stop()
    dues = [one.due_s - taken[0].due_s for one in taken]
    assert dues == pytest.approx([number / per_s for number in range(5)])
    assert taken[-1].took_ms >= (STALL_S - 4 / per_s) * 1000


def test_a_webhook_that_is_not_booked_is_no_result(bank: ThreadingHTTPServer) -> None:
    """Its answer is told."""
    load = _load(bank, ["K-8"], count=1, connections=1, per_s=0.0)
    load.begin()
    with pytest.raises(WebhookError, match="refused"):
        load.taken()
    load.stop()
