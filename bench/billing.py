"""`ispagents bench billing`: the night of an operator with a million services, and the same night once more.

Of the services a thirtieth is invoiced, 3 % get a reminder, 1 % a suspension. The database is the embedded one as it is
shipped; it is filled by statements over whole sets, which is not measured. Then the worker's own code runs as the
worker runs it: the cycle in one thread, and the reviews that it brings about in another. Meanwhile customers pay, one
after the other, and it is measured how long the decision about each takes.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any, Final

import psycopg
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bench.servers import process
from ispagents.database import Databases, embedded, migrate_now, prepare_embedded, secret_box
from ispagents.errors import Problem
from ispagents.settings import DATABASE
from ispagents.state_folder import StateFolder
from sql.customers import add_operator, add_plan, add_service, add_subscriber
from sql.models import Subscriber
from sql.money.payments import receive_payment
from sql.money.runs import operator_day
from sql.roles import Role
from sql.sessions import acting_for
from worker import planning
from worker.billing_cycle import bill_operator

ACTOR: Final = "bench"
FULL: Final = 1_000_000
QUICK: Final = 20_000
INVOICED_OF: Final = 30
REMINDED_OF: Final = 33  # 3 %
SUSPENDED_OF: Final = 100
PAYING_OF: Final = 500  # who owe something that nobody reminds of tonight, and may pay meanwhile
LATER_DAYS: Final = 10
PRICE_MINOR: Final = 2500
GRACE_DAYS: Final = 10  # longer ago than what is said late, or the suspended would be reminded too
REMINDED_BEFORE_DAYS: Final = 3
LOOK_S: Final = 0.01  # a job would say so at once
POLL_S: Final = 0.002
PATIENCE_S: Final = 60.0
BETWEEN_PAYMENTS_S: Final = 0.05
_WAITS: Final = "SELECT 1 FROM reviews WHERE service_id = %s AND due_at <= now()"


class BillingBenchError(Exception):
    """The night did something else than it should, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Night:
    """What one run of the cycle took and did."""

    seconds: float
    cycle_s: float
    invoices: int
    reminders: int
    worker_cpu_s: float


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises BillingBenchError or Problem."""
    services, say = (QUICK if quick else FULL), say or _to_stderr
    process.sweep()
    with process.orderly_end() as stack, database() as (databases, conninfo, state):
        worker, web = databases.engine(Role.WORKER, pool=4), databases.engine(Role.WEB, pool=1)
        stack.callback(worker.dispose)
        stack.callback(web.dispose)
        operator, day = _operator(databases, state)
        say(f"filling the database with {services:,} services")
        began = time.monotonic()
        with psycopg.connect(conninfo, autocommit=True) as superuser:
            _fill(superuser, operator, services, day)
        say(f"filled in {time.monotonic() - began:.0f} s; the night begins")
        _forget_peak()
        with psycopg.connect(conninfo, autocommit=True) as superuser:
            payers = Payers(web, superuser, operator)
            first = _night(worker, operator, day, payers.pay)
        peak_mib = _peak_mib()
        say(f"first run: {first.seconds:.1f} s, {first.invoices:,} invoices, {first.reminders:,} reminders")
        second = _night(worker, operator, day, lambda _ended: None)
        say(f"second run of the same day: {second.seconds:.1f} s")
        with psycopg.connect(conninfo) as superuser:
            suspensions = _one(superuser, "SELECT count(*) FROM changes WHERE state = 'awaiting_approval'")
            unbalanced = _one(superuser, "SELECT coalesce(sum(amount_minor), 0) FROM ledger_postings")
    _check("invoices", first.invoices, services // INVOICED_OF)
    _check("reminders", first.reminders, services // REMINDED_OF)
    _check("suspensions", suspensions, services // SUSPENDED_OF)
    _check("invoices of the second run", second.invoices - first.invoices, 0)
    _check("sum of the ledger", unbalanced, 0)
    scale = FULL / services
    return {
        "nightly_1m_s": round(first.seconds * scale, 1),
        "nightly_peak_mib": peak_mib,
        "measured_s": round(first.seconds, 1),
        "cycle_s": round(first.cycle_s, 1),
        "worker_cpu_s": round(first.worker_cpu_s, 1),
        "load_average": round(os.getloadavg()[0], 1),
        **payers.figures(),
        "second_run_s": round(second.seconds, 2),
        "services": services,
        "scaled": "no" if services == FULL else f"seconds times {scale:g}, from {services:,} services",
        "invoices": first.invoices,
        "reminders": first.reminders,
        "suspensions_for_approval": suspensions,
        "invoices_per_s": round(first.invoices / first.cycle_s),
    }


@contextmanager
def database() -> Iterator[tuple[Databases, str, StateFolder]]:
    """An embedded database of the bench's own, migrated and empty, with what reaches it as the superuser."""
    with tempfile.TemporaryDirectory(prefix="ispagents-bench-billing-", dir="/tmp") as parent:
        Path(parent).chmod(0o711)
        state = StateFolder(Path(parent) / "state").create()
        with state.lock():
            postgres = embedded(state)
            server = postgres.start()
            try:
                databases = prepare_embedded(server)
                migrate_now(databases)
                yield databases, server.conninfo(DATABASE, "postgres"), state
            finally:
                postgres.stop()


