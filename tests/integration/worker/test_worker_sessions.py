"""What went quiet is closed when its router is at work, never while a router or a node of ours is silent."""

import pytest

from sql.roles import Role
from worker.sessions import SessionWatch

NOW = "clock_timestamp()"


@pytest.fixture
def isp(database):
    """An operator."""
    return database.isp()


@pytest.fixture
def tower(isp):
    """A router."""
    return isp.router()


def online(isp, tower, name, *, began_s, heard_s):
    """A session that began and was last heard so many seconds ago, with interims every five minutes."""
    session_id = isp.online(isp.service(name), tower, None, key=name)
    with isp.database.as_superuser() as connection:
        connection.execute(
            f"UPDATE sessions SET started_at = {NOW} - make_interval(secs => %s), "  # noqa: S608 - one word of ours
            f"last_seen_at = {NOW} - make_interval(secs => %s), quiet_at = {NOW} - make_interval(secs => %s) "
            "WHERE id = %s",
            (began_s, heard_s, heard_s - 660, session_id),
        )
    return session_id


def look(isp):
    """One look of the worker's clock."""
    SessionWatch(isp.database.engine(Role.WORKER), 12).look()


def ended(isp, session_id):
    """How a session ended, and whether at its last word."""
    one = isp.session(session_id)
    return one.ended_by, one.ended_at == one.last_seen_at


def said_by_api(isp, tower, *, answered_s, booted_s):
    """Its API answered so many seconds ago, and said since when it runs."""
    with isp.database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO router_checks (operator_id, router_id, path, state, succeeded_at, facts) VALUES "  # noqa: S608 - one word of ours
            f"(%s, %s, 'api', 'online', {NOW} - make_interval(secs => %s), "
            f"jsonb_build_object('started_at', {NOW} - make_interval(secs => %s)))",
            (isp.operator_id, tower.id, answered_s, booted_s),
        )


def test_who_misses_two_interims_is_closed_while_the_router_reports_others(isp, tower):
    """At the last word; those that have spoken, and those of a silent router, stay."""
    quiet = online(isp, tower, "anna", began_s=9000, heard_s=1000)
    lively = online(isp, tower, "berta", began_s=9000, heard_s=10)
    elsewhere = online(isp, isp.router("silent"), "cecylia", began_s=9000, heard_s=5000)

    look(isp)

    assert ended(isp, quiet) == ("missed_interims", True)
    assert [ended(isp, one)[0] for one in (lively, elsewhere)] == [None, None]


def test_a_start_alone_says_nothing_of_interims(isp, tower):
    """A router that sends no interims has nobody who misses them."""
    quiet = online(isp, tower, "anna", began_s=9000, heard_s=9000)
    online(isp, tower, "berta", began_s=10, heard_s=10)

    look(isp)

    assert ended(isp, quiet)[0] is None


@pytest.mark.parametrize(("heard_s", "closed"), [(1000, None), (2000, "missed_interims")])
def test_a_router_that_answers_its_api_is_at_work_too(isp, tower, heard_s, closed):
    """A quarter of an hour later: the way of its accounting may be broken alone."""
    quiet = online(isp, tower, "anna", began_s=9000, heard_s=heard_s)
    said_by_api(isp, tower, answered_s=5, booted_s=86_400)

    look(isp)

    assert ended(isp, quiet)[0] == closed


@pytest.mark.parametrize(
    ("reported_s", "waiting", "closed"), [(5, 9_000_000, None), (600, 0, None), (200_000, 9_000_000, "missed_interims")]
)
def test_nobody_is_closed_while_a_node_is_behind(isp, tower, reported_s, waiting, closed):
    """The interims may wait in its spool. A node that was silent for a day is gone."""
    quiet = online(isp, tower, "anna", began_s=9000, heard_s=1000)
    online(isp, tower, "berta", began_s=9000, heard_s=10)
    with isp.database.as_superuser() as connection:
        connection.execute(
            f"INSERT INTO nodes (name, address, spool_waiting, reported_at) VALUES ('other', '127.0.0.1', %s, {NOW} - "  # noqa: S608 - one word of ours
            "make_interval(secs => %s))",
            (waiting, reported_s),
        )

    look(isp)

    assert ended(isp, quiet)[0] == closed


def test_who_is_older_than_the_routers_uptime_is_closed(isp, tower):
    """A reboot that its API told of; who has spoken since lives."""
    older = online(isp, tower, "anna", began_s=9000, heard_s=500)
    since = online(isp, tower, "berta", began_s=9000, heard_s=10)
    said_by_api(isp, tower, answered_s=5, booted_s=400)

    look(isp)
    look(isp)

    assert ended(isp, older) == ("router_reboot", True)
    assert ended(isp, since)[0] is None
    with isp.database.as_superuser() as connection:
        boots = connection.execute("SELECT noticed_by, closed_sessions FROM router_boots").fetchall()
    assert boots == [("uptime", 1)]


def test_months_are_made_and_dropped(isp):
    """Raw records have a partition for each month that is kept and the two to come."""
    with isp.database.as_superuser() as connection:
        connection.execute(
            "CREATE TABLE accounting_records_2020_01 PARTITION OF accounting_records "
            "FOR VALUES FROM ('2020-01-01') TO ('2020-02-01')"
        )
        connection.execute("ALTER TABLE accounting_records_2020_01 OWNER TO ispagents_owner")

    look(isp)

    with isp.database.as_superuser() as connection:
        names = {
            row[0]
            for row in connection.execute(
                "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid "
                "WHERE inhparent = 'accounting_records'::regclass"
            ).fetchall()
        }
    assert "accounting_records_2020_01" not in names
    assert len(names) >= 5
