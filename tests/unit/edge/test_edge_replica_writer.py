"""A new generation of the replica appears whole or not at all, whoever reads meanwhile and wherever edge is killed."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.replica_writer import ReplicaWriter
from edge.table_writer import TableBusy
from policy.facts import Method, ServiceFacts
from policy.standing import Standing
from radius_module.records import POINTER, RouterRow, ServiceRow, generation_file, read_pointer
from radius_module.replica import NoReplica, Replica

ROUTER = ("192.0.2.1", RouterRow(1, 1, "tower", "made-up secret", require_message_authenticator=False))
SERVICES = 50
KILLED = """
import os, signal, sys
from pathlib import Path
from edge.replica_writer import ReplicaWriter
begin = {"taken over": ReplicaWriter.take_over, "empty": ReplicaWriter.begin_empty}[sys.argv[2]]
writer = begin(Path(sys.argv[1]))
with writer:
    writer.put_operator(2, "{}")
os.kill(os.getpid(), signal.SIGKILL)
"""


def service(number: int, plan_version_id: int = 1, name: str = "") -> ServiceRow:
    """A service with a password."""
    facts = ServiceFacts(number, Method.PPPOE, Standing.CURRENT, plan_version_id)
    return ServiceRow(1, name or f"user{number}", "made-up", facts)


def build(folder: Path, version: int) -> ReplicaWriter:
    """A generation whose services all have this plan version."""
    writer = ReplicaWriter.begin_empty(folder)
    with writer:
        writer.put_router(*ROUTER)
        writer.put_plan(version, f"plan {version}", json.dumps({"rate_limit": f"{version}M/{version}M"}))
        writer.put_services(service(number, version) for number in range(1, SERVICES))
    return writer


def generations(folder: Path) -> list[str]:
    """The files of the folder."""
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".table")


def test_a_reader_sees_one_generation_or_the_next_and_never_less(tmp_path):
    """Logins asked while generation after generation is published always find their service with its own plan."""
    current = build(tmp_path, 1)
    current.publish()
    replica, stop, problems = Replica(tmp_path), threading.Event(), []

    def read() -> None:
        seen = 0
        while not stop.is_set():
            row = replica.login("192.0.2.1", "user7")
            assert row is not None
            assert row.service is not None
            version = row.service.plan_version_id
            assert version >= seen, "an older generation came back"
            seen = version

    def guarded() -> None:
        try:
            read()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
            problems.append(error)

    readers = [threading.Thread(target=guarded) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 8):
        following = build(tmp_path, version)
        following.publish()
        current.close()
        current = following
    stop.set()
    for reader in readers:
        reader.join()

    assert problems == []
    row = replica.login("192.0.2.1", "user7")
    assert row is not None
    assert row.service is not None
    assert row.service.plan_version_id == 7
    current.close()


def test_changes_in_place_are_seen_by_who_was_there_before(tmp_path):
    """A rename is never a moment without either name; what an error left out comes with the next try."""
    writer = build(tmp_path, 1)
    writer.publish()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "renamed").service is None

    with writer:
        assert writer.put_services([service(7, name="renamed")]) == 0
    assert replica.login("192.0.2.1", "renamed").service.service_id == 7
    assert replica.login("192.0.2.1", "user7").service is None

    with writer:
        assert writer.put_services([service(7, name="renamed"), service(99)]) == 1
        writer.put_router("192.0.2.7", ROUTER[1])
    assert replica.router("192.0.2.1") is None
    assert replica.router("192.0.2.7") == ROUTER[1]
    writer.remove_router(1)
    assert replica.router("192.0.2.7") is None
    writer.close()


def test_two_services_may_exchange_their_names(tmp_path):
    """Neither is lost, in whatever order they are followed."""
    writer = build(tmp_path, 1)
    with writer:
        assert writer.put_services([service(1, name="user2"), service(2, name="user1")]) == 0
    writer.publish()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "user1").service.service_id == 2
    assert replica.login("192.0.2.1", "user2").service.service_id == 1
    assert writer.service_count() == SERVICES - 1
    writer.close()


def test_old_generations_go_and_the_one_before_stays_for_a_moment(tmp_path):
    """Two generations are kept: the current one, and one that a reader may just be opening."""
    for version in (1, 2, 3, 4):
        writer = build(tmp_path, version)
        writer.publish()
        writer.close()

    assert generations(tmp_path) == ["replica-3.table", "replica-4.table"]
    assert read_pointer(tmp_path) == 4
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".new"]
    assert {(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} <= {0o640}


def test_a_run_goes_on_where_the_last_one_ended(tmp_path):
    """After a restart the same generation is written, and its readers are not disturbed."""
    first = build(tmp_path, 1)
    first.remember({"snapshot": "7:9:"})
    first.publish()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "user7").service is not None
    first.close()

    second = ReplicaWriter.take_over(tmp_path)
    assert second is not None
    assert second.generation == first.generation == read_pointer(tmp_path)
    assert second.remembered() == {"snapshot": "7:9:"}
    assert second.service_count() == SERVICES - 1
    with second:
        second.put_services([service(99)])
    assert replica.login("192.0.2.1", "user99").service is not None
    second.close()


def test_only_one_process_writes(tmp_path):
    """A second edge on the same folder is told so, and changes nothing."""
    first = build(tmp_path, 1)
    first.publish()
    with pytest.raises(TableBusy, match="another edge"):
        ReplicaWriter.take_over(tmp_path)
    first.close()
    second = ReplicaWriter.take_over(tmp_path)
    assert second is not None
    second.close()


def test_what_was_never_published_is_removed(tmp_path):
    """A build that came to nothing leaves no file behind and changes nothing."""
    build(tmp_path, 1).publish()
    before = generations(tmp_path)

    ReplicaWriter.begin_empty(tmp_path).close()

    assert generations(tmp_path) == before
    assert read_pointer(tmp_path) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000])
def test_a_damaged_generation_is_not_taken_over(tmp_path, damage):
    """Where the current file is no table there is nothing to go on from."""
    build(tmp_path, 1).close()
    (tmp_path / POINTER).write_text("1")
    generation_file(tmp_path, 1).write_bytes(damage)

    assert ReplicaWriter.take_over(tmp_path) is None
    assert generations(tmp_path) == ["replica-1.table"]
    with pytest.raises(NoReplica):
        Replica(tmp_path).login("192.0.2.1", "user7")


@pytest.mark.parametrize("pointer", ["", "no", "99"])
def test_a_pointer_to_nowhere_begins_anew(tmp_path, pointer):
    """Nothing can be gone on with that is not there."""
    (tmp_path / POINTER).write_text(pointer)

    assert ReplicaWriter.take_over(tmp_path) is None


@pytest.mark.parametrize("how", ["empty", "taken over"])
def test_a_kill_harms_nobody(tmp_path, how):
    """Killed while it writes: readers go on with what they have, and the next run goes on too."""
    writer = build(tmp_path, 1)
    writer.publish()
    writer.close()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "user7").service is not None

    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), how], cwd=Path(__file__).parents[3], env=os.environ, check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert read_pointer(tmp_path) == 1
    assert replica.login("192.0.2.1", "user7").service is not None
    following = ReplicaWriter.take_over(tmp_path)
    assert following is not None
    with following:
        following.put_services([service(99)])
    assert replica.login("192.0.2.1", "user99").service is not None
    assert replica.operator(2).refusals == ()
    following.close()
