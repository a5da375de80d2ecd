"""Accounting reaches PostgreSQL once, however often and through whatever mishap it comes."""

import threading

import pytest
from edge_node import Edge, Line, eventually, online, rejects, sessions, usage

from edge import ingester as ingester_module
from edge.detail_file import NAME, TakenFile
from edge.ingester import LOGINS
from sql import spool


def test_a_replayed_file_changes_nothing(edge, isp, tower):
    """The whole file once more, under another name: no row and no byte more."""
    line = online(isp, tower)
    other = online(isp, tower, "berta", login=2, session_id="81100002")
    records = [
        line.record("Start"),
        other.record("Start", 1),
        line.record("Interim-Update", 300, 5, 6),
        line.record("Stop", 400, 7, 8),
        other.record("Interim-Update", 301, 9, 10),
    ]
    edge.take(*records)
    before = sessions(edge, line), sessions(edge, other), usage(edge, line.service_id), usage(edge, other.service_id)

    edge.take(*records)

    after = sessions(edge, line), sessions(edge, other), usage(edge, line.service_id), usage(edge, other.service_id)
    assert after == before
    assert after[2:] == ((7, 8), (9, 10))
    assert edge.rows("SELECT * FROM spool_files") == []


@pytest.mark.parametrize("kind", ["accounting", LOGINS])
def test_a_crash_between_commit_and_unlink_does_no_harm(edge, isp, tower, monkeypatch, kind):
    """The marker says what is in the database already, so nothing is counted twice."""
    line = online(isp, tower)
    refused = line.record("Start", Tmp_String_0=f"operator=1 router={tower.id} service=0 reason=wrong_password")
    edge.spool(line.record("Stop", 60, 5, 6) if kind == "accounting" else refused, kind=kind)

    def crash(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TakenFile, "remove", crash)
        with pytest.raises(KeyboardInterrupt):
            edge.drain()
    assert len(edge.waiting()) == 1

    edge.drain()

    if kind == "accounting":
        assert usage(edge, line.service_id) == (5, 6)
    else:
        assert edge.rows("SELECT times FROM refused_logins") == [(1,)]
    assert edge.rows("SELECT * FROM spool_files") == []


def test_poison_is_set_aside_with_the_reason_and_the_rest_is_stored(edge, isp, tower):
    """Bad records of every sort do not stop the good ones beside them, and none is lost."""
    line = online(isp, tower)
    absurd = "0x" + f"ai:{'a' * 32}:9999999999999999999:1-0123456789abcdef".encode().hex()
    poison = [
        line.record("Interim-Update", 10, Acct_Session_Id=None),
        line.record("Weird", 10),
        line.record("Interim-Update", 10, 2**63 + 5),
        line.record("Interim-Update", 10, Timestamp=0),
        line.record("Interim-Update", 10, Packet_Src_IP_Address="203.0.113.99", Tmp_String_0=None),
        "garbage\nmore garbage\n\n",
        b"\xff\x00\xfe\n\tx = \x00\n\n",
        "half a record\n\tAcct-Status-Type = Stop",
    ]
    edge.take(
        line.record("Start"),
        *poison[:4],
        line.record("Interim-Update", 20, 5, 6),
        *poison[4:7],
        line.record("Interim-Update", 30, 7, 7, Class=absurd, Acct_Session_Id="81100077"),
        line.record("Stop", 40, 9, 9),
        poison[7],
    )

    reasons = " | ".join(reason for reason, _ in rejects(edge))
    assert len(rejects(edge)) == len(poison)
    for part in ("Acct-Session-Id", "'Weird'", "more bytes", "Timestamp", "203.0.113.99 is no router", "no attribute"):
        assert part in reasons
    assert any("half a record" in record for _, record in rejects(edge))
    first, second = sessions(edge, line)
    assert first[2:7] == (40, "stop", "", 40, 9)
    assert second[6] == 7


