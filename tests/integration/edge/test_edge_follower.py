"""The replica follows the truth, whatever happens to notifications, commits, the database and edge itself."""

import json
import time

import pytest
from edge_node import eventually
from fixtures_database import ACTOR, BOX
from sqlalchemy import insert, update

from edge import follower as follower_module
from edge import table_writer
from edge.replica_writer import ReplicaWriter
from policy.standing import Standing
from radius_module.records import RouterRow, read_pointer
from sql import following, router_store
from sql.models import Router, Service, UsageState
from sql.roles import Role
from sql.secrets import service_password_place

DEAF = """
CREATE OR REPLACE FUNCTION stamp_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := pg_current_xact_id();
    RETURN NEW;
END $$
"""


@pytest.fixture
def anna(isp, tower):
    """A service that is authorised."""
    service = isp.service("anna")
    isp.review()
    return service


def known(edge, tower, username):
    """The service of this name as a login would find it, or None."""
    try:
        row = edge.replica.login(str(tower.address), username)
    except Exception:  # noqa: BLE001 - no replica yet, or none any more
        return None
    return row.service if row is not None else None


def owe(isp, service):
    """Suspend a service: a month overdue, and a person approves."""
    isp.invoice(service.subscriber_id)
    isp.review()
    isp.approve(isp.changes(service)[-1])


def node(edge):
    """The node's report."""
    found = edge.rows("SELECT generation, services, spool_waiting, lag_s, snapshot::text FROM nodes")
    return found[0] if found else None


def test_the_first_build_holds_everything_authorised_and_is_reported(edge, isp, tower, anna):
    """Services, plans, routers and secrets are there, what nobody authorised is not, and the node says so."""
    isp.service("not yet")  # nobody has reviewed it

    with edge.following():
        service = eventually(lambda: known(edge, tower, "anna"))
        reported = eventually(lambda: node(edge))

    assert (service.service_id, service.standing) == (anna.id, Standing.CURRENT)
    assert edge.replica.login(str(tower.address), "anna").password == "made-up password"
    assert edge.replica.plan(service.plan_version_id).rate_limit == "10M/50M"
    assert edge.replica.router(str(tower.address)).secret == "made-up secret"
    assert known(edge, tower, "not yet") is None
    assert reported[:3] == (1, 1, 17)


def test_a_change_is_followed_by_its_notification(edge, isp, tower, anna, monkeypatch):
    """With the heartbeat out of reach only the notification can bring the change, and it does."""
    monkeypatch.setattr(follower_module, "HEARTBEAT_S", 3600.0)
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))

        owe(isp, anna)

        eventually(lambda: known(edge, tower, "anna").standing == Standing.SUSPENDED)
        berta = isp.service("berta")
        isp.review()
        eventually(lambda: known(edge, tower, "berta"))
        assert known(edge, tower, "berta").service_id == berta.id
        eventually(lambda: node(edge)[1] == 2)


def test_a_lost_notification_is_healed_by_the_heartbeat(edge, isp, tower, anna):
    """A change that nobody was told of arrives all the same."""
    with edge.database.as_superuser() as connection:
        connection.execute(DEAF)
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))

        owe(isp, anna)

        eventually(lambda: known(edge, tower, "anna").standing == Standing.SUSPENDED)


def test_a_transaction_that_began_before_others_and_commits_after_them_is_not_missed(edge, isp, tower, anna):
    """Rows are found by what a snapshot saw, not by a number: a late commit with an early number counts."""
    berta = isp.service("berta")
    isp.review()
    with edge.following():
        eventually(lambda: known(edge, tower, "berta"))
        with isp.web() as early:
            early.execute(update(Service).where(Service.id == anna.id).values(port="ether9", bind_port=True))
            with isp.web() as late:
                late.execute(update(Service).where(Service.id == berta.id).values(port="ether8", bind_port=True))
            eventually(lambda: edge.replica.login(str(tower.address), "berta").bindings.port == "ether8")
            assert edge.replica.login(str(tower.address), "anna").bindings.port == ""

        eventually(lambda: edge.replica.login(str(tower.address), "anna").bindings.port == "ether9")


