"""Customers and the office: what moves the truth. The ledger is told the same, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from simulation.database import EPOCH
from simulation.ledger import Bill, Line, Promise
from simulation.world import World
from sql import customers
from sql.holds import add_hold, end_hold
from sql.models import Hold, Service, Subscriber
from sql.money.invoices import issue_invoice, void_invoice
from sql.money.payments import receive_payment
from sql.money.plan_changes import change_plan_of
from sql.roles import Role

CLERK = "clerk"
PRICE_MINOR = 1000


class Billing:
    """The office. Each method is one thing that happens, drawn by chance."""

    def __init__(
        self, world: World, lines: list[Line], plan_versions: dict[str, int], new_line: Callable[[], None]
    ) -> None:
        """With the customers that there are; `new_line` makes one more."""
        self._world = world
        self._lines = lines
        self._plans = plan_versions
        self._new_line = new_line
        self._number = 0

    def something(self) -> None:
        """One thing happens."""
        choice = self._world.random.choices(
            (
                self.invoice,
                self.pay,
                self.void,
                self.hold,
                self.end_hold,
                self.change_plan,
                self.new_plan_version,
                self.prepaid,
                self.address,
                self.close,
                self._new_line,
            ),
            (10, 9, 1, 2, 1, 5, 1, 2, 2, 1, 1),
        )[0]
        choice()

    def two_plans(self) -> list[str]:
        """Two different plans."""
        return self._world.random.sample(sorted(self._plans), 2)

    def owe(self, line: Line) -> None:
        """Something is overdue."""
        self._issue(line, self._world.now - timedelta(seconds=60))

    def pay_all(self, line: Line) -> None:
        """Nothing is owed any more."""
        self._receive(line, None, sum(bill.left_minor for bill in line.account.bills) or PRICE_MINOR)

    def toggle(self, line: Line) -> None:
        """Who owes pays; who does not owes."""
        if line.account.overdue(self._world.now):
            self.pay_all(line)
        else:
            self.owe(line)

    def give(self, line: Line, plan: str) -> None:
        """A customer takes a plan."""
        if line.closed or line.plan == plan:
            return

        def work(session: Session) -> bool:
            service = session.get_one(Service, line.service_id)
            wanted = customers.plan_by_name(session, service.operator_id, plan)
            change_plan_of(session, service, wanted, at_period_end=False, actor=CLERK)
            return True

        if self._web(work):
            line.plan = plan
            self._world.say(f"{line.username} shall have the plan {plan}")

    def _some(self) -> Line | None:
        lines = [line for line in self._lines if not line.closed]
        return self._world.random.choice(lines) if lines else None

    def _web(self, work: Callable[[Session], Any]) -> Any:
        return self._world.stored(Role.WEB, work)

    def invoice(self) -> None:
        """An invoice, due a little in the past or soon."""
        line = self._some()
        if line is not None:
            self._issue(line, self._world.now + timedelta(seconds=round(self._world.between(-300, 200))))

    def _issue(self, line: Line, due_at: datetime) -> None:
        world, account = self._world, line.account

        def work(session: Session) -> str:
            subscriber = session.get_one(Subscriber, account.subscriber_id)
            made = issue_invoice(
                session, subscriber, amount_minor=PRICE_MINOR, due_at=due_at, description="", actor=CLERK
            )
            return made.number

        number = self._web(work)
        if number is not None:
            account.bills.append(Bill(number, due_at, PRICE_MINOR))
            account.settle()
            world.say(f"invoice {number} for {line.username}, due {(due_at - EPOCH).total_seconds():.0f}")

    def pay(self) -> None:
        """A payment: all of it, part of it, in advance, or one that was reported before."""
        line = self._some()
        if line is None:
            return
        world, account = self._world, line.account
        if account.payments and world.chance(0.2):
            self._receive(line, *world.random.choice(account.payments))
        else:
            self._receive(line, None, PRICE_MINOR * world.random.choice((1, 1, 2, 3)) // 2)

    def _receive(self, line: Line, known: str | None, amount: int) -> None:
        world, account = self._world, line.account
        if known is None:
            self._number += 1
        name = known or f"bank-{self._number}"

        def work(session: Session) -> bool:
            subscriber = session.get_one(Subscriber, account.subscriber_id)
            _, new = receive_payment(
                session, subscriber, amount_minor=amount, method="bank", actor="bank", external_id=name
            )
            return new

        new = self._web(work)
        if new is not None:
            world.say(f"payment {name} of {amount} by {line.username}{'' if new else ', known already'}")
            if (name, amount) not in account.payments:
                account.payments.append((name, amount))
                account.credit_minor += amount
                account.settle()

    def void(self) -> None:
        """An invoice is taken back."""
        bills = [bill for line in self._lines for bill in line.account.bills if not bill.touched and not bill.voided]
        if bills:
            bill = self._world.random.choice(bills)
            done = self._web(lambda s: void_invoice(s, self._world.operator_id, bill.number, actor=CLERK))
            if done is not None:
                bill.voided = True
                self._world.say(f"invoice {bill.number} is taken back")

    def hold(self) -> None:
        """Do not suspend this one for a while."""
        line = self._some()
        if line is None:
            return
        until = self._world.now + timedelta(seconds=round(self._world.between(30, 400)))

        def work(session: Session) -> Hold:
            service = session.get_one(Service, line.service_id)
            return add_hold(session, service, until=until, reason="promised", actor=CLERK)

        made = self._web(work)
        if made is not None:
            line.holds.append(Promise(made.id, until))
            self._world.say(f"a hold for {line.username} until {(until - EPOCH).total_seconds():.0f}")

    def end_hold(self) -> None:
        """A hold ends early."""
        holds = [hold for line in self._lines for hold in line.holds if hold.holds(self._world.now)]
        if holds:
            hold = self._world.random.choice(holds)
            done = self._web(lambda s: end_hold(s, self._world.operator_id, hold.id, actor=CLERK))
            hold.ended = hold.ended or done is not None

    def change_plan(self) -> None:
        """A customer wants another plan."""
        line = self._some()
        if line is not None:
            self.give(line, self._world.random.choice(sorted(self._plans)))

    def new_plan_version(self) -> None:
        """A plan gets faster for all who have it."""
        name = self._world.random.choice(sorted(self._plans))
        self.speed(name, f"{self._world.random.randint(1, 99)}M/{self._world.random.randint(1, 99)}M")

    def speed(self, name: str, rate: str) -> None:
        """A plan gets another speed."""

        def work(session: Session) -> int:
            plan = customers.change_plan(
                session, self._world.operator_id, name=name, facts={"rate_limit": rate}, actor=CLERK
            )
            return plan.current_version_id or 0

        version = self._web(work)
        if version is not None:
            self._plans[name] = version
            self._world.say(f"the plan {name} gives {rate} from now on")

    def prepaid(self) -> None:
        """A customer pays in advance until a moment, or not any more."""
        line = self._some()
        if line is not None:
            world = self._world
            until = None
            if world.chance(0.7):
                until = (world.now + timedelta(seconds=world.between(-60, 400))).replace(microsecond=0)
            if self._change(line, prepaid_until=until):
                line.prepaid_until = until
                said = "no end" if until is None else f"the end {(until - EPOCH).total_seconds():.0f}"
                world.say(f"{line.username} has {said}")

    def address(self) -> None:
        """A customer gets a fixed address, or loses it."""
        line = self._some()
        if line is not None:
            self.readdress(line)

    def readdress(self, line: Line) -> None:
        """This customer gets a fixed address, or loses it."""
        if not line.closed:
            address = "" if line.address else f"198.51.100.{line.service_id}"
            if self._change(line, address=address):
                line.address = address
                self._world.say(f"{line.username} has the address {address or '-'}")

    def close(self) -> None:
        """A customer leaves."""
        line = self._some()
        if line is None or sum(not one.closed for one in self._lines) < 3:
            return

        def work(session: Session) -> bool:
            customers.close_service(session, session.get_one(Service, line.service_id), actor=CLERK)
            return True

        if self._web(work):
            line.closed = True
            self._world.say(f"{line.username} is closed")

    def _change(self, line: Line, **options: Any) -> bool:
        def work(session: Session) -> bool:
            customers.change_service(session, session.get_one(Service, line.service_id), actor=CLERK, **options)
            return True

        return bool(self._web(work))
