"""What records make of sessions, usage, drift and logins, in whatever order they come."""

import threading
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from edge_node import BEGAN, Line, eventually, online, rejects, sessions, usage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.ingester import LOGINS
from sql import intent

GIB = 2**30


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), foreign=st.booleans())
def test_one_session_is_the_same_whatever_order_its_records_come_in(edge, isp, tower, data, foreign):
    """Start, interims and Stop, doubled and shuffled and in any batches, end in the same row and the same usage."""
    number = len(edge.rows("SELECT id FROM services"))
    line = online(isp, tower, f"user {number}", login=number + 1, foreign=foreign, session_id=f"8{number:07}")
    records = [
        line.record("Start"),
        line.record("Interim-Update", 300, GIB, 5 * GIB),
        line.record("Interim-Update", 600, 2 * GIB, 9 * GIB),
        line.record("Stop", 900, 3 * GIB, 9 * GIB + 1, Acct_Terminate_Cause="User-Request"),
        # The same Stop, sent again because the answer was lost: it arrives later and admits the delay, or does not.
        line.record("Stop", 903, 3 * GIB, 9 * GIB + 1, Acct_Terminate_Cause="User-Request", Acct_Session_Time=900),
    ]
    again = data.draw(st.lists(st.sampled_from(records), max_size=3))
    order = data.draw(st.permutations(records + again))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1))))
    for begin, end in pairwise([0, *cuts, len(order)]):
        edge.take(*order[begin:end])

    row = (0, 903, 900, "stop", "User-Request", 900, 3 * GIB, 9 * GIB + 1, line.service_id, line.mac, "10.0.0.9")
    assert sessions(edge, line) == [row]
    assert usage(edge, line.service_id) == (3 * GIB, 9 * GIB + 1)
    assert rejects(edge) == []


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_lost_stop_is_closed_by_the_next_session_whatever_order_they_come_in(edge, isp, tower, data):
    """The same device comes back: its older session is over, also if that one's records are late."""
    number = len(edge.rows("SELECT id FROM services"))
    older = online(isp, tower, f"user {number}", login=2 * number + 1000)
    newer = Line(tower, older.username, older.service_id, "81100002", older.login + 1)
    order = data.draw(
        st.permutations(
            [
                older.record("Start"),
                older.record("Interim-Update", 300, 10, 20),
                newer.record("Start", 400, Acct_Session_Time=0),
                newer.record("Interim-Update", 700, 1, 2, Acct_Session_Time=300),
            ]
        )
    )
    for record in order:
        edge.take(record)

    first, second = sessions(edge, older)
    assert first[:4] == (0, 300, 400, "new_start")
    assert second[:4] == (400, 700, None, None)
    assert usage(edge, older.service_id) == (11, 22)


def test_two_devices_of_one_service_do_not_close_each_other(edge, isp, tower):
    """Another MAC, or the same one that goes on speaking, is another connection."""
    home = online(isp, tower)
    phone = Line(tower, "anna", home.service_id, "81100002", 2, mac="02:00:00:00:00:02")
    twin = Line(tower, "anna", home.service_id, "81100003", 3)

    edge.take(home.record("Start"), phone.record("Start", 100))
    edge.take(home.record("Interim-Update", 300))
    edge.take(twin.record("Start", 310, Acct_Session_Time=0))
    assert [row[3] for row in sessions(edge, home)] == ["new_start", None, None]

    edge.take(home.record("Interim-Update", 600))
    edge.take(twin.record("Interim-Update", 610, Acct_Session_Time=300))
    assert [row[3] for row in sessions(edge, home)] == [None, None, None]


@pytest.mark.parametrize("ended_by", ["unknown_to_router", "router_restart", "missed_interims"])
def test_a_session_thought_gone_that_speaks_again_is_seen_again(edge, isp, tower, ended_by):
    """An end that was only inferred gives way to the router's own word; an echo of before does not count."""
    line = online(isp, tower)
    edge.take(line.record("Start"))
    with edge.database.as_superuser() as connection:
        connection.execute("UPDATE sessions SET ended_by = %s, ended_at = started_at + interval '300 s'", (ended_by,))
    if ended_by != "missed_interims":
        edge.take(line.record("Interim-Update", 299, 5, 5))
        assert sessions(edge, line)[0][3] == ended_by

    edge.take(line.record("Interim-Update", 600, 7, 7))
    assert sessions(edge, line)[0][2:4] == (None, None)

    edge.take(line.record("Stop", 700, 8, 8))
    edge.take(line.record("Interim-Update", 900, 9, 9))
    assert sessions(edge, line)[0][2:4] == (700, "stop")


