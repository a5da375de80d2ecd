"""`ispagents bench changes`: from a payment's commit to its CoA, idle and during a large batch, and the batch itself.

The whole installation runs as `ispagents up` starts it, with 50 simulated routers behind 20 ms and 1 % loss each way.
Every fourth of them cannot change address lists by CoA: its customers are disconnected and dial in again, which
accounting proves. Sessions are written as edge would have stored them; everything after that is the real way: trigger,
review, rule, replica, step, packet, evidence.
"""

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from bench import subscribers
from bench.routers import PASSWORD, Line, Network, Routers
from bench.servers import process
from bench.servers.contract import SECRET, ServerError
from bench.statements import Statements
from ispagents.database import secret_box
from ispagents.errors import Problem
from ispagents.installation import Installation, running
from ispagents.settings import load
from ispagents.state_folder import StateFolder
from policy.changes.enforcement import OPEN_STATES, PRIORITIES
from policy.changes.intent import ChangeKind
from sql.batches import AT_ONCE, approve_some, batches, waiting_rows
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.models import Evidence, Service, Step, Subscriber
from sql.money.invoices import issue_invoice
from sql.money.payments import receive_payment
from sql.roles import Role
from sql.router_store import add_router
from sql.sessions import acting_for

ACTOR: Final = "bench"
SEED: Final = 20261122
ROUND_TRIP_S: Final = 0.02
LOSS: Final = 0.01
PROCESSES: Final = 2
PATIENCE_S: Final = 900.0
LOOK_S: Final = 0.02
DISCONNECTS_EVERY: Final = 4
PAYMENTS_COUNTED: Final = 20
OWED_MINOR: Final = 2500
PLAN: Final = {
    "rate_limit": "10M/50M",
    "address_lists": ["paid"],
    "suspended": {"look": "restrict", "address_list": "overdue", "rate_limit": "256k/256k"},
}


class ChangesBenchError(Exception):
    """Something did not come to its end, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it. The first `payers` customers are suspended before the clock starts, the others in the batch."""

    routers: int
    sessions: int
    payers: int
    idle_payments: int

    @property
    def customers(self) -> int:
        return self.routers * self.sessions


