"""What the chapters of the story share: the installation, the routers, and claims that are checked as they are told."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session as DatabaseSession

from ispagents.demo.field import REDIAL_S, Field
from ispagents.demo.isp import Customer
from ispagents.installation import Installation
from simulators.login import LoginResult
from simulators.sessions import Session
from simulators.settings import Client
from sql.customers import service_by_username
from sql.models import Change, Service, Subscriber
from sql.money.invoices import issue_invoice
from sql.money.payments import receive_payment
from sql.sessions import acting_for

T = TypeVar("T")

PATIENCE_S = 20.0
LOOK_S = 0.01
ACTOR = "demo"
COA_REQUEST = 43  # RFC 5176 section 2.3


class Failed(Exception):  # noqa: N818 - reads as what happened
    """A claim on which the rest of a chapter stands proved false."""


@dataclass
class Scene:
    """The stage. `engine` is the web role's, as every person's command uses it."""

    installation: Installation
    field: Field
    engine: Engine
    operator_id: int
    customers: list[Customer]
    console: Console
    began: datetime
    claims: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.print(Text(title, style="bold"))

    def tell(self, text: str) -> None:
        """Say something."""
        for line in text.splitlines():
            self.console.print(Text(f"    {line}"), soft_wrap=True)

    def claim(self, text: str, held: object, evidence: object = "") -> None:
        """Check a claim, and show the evidence for it."""
        self.claims += 1
        mark = Text("  ok  ", style="green") if held else Text("  NO  ", style="bold red")
        self.console.print(mark + Text(text), soft_wrap=True)
        if evidence != "":
            self.tell(f"  {evidence}")
        if not held:
            self.failures.append(text)

    def need(self, text: str, held: T | None, evidence: object = "") -> T:
        """Check a claim that the rest of the chapter stands on. Raises Failed."""
        self.claim(text, held, evidence)
        if not held:
            raise Failed(text)
        return held

    def wait(self, look: Callable[[], T], patience_s: float = PATIENCE_S) -> T | None:
        """Look until there is something to see, or patience ends."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            found = look()
            if found:
                return found
            time.sleep(LOOK_S)
        return None

    @contextmanager
    def database(self) -> Iterator[DatabaseSession]:
        """A transaction for the demo's operator."""
        with acting_for(self.engine, self.operator_id) as session:
            yield session

    def client(self, customer: Customer, protocol: Any = "pap", *, redials: bool = True) -> Client:
        """The customer's device."""
        method: Any = customer.method
        return Client(
            username="" if method == "hotspot_mac" else customer.username,
            password=customer.password,
            mac=customer.username if method == "hotspot_mac" else customer.mac,
            method=method,
            protocol=protocol,
            redial_s=REDIAL_S if redials else None,
            upload_bps=200_000,
            download_bps=2_000_000,
        )

    def online(self, customer: Customer, protocol: Any = "pap", *, redials: bool = True) -> LoginResult:
        """Let a customer log in at their router."""
        return self.field.login(customer.router, self.client(customer, protocol, redials=redials))

    def live(self, customer: Customer) -> Session | None:
        """The customer's live session at the router, the newest."""
        return next(iter(reversed(self.field.sessions(customer.router, customer.username))), None)

    def service(self, customer: Customer) -> Service:
        """The customer's service as it is stored."""
        with self.database() as session:
            return service_by_username(session, self.operator_id, customer.username)

    def overdue_invoice(self, customer: Customer, amount_minor: int) -> None:
        """An invoice that was due ten days ago."""
        with self.database() as session:
            subscriber = self._subscriber(session, customer)
            due_at = datetime.now(UTC) - timedelta(days=10)
            issue_invoice(
                session,
                subscriber,
                amount_minor=amount_minor,
                due_at=due_at,
                description="Internet, one month",
                actor=ACTOR,
            )

    def pay(self, customer: Customer, amount_minor: int) -> float:
        """A payment; returns the moment of its commit, in seconds of the epoch."""
        with self.database() as session:
            subscriber = self._subscriber(session, customer)
            receive_payment(session, subscriber, amount_minor=amount_minor, method="transfer", actor=ACTOR)
        return time.time()

    def open_sessions(self) -> int:
        """Open sessions in the database that began in this story; an earlier demo's routers never said goodbye."""
        query = text("SELECT count(*) FROM sessions WHERE ended_at IS NULL AND started_at >= :began")
        with self.database() as session:
            return int(session.execute(query, {"began": self.began}).scalar_one())

    def waiting_change(self, customer: Customer) -> Change | None:
        """The change of the customer's service that waits for a person."""
        with self.database() as session:
            service = service_by_username(session, self.operator_id, customer.username)
            return session.scalar(
                select(Change).where(Change.service_id == service.id, Change.state == "awaiting_approval")
            )

    def packet_after(self, customer: Customer, since: float) -> tuple[float, str] | None:
        """The first CoA or Disconnect that the customer's router got after a moment: when, and which."""
        name = customer.username.encode()
        for received in self.field.received(customer.router):
            if received.wall_s >= since and received.acked and not received.duplicate and name in received.packet:
                return received.wall_s, "CoA" if received.code == COA_REQUEST else "Disconnect"
        return None

    def _subscriber(self, session: DatabaseSession, customer: Customer) -> Subscriber:
        service = service_by_username(session, self.operator_id, customer.username)
        return session.get_one(Subscriber, service.subscriber_id)