def test_a_name_that_changes_hands_within_a_batch_stops_nobody(edge, isp, tower):
    """Refused logins of one name, first of nobody and then of a service, are counted together."""
    line = online(isp, tower)
    notes = [f"operator=1 router={tower.id} service={service} reason=x" for service in (0, line.service_id, 0)]

    edge.take(*(line.record("Start", Tmp_String_0=note) for note in notes), kind=LOGINS)

    assert edge.rows("SELECT times, service_id FROM refused_logins") == [(3, line.service_id)]


def test_a_class_that_names_another_operators_service_is_not_believed(edge, isp, tower, database):
    """A router speaks for its own operator alone: no session and no byte reaches another one's customer."""
    stranger = database.isp().service("strange")
    line = Line(tower, "nobody", stranger.id)
    impostor = Line(tower, "strange", stranger.id, "81100002", 2)

    edge.take(line.record("Start"), line.record("Stop", 60, 500, 600), impostor.record("Stop", 60, 7, 7))

    assert [row[8] for row in (*sessions(edge, line), *sessions(edge, impostor))] == [None, None]
    assert usage(edge, stranger.id) == (0, 0)


def test_a_router_that_restarts_closes_its_sessions_and_no_others(edge, isp, tower):
    """Accounting-On ends what was open there before, in the same batch too; what starts afterwards stays open."""
    before = online(isp, tower)
    after = Line(tower, "anna", before.service_id, "81200001", 2, mac="02:00:00:00:00:02")
    elsewhere = Line(isp.router("other"), "anna", before.service_id, "81100001", 3)
    restart = before.record("Accounting-On", 100, User_Name=None, Acct_Session_Id=None, Class=None)

    edge.take(
        elsewhere.record("Start"), before.record("Start"), restart, after.record("Start", 101, Acct_Session_Time=0)
    )
    edge.take(restart)

    assert [row[3] for row in sessions(edge, before)] == ["router_restart", None]
    assert [row[3] for row in sessions(edge, elsewhere)] == [None]