FULL: Final = Size(routers=50, sessions=204, payers=200, idle_payments=100)
QUICK: Final = Size(routers=10, sessions=24, payers=40, idle_payments=20)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises ChangesBenchError, Problem or ServerError."""
    size, say = (QUICK if quick else FULL), say or _to_stderr
    process.sweep()
    with process.orderly_end() as stack, _installation(say) as machine:
        share = size.routers // PROCESSES
        parts = [
            Routers(
                Network(
                    routers=share,
                    sessions=size.sessions,
                    first=place * share,
                    delay_s=ROUND_TRIP_S / 2,
                    loss=LOSS,
                    seed=SEED,
                    auth_port=machine.settings.radius_auth_port,
                    acct_port=machine.settings.radius_acct_port,
                )
            )
            for place in range(PROCESSES)
        ]
        for part in parts:
            stack.callback(part.stop)
        lines = [line for part in parts for line in part.ready()]
        town = Town(machine, lines, say)
        town.build()
        say("suspending those who will pay")
        town.owe(range(size.payers))
        town.approve_all()
        town.settled()
        idle = town.pay_each(range(size.idle_payments), "idle")
        town.owe(range(size.payers, size.customers))
        town.all_wait(size.customers - size.payers)
        began = time.time()
        approving = threading.Thread(target=town.approve_all)
        approving.start()
        busy = town.pay_each(range(size.idle_payments, size.payers), "during the batch")
        approving.join()
        approved_s = time.time() - began
        acknowledged_s = town.last_answer() - began
        town.settled()
        verified_s = time.time() - began
        restricted = sum(count for part in parts for rate, count in part.rates().items() if rate == "256k/256k")
        figures = town.count_statements(size.payers)
    if restricted != size.customers - size.payers:
        raise ChangesBenchError(f"{restricted} sessions are restricted instead of {size.customers - size.payers}")
    return {
        "payment_to_coa_p50_ms": _percentile(idle, 50),
        "payment_to_coa_p99_ms": _percentile(idle, 99),
        "payment_to_coa_max_ms": round(max(idle), 1),
        "during_batch_p50_ms": _percentile(busy, 50),
        "during_batch_p99_ms": _percentile(busy, 99),
        "payments_idle": len(idle),
        "payments_during_batch": len(busy),
        "batch_changes": size.customers - size.payers,
        "batch_approved_s": round(approved_s, 1),
        "batch_acknowledged_s": round(acknowledged_s, 1),
        "batch_verified_s": round(verified_s, 1),
        **figures,
        "routers": size.routers,
        "seed": SEED,
    }


@contextmanager
def _installation(say: Callable[[str], None]) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="ispagents-bench-changes-", dir="/tmp") as parent:
        Path(parent).chmod(0o711)
        state = StateFolder(Path(parent) / "state")
        settings = load(state.path, radius_auth_port=0, radius_acct_port=0, web_port=0)
        with running(state, settings, say) as machine:
            yield machine


class Town:
    """An operator with a customer for each live session of the routers, and what happens to them."""

    def __init__(self, machine: Installation, lines: list[Line], say: Callable[[str], None]) -> None:
        self._machine = machine
        self._lines = lines
        self._say = say
        self._engine: Engine = machine.databases.engine(Role.WEB, pool=4)
        self._online_since = datetime.now(UTC)
        self._statements = Statements(machine)
        self._operator = 0
        self._services: list[int] = []
        self._subscribers: list[int] = []

    def build(self) -> None:
        """Operator, plan, routers and customers; waits until all are open, then writes their sessions."""
        self._say(f"making {len(self._lines)} customers on {len({line.address for line in self._lines})} routers")
        box = secret_box(self._machine.state)
        with Session(self._engine) as session, session.begin():
            operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR)
            self._operator = operator.id
            plan = add_plan(session, operator.id, name="Home 50", facts=PLAN, price_minor=OWED_MINOR, actor=ACTOR)
            routers = {
                address: add_router(
                    session,
                    operator.id,
                    name=f"router {address}",
                    address=address,
                    secret=SECRET,
                    box=box,
                    actor=ACTOR,
                    coa_port=port,
                    coa_address_list=number % DISCONNECTS_EVERY != DISCONNECTS_EVERY - 1,
                ).id
                for number, (address, port) in enumerate(sorted({(line.address, line.port) for line in self._lines}))
            }
            for line in self._lines:
                subscriber = add_subscriber(session, operator.id, reference=line.user_name, name="x", actor=ACTOR)
                service = add_service(
                    session,
                    operator.id,
                    subscriber=subscriber,
                    plan=plan,
                    username=line.user_name,
                    password=PASSWORD,
                    method="pppoe",
                    box=box,
                    actor=ACTOR,
                )
                self._subscribers.append(subscriber.id)
                self._services.append(service.id)
        self._until(
            "all are open",
            lambda session: (
                not session.scalar(select(func.count()).select_from(Service).where(Service.authorised.is_(None)))
            ),
        )
        self._write_sessions(routers)

    def _write_sessions(self, routers: dict[str, int]) -> None:
        edge = self._machine.databases.engine(Role.EDGE, pool=1)
        rows = [
            {
                "operator": self._operator,
                "router": routers[line.address],
                "service": service,
                "session": line.session_id,
                "username": line.user_name,
                "address": line.framed_ip_address,
                "mac": subscribers.mac(number),
                "started_at": self._online_since,
            }
            for number, (line, service) in enumerate(zip(self._lines, self._services, strict=True))
        ]
        with edge.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO sessions (operator_id, router_id, service_id, session_key, username, acct_session_id, "
                    "method, mac, framed_address, class_stamp, applied_stamp, started_at, last_seen_at) "
                    "SELECT :operator, :router, id, '-:' || :session, :username, :session, 'pppoe', "
                    ":mac, CAST(:address AS inet), authorised_stamp, authorised_stamp, :started_at, now() "
                    "FROM services WHERE id = :service"
                ),
                rows,
            )
        edge.dispose()

    def owe(self, places: range) -> None:
        """A long overdue invoice for each."""
        due_at = datetime(2026, 1, 1, tzinfo=UTC)
        for start in range(places.start, places.stop, AT_ONCE):
            with acting_for(self._engine, self._operator) as session:
                for place in range(start, min(start + AT_ONCE, places.stop)):
                    subscriber = session.get_one(Subscriber, self._subscribers[place])
                    issue_invoice(
                        session, subscriber, amount_minor=OWED_MINOR, due_at=due_at, description="", actor=ACTOR
                    )
        self._until(
            "all invoices are looked at",
            lambda session: (
                not session.execute(text("SELECT count(*) FROM reviews WHERE due_at <= now()")).scalar_one()
            ),
        )

    def all_wait(self, count: int) -> None:
        """Wait until so many changes wait for a person."""
        self._until(
            f"{count} changes wait",
            lambda session: (
                session.execute(text("SELECT count(*) FROM changes WHERE state = 'awaiting_approval'")).scalar_one()
                == count
            ),
        )

    def approve_all(self) -> None:
        """A person approves whatever waits, by batch."""
        now = datetime.now(UTC)
        with acting_for(self._engine, self._operator) as session:
            found = [one.batch.id for one in batches(session, self._operator, before=2**62, limit=100)]
            seen = [
                (row.change_id, row.preview_hash)
                for batch_id in found
                for row in waiting_rows(session, self._operator, batch_id)
            ]
        for start in range(0, len(seen), AT_ONCE):
            with acting_for(self._engine, self._operator) as session:
                approve_some(session, self._operator, seen[start : start + AT_ONCE], by=ACTOR, now=now)

    def settled(self) -> None:
        """Wait until every session has what is authorised: the router said so, or it ended and another one has it."""
        self._until(
            "every step has ended",
            lambda session: (
                not session.execute(
                    text(
                        "SELECT count(*) FROM sessions JOIN services ON services.id = sessions.service_id "
                        "WHERE ended_at IS NULL AND applied_stamp IS DISTINCT FROM authorised_stamp"
                    )
                ).scalar_one()
            ),
        )

    def pay_each(self, places: range, what: str) -> list[float]:
        """Each pays when the one before has been told; ms from commit to the first packet, by the worker's evidence."""
        took = []
        for place in places:
            self._pay(place)
            committed = time.time()
            took.append((self._packet_after(self._services[place], committed) - committed) * 1000)
        self._say(f"{what}: {len(took)} payments, median {median(took):.0f} ms, slowest {max(took):.0f} ms")
        return took

    def _pay(self, place: int) -> None:
        with acting_for(self._engine, self._operator) as session:
            subscriber = session.get_one(Subscriber, self._subscribers[place])
            receive_payment(session, subscriber, amount_minor=OWED_MINOR, method="cash", actor=ACTOR)

    def _packet_after(self, service_id: int, committed: float) -> float:
        first = (
            select(func.min(Evidence.started_at))
            .join(Step, Step.id == Evidence.step_id)
            .where(
                Step.service_id == service_id,
                Evidence.outcome.is_not(None),
                # A clock that is read on both sides of a commit may differ by its own steps.
                Evidence.started_at > datetime.fromtimestamp(committed - 0.05, UTC),
            )
        )
        found: list[datetime] = []

        def told(session: Session) -> bool:
            at = session.scalar(first)
            if at is not None:
                found.append(at)
            return bool(found)

        self._until("the payment's packet", told)
        return found[0].timestamp()

    def count_statements(self, payers: int) -> dict[str, float]:
        """What the database is asked for a change: those who paid are suspended once more, and pay one by one."""
        self.owe(range(payers))
        self.all_wait(payers)
        with self._statements.counted() as batch:
            self.approve_all()
            self._statements.until_settled()
        paying = range(min(payers, PAYMENTS_COUNTED))
        with self._statements.counted() as payments:
            for place in paying:
                self._pay(place)
                self._statements.until_settled()
        return {
            "statements_per_change": round(batch.total / payers, 2),
            "statements_per_payment": round(payments.total / len(paying), 1),
        }

    def last_answer(self) -> float:
        """When the last attempt of the batch ended, as soon as none of its steps is open."""
        self._until(
            "every suspension has ended",
            lambda session: (
                not session.execute(
                    select(func.count())
                    .select_from(Step)
                    .where(Step.priority == PRIORITIES[ChangeKind.SUSPEND], Step.state.in_(OPEN_STATES))
                ).scalar_one()
            ),
        )
        last = (
            select(func.max(Evidence.ended_at))
            .join(Step, Step.id == Evidence.step_id)
            .where(Step.priority == PRIORITIES[ChangeKind.SUSPEND])
        )
        with acting_for(self._engine, self._operator) as session:
            newest: datetime | None = session.scalar(last)
        if newest is None:
            raise ChangesBenchError("no packet was ever answered")
        return newest.timestamp()

    def _until(self, what: str, holds: Callable[[Session], bool]) -> None:
        given_up_at = time.monotonic() + PATIENCE_S
        while True:
            with acting_for(self._engine, self._operator) as session:
                if holds(session):
                    return
            if time.monotonic() > given_up_at:
                raise ChangesBenchError(f"waited {PATIENCE_S:.0f} s for: {what}")
            time.sleep(LOOK_S)


def _percentile(values: list[float], percent: int) -> float:
    at: float = quantiles(values, n=100, method="inclusive")[percent - 1]
    return round(at, 1)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


ERRORS: Final = (ChangesBenchError, Problem, ServerError)
