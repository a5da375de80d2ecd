"""Procrastinate: the tasks by their names, and the clock that finds what a lost trigger left lying."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import date
from typing import Any

import psycopg
import structlog
from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from psycopg import AsyncConnection
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from sql.jobs import (
    BATCHES_QUEUE,
    BILL,
    ENFORCE,
    PLANNING_QUEUE,
    REVIEW,
    ROUTERS_QUEUE,
    WORK_ROUTER,
    billing_lock,
    node_queue,
    review_lock,
    router_lock,
)
from sql.secrets import SecretBox
from worker import billing_cycle, planning
from worker.configure import Configurer
from worker.enforce import RouterWorker
from worker.notices import keep_told
from worker.quota import QuotaClock
from worker.sealing import NO_ANCHORS, Anchors, keep_sealed
from worker.threads import Lane, in_lane
from worker.watch import Watch

log = structlog.get_logger("worker.jobs")

# Planning never waits behind routers that do not answer, nor a payment behind a batch: each has slots of its own.
PLANNING_SLOTS = 8
BATCH_SLOTS = 2
NIGHT_PRIORITY = -10  # the billing cycle comes after every batch that waits
ROUTER_SLOTS = 64
TICK_S = 1.0
# A job of a worker that has been silent for five heartbeats is taken back; a claimed step still has one owner then.
HEARTBEAT_S = 2.0
STALLED_S = 10.0
STALLED_EVERY_TICKS = 5
# A job that met a deadlock or a database on its way down is done again; what a clock can find needs no more than that.
RETRY = RetryStrategy(max_attempts=8, wait=1, linear_wait=2)


def build_app(conninfo: str, engine: Engine, routers: RouterWorker, configurer: Configurer) -> App:
    """The app with its tasks. Every task is level-triggered: run twice it does nothing the second time."""
    app = App(connector=PsycopgConnector(conninfo=conninfo, min_size=2, max_size=8))

    @app.task(name=REVIEW, queue=PLANNING_QUEUE, retry=RETRY)
    async def review_services(operator_id: int) -> None:
        await in_lane(Lane.HURRY, planning.review_operator, engine, operator_id)

    @app.task(name=ENFORCE, queue=PLANNING_QUEUE, retry=RETRY, pass_context=True)
    async def enforce_services(
        context: JobContext, operator_id: int, service_ids: list[int], asked: bool = False
    ) -> None:
        lane = Lane.BATCH if context.job.queue == BATCHES_QUEUE else Lane.HURRY
        await in_lane(lane, planning.enforce_services, engine, operator_id, service_ids, asked)

    @app.task(name=WORK_ROUTER, queue=ROUTERS_QUEUE, retry=RETRY)
    async def work_router(operator_id: int, router_id: int, hurry: bool = False) -> None:
        # Two ways to the same router; each drains its own steps.
        async with asyncio.TaskGroup() as ways:
            ways.create_task(routers.work(operator_id, router_id, hurry=hurry))
            ways.create_task(configurer.work(operator_id, router_id, hurry=hurry))

    @app.task(name=BILL, queue=BATCHES_QUEUE, retry=RETRY)
    async def bill_operator(operator_id: int, day: str) -> None:
        ended = threading.Event()
        try:
            cycle = billing_cycle.bill_operator
            row = await in_lane(Lane.NIGHT, cycle, engine, operator_id, date.fromisoformat(day), ended.is_set)
            log.info("a billing cycle has ended", operator=operator_id, invoices=row.invoices, problems=row.problems)
        finally:
            ended.set()  # a worker that is to stop does not wait for the end of the night

    return app


def quiet_jobs() -> None:
    """Keep job arguments out of the log: Procrastinate writes them on every line."""
    plain: Any = Job
    plain.call_string = property(lambda job: job.task_name)
    original = Job.log_context

    def without_arguments(job: Job) -> dict[str, Any]:
        return {key: value for key, value in original(job).items() if key != "task_kwargs"}

    plain.log_context = without_arguments


async def run(
    app: App,
    conninfo: str,
    engine: Engine,
    node: str,
    stop: asyncio.Event,
    ready: Callable[[], None],
    anchors: Anchors = NO_ANCHORS,
    box: SecretBox | None = None,
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
) -> None:
    """Work until `stop` is set; `ready` is called once the database was reached.

    `anchors`: where the ends of the audits are kept outside the database.
    `box` opens the addresses of channels to customers; without it nobody is told anything.
    `beside`: clocks that run until they are cancelled, such as that of routers' health.

    Raises DatabaseLost when its connection breaks: Procrastinate would go on, but deaf to notifications, and every
    payment would wait for its polling. The caller begins anew with a fresh app.
    """
    try:
        async with app.open_async(), await AsyncConnection.connect(conninfo, autocommit=True) as watched:
            ready()
            tasks = [
                asyncio.ensure_future(_work(app, f"planner@{node}", [PLANNING_QUEUE], PLANNING_SLOTS)),
                asyncio.ensure_future(_work(app, f"batches@{node}", [BATCHES_QUEUE], BATCH_SLOTS)),
                asyncio.ensure_future(_work(app, f"hurry@{node}", _router_queues(node, hurry=True), ROUTER_SLOTS)),
                asyncio.ensure_future(_work(app, f"worker@{node}", _router_queues(node, hurry=False), ROUTER_SLOTS)),
                asyncio.ensure_future(_tick(app, engine)),
                asyncio.ensure_future(keep_sealed(engine, anchors)),
                *([asyncio.ensure_future(keep_told(engine, box))] if box is not None else []),
                *[asyncio.ensure_future(clock()) for clock in beside],
                asyncio.ensure_future(_watch(watched)),
                asyncio.ensure_future(stop.wait()),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finished = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for task in finished:
                task.result()
    except (psycopg.OperationalError, ConnectorException) as error:
        raise DatabaseLost(" ".join(str(error.__cause__ or error).split())) from error


class DatabaseLost(Exception):  # noqa: N818 - reads as what happened
    """The database went away; a fresh run helps as soon as it is back."""


async def _work(app: App, name: str, queues: list[str], slots: int) -> None:
    await app.run_worker_async(
        queues=queues,
        name=name,
        concurrency=slots,
        wait=True,
        fetch_job_polling_interval=1.0,
        delete_jobs="always",
        install_signal_handlers=False,
        shutdown_graceful_timeout=8.0,
        update_heartbeat_interval=HEARTBEAT_S,
        stalled_worker_timeout=STALLED_S,
    )


def _router_queues(node: str, *, hurry: bool) -> list[str]:
    return [node_queue("", hurry=hurry), node_queue(node, hurry=hurry)]


async def _watch(connection: AsyncConnection[Any]) -> None:
    """Wait for what never comes: a notification on no channel. Ends only by the connection's end."""
    async for _ in connection.notifies():
        continue
    raise psycopg.OperationalError("the connection was closed")


