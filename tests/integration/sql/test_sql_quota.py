"""Quotas in the database: a tier that is crossed reaches the live session, a top-up and a reset take it back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from metered import GB, Meter

from policy.changes.enforcement import BY_ITSELF_PRIORITY
from policy.fair_use import SpanUse
from policy.usage import SpanKind
from sql.metering import settle_due
from sql.quota import look
from sql.roles import Role
from worker.quota import QuotaClock

TIERS = [{"from_bytes": 100 * GB, "rate_limit": "2M/2M", "span": "month"}]


@pytest.fixture
def isp(database):
    """An operator."""
    return database.isp()


@pytest.fixture
def line(isp):
    """Zofia, with 100 GB a month."""
    return Meter(isp, tiers=TIERS)


def rates(line):
    """What the steps told the router, with their states."""
    return [(dict(step.attributes).get("Mikrotik-Rate-Limit"), step.state) for step in line.steps()]


def test_a_crossed_tier_reaches_the_live_session_without_approval_or_brake(line):
    """Before it nothing is written; at it the state is, in edge's transaction, and the worker sends one CoA."""
    assert line.count(70 * GB).moved == ()
    assert line.state().spans == ()
    assert line.count(100 * GB).moved == ((line.isp.operator_id, line.service.id),)
    assert line.state().spans == (SpanUse(SpanKind.MONTH, line.ends_at, 100 * GB),)
    line.work()
    assert line.count(101 * GB).moved == ()
    line.work()

    assert rates(line) == [("2M/2M", "waiting")]
    (step,) = line.steps()
    assert (step.priority, step.why.startswith("By what was used")) == (BY_ITSELF_PRIORITY, True)
    assert line.fresh().authorised_stamp == step.target_stamp != line.stamp
    assert line.query("SELECT reached, warned_percent FROM usage_spans") == [(1, 100)]
    assert line.query("SELECT count(*) FROM healing_runs") == [(0,)]


def test_a_late_record_takes_no_tier_back_and_a_top_up_does_at_once(line):
    """What is counted again lower changes nothing; ten gigabytes more are full speed until those are used."""
    line.count(100 * GB)
    line.work()
    assert line.count(99 * GB).moved == ()
    line.query(
        "INSERT INTO usage_topups (operator_id, service_id, span, bytes, until, reason, granted_by) "
        "VALUES (%s, %s, 'month', %s, %s, 'goodwill', 'anna')",
        line.isp.operator_id,
        line.service.id,
        10 * GB,
        line.ends_at,
    )
    line.work()
    assert line.state().spans[0].extra_bytes == 10 * GB
    assert line.fresh().authorised_stamp == line.stamp
    assert rates(line) == [("2M/2M", "superseded")]
    line.count(110 * GB)
    line.work()
    assert rates(line)[1:] == [("2M/2M", "waiting")]


def test_a_span_that_ends_gives_the_full_speed_back_and_settles_its_top_ups(line):
    """By the worker's clock; the rest of a top-up that is to last counts for the next span."""
    ends_at = line.now + timedelta(seconds=1)
    line.query(
        "INSERT INTO usage_topups (operator_id, service_id, span, bytes, reason, granted_by) "
        "VALUES (%s, %s, 'month', %s, 'bought', 'anna')",
        line.isp.operator_id,
        line.service.id,
        30 * GB,
    )
    line.count(120 * GB, ends_at=ends_at)
    assert line.state().spans == (SpanUse(SpanKind.MONTH, ends_at, 120 * GB, 30 * GB),)
    with line.isp.worker() as session:
        assert settle_due(session, line.isp.operator_id, line.now) == 0
        assert settle_due(session, line.isp.operator_id, ends_at) == 1
        assert settle_due(session, line.isp.operator_id, ends_at) == 0
    assert line.state().spans == ()
    assert line.query("SELECT used_bytes, ended_at FROM usage_topups") == [(20 * GB, None)]


def test_what_was_left_of_the_month_before_is_carried_over(isp):
    """It is looked up near the limit, and kept with the span."""
    line = Meter(isp, tiers=TIERS, carry_over_bytes=50 * GB)
    before = line.starts_at - timedelta(days=28)
    line.count(70 * GB, starts_at=before, ends_at=line.starts_at)
    line.count(100 * GB)
    assert line.query("SELECT carried_bytes FROM usage_spans ORDER BY starts_at") == [(0,), (30 * GB,)]
    assert line.state().spans == (SpanUse(SpanKind.MONTH, line.ends_at, 100 * GB, 30 * GB),)
    line.work()
    assert rates(line) == []
    line.count(130 * GB)
    line.work()
    assert rates(line) == [("2M/2M", "waiting")]


