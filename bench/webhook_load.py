"""Signed webhooks of payments in a process of their own: `WebhookLoad` starts it, `python -m bench.webhook_load` is it.

With `per_s` it is an open loop: each webhook has a moment at which it is due, however late the answers to others are,
and its time counts from there; so whoever has to wait for a free connection is counted with the wait. Without it a
connection sends the next webhook when the last is answered.
"""

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from bench.helper import Helper
from web.hooks import signed

TIMEOUT_S: Final = 30.0
AMOUNT: Final = "25.00"
AMOUNT_MINOR: Final = 2500


class WebhookError(Exception):
    """A webhook was not taken in, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Webhooks:
    """So many payments of AMOUNT euro, numbered from `first`, by the customers of these references in turn."""

    address: str
    port: int
    path: str
    secret: str
    references: list[str]
    first: int
    count: int
    connections: int
    per_s: float = 0.0


class Taken(NamedTuple):
    """One webhook that was booked: when it was due, by the monotonic clock of this machine, and how long it took."""

    due_s: float
    took_ms: float


class WebhookLoad:
    """The process, from `__init__` to `stop`."""

    def __init__(self, webhooks: Webhooks) -> None:
        """Start it; it waits for `begin`."""
        self._helper = Helper("bench.webhook_load", asdict(webhooks))
        self._helper.hear()

    def begin(self) -> None:
        """Let it send."""
        self._helper.tell("begin")

    def is_over(self) -> bool:
        """Whether the last is answered, or one was not booked."""
        return self._helper.has_said()

    def taken(self) -> list[Taken]:
        """All webhooks, when the last is answered. Raises WebhookError for one that was not booked; ServerError."""
        heard = self._helper.hear()
        if isinstance(heard, str):
            raise WebhookError(heard)
        return [Taken(*one) for one in heard]

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._helper.stop()


def _send_all(webhooks: Webhooks) -> list[Taken]:
    """Send them over all connections. Raises WebhookError."""
    numbers = iter(range(webhooks.count))
    taken: list[Taken] = []
    failed: list[Exception] = []
    began = time.monotonic()

    def work() -> None:
        try:
            taken.extend(_send_some(webhooks, numbers, began))
        except (WebhookError, OSError, http.client.HTTPException) as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(webhooks.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise WebhookError(f"a webhook was not taken in: {failed[0]!r}")
    return taken


def _send_some(webhooks: Webhooks, numbers: Iterator[int], began: float) -> Iterator[Taken]:
    """Over one connection, those that no other has taken: with C's `range` the next number is one step."""
    connection = http.client.HTTPConnection(webhooks.address, webhooks.port, timeout=TIMEOUT_S)
    for number in numbers:
        due = began + number / webhooks.per_s if webhooks.per_s else time.monotonic()
        time.sleep(max(0.0, due - time.monotonic()))
        place = webhooks.first + number
        paid = {
            "id": f"T-{place}",
            "amount": AMOUNT,
            "currency": "EUR",
            "reference": f"Internet {webhooks.references[place % len(webhooks.references)]}",
        }
        connection.request("POST", webhooks.path, *signed_payment(paid, webhooks.secret))
        answer = connection.getresponse()
        said = answer.read()
        yield Taken(due, (time.monotonic() - due) * 1000)
        if answer.status != http.HTTPStatus.OK or b'"booked"' not in said:
            raise WebhookError(f"answered {answer.status}: {said.decode(errors='replace')[:200]}")
    connection.close()


def signed_payment(paid: dict[str, str], secret: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a webhook, signed now."""
    body = json.dumps(paid).encode()
    signature = signed.header(body, secret, datetime.now(UTC))
    return body, {signed.HEADER: signature, "Content-Type": "application/json"}


def main() -> None:
    """Read what to send, say that it is ready, send when told to, and print what came of it."""
    webhooks = Webhooks(**json.loads(sys.stdin.readline()))
    print(json.dumps("ready"), flush=True)
    if not sys.stdin.readline():
        return
    try:
        print(json.dumps(_send_all(webhooks)), flush=True)
    except WebhookError as error:
        print(json.dumps(str(error)), flush=True)


if __name__ == "__main__":
    main()