def _operator(databases: Databases, state: StateFolder) -> tuple[int, date]:
    """An operator that charges, with a plan, and the first service, which the others are copies of."""
    engine = databases.engine(Role.WEB, pool=1)
    try:
        with Session(engine) as session, session.begin():
            operator = add_operator(session, name="Bench", currency="EUR", actor=ACTOR, charges_from=date(2020, 1, 1))
            plan = add_plan(
                session,
                operator.id,
                name="Home 50",
                facts={"rate_limit": "10M/50M"},
                price_minor=PRICE_MINOR,
                actor=ACTOR,
                terms={"tax_basis_points": 2300},
            )
            add_service(
                session,
                operator.id,
                subscriber=add_subscriber(session, operator.id, reference="0", name="x", actor=ACTOR),
                plan=plan,
                username="0",
                password="made-up password",
                method="pppoe",
                box=secret_box(state),
                actor=ACTOR,
            )
            found, day = operator.id, operator_day(session, operator.id)
        worker = databases.engine(Role.WORKER, pool=1)
        planning.review_operator(worker, found)
        worker.dispose()
        return found, day
    finally:
        engine.dispose()


def _fill(superuser: psycopg.Connection[Any], operator: int, services: int, day: date) -> None:
    """The other services; who owes since when; and who is to be looked at. No trigger runs meanwhile."""
    superuser.execute("SET session_replication_role = replica")
    values = {
        "operator": operator,
        "last": services - 1,
        "day": day,
        "every": INVOICED_OF,
        "reminded": REMINDED_OF,
        "suspended": SUSPENDED_OF,
        "price": PRICE_MINOR,
        "grace": GRACE_DAYS,
        "remind_due": day + timedelta(days=REMINDED_BEFORE_DAYS),
        "paying": PAYING_OF,
        "later_due": day + timedelta(days=LATER_DAYS),
        "suspend_due": day - timedelta(days=GRACE_DAYS),
        "year": day.year,
    }
    for statement in _STATEMENTS:
        superuser.execute(statement, values)
    superuser.execute("SET session_replication_role = origin")
    superuser.execute("VACUUM ANALYZE")
    superuser.execute("CHECKPOINT")


_STATEMENTS: Final = (
    (
        "INSERT INTO dunning_policies (operator_id, name, grace_days, reminder_days) "
        "VALUES (%(operator)s, 'usual', %(grace)s, '{-3}')"
    ),
    "UPDATE operators SET dunning_policy_id = (SELECT id FROM dunning_policies), revision = revision",
    (
        "INSERT INTO notice_channels (operator_id, name, url, events) "
        "VALUES (%(operator)s, 'mail', 'sealed', '{invoice,reminder,restricted,restored}')"
    ),
    "DELETE FROM service_billing",
    (
        "INSERT INTO subscribers (operator_id, reference, name, email) "
        "SELECT %(operator)s, n::text, 'Customer ' || n, n || '@example.org' FROM generate_series(1, %(last)s) AS n"
    ),
    (
        "INSERT INTO services (operator_id, subscriber_id, plan_id, method, username, password, created_at, "
        "authorised, authorised_stamp, authorised_at) "
        "SELECT %(operator)s, subscriber.id, first.plan_id, 'pppoe', subscriber.reference, first.password, "
        "'2025-01-01Z', first.authorised, first.authorised_stamp, now() "
        "FROM subscribers AS subscriber, services AS first WHERE subscriber.reference <> '0'"
    ),
    "UPDATE services SET authorised = jsonb_set(authorised, '{service_id}', to_jsonb(id)) WHERE username <> '0'",
    (
        "INSERT INTO service_billing (service_id, operator_id, subscriber_id, starts_on, anchor_day, billed_until, "
        "next_on, setup_charged) SELECT id, operator_id, subscriber_id, '2025-01-01', 1, "
        "%(day)s + (username::integer %% %(every)s), %(day)s + (username::integer %% %(every)s), true FROM services "
        "WHERE username::integer / %(every)s < (%(last)s + 1) / %(every)s"
    ),
    # owed: due in three days (a reminder), so long ago that grace ends tonight (a suspension), or later (may pay)
    (
        "INSERT INTO invoices (operator_id, subscriber_id, year, serial, amount_minor, open_minor, currency, "
        "issued_at, issued_on, due_at, due_on) "
        "SELECT operator_id, subscriber_id, 2025, row_number() OVER (), %(price)s, %(price)s, 'EUR', "
        "due_on - interval '14 days', due_on - 14, due_on::timestamptz, due_on FROM ("
        "SELECT operator_id, subscriber_id, CASE kind WHEN 1 THEN %(remind_due)s WHEN 2 THEN %(suspend_due)s "
        "ELSE %(later_due)s END AS due_on FROM services, (VALUES (1), (2), (3)) AS kinds (kind) "
        "WHERE CASE kind WHEN 1 THEN username::integer %% %(reminded)s = 7 "
        "AND username::integer / %(reminded)s < (%(last)s + 1) / %(reminded)s "
        "WHEN 2 THEN username::integer %% %(suspended)s = 8 ELSE username::integer %% %(paying)s = 11 END) AS owing"
    ),
    "INSERT INTO invoice_series SELECT operator_id, 2025, count(*) FROM invoices GROUP BY 1",
    "UPDATE services SET standing = 'grace' WHERE username::integer %% %(suspended)s = 8",
    "DELETE FROM reviews",
    (
        "INSERT INTO reviews SELECT id, operator_id, %(day)s::timestamptz FROM services "
        "WHERE username::integer %% %(suspended)s = 8"
    ),
)


