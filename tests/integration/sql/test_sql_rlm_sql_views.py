"""Tools that read the tables of rlm_sql read ours by the same names, and nothing else by them."""

from datetime import datetime
from ipaddress import IPv4Address

import psycopg
import pytest
from metered import Meter
from psycopg import sql

from sql.roles import Role

# schema.sql of FreeRADIUS 3.2 for PostgreSQL, as a server without quotes folds the names.
COLUMNS = {
    "radacct": "radacctid acctsessionid acctuniqueid username realm nasipaddress nasportid nasporttype acctstarttime "
    "acctupdatetime acctstoptime acctinterval acctsessiontime acctauthentic connectinfo_start connectinfo_stop "
    "acctinputoctets acctoutputoctets calledstationid callingstationid acctterminatecause servicetype framedprotocol "
    "framedipaddress framedipv6address framedipv6prefix framedinterfaceid delegatedipv6prefix class",
    "radpostauth": "id username pass reply calledstationid callingstationid authdate class",
    "nas": "id nasname shortname type ports secret server community description",
}


@pytest.fixture
def line(database):
    """Zofia is online at one operator, somebody else at another."""
    line = Meter(database.isp())
    Meter(database.isp(), "stranger")
    line.query(
        "UPDATE sessions SET ended_at = now(), ended_by = 'router_reboot', upload_bytes = 7, download_bytes = 2^40 "
        "WHERE id = %s",
        line.session_id,
    )
    line.query(
        "INSERT INTO refused_logins (operator_id, router_id, username, mac, reason, hour, last_at) "
        "VALUES (%s, %s, 'nobody', '', 'unknown_user', date_trunc('hour', now()), now())",
        line.isp.operator_id,
        line.router.id,
    )
    return line


def reader(line, operator_id):
    """What a tool connects with: the operator is an option of the connection."""
    conninfo = line.isp.database.databases.conninfo(Role.WEB)
    return psycopg.connect(conninfo, options=f"-c app.operator={operator_id}", autocommit=True)


def test_the_standard_names_are_all_there(line):
    """In their order, so that `SELECT *` is what it was."""
    with reader(line, line.isp.operator_id) as connection:
        for name, columns in COLUMNS.items():
            found = connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(name)))
            assert [column.name for column in found.description] == columns.split()


def test_a_tool_reads_its_own_operators_rows_and_changes_none(line):
    """The usual questions of such tools; no secret, no stranger, no write."""
    with reader(line, line.isp.operator_id) as connection:
        (row,) = connection.execute(
            "SELECT UserName, AcctInputOctets, AcctOutputOctets, AcctTerminateCause, NASIPAddress, CallingStationId, "
            "FramedProtocol, AcctStopTime FROM radacct WHERE AcctStopTime IS NOT NULL"
        ).fetchall()
        assert row[:4] == ("zofia", 7, 2**40, "NAS-Reboot")
        assert row[4:7] == (IPv4Address(str(line.router.address)), "00:11:22:33:44:55", "PPP")
        assert isinstance(row[7], datetime)
        answers = connection.execute("SELECT username, reply, pass FROM radpostauth ORDER BY 1").fetchall()
        assert answers == [("nobody", "Access-Reject", ""), ("zofia", "Access-Accept", "")]
        assert connection.execute("SELECT nasname, shortname, secret FROM nas").fetchall() == [
            (str(line.router.address), line.router.name, "")
        ]
        for name in COLUMNS:
            with pytest.raises(psycopg.Error):
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
    with psycopg.connect(line.isp.database.databases.conninfo(Role.WEB), autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM radacct").fetchone() == (0,)


def test_a_session_that_made_room_ended_for_the_routers_own_reason(line):
    """That another device came is our reason; what the router gave as its cause stands in its Stop."""
    line.query(
        "UPDATE sessions SET ended_by = 'ended_oldest', terminate_cause = 'Admin-Reset' WHERE id = %s", line.session_id
    )
    with reader(line, line.isp.operator_id) as connection:
        found = connection.execute("SELECT acctterminatecause FROM radacct WHERE acctstoptime IS NOT NULL").fetchall()
    assert found == [("Admin-Reset",)]
