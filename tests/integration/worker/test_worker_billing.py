"""The nightly cycle in the worker: by each operator's own clock, once a day, and going on where it was stopped."""

import asyncio
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from fixtures_database import ACTOR, BOX
from town import eventually

from network.coa.transport import Transport
from network.routeros.keeper import Keeper
from sql.models import AuditEvent, BillingRun, Invoice
from sql.money import cycle
from sql.money.starting import start_billing
from sql.roles import Role
from worker.billing_cycle import Interrupted, bill_operator, operators_to_bill
from worker.configure import Configurer
from worker.enforce import RouterWorker
from worker.jobs import build_app, run

ZONES = ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/St_Johns", "Asia/Kathmandu")


def _runs(isp):
    with isp.worker() as session:
        return session.query(BillingRun).all(), session.query(Invoice).count()


def _charging(isp, services):
    plan = isp.plan(f"sold to {services}")
    for number in range(services):
        isp.service(f"line {number}", plan)
    return start_billing(isp.database.engine(Role.WEB), isp.operator_id, None, actor=ACTOR)[0]


def test_the_cycle_runs_by_itself_and_once_a_day(town):
    """A worker that comes up finds that the day's cycle has not run; one that comes up after it leaves it alone."""
    town.isp.database.isp("nothing to do", billing_hour=0)
    with town.database.as_superuser() as connection:
        connection.execute("UPDATE operators SET billing_hour = 0")
    day = _charging(town.isp, 3)

    async def work() -> None:
        conninfo, engine = town.database.databases.conninfo(Role.WORKER), town.database.engine(Role.WORKER)
        stop, ready = asyncio.Event(), asyncio.Event()
        async with Transport("127.0.0.1") as transport, Keeper() as keeper:
            routers = RouterWorker(engine, transport, BOX, stop.is_set)
            app = build_app(conninfo, engine, routers, Configurer(engine, keeper, BOX, stop.is_set))
            task = asyncio.create_task(run(app, conninfo, engine, "node-1", stop, ready.set))
            await eventually(lambda: not operators_to_bill(engine) or task.done())
            stop.set()
            await task

    for _ in range(2):
        asyncio.run(work())
        found, invoices = _runs(town.isp)
        assert [(one.day, one.invoices, one.finished_at is None) for one in found] == [(day, 3, False)]
        assert invoices == 3


def test_a_cycle_that_is_stopped_goes_on(town, monkeypatch):
    """After the first portion the worker is told to stop; the next run finishes the day, and nobody is asked twice."""
    monkeypatch.setattr(cycle, "PORTION", 2)
    engine, operator = town.database.engine(Role.WORKER), town.isp.operator_id
    day = _charging(town.isp, 5)
    looks = iter([False, True])
    with pytest.raises(Interrupted):
        bill_operator(engine, operator, day, lambda: next(looks))
    found, invoices = _runs(town.isp)
    assert (found[0].finished_at, found[0].invoices, invoices) == (None, 2, 2)
    row = bill_operator(engine, operator, day)
    assert (row.invoices, row.amount_minor, row.finished_at is None) == (5, 7500, False)
    assert bill_operator(engine, operator, day).invoices == _runs(town.isp)[1] == 5
    with town.isp.worker() as session:
        told = session.query(AuditEvent).filter_by(event="billing:cycle:finish").order_by(AuditEvent.id).first()
        assert told is not None
        assert (told.data["invoices"], told.data["amount_minor"]) == (5, 7500)


def test_each_operator_has_a_day_of_its_own(database):
    """Wherever the operators are: due from the hour that was set of the day that it is there, until it has run."""
    wanted = {}
    before = datetime.now(UTC)
    for zone in ZONES:
        for hour in (0, 6, 12, 18, 23):
            wanted[database.isp(time_zone=zone, billing_hour=hour).operator_id] = (zone, hour)
    engine = database.engine(Role.WORKER)
    found = dict(operators_to_bill(engine))
    for operator, (zone, hour) in wanted.items():
        there = before.astimezone(ZoneInfo(zone))
        if there.minute < 59:  # the hour must not change meanwhile
            assert found.get(operator) == (there.date() if there.hour >= hour else None), (zone, hour)
    operator, day = next(iter(found.items()))
    bill_operator(engine, operator, day)
    assert operator not in dict(operators_to_bill(engine))
