"""The worker as a whole: jobs from commits, one router never in another's way, and no secret anywhere on the way."""

import asyncio
import json
import logging
import secrets
import threading
from contextlib import asynccontextmanager

from edge_node import Edge, Line
from fixtures_database import BOX
from sqlalchemy import create_engine, text
from town import DISCONNECT, OVERDUE, PAID, SECRET, eventually, impatient, now, received

from network.coa.transport import Transport
from network.routeros.keeper import Keeper
from sql.models import Service
from sql.money.providers import add_provider
from sql.roles import Role
from sql.secrets import router_secret_place
from sql.timeline import timeline
from web.app import create_app
from web.hooks import signed
from web.settings import WebSettings
from worker import outcomes, planning
from worker.configure import Configurer
from worker.enforce import RouterWorker
from worker.jobs import build_app, quiet_jobs, run

SEEN = """
CREATE TABLE jobs_seen (line text);
CREATE FUNCTION see_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO jobs_seen VALUES (NEW::text);
    RETURN NEW;
END $$;
CREATE TRIGGER see_job AFTER INSERT OR UPDATE ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION see_job();
"""


@asynccontextmanager
async def working(town):
    """The worker's own loop, as the process runs it."""
    conninfo = town.database.databases.conninfo(Role.WORKER)
    engine = town.database.engine(Role.WORKER)
    stop, ready = asyncio.Event(), asyncio.Event()
    async with Transport("127.0.0.1") as transport, Keeper() as keeper:
        routers = RouterWorker(engine, transport, BOX, stop.is_set)
        app = build_app(conninfo, engine, routers, Configurer(engine, keeper, BOX, stop.is_set))
        task = asyncio.create_task(run(app, conninfo, engine, "node-1", stop, ready.set))
        try:
            await asyncio.wait({task, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
            assert ready.is_set()
            yield
        finally:
            stop.set()
            await task


def test_money_moves_the_network_by_jobs_alone(town):
    """An invoice and an approval restrict, a payment restores: nobody calls the worker, commits do."""

    async def story():
        async with town.tower() as router, working(town):
            home = town.home(router)
            town.isp.invoice(home.service.subscriber_id)
            await eventually(lambda: any(one.state == "awaiting_approval" for one in town.isp.changes(home.service)))
            assert home.has() == PAID
            town.isp.approve(town.isp.changes(home.service)[-1])
            await eventually(lambda: home.has() == OVERDUE)

            town.isp.pay(home.service.subscriber_id)

            await eventually(lambda: home.has() == PAID)
            await eventually(lambda: town.states(home) == ["acknowledged", "acknowledged"])

    asyncio.run(story())


def test_a_signed_webhook_restores_and_leaves_evidence(town):
    """From the provider's signed words to the router's answer by jobs alone, and all of it on the customer's record."""
    settings = WebSettings([secrets.token_hex(32)], provider_box=BOX)
    web = create_app(town.database.engine(Role.WEB), settings).test_client()
    with town.isp.web() as session:
        provider = add_provider(
            session, town.isp.operator_id, name="pay", kind="signed", secret="made up", box=BOX, actor="a test"
        )

    async def story():
        async with town.tower() as router, working(town):
            home = town.home(router)
            town.isp.invoice(home.service.subscriber_id)
            await eventually(lambda: any(one.state == "awaiting_approval" for one in town.isp.changes(home.service)))
            town.isp.approve(town.isp.changes(home.service)[-1])
            await eventually(lambda: town.states(home) == ["acknowledged"])

            paid = {"id": "T-1", "amount": "15.00", "currency": "EUR", "username": home.service.username}
            body = json.dumps(paid).encode()
            answer = web.post(
                f"/hooks/{provider.token}", data=body, headers={signed.HEADER: signed.header(body, "made up", now())}
            )

            assert answer.json == {"payments": [{"id": "T-1", "outcome": "booked"}]}
            await eventually(lambda: home.has() == PAID)
            await eventually(lambda: town.states(home) == ["acknowledged", "acknowledged"])
            with town.isp.web() as session:
                entries = timeline(session, session.get_one(Service, home.service.id))
            kinds = [entry.kind.value for entry in entries if entry.kind.value not in ("audit", "online")]
            last = len(kinds) - 1 - kinds[::-1].index("incoming")
            wanted = ["incoming", "payment", "allocation", "change", "decision", "step", "packet"]
            assert kinds[last:] == wanted, kinds
            told, packet = (
                next(one for one in reversed(entries) if one.kind == kind) for kind in ("incoming", "packet")
            )
            assert (
                "pay told of a payment of 15.00 EUR, known there as T-1: One sure match: the user name" in told.sentence
            )
            assert any(line.startswith("sent ") for line in packet.evidence)

    asyncio.run(story())


def test_a_dead_router_does_not_delay_another_ones_steps(town, monkeypatch):
    """While one router's packets run into nothing, the other's customers are served and restored."""
    impatient(monkeypatch, first_timeout_s=2.0)

    async def story():
        async with town.tower() as dead, town.tower() as alive, working(town):
            lost, served = [town.home(dead) for _ in range(3)], [town.home(alive) for _ in range(3)]
            lost[0].nas.cut()
            town.owe(*lost, *served)

            await eventually(lambda: all(home.has() == OVERDUE for home in served))
            town.pay(*served)
            await eventually(lambda: all(home.has() == PAID for home in served))
            await eventually(lambda: town.states(served[0]) == ["acknowledged", "acknowledged"])

            # However far the unanswered steps have got by now on a slow machine: none of them claims to be done.
            assert not {"acknowledged", "verified"} & {state for home in lost for state in town.states(home)}
            assert all(home.has() == PAID for home in lost)

    asyncio.run(story())


def test_no_secret_and_no_password_in_jobs_and_logs(town, caplog, capfd):
    """Every job row that ever was and every line logged at the lowest level, grepped for each of them."""
    caplog.set_level(logging.DEBUG)
    quiet_jobs()
    with town.database.as_superuser() as connection:
        connection.execute(SEEN)

    async def story():
        async with town.tower(secret="made-up s3cret of a tower") as router, working(town):
            with town.database.as_superuser() as connection:
                sealed = BOX.seal("made-up s3cret of a tower", router_secret_place(router.operator_id, router.name))
                connection.execute("UPDATE routers SET secret = %s", (sealed,))
            home = town.home(router)
            town.owe(home)
            await eventually(lambda: home.has() == OVERDUE)
            home.nas.reboot()
            town.pay(home)
            await eventually(lambda: town.isp.session(home.session_id).ended_by)

    asyncio.run(story())

    with town.database.as_superuser() as connection:
        jobs = "\n".join(row[0] for row in connection.execute("SELECT line FROM jobs_seen"))
        stored = "\n".join(row[0] for row in connection.execute("SELECT (steps, evidence)::text FROM steps, evidence"))
    captured = capfd.readouterr()
    everything = f"{jobs}\n{stored}\n{caplog.text}\n{captured.out}\n{captured.err}"
    assert "enforce_services" in jobs
    assert "work_router" in jobs
    assert "worker" in caplog.text
    for secret in ("made-up password", SECRET, "made-up s3cret of a tower"):
        assert secret not in everything
    assert "service_ids" not in caplog.text


def test_a_session_whose_packets_were_all_lost_is_brought_into_line_by_its_next_interim(town, tmp_path, monkeypatch):
    """The full circle: stuck for want of answers, then the router speaks, edge hands it on and the worker acts."""
    impatient(monkeypatch)
    monkeypatch.setattr(outcomes, "ATTEMPTS_MAXIMUM", 1)
    edge = Edge(town.database, tmp_path)

    async def story():
        async with town.tower() as router, working(town):
            home = town.home(router)
            began = now()
            line = Line(
                router,
                home.service.username,
                home.service.id,
                home.session.session_id,
                stamp=town.isp.fresh(home.service).authorised_stamp,
                began=began,
            )
            address = {"Framed_IP_Address": home.session.address}
            with town.database.as_superuser() as connection:
                connection.execute("DELETE FROM sessions")
            await asyncio.to_thread(edge.take, line.record("Start", **address))
            home.nas.cut()
            town.owe(home)
            await eventually(lambda: town.states(home) == ["stuck"])
            home.nas.restore()
            assert home.has() == PAID

            later = int((now() - began).total_seconds()) + 2
            authorised = town.isp.fresh(home.service).authorised_stamp
            await asyncio.to_thread(edge.take, line.record("Interim-Update", later, noted_stamp=authorised, **address))

            await eventually(lambda: home.has() == OVERDUE)
            await eventually(lambda: town.states(home) == ["superseded", "acknowledged"])

    asyncio.run(story())


def test_edge_and_worker_at_work_on_the_same_sessions_do_not_block_each_other(town, tmp_path):
    """Accounting of sessions that are being changed at that moment is stored, and both come to their end."""
    edge = Edge(town.database, tmp_path)

    async def story():
        async with town.tower() as router:
            homes = [town.home(router) for _ in range(20)]
            with town.database.as_superuser() as connection:
                connection.execute("DELETE FROM sessions")
            stamp = town.isp.fresh(homes[0].service).authorised_stamp
            lines = [
                Line(router, one.service.username, one.service.id, one.session.session_id, number, stamp, began=now())
                for number, one in enumerate(homes)
            ]
            for line, home in zip(lines, homes, strict=True):
                edge.spool(line.record("Start", Framed_IP_Address=home.session.address))
            edge.drain()
            stop = threading.Event()
            ingesting = asyncio.create_task(asyncio.to_thread(edge.ingester().run, stop.is_set))
            for turn in range(3):
                for line, home in zip(reversed(lines), reversed(homes), strict=True):
                    edge.spool(line.record("Interim-Update", turn, turn, turn, Framed_IP_Address=home.session.address))
                (town.owe, town.pay)[turn % 2](*homes)
                await asyncio.gather(town.work(router), town.work(router))
            await eventually(lambda: not edge.waiting())
            stop.set()
            await ingesting

            assert all(home.has() == OVERDUE for home in homes)
            assert edge.rows("SELECT DISTINCT upload_bytes FROM sessions") == [(2,)]
            assert edge.rows("SELECT DISTINCT state FROM steps") == [("acknowledged",)]
            assert received(homes[0].nas, DISCONNECT) == []

    asyncio.run(story())


def test_a_database_that_goes_away_while_packets_fly_loses_no_answer(town, monkeypatch):
    """What the router said is kept until it can be stored, and nothing is sent twice for it."""
    broken = []

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            town.owe(home)
            original = RouterWorker._store_once

            def failing(self, worked, outcomes_):
                if len(broken) < 2:
                    broken.append(outcomes_)
                    # The pool's connections are cut behind its back, as a restart of the server does.
                    with town.database.as_superuser() as connection:
                        connection.execute(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    engine = create_engine("postgresql+psycopg://nobody@/nothing?host=/nonexistent")
                    engine.connect()
                original(self, worked, outcomes_)

            monkeypatch.setattr(RouterWorker, "_store_once", failing)
            await town.work(router)

            assert len(broken) == 2
            assert home.has() == OVERDUE
            assert town.states(home) == ["acknowledged"]
            assert len(received(home.nas)) == 1

    asyncio.run(story())


def test_a_job_of_a_killed_worker_gives_its_router_back(town):
    """A worker was killed in the middle of a router's job, and another job waits behind it: both get their turn."""

    async def story():
        async with town.tower() as router:
            home = town.home(router)
            with town.database.engine(Role.WORKER).begin() as connection:
                dead = connection.execute(
                    text(
                        "INSERT INTO procrastinate_workers (last_heartbeat) "
                        "VALUES (now() - interval '1 hour') RETURNING id"
                    )
                ).scalar_one()
                for status, worker in (("doing", dead), ("todo", None)):
                    connection.execute(
                        text(
                            "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, args, status, worker_id) "
                            "VALUES ('routers', 'work_router', :lock, :args, :status, :worker)"
                        ),
                        {
                            "lock": f"router:{router.id}",
                            "args": json.dumps({"operator_id": town.isp.operator_id, "router_id": router.id}),
                            "status": status,
                            "worker": worker,
                        },
                    )
            town.isp.invoice(home.service.subscriber_id)
            async with working(town):
                await eventually(
                    lambda: any(one.state == "awaiting_approval" for one in town.isp.changes(home.service))
                )
                town.isp.approve(town.isp.changes(home.service)[-1])
                await eventually(lambda: home.has() == OVERDUE)

    asyncio.run(story())


def test_jobs_that_ask_for_the_same_review_are_one(town):
    """A thousand payments leave no thousand jobs before the next one; other operators' jobs stay."""

    async def story():
        async with town.tower() as router:
            homes = [town.home(router) for _ in range(3)]
            for home in homes:
                town.isp.invoice(home.service.subscriber_id)
            assert len(waiting(town, "review_services")) > 1

            planning.review_operator(town.database.engine(Role.WORKER), town.isp.operator_id)

            assert waiting(town, "review_services") == []
            assert all(town.isp.changes(home.service)[-1].state == "awaiting_approval" for home in homes)

    asyncio.run(story())


def waiting(town, task):
    """The locks of the jobs of this task that wait."""
    with town.database.as_superuser() as connection:
        query = "SELECT lock FROM procrastinate_jobs WHERE status = 'todo' AND task_name = %s"
        return [row[0] for row in connection.execute(query, (task,))]