def test_two_nodes_may_take_in_the_same_sessions_at_once(edge, isp, tower, database, tmp_path):
    """A router that asks two servers in turn is counted once, whoever is faster."""
    lines = [online(isp, tower, f"user{number}", login=number, session_id=f"8110{number:04}") for number in range(1, 9)]
    other = Edge(database, tmp_path / "other", node="node-2")
    for after_s in range(0, 600, 60):
        records = [line.record("Interim-Update", after_s, after_s * 10, after_s * 20) for line in lines]
        edge.spool(*records)
        other.spool(*reversed(records))
    threads = [threading.Thread(target=one.drain) for one in (edge, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert edge.waiting() == other.waiting() == []
    for line in lines:
        assert [row[5:8] for row in sessions(edge, line)] == [(540, 5400, 10800)]
        assert usage(edge, line.service_id) == (5400, 10800)


def test_without_the_database_the_spool_waits_and_nothing_is_lost(edge, isp, tower):
    """Down before it begins and again in the middle: when it is back, everything arrives once."""
    line = online(isp, tower)
    edge.take_database_away()
    edge.spool(line.record("Start"), line.record("Interim-Update", 300, 5, 5))
    stop = threading.Event()
    thread = threading.Thread(target=edge.ingester().run, args=(stop.is_set,))
    thread.start()
    try:
        assert sessions(edge, line) == []
        assert edge.ingester().waiting_bytes() > 0
        edge.give_database_back()
        eventually(lambda: not edge.waiting())
        edge.take_database_away()
        edge.spool(line.record("Stop", 400, 7, 7))
        edge.give_database_back()
        eventually(lambda: not edge.waiting())
    finally:
        stop.set()
        thread.join()

    assert [row[3:8] for row in sessions(edge, line)] == [("stop", "", 400, 7, 7)]
    assert usage(edge, line.service_id) == (7, 7)
    assert not (edge.folder / "spool" / "accounting" / NAME).exists()


def test_a_record_that_was_set_aside_is_taken_in_when_somebody_asks(edge, isp, tower):
    """Its router is made known, and the record counts once; what is still refused stays with its reason."""
    line = online(isp, tower)
    strange = line.record("Stop", 60, 5, 6, Packet_Src_IP_Address="203.0.113.99", Tmp_String_0=None)
    edge.take(line.record("Start"), strange, "broken\n\n")
    assert [reason for reason, _ in rejects(edge)] == [
        "a record has no attributes",
        "the source 203.0.113.99 is no router that we know",
    ]
    other = isp.router("new", "203.0.113.99")
    ask = "UPDATE spool_rejects SET state = 'asked'"
    with edge.database.as_superuser() as connection:
        connection.execute(ask)

    edge.take(line.record("Interim-Update", 10))

    assert edge.rows("SELECT state FROM spool_rejects ORDER BY id") == [("aside",), ("replayed",)]
    assert [row[6:8] for row in sessions(edge, Line(other, "anna"))] == [(5, 6)]
    assert usage(edge, line.service_id) == (5, 6)


def test_with_a_long_backlog_the_newest_state_is_known_first(edge, isp, tower, monkeypatch):
    """Who is online is stored before the history is counted, which then is counted from its beginning, once."""
    monkeypatch.setattr(ingester_module, "LONG_BYTES", 10_000)
    monkeypatch.setattr(ingester_module, "NEWEST_BYTES", 4_000)
    monkeypatch.setattr(ingester_module, "BATCH_RECORDS", 5)
    line = online(isp, tower)
    edge.spool(line.record("Start"), *(line.record("Interim-Update", 60 * n, n * 10, n * 20) for n in range(1, 90)))
    seen = []
    original = spool.mark_taken

    def looking(connection, *arguments):
        rows = connection.execute(
            "SELECT upload_bytes, counted_upload_bytes, last_seen_at - started_at FROM sessions"
        ).fetchall()
        seen.append(rows[0])
        original(connection, *arguments)

    monkeypatch.setattr(spool, "mark_taken", looking)
    edge.drain()

    assert seen[0][0] == 890
    assert seen[0][1] == 40
    assert usage(edge, line.service_id) == (890, 1780)
    hours = edge.rows("SELECT upload_bytes FROM usage_hours ORDER BY hour")
    assert hours == [(590,), (300,)]
    assert edge.rows("SELECT count(*) FROM accounting_records") == [(90,)]


def test_without_the_database_long_files_are_put_aside(edge, isp, tower, monkeypatch):
    """So that a long backlog lies in files in order of time; nothing is lost by that."""
    monkeypatch.setattr(ingester_module, "ROLL_BYTES", 1)
    line = online(isp, tower)
    edge.take_database_away()
    stop = threading.Event()
    thread = threading.Thread(target=edge.ingester().run, args=(stop.is_set,))
    thread.start()
    try:
        for number in range(3):
            edge.spool(line.record("Interim-Update", number, number, number))
            eventually(lambda: not (edge.folder / "spool" / "accounting" / NAME).exists())
        assert len(edge.waiting()) == 3
        edge.give_database_back()
        eventually(lambda: not edge.waiting())
    finally:
        stop.set()
        thread.join()

    assert usage(edge, line.service_id) == (2, 2)
