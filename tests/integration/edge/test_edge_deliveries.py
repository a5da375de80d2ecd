"""Any delivery of the same packets ends in the same rows: sessions, and usage by hour, day and span."""

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy.changes.enforcement import MAKES_ROOM
from policy.stamp import SessionClass
from sql.ingestion import store_reports
from sql.reports import Kind, Note, Report
from sql.roles import Role

# A quarter before midnight in Warsaw, on the day before its clocks go back; hours, days and spans are crossed.
BEGAN = datetime(2026, 10, 24, 21, 45, tzinfo=UTC)
SESSIONS = """
SELECT service.username, session.acct_session_id, session.mac, session.started_at, session.last_seen_at,
    session.ended_at, session.ended_by, session.terminate_cause, session.session_time_s, session.upload_bytes,
    session.download_bytes, host(session.framed_address), session.quiet_at, session.counted_at
FROM sessions AS session LEFT JOIN services AS service ON service.id = session.service_id
WHERE session.operator_id = %s ORDER BY 1, 2, 4
"""
USAGE = """
SELECT service.username, usage.* FROM (
    SELECT operator_id, service_id, 'hour', hour, hour AS until, upload_bytes, download_bytes, counted_bytes
    FROM usage_hours UNION ALL
    SELECT operator_id, service_id, 'day', day::timestamptz, day::timestamptz, upload_bytes, download_bytes,
        counted_bytes FROM usage_days UNION ALL
    SELECT operator_id, service_id, span, starts_at, ends_at, upload_bytes, download_bytes, counted_bytes
    FROM usage_spans) AS usage JOIN services AS service ON service.id = usage.service_id
WHERE usage.operator_id = %s AND upload_bytes + download_bytes > 0 ORDER BY 1, 4, 5
"""
LIMITS = {
    "tiers": [
        {"from_bytes": 10**12, "rate_limit": "1M/1M", "span": "day"},
        {"from_bytes": 10**12, "rate_limit": "1M/1M", "span": "week"},
    ],
    "quota_bytes": 10**13,
    "time_zone": "Europe/Warsaw",
    "usage_rules": [{"start_minute": 0, "end_minute": 120, "upload_percent": 0, "download_percent": 33}],
}


_numbers = count()


class Town:
    """An operator with a router and customers, and what is said of their sessions."""

    def __init__(self, database):
        self.isp = database.isp(time_zone="Europe/Warsaw")
        self.database = database
        number = next(_numbers)
        self.router = self.isp.router(address=f"10.99.{number // 250}.{number % 250 + 1}")
        plan = self.isp.plan("limited", **LIMITS)
        self.services = {name: self.isp.service(name, plan) for name in ("anna", "berta")}
        self.isp.review()

    def report(self, name, kind, after_s, session="81100001", up=0, down=0, seconds=None, **more):
        """A report that comes in `after_s` seconds after everything began."""
        at = BEGAN + timedelta(seconds=after_s)
        service = self.services[name]
        seconds = after_s if seconds is None else seconds
        foreign = more.pop("foreign", False)
        login = f"{sum(map(ord, name + session)):032x}"
        return Report(
            kind=kind,
            source=str(self.router.address),
            note=Note(self.isp.operator_id, self.router.id, service.id),
            session_class=None if foreign else SessionClass(login, service.id, "1-0123456789abcdef"),
            username=name,
            acct_session_id=session,
            method="pppoe",
            mac=more.pop("mac", f"02:00:00:00:00:{ord(name[0]):02X}"),
            port="",
            framed_address="10.0.0.9",
            at=at,
            started_at=at - timedelta(seconds=seconds),
            session_time_s=seconds,
            upload_bytes=up,
            download_bytes=down,
            terminate_cause=more.pop("cause", ""),
        )

    def everything(self):
        """A night: interims that are lost, doubled and sent again, a Stop that is lost, a reboot, a foreign session."""
        stop = self.report("anna", Kind.STOP, 9000, up=2000, down=9001, cause="User-Request")
        again = "81200001"
        return [
            self.report("anna", Kind.START, 0),
            self.report("anna", Kind.INTERIM, 300, up=101, down=1003),
            self.report("anna", Kind.INTERIM, 1200, up=507, down=2001),  # after midnight there
            self.report("anna", Kind.INTERIM, 1203, up=101, down=1003, seconds=300),  # sent again, without its delay
            self.report("anna", Kind.INTERIM, 8700, up=1999, down=2**33 + 1),  # after two
            stop,
            stop._replace(at=stop.at + timedelta(seconds=3)),
            self.report("anna", Kind.INTERIM, 9002, up=0, down=0, seconds=8999),
            self.report("berta", Kind.START, 0, "81100002"),
            self.report("berta", Kind.INTERIM, 600, "81100002", 1000, 1000),
            # its Stop is lost; the same device comes back
            self.report("berta", Kind.START, 900, "81100003", seconds=0),
            self.report("berta", Kind.INTERIM, 1500, "81100003", 77, 78, seconds=600),
            self.report("berta", Kind.INTERIM, 1500, "81100004", 5, 5, seconds=400, foreign=True, mac=""),
            self.report("berta", Kind.STOP, 2000, "81100004", 9, 7, seconds=901, foreign=True, mac=""),
            # the router reboots without a word, and counts from a new beginning
            self.report("anna", Kind.START, 9600, again, seconds=0),
            self.report("anna", Kind.INTERIM, 9900, again, 10, 20, seconds=300),
        ]

    def take(self, connection, reports, node, *, counting=True):
        """One transaction."""
        with connection.transaction():
            store_reports(connection, reports, node, counting=counting)

    def rows(self):
        """What there is at the end, without what only numbers rows."""
        with self.database.as_superuser() as connection:
            connection.execute("SET timezone TO 'UTC'")
            sessions = connection.execute(SESSIONS, (self.isp.operator_id,)).fetchall()
            usage = connection.execute(USAGE, (self.isp.operator_id,)).fetchall()
        return sessions, [(row[0], *row[3:]) for row in usage]