def test_who_writes_over_something_newer_looks_again(line):
    """A worker that has read the state before an edge crossed a tier waits for it, and keeps what it wrote."""
    line.count(70 * GB)
    with line.edge() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute("UPDATE usage_spans SET counted_bytes = %s", (100 * GB,))
        assert look(connection, [line.service.id]).moved
        working = pool.submit(line.work)
        connection.commit()
        working.result()
    assert line.state().spans[0].used_bytes == 100 * GB
    assert rates(line) == [("2M/2M", "waiting")]


def test_the_oldest_session_makes_room(isp):
    """Of three devices on a plan for two the one that came first is disconnected; a quiet one or a twin is nobody."""
    line = Meter(isp, simultaneous_use=2)
    for mac in ("00:00:00:00:00:02", "00:11:22:33:44:55"):
        isp.online(line.service, line.router, line.stamp, mac=mac)
    line.work()
    assert line.steps() == []
    isp.online(line.service, line.router, line.stamp, mac="00:00:00:00:00:03")
    line.query("UPDATE sessions SET last_seen_at = now() - interval '1 hour' WHERE mac = '00:00:00:00:00:03'")
    line.work()
    assert line.steps() == []
    line.query("UPDATE sessions SET last_seen_at = now() WHERE mac = '00:00:00:00:00:03'")
    with line.edge() as connection:
        assert look(connection, [line.service.id]).moved == ((isp.operator_id, line.service.id),)
    line.work()
    (step,) = line.steps()
    assert (step.route, isp.session(step.session_id).mac) == ("disconnect", "00:00:00:00:00:02")


def test_devices_that_no_router_names_are_counted_too(isp):
    """Each session is a device of its own then, for edge that notices as for the worker that acts."""
    line = Meter(isp, simultaneous_use=1)
    isp.online(line.service, line.router, line.stamp, mac="")
    line.query("UPDATE sessions SET mac = ''")
    with line.edge() as connection:
        assert look(connection, [line.service.id]).moved == ((isp.operator_id, line.service.id),)
    line.work()
    assert [(step.route, step.session_id) for step in line.steps()] == [("disconnect", line.session_id)]


def test_logins_of_a_plan_that_refuses_know_the_other_sessions(isp):
    """They are in the state while they are open; it is not written again while no login could tell the difference."""
    line = Meter(isp, simultaneous_use=1, at_limit="refuse")
    with line.edge() as connection:
        look(connection, [line.service.id])
    assert [one.mac for one in line.state().sessions] == ["00:11:22:33:44:55"]
    revision = line.query("SELECT revision FROM usage_states")
    with line.edge() as connection:
        assert look(connection, [line.service.id]).moved == ()
    assert line.query("SELECT revision FROM usage_states") == revision
    line.query("UPDATE sessions SET ended_at = now(), ended_by = 'stop'")
    with line.edge() as connection:
        look(connection, [line.service.id])
    assert line.state().sessions == ()


def test_plans_without_limits_ask_once_and_write_nothing(isp):
    """The many that have no limits cost one look at their plans."""
    line = Meter(isp)
    assert line.count(10**15).moved == ()
    line.work()
    assert (line.steps(), line.query("SELECT count(*) FROM usage_states")) == ([], [(0,)])


def test_a_router_that_holds_the_service_follows_its_tier(isp):
    """By its own configuration, as of the plan itself: without the brake that holds back what nobody asked for."""
    line = Meter(isp, tiers=TIERS)
    line.query("UPDATE sessions SET ended_at = now(), ended_by = 'stop'")
    line.query("UPDATE services SET control_router_id = %s", line.router.id)
    line.work()
    (first,) = line.steps()
    line.query("UPDATE steps SET state = 'verified', proof = 'observed', ended_at = now() WHERE id = %s", first.id)
    line.query("UPDATE placements SET applied_stamp = %s, applied_at = now(), observed_at = now()", first.target_stamp)
    line.work()
    assert len(line.steps()) == 1
    line.count(100 * GB)
    line.work()
    second = line.steps()[1]
    assert (second.route, second.priority) == ("configure", BY_ITSELF_PRIORITY)
    assert second.target_stamp != first.target_stamp


def test_the_clock_finds_what_has_ended(line):
    """Across operators, and only what is due."""
    line.count(120 * GB)
    line.query("UPDATE usage_states SET valid_until = now() - interval '1 second'")
    QuotaClock(line.isp.database.engine(Role.WORKER)).look()
    assert line.query("SELECT valid_until FROM usage_states") == [(None,)]
