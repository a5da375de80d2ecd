"""The order on the wire, what a late duplicate cannot undo, silent routers, and the clock that finds what is due."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from fixtures_database import BOX
from town import COA, DISCONNECT, OVERDUE, PAID, eventually, impatient, received

from network.coa.transport import Transport
from network.routeros.keeper import Keeper
from policy.changes.breaker import MISSES_TO_OPEN
from simulators.settings import UnsupportedByCoA
from sql.brakes import set_network_writes
from sql.roles import Role
from sql.router_health import add_health
from worker.configure import Configurer
from worker.enforce import RouterWorker
from worker.jobs import build_app, run
from worker.watch import Watch


class BadLine(asyncio.DatagramProtocol):
    """A line to a router that can swallow packets, and brings one of them once more long after."""

    def __init__(self, router):
        self.router, self.swallows, self.carried = router, False, []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        if source == self.router:
            self.transport.sendto(data, self.worker)
            return
        self.worker = source
        self.carried.append(data)
        if not self.swallows:
            self.transport.sendto(data, self.router)

    def bring_again(self, number):
        """A duplicate of a packet that was sent long ago arrives now."""
        self.transport.sendto(self.carried[number], self.router)


@asynccontextmanager
async def bad_line(town, router):
    """Put a bad line before a router."""
    place = (str(router.coa_address), router.coa_port)
    loop = asyncio.get_running_loop()
    transport, line = await loop.create_datagram_endpoint(lambda: BadLine(place), local_addr=("127.0.0.1", 0))
    with town.database.as_superuser() as connection:
        connection.execute(
            "UPDATE routers SET coa_address = '127.0.0.1', coa_port = %s WHERE id = %s",
            (transport.get_extra_info("sockname")[1], router.id),
        )
    try:
        yield line
    finally:
        transport.close()


def query(town, statement, *values):
    """What is really in the database, or a change of it that no wall stops."""
    with town.database.as_superuser() as connection:
        found = connection.execute(statement, values)
        return found.fetchall() if found.description else []


def lists_sent(nas):
    """The address list in each CoA that a router received, oldest first."""
    return [next(name for name in ("paid", "overdue") if name.encode() in one.packet) for one in nas.received]


def health(town, router):
    """What people read of a router."""
    with town.isp.web() as session:
        return add_health(session, town.isp.operator_id, [{"name": router.name}])[0]


def switch(town, *, stopped):
    """Stop network writes, or let them go on."""
    with town.isp.web() as session:
        set_network_writes(session, town.isp.operator_id, stopped=stopped, by="a person")


def test_a_batch_reaches_the_router_restorations_first(town):
    """Five who owe were planned before five who paid: on the wire the paid come first, whatever came before."""

    async def story():
        async with town.tower() as router:
            homes = [town.home(router) for _ in range(10)]
            owing, paying = homes[:5], homes[5:]
            town.owe(*paying)
            await town.work(router)
            query(town, "UPDATE routers SET coa_window = 1")
            town.owe(*owing)
            town.pay(*paying)
            await town.work(router)

            assert lists_sent(homes[0].nas)[5:] == ["paid"] * 5 + ["overdue"] * 5
            assert all(home.has() == PAID for home in paying)
            assert all(home.has() == OVERDUE for home in owing)

    asyncio.run(story())


@pytest.mark.parametrize("when", ["before the payment's CoA", "after the payment's CoA"])
def test_a_late_duplicate_of_a_suspension_cannot_undo_a_restoration(town, monkeypatch, when):
    """A suspension was sent and swallowed; the customer pays; then the suspension arrives after all."""
    impatient(monkeypatch)

    async def story():
        # One worker: to the router the same socket must not repeat what it remembers (network/coa/identifiers.py).
        async with town.tower() as router, bad_line(town, router) as line, town.worker() as worker:
            home = town.home(router)
            line.swallows = True
            town.owe(home)
            await worker.work(town.isp.operator_id, router.id)
            assert home.has() == PAID
            assert town.states(home) == ["retrying"]

            line.swallows = False
            town.pay(home)
            if when.startswith("before"):
                line.bring_again(0)
                await eventually(lambda: home.has() == OVERDUE)
            await worker.work(town.isp.operator_id, router.id)
            assert home.has() == PAID
            assert town.states(home) == ["superseded", "retrying"]
            if when.startswith("after"):
                line.bring_again(0)
                await eventually(lambda: home.has() == OVERDUE)

            query(town, "UPDATE evidence SET ended_at = ended_at - interval '1 minute'")
            town.let_time_pass()
            await worker.work(town.isp.operator_id, router.id)
            assert home.has() == PAID
            assert town.states(home) == ["superseded", "acknowledged"]
            assert town.plan_steps(home) == 0

    asyncio.run(story())


def test_a_worker_killed_before_the_outcome_leaves_no_doubt_behind(town):
    """A suspension went out and its worker was killed; paid meanwhile: the old packet is never sent again."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            async with Transport("127.0.0.1") as transport:
                engine = town.database.engine(Role.WORKER)
                dying = RouterWorker(engine, transport, BOX, lambda: False)
                dying._store = lambda *_: (_ for _ in ()).throw(SystemError("killed"))
                with pytest.raises(SystemError):
                    await dying.work(town.isp.operator_id, router.id)
            assert home.has() == OVERDUE
            assert town.states(home) == ["started"]

            town.pay(home)
            town.let_time_pass()
            await town.work(router)
            town.plan_steps(home)
            await town.work(router)

            assert home.has() == PAID
            assert lists_sent(home.nas) == ["overdue", "paid"]
            assert town.states(home)[0] == "superseded"

    asyncio.run(story())


