"""Reading the replica."""

import threading
import time
from datetime import UTC, datetime

import pytest
from fixtures_freeradius import CONTROL, router_row, service_row

from edge.replica_writer import ReplicaWriter
from policy.facts import Bindings, Method, OperatorFacts, RestrictedLook, ServiceFacts
from policy.reasons import Reason
from policy.standing import Standing
from radius_module.records import POINTER, RouterRow, generation_file, read_pointer
from radius_module.replica import LoginRow, NoReplica, Replica
from radius_module.table import HEADER_BYTES, WORD_FORMAT


@pytest.fixture
def replica(tmp_path):
    """A reader of the test's folder."""
    return Replica(tmp_path)


def put(writer, *rows):
    """Write services in one transaction."""
    with writer:
        writer.put_services(rows)


def test_a_service_is_read_as_it_was_written(writer, replica):
    """All columns become facts and bindings."""
    put(
        writer,
        service_row(
            "anna",
            7,
            standing="suspended",
            prepaid_until=1_800_000_000.5,
            address="100.64.0.7",
            routes=("10.1.0.0/24 0.0.0.0 1",),
            bind_mac=1,
            mac="02:00:00:00:00:01",
            bound_router_id=3,
        ),
    )
    assert replica.login(CONTROL, "anna") == LoginRow(
        1,
        1,
        ServiceFacts(
            7,
            Method.PPPOE,
            Standing.SUSPENDED,
            1,
            datetime.fromtimestamp(1_800_000_000.5, UTC),
            "100.64.0.7",
            routes=("10.1.0.0/24 0.0.0.0 1",),
        ),
        "right password",
        Bindings(bind_mac=True, mac="02:00:00:00:00:01", router_id=3),
    )


def test_a_commit_is_seen_at_once(writer, replica):
    """The next login has what was written, without opening anything anew."""
    assert replica.login(CONTROL, "anna").service is None
    put(writer, service_row("anna", 7))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    put(writer, service_row("anna maria", 7))
    assert replica.login(CONTROL, "anna").service is None


def test_names_are_their_operators_own(writer, replica):
    """Two operators may both have an anna, and the router says whose is meant."""
    writer.put_router(*router_row("127.0.0.3", 2, operator=2))
    put(writer, service_row("anna", 7), service_row("anna", 8, operator_id=2))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    assert replica.login("127.0.0.3", "anna").service.service_id == 8


def test_routers_come_and_go(writer, replica):
    """An unknown source is nobody, and a removed router is nobody again."""
    assert replica.router("127.0.0.3") is None
    writer.put_router(*router_row("127.0.0.3", 2, 's"ecret', signed=True))
    assert replica.router("127.0.0.3") == RouterRow(2, 1, "router 2", 's"ecret', require_message_authenticator=True)
    writer.remove_router(2)
    assert replica.router("127.0.0.3") is None
    assert replica.login("127.0.0.3", "anna") is None


def test_secrets_never_show(writer, replica):
    """No repr, and so no log line, holds a password or a router's secret."""
    put(writer, service_row("anna", 7))
    assert "right password" not in repr(replica.login(CONTROL, "anna"))
    assert "made-up" not in repr(replica.router(CONTROL))


def test_the_pointer_switches_generations(writer, begin, replica):
    """Readers follow it with their next call, and stay with the old file until then."""
    put(writer, service_row("anna", 7))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    second = begin()
    put(second, service_row("anna", 8))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    second.publish()
    assert replica.login(CONTROL, "anna").service.service_id == 8


def test_plans_are_those_of_the_generation(writer, begin, replica):
    """A rebuild from another database may number its plan versions anew, so none is kept across it."""
    assert replica.plan(1).rate_limit == "10M/50M"
    replica.login(CONTROL, "anna")
    assert replica.plan(1).rate_limit == "10M/50M"
    begin('{"rate_limit": "1M/1M"}').publish()
    replica.login(CONTROL, "anna")
    assert replica.plan(1).rate_limit == "1M/1M"


def test_a_replica_is_read_after_edge_was_stopped(writer, tmp_path):
    """By a server whose user may not write there, and it makes no file of its own."""
    put(writer, service_row("anna", 7))
    writer.close()
    before = sorted(tmp_path.iterdir())
    tmp_path.chmod(0o500)
    try:
        assert Replica(tmp_path).login(CONTROL, "anna").service.service_id == 7
        assert sorted(tmp_path.iterdir()) == before
    finally:
        tmp_path.chmod(0o700)


def test_the_next_run_of_edge_is_seen(writer, replica, tmp_path):
    """It goes on with the same file, and so does the reader."""
    put(writer, service_row("anna", 7))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    writer.close()
    assert replica.login(CONTROL, "anna").service.service_id == 7
    second = ReplicaWriter.take_over(tmp_path)
    put(second, service_row("berta", 8))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    assert replica.login(CONTROL, "berta").service.service_id == 8
    second.close()


def test_a_restart_of_freeradius_needs_no_edge(writer, tmp_path):
    """With edge killed in the middle of its work, a new reader has what was committed."""
    put(writer, service_row("anna", 7))
    assert Replica(tmp_path).login(CONTROL, "anna").service.service_id == 7


@pytest.mark.parametrize("content", [b"", b"one", b"\xff\xfe", b"7", b"-1", b"1.0"])
def test_a_pointer_to_nothing_is_no_replica(writer, replica, tmp_path, content):
    """Whatever stands in it, the server stays silent rather than refusing everybody."""
    (tmp_path / POINTER).write_bytes(content)
    with pytest.raises(NoReplica):
        replica.login(CONTROL, "anna")


