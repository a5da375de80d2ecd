"""What a spool record means, also where the router talks nonsense."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detail_file import Record
from edge.records import SESSION_MAXIMUM_S, UnfitRecord, read_login_note, read_note, read_report
from policy.stamp import SessionClass, class_of
from sql.reports import Kind

ARRIVED = datetime(2026, 11, 22, 16, 41, 24, tzinfo=UTC)
OURS = class_of("0123456789abcdef" * 2, 5, "1-b1a50f02ce9c2ffa")


def record(**attributes: str) -> Record:
    """An interim of a PPPoE session; attributes by their names with underscores, "" leaves one out."""
    values = {
        "Packet-Src-IP-Address": "192.0.2.1",
        "Acct-Status-Type": "Interim-Update",
        "User-Name": "anna",
        "Acct-Session-Id": "8100001a",
        "Framed-Protocol": "PPP",
        "Timestamp": str(int(ARRIVED.timestamp())),
    }
    values |= {name.replace("_", "-"): value for name, value in attributes.items()}
    return Record(tuple((name, value) for name, value in values.items() if value), 0, "")


def test_counters_are_put_together_from_both_halves():
    """Gigawords are the upper 32 bits (RFC 2869 section 5.1), and upload is what the router received."""
    report = read_report(
        record(Acct_Input_Octets="7", Acct_Input_Gigawords="2", Acct_Output_Octets="4294967295", Acct_Session_Time="60")
    )

    assert (report.upload_bytes, report.download_bytes) == (2 * 2**32 + 7, 2**32 - 1)
    assert report.kind == Kind.INTERIM
    assert (report.at, report.started_at) == (ARRIVED, ARRIVED - timedelta(seconds=60))


def test_the_time_is_arrival_less_the_delay_the_router_admits():
    """A record that waited in the router happened before it arrived."""
    assert read_report(record(Acct_Delay_Time="90")).at == ARRIVED - timedelta(seconds=90)


def test_the_routers_clock_is_not_believed():
    """Event-Timestamp of a router that thinks it is 1970, or 2106, moves nothing."""
    for moment in ("Jan  1 1970 00:00:09 UTC", "Feb  7 2106 06:28:15 UTC"):
        assert read_report(record(Event_Timestamp=moment)).at == ARRIVED


@given(
    st.fixed_dictionaries(
        {
            name: st.sampled_from(["", "0", "1", "4294967295", "4294967296", "9" * 19, "9" * 40, "-1", "1e9", "٣"])
            for name in (
                "Acct_Delay_Time",
                "Acct_Session_Time",
                "Acct_Input_Octets",
                "Acct_Input_Gigawords",
                "Acct_Output_Octets",
                "Acct_Output_Gigawords",
            )
        }
    )
)
def test_absurd_numbers_never_leave_what_the_database_can_hold(numbers):
    """A report stays within 63 bits and sane times, or the record is set aside with a reason."""
    try:
        report = read_report(record(**numbers))
    except UnfitRecord:
        return
    assert 0 <= report.upload_bytes < 2**63
    assert 0 <= report.download_bytes < 2**63
    assert ARRIVED - timedelta(days=31) <= report.at <= ARRIVED
    assert 0 <= report.session_time_s <= SESSION_MAXIMUM_S


@pytest.mark.parametrize("moment", ["", "0", "no", "99999999999999999"])
def test_a_record_without_a_time_is_set_aside(moment):
    """FreeRADIUS always writes one, so without it the record is not whole."""
    with pytest.raises(UnfitRecord, match="Timestamp"):
        read_report(record(Timestamp=moment))


def test_a_session_without_its_id_is_set_aside_and_a_restart_needs_none():
    """Accounting-On and -Off come without Acct-Session-Id (accel-ppp); nothing else may."""
    with pytest.raises(UnfitRecord, match="Acct-Session-Id"):
        read_report(record(Acct_Session_Id=""))

    assert read_report(record(Acct_Status_Type="Accounting-On", Acct_Session_Id="", User_Name="")).kind == Kind.ON


@pytest.mark.parametrize("kind", ["", "Failed", "15", "start"])
def test_an_unknown_kind_is_set_aside(kind):
    """Only what RFC 2866 knows is counted."""
    with pytest.raises(UnfitRecord, match="Acct-Status-Type"):
        read_report(record(Acct_Status_Type=kind))


def test_our_class_is_found_among_foreign_ones():
    """Other servers' Class values, broken ones and those of no text are passed over."""
    octets = "0x" + OURS.encode().hex()
    classes = ["0x", "0xzz", "0xff00", "0x" + b"ai:short:1:1-00".hex(), "ai:plain", octets]
    report = read_report(Record((*record().attributes, *(("Class", value) for value in classes)), 0, ""))

    assert report.session_class == SessionClass("0123456789abcdef" * 2, 5, "1-b1a50f02ce9c2ffa")
    assert read_report(record(Class="0xff")).session_class is None


def test_names_fit_into_the_database_whatever_they_are():
    """No zero bytes, no more bytes than one attribute holds, and never half a letter."""
    report = read_report(record(User_Name="a\0b" + "ł" * 200, Framed_IP_Address="10.0.0.999"))

    assert "\0" not in report.username
    assert len(report.username.encode()) <= 253
    assert report.username.endswith("ł")
    assert report.framed_address is None


def test_an_ipv6_source_and_a_hotspot_are_known():
    """The packet's source may be IPv6, and the service shows in Service-Type."""
    report = read_report(
        record(
            Packet_Src_IP_Address="",
            Packet_Src_IPv6_Address="2001:db8::1",
            Framed_Protocol="",
            Service_Type="Login-User",
            Calling_Station_Id="02-00-00-00-00-0a",
        )
    )

    assert (report.source, report.method, report.mac) == ("2001:db8::1", "hotspot", "02:00:00:00:00:0A")


def test_a_note_is_read_and_what_is_no_note_means_nothing():
    """Names and numbers that are not known are passed over; a record without a note is not a login's."""
    note = read_note("operator=1 router=2 service=x stamp=1-ab reason=wrong_device learn=mac,port more=9 =")

    assert (note.operator_id, note.router_id, note.service_id) == (1, 2, 0)
    assert (note.stamp, note.reason, note.learn) == ("1-ab", "wrong_device", ("mac", "port"))
    with pytest.raises(UnfitRecord, match="no note"):
        read_login_note(record())
    assert read_login_note(record(Tmp_String_0="operator=1 router=2 reason=plan")).username == "anna"
