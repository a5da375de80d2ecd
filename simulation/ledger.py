"""Billing's truth, worked out a second time and naively: what a service should have, from what people did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from policy.facts import Method, ServiceFacts
from policy.standing import Standing

Document = dict[str, Any]


@dataclass
class Bill:
    """An invoice: what is left to pay of it."""

    number: str
    due_at: datetime
    left_minor: int
    touched: bool = False
    voided: bool = False


@dataclass
class Promise:
    """A hold or an override: until when, and when somebody ended it."""

    id: int
    until: datetime
    facts: Document = field(default_factory=dict)
    ended: bool = False

    def holds(self, now: datetime) -> bool:
        """Whether it counts at this moment."""
        return not self.ended and now < self.until


@dataclass
class Account:
    """A customer's money."""

    subscriber_id: int
    bills: list[Bill] = field(default_factory=list)
    credit_minor: int = 0
    payments: list[tuple[str, int]] = field(default_factory=list)

    def settle(self) -> None:
        """What was paid pays what is owed, the oldest due first."""
        for bill in sorted(self.bills, key=lambda one: (one.due_at, one.number)):
            if bill.voided or not self.credit_minor or not bill.left_minor:
                continue
            part = min(self.credit_minor, bill.left_minor)
            self.credit_minor -= part
            bill.left_minor -= part
            bill.touched = True

    def overdue(self, now: datetime) -> bool:
        """Whether something is unpaid whose time is over; the simulated operator gives no days of grace."""
        return any(bill.left_minor and not bill.voided and bill.due_at <= now for bill in self.bills)


@dataclass
class Line:
    """A service, as the books of the simulation know it."""

    service_id: int
    username: str
    account: Account
    plan: str
    address: str = ""
    prepaid_until: datetime | None = None
    closed: bool = False
    holds: list[Promise] = field(default_factory=list)
    overrides: list[Promise] = field(default_factory=list)
    rejected: tuple[Document | None, Document] | None = None

    def truth(self, plan_versions: dict[str, int], now: datetime) -> ServiceFacts:
        """What the service should be authorised for at this moment, if nobody says no."""
        standing = Standing.CURRENT
        if self.account.overdue(now) and not any(hold.holds(now) for hold in self.holds):
            standing = Standing.SUSPENDED
        if self.closed:
            standing = Standing.CLOSED
        facts = ServiceFacts(
            service_id=self.service_id,
            method=Method.PPPOE,
            standing=standing,
            plan_version_id=plan_versions[self.plan],
            prepaid_until=self.prepaid_until,
            address=self.address,
        )
        for override in self.overrides:
            if override.holds(now) and not self.closed:
                facts = _given_back(facts, override.facts)
        return facts


def _given_back(facts: ServiceFacts, before: Document) -> ServiceFacts:
    """Only the facts that the undone change altered, as they were before it."""
    values: Document = {}
    for name, value in before.items():
        if name == "standing":
            values[name] = Standing(value or "current")
        elif name == "plan_version_id":
            values[name] = value
        elif name == "prepaid_until":
            values[name] = datetime.fromisoformat(value) if value else None
        elif name == "address":
            values[name] = value or ""
        else:
            raise AssertionError(f"an undo touches {name}, which nobody ever changed here")
    return facts._replace(**values)