def test_without_a_pointer_there_is_no_replica(replica, tmp_path):
    """A node that was never filled is silent."""
    assert read_pointer(tmp_path) is None
    with pytest.raises(NoReplica, match="start edge"):
        replica.login(CONTROL, "anna")


@pytest.mark.parametrize("content", [b"", b"garbage" * 10000, b"ISPAgent", b"ISPAgent" + bytes(20000)])
def test_a_file_that_is_no_table_is_no_replica(replica, tmp_path, content):
    """And when a good one takes its place, the same reader answers again."""
    generation_file(tmp_path, 5).write_bytes(content)
    (tmp_path / POINTER).write_text("5")
    with pytest.raises(NoReplica):
        replica.login(CONTROL, "anna")
    good = ReplicaWriter.begin_empty(tmp_path)
    good.publish()
    assert replica.login(CONTROL, "anna") is None
    good.close()


def overwrite(folder, word, value):
    """Set a word in the header of generation 1."""
    with generation_file(folder, 1).open("r+b") as file:
        file.seek(word * 8)
        file.write(value.to_bytes(8, "little"))


def test_another_format_is_no_replica(writer, replica, tmp_path):
    """Edge and FreeRADIUS of two versions do not misread each other."""
    overwrite(tmp_path, WORD_FORMAT, 99)
    with pytest.raises(NoReplica, match="another format"):
        replica.login(CONTROL, "anna")


def test_a_machine_that_stopped_in_the_middle_of_a_change_has_no_replica(writer, replica, tmp_path, monkeypatch):
    """What reached the disk then is anybody's guess, so it is not used; after an orderly end it is."""
    put(writer, service_row("anna", 7))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    monkeypatch.setattr("radius_module.table.boot_id", lambda: b"another start of the machine".ljust(36))
    with pytest.raises(NoReplica, match="the machine stopped"):
        Replica(tmp_path).login(CONTROL, "anna")
    writer.close()
    assert Replica(tmp_path).login(CONTROL, "anna").service.service_id == 7


def test_a_slot_that_points_beyond_the_end_is_no_replica(writer, replica, tmp_path):
    """It is not an unknown user."""
    put(writer, service_row("anna", 7))
    content = bytearray(generation_file(tmp_path, 1).read_bytes()[: HEADER_BYTES + 8 * 4096])
    for at in range(HEADER_BYTES, len(content), 8):
        slot = int.from_bytes(content[at : at + 8], "little")
        content[at : at + 8] = (slot | 1 << 63 if slot else 0).to_bytes(8, "little")
    with generation_file(tmp_path, 1).open("r+b") as file:
        file.write(content)
    with pytest.raises(NoReplica, match="beyond its end"):
        replica.login(CONTROL, "anna")


def test_a_missing_plan_version_is_no_replica(writer, replica):
    """It is being rebuilt or damaged: silence, not a login without a speed."""
    with pytest.raises(NoReplica, match="99"):
        replica.plan(99)


@pytest.mark.parametrize("facts", ["", "{torn", "[]", "null", '{"nonsense": 1}', '{"rate_limit": "fast"}'])
def test_a_plan_or_operator_that_cannot_be_read_is_no_replica(writer, replica, facts):
    """Said in one line, which names what is wrong, rather than by a traceback for every login."""
    writer.put_plan(5, "Broken", facts)
    with pytest.raises(NoReplica, match="plan version 5 cannot be read"):
        replica.plan(5)
    writer.put_operator(5, facts.replace("null", "7"))
    with pytest.raises(NoReplica, match="operator 5 cannot be read"):
        replica.operator(5)


def test_a_folder_that_somebody_exchanged_is_noticed(writer, replica, tmp_path, monkeypatch):
    """Nothing in the old table says so; a look at the pointer, once a second, does."""
    put(writer, service_row("anna", 7))
    assert replica.login(CONTROL, "anna").service.service_id == 7
    (tmp_path / POINTER).rename(tmp_path / "aside")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2)
    with pytest.raises(NoReplica, match="start edge"):
        replica.login(CONTROL, "anna")
    (tmp_path / "aside").rename(tmp_path / POINTER)
    assert replica.login(CONTROL, "anna").service.service_id == 7


def test_threads_read_while_one_writes(writer, replica):
    """Each sees the old record or the new one, and nothing else."""
    names = [f"user{number}" for number in range(50)]
    put(writer, *(service_row(name, number + 1, password="0" * 30) for number, name in enumerate(names)))
    stop, problems = threading.Event(), []

    def read():
        while not stop.is_set():
            for number, name in enumerate(names):
                row = replica.login(CONTROL, name)
                if row.service is None or row.service.service_id != number + 1 or len(set(row.password)) != 1:
                    problems.append(row)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for digit in range(40):
        password = str(digit % 10) * (20 + digit)
        put(writer, *(service_row(name, number + 1, password=password) for number, name in enumerate(names)))
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []


def test_the_newest_time_is_what_edge_has_seen(writer, replica):
    """Zero before it has seen any."""
    assert replica.newest_time() == 0.0
    writer.set_newest_time(1_800_000_000.5)
    assert replica.newest_time() == 1_800_000_000.5


def test_an_operators_choices_are_read(writer, replica):
    """Without a row nothing is chosen, and every refusal stays one."""
    assert replica.operator(9) == OperatorFacts(9)
    writer.put_operator(9, '{"wrong_password": {"address_list": "wrong"}}')
    assert replica.operator(9).look(Reason.WRONG_PASSWORD) == RestrictedLook(address_list="wrong")