@pytest.fixture
def edge_connection(database):
    """As edge."""
    with database.engine(Role.EDGE).connect() as connection:
        driver = connection.connection.driver_connection
        driver.rollback()
        driver.autocommit = True
        yield driver
        driver.autocommit = False


@pytest.fixture
def plain(database, edge_connection):
    """A town whose reports came one by one in their order."""
    town = Town(database)
    for report in town.everything():
        town.take(edge_connection, [report], "node-1")
    return town


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_delivery_ends_in_the_same_rows(database, edge_connection, plain, data):
    """In whatever order, doubled, in whatever batches, from two nodes, with the newest looked at first or not."""
    reports = list(range(len(plain.everything())))
    again = data.draw(st.lists(st.sampled_from(reports), max_size=4))
    order = data.draw(st.permutations(reports + again))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=6)))
    newest = data.draw(st.integers(0, len(order)))
    other = Town(database)
    said = [other.everything()[place] for place in order]
    other.take(edge_connection, said[len(order) - newest :], "node-1", counting=False)
    for number, (begin, end) in enumerate(pairwise([0, *cuts, len(order)])):
        other.take(edge_connection, said[begin:end], f"node-{number % 2}")

    assert other.rows() == plain.rows()


def test_what_the_night_ends_in(database, edge_connection):
    """The rows themselves: ends by a Stop, a new start and a reboot; bytes where they were reported."""
    town = Town(database)

    town.take(edge_connection, town.everything(), "node-1")

    sessions, usage = town.rows()
    ended = {row[1]: (row[6], (row[5] - BEGAN).total_seconds() if row[5] else None, *row[9:11]) for row in sessions}
    assert ended == {
        "81100001": ("stop", 9000, 2000, 2**33 + 1),
        "81200001": (None, None, 10, 20),
        "81100002": ("new_start", 900, 1000, 1000),
        "81100003": ("router_reboot", 1500, 77, 78),
        "81100004": ("stop", 2000, 9, 7),
    }
    assert sum(row[-3] for row in usage if row[0] == "anna") == 2010 * (1 + 1 + 1 + 2)  # hours, days, week, period...


def test_a_session_that_made_room_says_so(database, edge_connection):
    """Its Stop tells when it ended and we know why, in whatever order; what was never sent to it is no reason."""
    town = Town(database)
    stop = town.report("anna", Kind.STOP, 600, up=5, cause="Admin-Reset")
    other = town.report("berta", Kind.STOP, 600, "81100002", cause="User-Request")
    starts = [town.report("anna", Kind.START, 0), town.report("berta", Kind.START, 0, "81100002")]
    town.take(edge_connection, starts, "node-1")
    with database.as_superuser() as connection:
        connection.execute(
            "INSERT INTO steps (operator_id, service_id, session_id, router_id, route, why, target_stamp, attributes, "
            "priority, attempts, state) SELECT operator_id, service_id, id, router_id, 'disconnect', %s, '1-x', '[]', "
            "3, CASE username WHEN 'anna' THEN 1 ELSE 0 END, 'waiting' FROM sessions WHERE operator_id = %s",
            (f"{MAKES_ROOM} The router takes no CoA.", town.isp.operator_id),
        )
    late = town.report("anna", Kind.INTERIM, 700, up=6)
    for reports in ([stop, other], [stop._replace(at=stop.at + timedelta(seconds=3))], [late]):
        town.take(edge_connection, reports, "node-2")
    sessions, _ = town.rows()
    assert [(row[6], row[5], row[7]) for row in sessions] == [
        ("ended_oldest", stop.at, "Admin-Reset"),
        ("stop", other.at, "User-Request"),
    ]