class Payers:
    """Customers who owe something that is due later, and pay while the night goes on."""

    def __init__(self, web: Engine, superuser: psycopg.Connection[Any], operator: int) -> None:
        """Nobody has paid yet."""
        self._web = web
        self._superuser = superuser
        self._operator = operator
        self._took_ms: list[float] = []

    def pay(self, ended: threading.Event) -> None:
        """One after the other until `ended`: how long from the commit of each until somebody has looked at it."""
        owing = self._superuser.execute(
            "SELECT services.id, services.subscriber_id FROM services JOIN invoices USING (subscriber_id) "
            "WHERE open_minor > 0 GROUP BY services.id "
            "HAVING count(*) = 1 AND min(due_at) > now() + interval '5 days' ORDER BY services.id"
        ).fetchall()
        for service, subscriber in owing:
            if ended.is_set():
                return
            with acting_for(self._web, self._operator) as session:
                payer = session.get_one(Subscriber, subscriber)
                receive_payment(session, payer, amount_minor=PRICE_MINOR, method="cash", actor=ACTOR)
            committed = time.monotonic()
            while self._superuser.execute(_WAITS, (service,)).fetchone():
                if time.monotonic() - committed > PATIENCE_S:
                    raise BillingBenchError("nobody looked at a payment")
                time.sleep(POLL_S)
            self._took_ms.append((time.monotonic() - committed) * 1000)
            time.sleep(BETWEEN_PAYMENTS_S)

    def figures(self) -> dict[str, Any]:
        """How many paid, and the percentiles."""
        if len(self._took_ms) < 2:
            return {"payments_meanwhile": len(self._took_ms)}
        percentiles = quantiles(self._took_ms, n=100, method="inclusive")
        return {
            "payments_meanwhile": len(self._took_ms),
            "payment_to_decision_p50_ms": round(percentiles[49], 1),
            "payment_to_decision_p99_ms": round(percentiles[98], 1),
        }


def _night(engine: Engine, operator: int, day: date, meanwhile: Callable[[threading.Event], None]) -> Night:
    """The cycle and the reviews beside it, until nothing is left of either; `meanwhile` until the cycle ends."""
    ended, quiet = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def watched(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits for this one
                failed.append(error)

        return threading.Thread(target=run)

    def review() -> None:
        while True:
            last = quiet.is_set()
            taken = planning.review_operator(engine, operator)
            if last and not taken:
                return
            time.sleep(LOOK_S)

    began, cpu_began = time.monotonic(), time.process_time()
    reviewing, others = watched(review), watched(lambda: meanwhile(ended))
    reviewing.start()
    others.start()
    try:
        row = bill_operator(engine, operator, day)
    finally:
        cycle_s = time.monotonic() - began
        ended.set()
        others.join()
        quiet.set()
        reviewing.join()
    if failed:
        raise BillingBenchError(f"what goes on beside the cycle ended early ({failed[0]})") from failed[0]
    if row.problems:
        raise BillingBenchError(f"{row.problems} services could not be billed")
    took, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
    return Night(took, cycle_s, row.invoices, row.reminders, cpu_s)


def _check(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise BillingBenchError(f"{what}: {found:,} instead of {wanted:,}")


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row is not None else 0


def _forget_peak() -> None:
    """Let the kernel count the peak of this process's memory from here (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5\n")


def _peak_mib() -> float:
    """The most memory that this process had since then. It is the worker's: there is no other in the bench."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(kib / 1024, 1)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


ERRORS: Final = (BillingBenchError, Problem, psycopg.Error)