def test_a_foreign_session_is_one_session_at_any_second(edge, isp, tower):
    """Without our Class the start tells sessions apart, and rounding it never makes two of one."""
    for offset in (0, 298, 299, 300, 301, 599):
        line = Line(tower, f"user {offset}", foreign=True, began=BEGAN.replace(minute=offset // 60, second=offset % 60))
        edge.take(
            line.record("Start"),
            line.record("Interim-Update", 300, 5, 5, Acct_Session_Time=299),
            line.record("Interim-Update", 600, 6, 6, Acct_Session_Time=602),
        )
        edge.take(line.record("Stop", 900, 7, 7, Acct_Session_Time=897))
        assert [(row[3], *row[6:8]) for row in sessions(edge, line)] == [("stop", 7, 7)], offset


def test_a_session_id_that_repeats_after_reboots_is_another_session(edge, isp, tower):
    """RouterOS repeats its ids after sixteen reboots: hours later the same name and id are a new session."""
    first = Line(tower, "anna", foreign=True)
    again = Line(tower, "anna", foreign=True, began=BEGAN.replace(hour=15))

    edge.take(first.record("Start"), again.record("Start"), first.record("Interim-Update", 60, 1, 1))
    edge.take(again.record("Interim-Update", 60, 2, 2))

    assert [row[6] for row in sessions(edge, first)] == [1, 2]


def test_drift_is_handed_to_the_worker(edge, isp, tower):
    """Where the authorised stamp on the record is not the applied one, the worker is asked to look; else not."""
    service = isp.service("anna")
    isp.review()
    line = Line(tower, "anna", service.id, stamp=isp.fresh(service).authorised_stamp)
    jobs = "SELECT args->'service_ids' FROM procrastinate_jobs WHERE task_name = 'enforce_services'"
    already = len(edge.rows(jobs))

    edge.take(line.record("Start"), line.record("Interim-Update", 300))
    assert len(edge.rows(jobs)) == already

    edge.take(line.record("Interim-Update", 600, noted_stamp="1-ffffffffffffffff"))
    assert edge.rows(jobs)[already:] == [([line.service_id],)]


def test_a_login_that_crosses_an_approval_is_handed_to_the_worker(edge, isp, tower):
    """Noted before the change and stored while it commits: the session is not left with the earlier access."""
    service = isp.service("anna")
    isp.review()
    line = Line(tower, "anna", service.id, stamp=isp.fresh(service).authorised_stamp)
    isp.invoice(service.subscriber_id)
    isp.review()
    jobs = "SELECT args->'service_ids' FROM procrastinate_jobs WHERE task_name = 'enforce_services'"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'ispagents_edge'"
    edge.spool(line.record("Start"))
    with isp.web() as session:
        change = intent.change_by_id(session, isp.operator_id, isp.changes(service)[-1].id)
        intent.approve(session, change, by="a test", seen_hash=change.preview_hash, now=datetime.now(UTC))
        already = len(edge.rows(jobs))
        thread = threading.Thread(target=edge.drain)
        thread.start()
        eventually(lambda: edge.rows(waiting))
    thread.join()

    assert edge.rows(jobs)[already:] == [([service.id],), ([service.id],)]


def test_refused_logins_are_counted_by_the_hour(edge, isp, tower):
    """One row for router, name, device, reason and hour, with how often and when last."""
    line = online(isp, tower)

    def refused(after_s, reason="wrong_password", **more):
        note = f"operator={isp.operator_id} router={tower.id} service={line.service_id} reason={reason}"
        return line.record("Start", after_s, Tmp_String_0=note, **more)

    edge.take(refused(0), refused(5), refused(9, "wrong_device"), refused(3700), kind=LOGINS)
    edge.take(refused(20), "broken\n\n", kind=LOGINS)

    query = "SELECT reason, times, extract(epoch FROM last_at - %s)::int FROM refused_logins ORDER BY hour, reason"
    assert edge.rows(query, BEGAN) == [("wrong_device", 1, 9), ("wrong_password", 3, 20), ("wrong_password", 1, 3700)]
    assert len(rejects(edge)) == 1


def test_a_binding_is_learnt_once(edge, isp, tower):
    """The first device wins; the second teaches nothing, and the audit names what was learnt."""
    service = isp.service("anna", bind_mac=True, bind_port=True)
    first = Line(tower, "anna", service.id)
    second = Line(tower, "anna", service.id, mac="02:00:00:00:00:02")
    note = f"operator={isp.operator_id} router={tower.id} service={service.id} reason=plan learn=mac,port,router"

    edge.take(*(one.record("Start", Tmp_String_0=note) for one in (first, second, first)), kind=LOGINS)

    assert edge.rows("SELECT mac, port, router_id FROM services") == [(first.mac, "ether2", None)]
    learnt = edge.rows("SELECT data->>'kind' FROM audit_events WHERE event = 'service:binding:learn' ORDER BY id")
    assert learnt == [("mac",), ("port",)]
    assert edge.rows("SELECT * FROM refused_logins") == []


def test_a_tier_is_crossed_in_the_transaction_that_counts(edge, isp, tower):
    """The report that reaches the limit writes the state and hands the service over; the next ones do neither."""
    plan = isp.plan("Fair", tiers=[{"from_bytes": GIB, "rate_limit": "1M/1M", "span": "month"}], warn_percents=[])
    service = isp.service("anna", plan=plan)
    isp.review()
    stamp = isp.fresh(service).authorised_stamp
    line = Line(tower, "anna", service.id, stamp=stamp, began=datetime.now(UTC).replace(microsecond=0))
    edge.rows("DELETE FROM procrastinate_jobs RETURNING id")
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'enforce_services'"
    state = "SELECT document->'spans'->0->>2 FROM usage_states WHERE service_id = %s"

    edge.take(line.record("Start"), line.record("Interim-Update", 1, down=GIB - 1))
    assert (edge.rows(jobs), edge.rows(state, service.id)) == ([(0,)], [])
    edge.take(line.record("Interim-Update", 2, down=GIB))
    assert (edge.rows(jobs), edge.rows(state, service.id)) == ([(1,)], [(str(GIB),)])
    edge.take(line.record("Interim-Update", 3, down=GIB + 1), line.record("Interim-Update", 1, down=GIB - 1))
    assert (edge.rows(jobs), edge.rows(state, service.id)) == ([(1,)], [(str(GIB),)])