def test_routers_change_and_go(edge, isp, tower, anna):
    """A router's new address and secret replace the old ones; a removed one is unknown; its address may be reused."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        with isp.web() as session:
            router = session.get_one(Router, tower.id)
            router_store.change_router(
                session, router, box=BOX, actor=ACTOR, address="198.51.100.7", secret="another secret"
            )
        eventually(lambda: edge.replica.router("198.51.100.7"))
        assert edge.replica.router(str(tower.address)) is None
        assert edge.replica.router("198.51.100.7").secret == "another secret"

        with isp.web() as session:
            router_store.remove_router(session, session.get_one(Router, tower.id), actor=ACTOR)
        eventually(lambda: edge.replica.router("198.51.100.7") is None)

        other = isp.router("other tower", "198.51.100.7")
        assert eventually(lambda: edge.replica.router("198.51.100.7")).router_id == other.id


def test_a_renamed_service_leaves_no_old_name(edge, isp, tower, anna):
    """The old name is nobody's at once, and may become another one's, even if the two swap."""
    berta = isp.service("berta")
    isp.review()

    def rename(session, service, username):
        password = BOX.seal(f"of {username}", service_password_place(isp.operator_id, username))
        session.execute(update(Service).where(Service.id == service.id).values(username=username, password=password))

    with edge.following():
        eventually(lambda: known(edge, tower, "berta"))
        with isp.web() as session:
            rename(session, anna, "in between")
            rename(session, berta, "anna")
            rename(session, anna, "berta")
        eventually(lambda: known(edge, tower, "anna").service_id == berta.id)
        assert known(edge, tower, "berta").service_id == anna.id
        assert known(edge, tower, "in between") is None

        with isp.web() as session:
            rename(session, anna, "no")
        eventually(lambda: known(edge, tower, "no"))
        assert known(edge, tower, "berta") is None
        eventually(lambda: node(edge)[1] == 2)


def test_without_the_database_the_replica_stays_and_later_catches_up(edge, isp, tower, anna):
    """Logins go on from the last authorised truth; what changed meanwhile is there when the database is back."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        edge.take_database_away()
        owe(isp, anna)
        assert known(edge, tower, "anna").standing == Standing.CURRENT
        before = edge.connections

        edge.give_database_back()

        eventually(lambda: known(edge, tower, "anna").standing == Standing.SUSPENDED)
        assert edge.connections == before + 1
    assert read_pointer(edge.folder / "replica") == 1


def test_the_database_may_go_during_the_first_build(edge, isp, tower, anna, monkeypatch):
    """A build that breaks off leaves nothing half published, and the next one succeeds."""
    original, calls = following.services, []

    def breaking(connection, seen):
        calls.append(seen)
        if len(calls) == 1:
            edge.take_database_away()
            edge.give_database_back()
        yield from original(connection, seen)

    monkeypatch.setattr(following, "services", breaking)

    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))

    assert calls[:2] == [None, None]
    assert len(list((edge.folder / "replica").glob("*.table"))) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("system_id", "7000000000000000000"),
        ("timeline", "99"),
        ("snapshot", "9999999999:9999999999:"),
    ],
)
def test_a_replica_of_another_database_or_of_the_future_is_built_anew(edge, isp, tower, anna, key, value):
    """After a restore of another server or of a backup nothing of the old replica is believed."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
    writer = ReplicaWriter.take_over(edge.folder / "replica")
    with writer:
        writer.put_router("203.0.113.9", RouterRow(999, isp.operator_id, "ghost", "made-up secret", False))
        writer.remember(writer.remembered() | {key: value})
    writer.close()
    before = read_pointer(edge.folder / "replica")

    with edge.following():
        eventually(lambda: read_pointer(edge.folder / "replica") > before)

    assert known(edge, tower, "anna").service_id == anna.id
    assert edge.replica.router("203.0.113.9") is None


def test_a_database_that_goes_back_in_time_while_edge_runs_is_noticed(edge, isp, tower, anna, monkeypatch):
    """A backup restored behind edge's back: the replica is rebuilt at the next look."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        original = following.begin

        def restored(connection):
            position = original(connection)
            return following.Position("7000000000000000000", position.timeline, position.snapshot, position.now)

        monkeypatch.setattr(following, "begin", restored)

        eventually(lambda: read_pointer(edge.folder / "replica") == 2)
        assert known(edge, tower, "anna").service_id == anna.id


