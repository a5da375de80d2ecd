"""`ispagents bench webhooks`: signed webhooks at the real web process, each booked, allocated and due for a review.

The whole installation runs as `ispagents up` starts it. Every webhook is a payment of its own, in full for an open
invoice or in advance, signed as providers sign it, over a few connections that stay open.
"""

import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bench.servers import process
from ispagents.database import provider_box, secret_box
from ispagents.installation import Installation, running
from ispagents.settings import load
from ispagents.state_folder import StateFolder
from sql.customers import add_operator, add_plan, add_service, add_subscriber, plan_by_name
from sql.models import Operator, Payment
from sql.money.invoices import InvoiceDraft, LineDraft, issue
from sql.money.providers import add_provider
from sql.roles import Role
from sql.sessions import acting_for
from web.hooks import signed

ACTOR: Final = "bench"
SECRET: Final = "a made-up secret of the bench"
OWED_MINOR: Final = 2500
AT_ONCE: Final = 500
PATIENCE_S: Final = 300.0
LOOK_S: Final = 0.05
TIMEOUT_S: Final = 30.0


class WebhooksBenchError(Exception):
    """A webhook was not taken in, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    customers: int
    webhooks: int
    connections: int


FULL: Final = Size(customers=2000, webhooks=10_000, connections=4)
QUICK: Final = Size(customers=100, webhooks=500, connections=4)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises WebhooksBenchError, Problem or ServerError."""
    size, say = (QUICK if quick else FULL), say or _to_stderr
    process.sweep()
    with _installation(say) as machine:
        site = Site(machine, size, say)
        site.build()
        one = site.send(range(min(200, size.webhooks // 10)), connections=1)
        say(f"{len(one)} webhooks, one at a time; now {size.webhooks} over {size.connections} connections")
        began = time.monotonic()
        took = site.send(range(len(one), len(one) + size.webhooks), connections=size.connections)
        lasted_s = time.monotonic() - began
        site.check(len(one) + size.webhooks)
    return {
        "webhook_p50_ms": _percentile(took, 50),
        "webhook_p99_ms": _percentile(took, 99),
        "webhook_max_ms": round(max(took), 1),
        "webhooks": size.webhooks,
        "webhooks_per_s": round(size.webhooks / lasted_s, 1),
        "connections": size.connections,
        "customers": size.customers,
        "one_at_a_time_p50_ms": _percentile(one, 50),
        "one_at_a_time_p99_ms": _percentile(one, 99),
    }


class Site:
    """An operator with customers who owe, and a provider that tells of their payments."""

    def __init__(self, machine: Installation, size: Size, say: Callable[[str], None]) -> None:
        self._machine = machine
        self._size = size
        self._say = say
        self._engine = machine.databases.engine(Role.WEB, pool=2)
        self._operator = 0
        self._path = ""

    def build(self) -> None:
        """Operator, plan, customers with a line and an open invoice each; waits until all lines are open."""
        self._say(f"making {self._size.customers} customers")
        state = self._machine.state
        with Session(self._engine) as session, session.begin():
            operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR)
            self._operator = operator.id
            facts = {"rate_limit": "10M/50M"}
            add_plan(session, operator.id, name="Home", facts=facts, price_minor=OWED_MINOR, actor=ACTOR)
            provider = add_provider(
                session,
                operator.id,
                name="pay",
                kind="signed",
                secret=SECRET,
                box=provider_box(state),
                actor=ACTOR,
            )
            self._path = f"/hooks/{provider.token}"
        for start in range(0, self._size.customers, AT_ONCE):
            self._customers(range(start, min(start + AT_ONCE, self._size.customers)))
        self._until("all lines are open", "SELECT NOT EXISTS (SELECT FROM services WHERE authorised IS NULL)")

    def _customers(self, places: range) -> None:
        box = secret_box(self._machine.state)
        due_at = datetime.now(UTC) + timedelta(days=14)
        with acting_for(self._engine, self._operator) as session:
            operator = session.get_one(Operator, self._operator)
            plan = plan_by_name(session, self._operator, "Home")
            drafts = []
            for place in places:
                subscriber = add_subscriber(session, self._operator, reference=_reference(place), name="x", actor=ACTOR)
                add_service(
                    session,
                    self._operator,
                    subscriber=subscriber,
                    plan=plan,
                    username=f"user{place}",
                    password="made-up password",
                    method="pppoe",
                    box=box,
                    actor=ACTOR,
                )
                drafts.append(InvoiceDraft(subscriber, due_at, [LineDraft("plain", "", OWED_MINOR)]))
            issue(session, operator, drafts, actor=ACTOR)

    def send(self, numbers: range, *, connections: int) -> list[float]:
        """Send webhooks over so many connections; how long each took, in ms."""
        took: list[float] = []
        failed: list[BaseException] = []

        def work(share: range) -> None:
            try:
                took.extend(self._send_all(share))
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                failed.append(error)

        shares = [numbers[place::connections] for place in range(connections)]
        threads = [threading.Thread(target=work, args=(share,)) for share in shares]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return took

    def _send_all(self, numbers: range) -> Iterator[float]:
        settings = self._machine.settings
        connection = http.client.HTTPConnection(settings.web_address, settings.web_port, timeout=TIMEOUT_S)
        for number in numbers:
            paid = {
                "id": f"T-{number}",
                "amount": "25.00",
                "currency": "EUR",
                "reference": f"Internet {_reference(number % self._size.customers)}",
            }
            body = json.dumps(paid).encode()
            headers = {
                signed.HEADER: signed.header(body, SECRET, datetime.now(UTC)),
                "Content-Type": "application/json",
            }
            began = time.perf_counter()
            connection.request("POST", self._path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
            yield (time.perf_counter() - began) * 1000
            if answer.status != http.HTTPStatus.OK or b'"booked"' not in said:
                raise WebhooksBenchError(f"a webhook was answered {answer.status}: {said.decode()[:200]}")
        connection.close()

    def check(self, count: int) -> None:
        """Every webhook is a payment."""
        with acting_for(self._engine, self._operator) as session:
            found = session.scalar(select(func.count()).select_from(Payment)) or 0
        if found != count:
            raise WebhooksBenchError(f"{found} payments are booked instead of {count}")

    def _until(self, what: str, holds: str) -> None:
        given_up_at = time.monotonic() + PATIENCE_S
        while True:
            with acting_for(self._engine, self._operator) as session:
                if session.execute(text(holds)).scalar_one():
                    return
            if time.monotonic() > given_up_at:
                raise WebhooksBenchError(f"waited {PATIENCE_S:.0f} s for: {what}")
            time.sleep(LOOK_S)


def _reference(place: int) -> str:
    return f"K-{100000 + place}"


@contextmanager
def _installation(say: Callable[[str], None]) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="ispagents-bench-webhooks-", dir="/tmp") as parent:
        Path(parent).chmod(0o711)
        state = StateFolder(Path(parent) / "state")
        settings = load(state.path, radius_auth_port=0, radius_acct_port=0, web_port=0)
        with running(state, settings, say) as machine:
            yield machine


def _percentile(values: list[float], percent: int) -> float:
    at: float = quantiles(values, n=100, method="inclusive")[percent - 1]
    return round(at, 1)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


ERRORS: Final = (WebhooksBenchError,)
