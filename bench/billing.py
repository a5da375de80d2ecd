"""`ispagents bench billing`: the night of an operator with a million services, and the same night once more.

Of the services a thirtieth is invoiced, 3 % get a reminder, 1 % a suspension. The database is the embedded one as it is
shipped; it is filled by statements over whole sets, which is not measured. Then the worker's own code runs as the
worker runs it: the cycle in one thread, and the reviews that it brings about in another. Meanwhile customers pay: some
at the counter, one after the other, and it is measured how long the decision about each takes; and many in a way that
their provider tells of by signed webhooks, at a fixed rate, to the real web process. Should the night end before the
last of them, those of the days after follow, so that all come in while a cycle runs.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Engine

from bench import report
from bench.billing_books import INVOICED_OF, REMINDED_OF, SUSPENDED_OF, fill, open_books
from bench.billing_payers import Payers, PayersError, Told
from bench.installed import database
from bench.servers import process
from bench.servers.contract import ServerError
from bench.servers.web import Web
from bench.webhook_load import WebhookError
from ispagents.database import Databases, provider_box
from ispagents.errors import Problem
from ispagents.state_folder import StateFolder
from sql.roles import Role
from worker import planning
from worker.billing_cycle import Interrupted, bill_operator

SERVICES: Final = 1_000_000
LOOK_S: Final = 0.01  # a job would say so at once


class BillingBenchError(Exception):
    """The night did something else than it should, so that its time means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    services: int
    webhooks: int
    webhooks_per_s: float


FULL: Final = Size(SERVICES, webhooks=10_000, webhooks_per_s=25.0)
QUICK: Final = Size(20_000, webhooks=90, webhooks_per_s=15.0)


@dataclass(frozen=True, slots=True)
class Night:
    """What one run of the cycle took and did; when it ended, by the monotonic clock."""

    seconds: float
    cycle_s: float
    ended: float
    invoices: int
    reminders: int
    worker_cpu_s: float


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises one of ERRORS."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    with process.orderly_end() as stack, database("billing") as (databases, conninfo, state):
        worker = databases.engine(Role.WORKER, pool=4)
        stack.callback(worker.dispose)
        operator, day = open_books(databases, state)
        say(f"filling the database with {size.services:,} services")
        began = time.monotonic()
        superuser = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
        fill(superuser, operator, size.services, day)
        say(f"filled in {time.monotonic() - began:.0f} s; the night begins")
        payers, told = _payers(stack, databases, state, superuser, operator, size)
        _forget_peak()
        told.begin()
        first = _night(worker, operator, day, payers.pay)
        peak_mib, load_average = _peak_mib(), os.getloadavg()[0]
        say(f"first run: {first.seconds:.1f} s, {first.invoices:,} invoices, {first.reminders:,} reminders")
        nights = 1 + _further_nights(worker, operator, day, told)
        told.wait()
        planning.review_operator(worker, operator)  # of the last ones
        webhooks = told.figures(first.ended) | {"nights": nights}
        say(f"webhooks: {webhooks}")
        second = _night(worker, operator, day, lambda _ended: None)
        say(f"second run of the same day: {second.seconds:.1f} s")
        told.check()
        suspensions = _one(superuser, "SELECT count(*) FROM changes WHERE state = 'awaiting_approval'")
        unbalanced = _one(superuser, "SELECT coalesce(sum(amount_minor), 0) FROM ledger_postings")
    _check("invoices", first.invoices, size.services // INVOICED_OF)
    _check("reminders", first.reminders, size.services // REMINDED_OF)
    _check("suspensions", suspensions, size.services // SUSPENDED_OF)
    _check("invoices of the second run", second.invoices - first.invoices, 0)
    _check("sum of the ledger", unbalanced, 0)
    scale = SERVICES / size.services
    return {
        "nightly_1m_s": round(first.seconds * scale, 1),
        "nightly_peak_mib": peak_mib,
        "measured_s": round(first.seconds, 1),
        "cycle_s": round(first.cycle_s, 1),
        "worker_cpu_s": round(first.worker_cpu_s, 1),
        "load_average": round(load_average, 1),
        **payers.figures(),
        **webhooks,
        "second_run_s": round(second.seconds, 2),
        "services": size.services,
        "scaled": "no" if scale == 1 else f"seconds times {scale:g}, from {size.services:,} services",
        "invoices": first.invoices,
        "reminders": first.reminders,
        "suspensions_for_approval": suspensions,
        "invoices_per_s": round(first.invoices / first.cycle_s),
    }


def _payers(
    stack: ExitStack,
    databases: Databases,
    state: StateFolder,
    superuser: psycopg.Connection[Any],
    operator: int,
    size: Size,
) -> tuple[Payers, Told]:
    """Those at the counter, and those of whom a provider tells the web process, which is started for it."""
    engine, web = databases.engine(Role.WEB, pool=1), Web()
    stack.callback(engine.dispose)
    stack.callback(web.stop)
    endpoint = web.start(state)
    told = Told(engine, superuser, operator, provider_box(state), endpoint, size.webhooks, size.webhooks_per_s)
    stack.callback(told.stop)
    return Payers(engine, superuser, operator), told


def _night(
    engine: Engine,
    operator: int,
    day: date,
    meanwhile: Callable[[threading.Event], None],
    stopping: Callable[[], bool] = lambda: False,
) -> Night:
    """The cycle and the reviews beside it, until nothing is left of either; `meanwhile` until the cycle ends.

    Raises Interrupted when `stopping` says so.
    """
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
            planning.review_operator(engine, operator)
            if last:  # payments go on to bring about reviews, but these are not the night's
                return
            time.sleep(LOOK_S)

    began, cpu_began = time.monotonic(), time.process_time()
    reviewing, others = watched(review), watched(lambda: meanwhile(ended))
    reviewing.start()
    others.start()
    try:
        row = bill_operator(engine, operator, day, stopping)
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
    now, cpu_s = time.monotonic(), time.process_time() - cpu_began
    return Night(now - began, cycle_s, now, row.invoices, row.reminders, cpu_s)


def _further_nights(engine: Engine, operator: int, day: date, told: Told) -> int:
    """The nights of the days after, for as long as there is something to be told. Returns how many were begun."""
    begun = 0
    while not told.is_over():
        begun += 1
        with suppress(Interrupted):
            _night(engine, operator, day + timedelta(days=begun), lambda _ended: None, told.is_over)
    return begun


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


ERRORS: Final = (BillingBenchError, PayersError, WebhookError, ServerError, Problem, psycopg.Error)
