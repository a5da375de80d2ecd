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
from radius_module.replica import NoReplica, Replica
from radius_module.replica_schema import POINTER, generation_file, read_pointer

ROUTER = ("192.0.2.1", 1, 1, "tower", "made-up secret", 0)
SERVICES = 50
KILLED = """
import os, signal, sys
from pathlib import Path
from edge.replica_writer import ReplicaWriter
begin = {"copy": ReplicaWriter.begin_copy, "empty": ReplicaWriter.begin_empty}[sys.argv[2]]
writer = begin(Path(sys.argv[1]))
with writer:
    writer.put_operator(2, "{}")
os.kill(os.getpid(), signal.SIGKILL)
"""


def service(number: int, plan_version_id: int = 1, name: str = "") -> tuple:
    """A row of the table `services`."""
    username = name or f"user{number}"
    return (1, username, number, "made-up", "pppoe", "current", plan_version_id, None, *[""] * 4, 0, "", 0, 0, 0, "")


def build(folder: Path, version: int) -> ReplicaWriter:
    """A generation whose services all have this plan version."""
    writer = ReplicaWriter.begin_empty(folder)
    with writer:
        writer.put_router(ROUTER, removed=False)
        writer.put_plan(version, f"plan {version}", json.dumps({"rate_limit": f"{version}M/{version}M"}))
        writer.put_services((service(number, version) for number in range(1, SERVICES)), first_build=True)
    return writer


def generations(folder: Path) -> list[str]:
    """The files of the folder."""
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".sqlite")


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


def test_changes_in_place_are_seen_whole(tmp_path):
    """What is written in one transaction is seen together, by a reader that was there before."""
    with_changes = build(tmp_path, 1)
    with_changes.publish()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "renamed").service is None

    with with_changes:
        with_changes.put_services([service(7, name="renamed")])
        assert replica.login("192.0.2.1", "renamed").service is None

    assert replica.login("192.0.2.1", "renamed").service.service_id == 7
    assert replica.login("192.0.2.1", "user7").service is None

    def half_done() -> None:
        with with_changes:
            with_changes.put_router(ROUTER, removed=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert replica.router("192.0.2.1") is not None
    with_changes.close()


def test_old_generations_go_and_the_one_before_stays_for_a_moment(tmp_path):
    """Two generations are kept: the current one, and one that a reader may just be opening."""
    for version in (1, 2, 3, 4):
        writer = build(tmp_path, version)
        writer.publish()
        writer.close()

    assert generations(tmp_path) == ["replica-3.sqlite", "replica-4.sqlite"]
    assert read_pointer(tmp_path) == 4
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".new"]
    assert {(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} <= {0o640}


def test_a_copy_goes_on_where_the_last_run_ended(tmp_path):
    """After a restart the next generation holds all of the last one, and a reader of the old file is not disturbed."""
    first = build(tmp_path, 1)
    first.set_meta("snapshot", "7:9:")
    first.publish()
    replica = Replica(tmp_path)
    assert replica.login("192.0.2.1", "user7").service is not None

    copy = ReplicaWriter.begin_copy(tmp_path)
    assert copy is not None
    assert read_pointer(tmp_path) == first.generation
    assert copy.meta("snapshot") == "7:9:"
    assert copy.service_count() == SERVICES - 1
    copy.publish()

    assert read_pointer(tmp_path) == copy.generation == first.generation + 1
    assert replica.login("192.0.2.1", "user7").service is not None
    first.close()
    copy.close()


@pytest.mark.parametrize("how", ["clean", "copy"])
def test_what_was_never_published_is_removed(tmp_path, how):
    """A build that came to nothing leaves no file behind and changes nothing."""
    build(tmp_path, 1).publish()
    before = generations(tmp_path)

    writer = ReplicaWriter.begin_copy(tmp_path) if how == "copy" else ReplicaWriter.begin_empty(tmp_path)
    assert writer is not None
    writer.close()

    assert generations(tmp_path) == before
    assert read_pointer(tmp_path) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage" * 1000])
def test_a_damaged_generation_is_not_copied(tmp_path, damage):
    """Where the current file is no database there is nothing to go on from, and no half copy stays."""
    build(tmp_path, 1).close()
    (tmp_path / POINTER).write_text("1")
    generation_file(tmp_path, 1).write_bytes(damage)

    assert ReplicaWriter.begin_copy(tmp_path) is None
    assert generations(tmp_path) == ["replica-1.sqlite"]
    with pytest.raises(NoReplica):
        Replica(tmp_path).login("192.0.2.1", "user7")


@pytest.mark.parametrize("pointer", ["", "no", "99"])
def test_a_pointer_to_nowhere_begins_anew(tmp_path, pointer):
    """No copy is made of what is not there."""
    (tmp_path / POINTER).write_text(pointer)

    assert ReplicaWriter.begin_copy(tmp_path) is None


@pytest.mark.parametrize("how", ["empty", "copy"])
def test_a_kill_before_the_pointer_moves_harms_nobody(tmp_path, how):
    """Killed between build and pointer: readers go on with what they have, and the next run makes another one."""
    writer = build(tmp_path, 1)
    writer.publish()
    replica = Replica(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), how], cwd=Path(__file__).parents[3], env=os.environ, check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert read_pointer(tmp_path) == 1
    assert replica.login("192.0.2.1", "user7").service is not None
    following = ReplicaWriter.begin_copy(tmp_path)
    assert following is not None
    following.publish()
    assert Replica(tmp_path).login("192.0.2.1", "user7").service is not None
    assert replica.operator(2).refusals == ()
    following.close()
    writer.close()
