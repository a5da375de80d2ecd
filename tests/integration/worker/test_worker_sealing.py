"""The worker's clock for the audit: what is committed is sealed and anchored by itself."""

import asyncio
import json
import os
import stat
from contextlib import asynccontextmanager

import pytest
from fixtures_database import BOX
from gateway import running_gateway
from structlog.testing import capture_logs
from town import eventually, now

from network.coa.transport import Transport
from network.routeros.keeper import Keeper
from policy.audit_chain import anchor, genesis
from sql.audit_check import verify, verify_anchors
from sql.audit_seal import seal
from sql.roles import Role
from worker import anchor_file, sealing
from worker.anchor_post import AnchorPost
from worker.configure import Configurer
from worker.enforce import RouterWorker
from worker.jobs import build_app, run
from worker.sealing import Anchors, anchor_heads, keep_sealed


@pytest.fixture
def isp(database, monkeypatch):
    """An operator whose audit is looked at all the time."""
    monkeypatch.setattr(sealing, "SEAL_EVERY_S", 0.01)
    return database.isp()


def verdict(isp):
    """What a person is told."""
    with isp.web() as session:
        return verify(session, isp.operator_id)


def lines(file):
    """What stands in an anchor file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@asynccontextmanager
async def sealing_on(isp, file=None):
    """The clock alone."""
    task = asyncio.create_task(keep_sealed(isp.database.engine(Role.WORKER), Anchors(file)))
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_the_worker_seals_and_anchors(isp, database, tmp_path, monkeypatch):
    """As the process runs it: what people do is sealed within a moment, and the end is anchored."""
    monkeypatch.setattr(sealing, "ANCHOR_EVERY_S", 0.05)
    conninfo = database.databases.conninfo(Role.WORKER)
    engine = database.engine(Role.WORKER)
    file = tmp_path / "anchors"

    async def story():
        stop, ready = asyncio.Event(), asyncio.Event()
        async with Transport("127.0.0.1") as transport, Keeper() as keeper:
            routers = RouterWorker(engine, transport, BOX, stop.is_set)
            app = build_app(conninfo, engine, routers, Configurer(engine, keeper, BOX, stop.is_set))
            task = asyncio.create_task(run(app, conninfo, engine, "node-1", stop, ready.set, Anchors(file)))
            isp.subscriber()
            await eventually(lambda: (verdict(isp).sealed, verdict(isp).waiting) == (2, 0))
            isp.plan()
            await eventually(lambda: (verdict(isp).sealed, verdict(isp).waiting) == (3, 0))
            await eventually(lambda: [one["number"] for one in lines(file)][-1:] == [3])
            stop.set()
            await task

    asyncio.run(story())
    assert verdict(isp).finding is None
    with isp.web() as session:
        count, found = verify_anchors(session, isp.operator_id, anchor_file.read(file, isp.operator_id))
    assert (count, found) == (len(lines(file)), None)


def test_anchors_are_written_when_the_end_has_moved_and_not_before(isp, database, tmp_path):
    """A line for each operator that has moved; a restarted worker does not repeat the last ones."""
    other, file = database.isp(), tmp_path / "anchors"
    engine = database.engine(Role.WORKER)
    assert anchor_heads(engine, file) == 0
    for one in (isp, other):
        seal(engine, one.operator_id)
    assert anchor_heads(engine, file) == 2
    assert anchor_heads(engine, file) == 0
    isp.plan()
    assert anchor_heads(engine, file) == 0
    seal(engine, isp.operator_id)
    assert anchor_heads(engine, file) == 1
    assert [(one["operator_id"], one["number"]) for one in lines(file)] == [
        (isp.operator_id, 1),
        (other.operator_id, 1),
        (isp.operator_id, 2),
    ]
    assert stat.S_IMODE(file.stat().st_mode) & 0o007 == 0


def test_at_most_one_line_a_minute(isp, database, tmp_path):
    """Twenty events that are sealed one by one are one line, the first; the next minute has the next."""
    file = tmp_path / "anchors"

    async def story():
        async with sealing_on(isp, file):
            for number in range(20):
                await asyncio.to_thread(isp.subscriber)
                await eventually(lambda number=number: verdict(isp).sealed == number + 2)

    asyncio.run(story())
    assert len(lines(file)) == 1


def test_every_line_is_on_the_disk(isp, database, tmp_path, monkeypatch):
    """Before the file is closed it is synced, and so is the folder of a new one."""
    synced = []
    real = os.fsync

    def sync(descriptor):
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    engine = database.engine(Role.WORKER)
    seal(engine, isp.operator_id)
    anchor_heads(engine, tmp_path / "anchors")
    assert synced == [False, True]


def test_an_end_that_was_lost_is_told(isp, database, tmp_path):
    """The file says more than the database: an error in the log, and the old line still proves it."""
    engine, file = database.engine(Role.WORKER), tmp_path / "anchors"
    seal(engine, isp.operator_id)
    with anchor_file.opened(file) as opened:
        opened.add(anchor(now(), isp.operator_id, 7, genesis(7)))
    with capture_logs() as logged:
        anchor_heads(engine, file)
    assert [one["log_level"] for one in logged] == ["error"]
    with isp.web() as session:
        _, found = verify_anchors(session, isp.operator_id, anchor_file.read(file, isp.operator_id))
    assert found.number == 7


def test_a_file_that_cannot_be_written_does_not_stop_the_sealing(isp, tmp_path, monkeypatch):
    """It is told, and everything is sealed."""
    monkeypatch.setattr(sealing, "ANCHOR_EVERY_S", 0.01)

    async def story():
        with capture_logs() as logged:
            async with sealing_on(isp, tmp_path / "nowhere" / "anchors"):
                await eventually(lambda: verdict(isp).sealed == 1)
                await eventually(lambda: any("anchored" in one["event"] for one in logged))
                isp.plan()
                await eventually(lambda: verdict(isp).sealed == 2)

    asyncio.run(story())


def test_a_broken_chain_is_told_once_and_others_go_on(isp, database):
    """One operator's audit was altered: an error in the log, not one every two seconds; the other's is sealed."""
    other = database.isp()
    seal(database.engine(Role.WORKER), isp.operator_id)
    with database.as_superuser() as connection:
        connection.execute("UPDATE audit_heads SET hash = 'x'")
    isp.plan()

    async def story():
        with capture_logs() as logged:
            async with sealing_on(isp):
                for number in range(3):
                    other.plan(f"Plan {number}")
                    await eventually(lambda number=number: verdict(other).sealed == number + 2)
        assert [one["operator_id"] for one in logged] == [isp.operator_id]
        assert "audit verify" in logged[0]["error"]

    asyncio.run(story())
    assert verdict(isp).finding is not None


def test_a_database_that_came_back_from_a_dump_is_sealed_from_the_start_of_the_worker(isp, database):
    """Its transactions count from below, so nothing seems to wait; the worker looks at every operator once."""
    seal(database.engine(Role.WORKER), isp.operator_id)
    isp.plan()
    with database.as_superuser() as connection:
        connection.execute("UPDATE audit_heads SET snapshot = '9000000000:9000000009:'")

    async def story():
        async with sealing_on(isp):
            await eventually(lambda: verdict(isp).sealed == 2)
            isp.plan("Another")
            await eventually(lambda: verdict(isp).sealed == 3)

    asyncio.run(story())


def test_connections_that_are_cut_are_tried_again(isp, database):
    """What a restart of the server does between two looks."""

    async def story():
        async with sealing_on(isp) as task:
            for number in range(3):
                with database.as_superuser() as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND usename = 'ispagents_worker'"
                    )
                isp.plan(f"Plan {number}")
                await eventually(lambda number=number: verdict(isp).sealed == number + 2)
            assert not task.done()

    asyncio.run(story())


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise's plugins
def test_ends_that_have_moved_are_told_to_an_address(isp, database, tmp_path):
    """Once each, and again when the gateway failed; what was told, saved as a file, proves the chain."""
    other, file = database.isp(), tmp_path / "from-the-mail"
    engine = database.engine(Role.WORKER)
    for one in (isp, other):
        seal(engine, one.operator_id)
    with running_gateway() as gateway:
        post = AnchorPost(f"json://a-user:a-password@127.0.0.1:{gateway.port}/")
        gateway.status = 500
        with capture_logs() as logged:
            assert post.tell(engine, now()) is None
        assert "a-password" not in str(logged)
        gateway.status = 200
        assert [post.tell(engine, now()), post.tell(engine, now())] == [2, 0]
        isp.plan()
        seal(engine, isp.operator_id)
        assert post.tell(engine, now()) == 1
        file.write_text("\n".join(one["message"] for one in gateway.messages[1:]) + "\n")
    with isp.web() as session:
        assert verify_anchors(session, isp.operator_id, anchor_file.read(file, isp.operator_id)) == (2, None)
