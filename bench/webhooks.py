"""`ispagents bench webhooks`: signed webhooks at the real web process, each booked, allocated and due for a review.

The whole installation runs as `ispagents up` starts it. Every webhook is a payment of its own, in full for an open
invoice or in advance, signed as providers sign it, over a few connections that stay open.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bench import report
from bench.figures import percentile
from bench.installed import installation
from bench.servers import process
from bench.webhook_load import AMOUNT_MINOR, WebhookError, WebhookLoad, Webhooks
from ispagents.database import provider_box, secret_box
from ispagents.installation import Installation
from sql.customers import add_operator, add_plan, add_service, add_subscriber, plan_by_name
from sql.models import Operator, Payment
from sql.money.invoices import InvoiceDraft, LineDraft, issue
from sql.money.providers import add_provider
from sql.roles import Role
from sql.sessions import acting_for

ACTOR: Final = "bench"
SECRET: Final = "a made-up secret of the bench"
AT_ONCE: Final = 500
PATIENCE_S: Final = 300.0
LOOK_S: Final = 0.05


class WebhooksBenchError(Exception):
    """Not every webhook is booked, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    customers: int
    webhooks: int
    connections: int


FULL: Final = Size(customers=2000, webhooks=10_000, connections=4)
QUICK: Final = Size(customers=100, webhooks=500, connections=4)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises one of ERRORS, Problem or ServerError."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    with installation("webhooks", say) as machine:
        site = Site(machine, size, say)
        site.build()
        one = site.send(0, min(200, size.webhooks // 10), connections=1)
        say(f"{len(one)} webhooks, one at a time; now {size.webhooks} over {size.connections} connections")
        began = time.monotonic()
        took = site.send(len(one), size.webhooks, connections=size.connections)
        lasted_s = time.monotonic() - began
        site.check(len(one) + size.webhooks)
    return {
        "webhook_p50_ms": percentile(took, 50),
        "webhook_p99_ms": percentile(took, 99),
        "webhook_max_ms": round(max(took), 1),
        "webhooks": size.webhooks,
        "webhooks_per_s": round(size.webhooks / lasted_s, 1),
        "connections": size.connections,
        "customers": size.customers,
        "one_at_a_time_p50_ms": percentile(one, 50),
        "one_at_a_time_p99_ms": percentile(one, 99),
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
            add_plan(session, operator.id, name="Home", facts=facts, price_minor=AMOUNT_MINOR, actor=ACTOR)
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
                drafts.append(InvoiceDraft(subscriber, due_at, [LineDraft("plain", "", AMOUNT_MINOR)]))
            issue(session, operator, drafts, actor=ACTOR)

    def send(self, first: int, count: int, *, connections: int) -> list[float]:
        """Send webhooks over so many connections; how long each took, in ms."""
        settings = self._machine.settings
        references = [_reference(place) for place in range(self._size.customers)]
        load = WebhookLoad(
            Webhooks(
                address=settings.web_address,
                port=settings.web_port,
                path=self._path,
                secret=SECRET,
                references=references,
                first=first,
                count=count,
                connections=connections,
            )
        )
        try:
            load.begin()
            return [one.took_ms for one in load.taken()]
        finally:
            load.stop()

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


ERRORS: Final = (WebhooksBenchError, WebhookError)