async def _tick(app: App, engine: Engine) -> None:
    """Once a second: what is due by the clock, and what a crash or a lost notification left behind."""
    ticks = 0
    watch, quotas = Watch(engine), QuotaClock(engine)
    while True:
        try:
            await _find_work(app, engine)
            await asyncio.to_thread(watch.look)
            await asyncio.to_thread(quotas.look)
            if ticks % STALLED_EVERY_TICKS == 0:
                await _take_back(app)
        except (OperationalError, ConnectorException) as error:
            log.warning(
                "the clock could not look for work; trying again", error=" ".join(str(error.__cause__ or error).split())
            )
        ticks += 1
        await asyncio.sleep(TICK_S)


async def _find_work(app: App, engine: Engine) -> None:
    waiting = await asyncio.to_thread(planning.waiting_locks, engine)
    for operator_id in await asyncio.to_thread(planning.operators_with_work, engine):
        await asyncio.to_thread(planning.renew_operator, engine, operator_id)
        lock = review_lock(operator_id)
        if lock not in waiting:
            task = app.configure_task(REVIEW, queue=PLANNING_QUEUE, lock=lock)
            await task.defer_async(operator_id=operator_id)
    for operator_id, router_id, node in await asyncio.to_thread(planning.routers_with_work, engine):
        lock = router_lock(router_id)
        if lock not in waiting:
            task = app.configure_task(WORK_ROUTER, queue=node_queue(node), lock=lock)
            await task.defer_async(operator_id=operator_id, router_id=router_id)
    for operator_id, day in await asyncio.to_thread(billing_cycle.operators_to_bill, engine):
        lock = billing_lock(operator_id)
        if lock not in waiting:
            task = app.configure_task(BILL, queue=BATCHES_QUEUE, lock=lock, priority=NIGHT_PRIORITY)
            await task.defer_async(operator_id=operator_id, day=day.isoformat())


async def _take_back(app: App) -> None:
    """Jobs of a worker that was killed would keep their locks for ever. One that cannot be taken back stops no other.

    No job has a queueing lock: an interrupted one could not go back into the queue past the one that waits there.
    """
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_S):
        log.warning("taking back a job of a worker that is gone", job=job.task_name, job_id=job.id)
        try:
            await app.job_manager.retry_job(job)
        except ConnectorException as error:
            log.error("a job could not be taken back", job_id=job.id, error=" ".join(str(error.__cause__).split()))