def test_a_dead_router_is_left_alone_and_one_answer_brings_everything_back(town, monkeypatch):
    """After a window of silence nothing is sent; then one probe, and with its answer all the others."""
    impatient(monkeypatch)

    async def story():
        async with town.tower() as router:
            homes = [town.home(router) for _ in range(MISSES_TO_OPEN + 3)]
            nas = homes[0].nas
            town.owe(*homes)
            nas.cut()
            await town.work(router)
            town.let_time_pass()
            sent = len(town.evidence(homes[0]))
            await town.work(router)
            assert len(town.evidence(homes[0])) == sent
            assert health(town, router)["down_since"] is not None

            query(town, "UPDATE router_health SET left_alone_until = now()")
            await town.work(router)
            tried = [len(town.evidence(home)) for home in homes]
            assert sorted(tried) == [1] * (len(homes) - 1) + [2]

            nas.restore()
            query(town, "UPDATE router_health SET left_alone_until = now()")
            town.let_time_pass()
            await town.work(router)
            assert all(home.has() == OVERDUE for home in homes)
            assert health(town, router)["health"] == "answers"

    asyncio.run(story())


def test_the_switch_holds_everything_and_lets_it_go_at_once(town):
    """Stopped, an approved suspension stays here; started again, the commit itself wakes the worker."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            conninfo = town.database.databases.conninfo(Role.WORKER)
            engine = town.database.engine(Role.WORKER)
            stop, ready = asyncio.Event(), asyncio.Event()
            async with Transport("127.0.0.1") as transport, Keeper() as keeper:
                routers = RouterWorker(engine, transport, BOX, stop.is_set)
                app = build_app(conninfo, engine, routers, Configurer(engine, keeper, BOX, stop.is_set))
                task = asyncio.create_task(run(app, conninfo, engine, "node-1", stop, ready.set))
                await ready.wait()
                switch(town, stopped=True)
                town.owe(home)
                await eventually(lambda: query(town, "SELECT count(*) FROM procrastinate_jobs") == [(0,)])
                assert town.states(home) == ["waiting"]
                assert received(home.nas) == []

                switch(town, stopped=False)
                await eventually(lambda: home.has() == OVERDUE)
                await eventually(lambda: town.states(home) == ["acknowledged"])
                stop.set()
                await task

    asyncio.run(story())


def test_the_clock_heals_a_session_that_lost_its_restriction(town):
    """Nobody triggers anything: the sweep finds the session, and the worker gives it what is authorised."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            await town.work(router)
            assert home.has() == OVERDUE
            query(town, "UPDATE services SET authorised_at = now() - interval '2 hours'")
            query(town, "UPDATE sessions SET applied_stamp = class_stamp, applied_at = now() - interval '1 hour'")
            query(town, "UPDATE changes SET from_stamp = NULL")
            query(town, "DELETE FROM procrastinate_jobs")

            await asyncio.to_thread(Watch(town.database.engine(Role.WORKER)).look)
            ((arguments,),) = query(town, "SELECT args FROM procrastinate_jobs WHERE task_name = 'enforce_services'")
            assert arguments["service_ids"] == [home.service.id]
            town.plan_steps(home)
            await town.work(router)
            assert home.has() == OVERDUE
            assert "No change is under way" in town.isp.steps(home.service)[-1].why

    asyncio.run(story())


def test_the_clock_raises_the_alarm_and_hears_routers(town):
    """An acknowledged Disconnect without proof, and a router that sends accounting though it was missed."""

    async def story():
        async with town.tower(coa_address_list=False) as router:
            home = town.home(router)
            town.owe(home)
            await town.work(router)
            assert received(home.nas) == [DISCONNECT]
            query(town, "UPDATE steps SET verify_by = now()")
            query(
                town,
                "INSERT INTO router_health VALUES (%s, %s, 3, now() - interval '1 hour', now()) "
                "ON CONFLICT (router_id, path) DO UPDATE SET misses = 3, down_since = now() - interval '1 hour'",
                router.id,
                router.operator_id,
            )
            await asyncio.to_thread(Watch(town.database.engine(Role.WORKER)).look)
            assert town.states(home) == ["unverified"]
            assert health(town, router)["down_since"] is None

    asyncio.run(story())


def test_a_router_that_refuses_is_not_left_alone(town):
    """Each no is an answer, however many there are."""

    async def story():
        async with town.tower() as router:
            homes = [town.home(router) for _ in range(MISSES_TO_OPEN + 1)]
            homes[0].nas.switch(coa_address_list=False, coa_unsupported=UnsupportedByCoA.NAK)
            town.owe(*homes)
            await town.work(router)
            assert len(received(homes[0].nas, COA)) == len(homes)
            assert health(town, router)["health"] == "answers"

    asyncio.run(story())