def test_one_damaged_secret_keeps_no_other_row_back(edge, isp, tower, anna):
    """A password or router secret that cannot be opened is left out; all others are followed."""
    berta = isp.service("berta")
    other = isp.router("other tower")
    isp.review()
    with edge.database.as_superuser() as connection:
        connection.execute("UPDATE services SET password = '\\x01' WHERE id = %s", (anna.id,))
        connection.execute("UPDATE routers SET secret = '\\x00ff' WHERE id = %s", (other.id,))

    with edge.following():
        eventually(lambda: known(edge, tower, "berta"))
        assert known(edge, tower, "anna") is None
        assert edge.replica.router(str(other.address)) is None
        owe(isp, berta)
        eventually(lambda: known(edge, tower, "berta").standing == Standing.SUSPENDED)


def test_a_table_that_is_full_in_the_middle_is_followed_by_a_larger_one(edge, isp, tower, anna, monkeypatch):
    """A growing provider fills the table; edge builds the next one at once and goes on."""
    monkeypatch.setattr(table_writer, "SMALLEST_SLOTS", 8)
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        for number in range(8):
            isp.service(f"new {number}")
        isp.review()
        eventually(lambda: known(edge, tower, "new 7"))

    assert known(edge, tower, "anna").service_id == anna.id
    assert read_pointer(edge.folder / "replica") > 1


def test_facts_that_cannot_be_read_keep_no_other_row_back(edge, isp, tower, anna):
    """A row of a newer version, or a damaged one, is left out."""
    isp.service("berta")
    isp.review()
    with edge.database.as_superuser() as connection:
        connection.execute("UPDATE services SET authorised = '{\"magic\": 1}' WHERE id = %s", (anna.id,))

    with edge.following():
        eventually(lambda: known(edge, tower, "berta"))

    assert known(edge, tower, "anna") is None


def test_a_restart_goes_on_with_the_same_generation(edge, isp, tower, anna):
    """What is in the replica is not asked for again: rows the database cannot show any more are still there."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
    isp.service("berta")
    isp.review()
    with edge.database.as_superuser() as connection:
        # An old row that a rebuild could not read, and one that goes on does not need to.
        connection.execute("ALTER TABLE services DISABLE TRIGGER USER")
        connection.execute("UPDATE services SET password = '\\x01' WHERE id = %s", (anna.id,))

    with edge.following():
        eventually(lambda: known(edge, tower, "berta"))

    assert read_pointer(edge.folder / "replica") == 1
    assert known(edge, tower, "anna").service_id == anna.id


def test_the_report_tells_what_the_replica_includes(edge, isp, tower, anna):
    """Once the node's snapshot includes a change's transaction, a redial gets the new access."""
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        owe(isp, anna)
        revision = isp.changes(anna)[-1].revision
        query = "SELECT pg_visible_in_snapshot(%s::xid8, snapshot) FROM nodes"
        eventually(lambda: edge.rows(query, revision) == [(True,)])
        assert known(edge, tower, "anna").standing == Standing.SUSPENDED
        clock = float(edge.replica.newest_time())

    assert abs(clock - time.time()) < 3600
    assert edge.database.databases.conninfo(Role.EDGE)


def test_a_state_of_usage_reaches_the_login(edge, isp, tower, anna):
    """Alone, without any change of the service itself; and in a build from nothing."""
    document = '{"spans": [["month", "2027-01-01T00:00:00+00:00", 5, 0]]}'
    with edge.following():
        eventually(lambda: known(edge, tower, "anna"))
        with isp.web() as session:
            session.execute(
                insert(UsageState).values(
                    service_id=anna.id, operator_id=isp.operator_id, document=json.loads(document)
                )
            )
        row = eventually(lambda: usage_of(edge, tower))
    assert row.spans[0][2:] == (5, 0)
    for path in edge.folder.glob("**/current"):
        path.unlink()
    with edge.following():
        assert eventually(lambda: usage_of(edge, tower)) == row


def usage_of(edge, tower):
    """Anna's usage as a login would see it; None while there is none."""
    found = known(edge, tower, "anna") and edge.replica.login(str(tower.address), "anna")
    return found.usage if found and found.usage.spans else None
