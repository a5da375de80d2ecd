"""Accounting: what is acknowledged stands in the spool."""

import pytest
from fixtures_freeradius import ACCOUNTING_RESPONSE, Router, router_row

START, STOP, INTERIM, ACCOUNTING_ON = 1, 2, 3, 7


@pytest.fixture
def records(server, router):
    """What the accounting spool holds of this test's router."""

    def read():
        return [
            record for record in server.spooled("accounting") if record.first("Packet-Src-IP-Address") == router.address
        ]

    return read


@pytest.fixture
def closed_spool(server):
    """Takes the folder away from the server and gives it back."""
    folder = server.layout.spool / "accounting"
    mode = folder.stat().st_mode
    away = folder.with_name("accounting.away")

    class Closed:
        def __enter__(self):
            folder.rename(away)
            folder.touch()  # a file in its place: neither root nor the server's user can write into that

        def __exit__(self, *_):
            folder.unlink()
            away.rename(folder)
            folder.chmod(mode & 0o7777)

    return Closed()


def test_a_start_is_acknowledged_and_spooled(router, add, records):
    """With the module's note, the login's Class and everything that the router said."""
    service_id = add("anna")
    login = router.pap("anna", "right password")
    (session_class,) = login.all("Class")
    reply = router.account(START, "anna", "8100000a", Class=session_class, NAS_Port_Id="ether1")
    assert (reply.code, reply.pairs) == (ACCOUNTING_RESPONSE, ())
    (record,) = records()
    assert record.first("Acct-Status-Type") == "Start"
    assert record.first("Acct-Session-Id") == "8100000a"
    assert record.first("Class") == session_class
    assert record.first("NAS-Port-Id") == "ether1"
    stamp = login.session_class.stamp
    assert record.first("Tmp-String-0").endswith(f" service={service_id} stamp={stamp}")


def test_a_stop_carries_its_counters(router, add, records):
    """Gigawords too, as they came."""
    add("anna")
    counters = {"Acct_Input_Octets": 5, "Acct_Input_Gigawords": 2, "Acct_Output_Octets": 2**32 - 1}
    assert router.account(INTERIM, "anna", "81", **counters).code == ACCOUNTING_RESPONSE
    assert router.account(STOP, "anna", "81", Acct_Terminate_Cause=2).code == ACCOUNTING_RESPONSE
    interim, stop = records()
    assert {name: interim.first(name.replace("_", "-")) for name in counters} == {
        name: str(value) for name, value in counters.items()
    }
    assert stop.first("Acct-Terminate-Cause") == "Lost-Carrier"


def test_a_record_that_is_sent_again_is_acknowledged_again(router, add, records):
    """Every copy is acknowledged. FreeRADIUS may forget an answered accounting request at once and write a copy again:
    then it is the same record, which edge counts once (tests/integration/edge); a changed packet is a new one."""
    add("anna")
    assert router.account(START, "anna", "81", times=3).code == ACCOUNTING_RESPONSE
    copies = [[pair for pair in one.attributes if pair[0] != "Timestamp"] for one in records()]
    assert copies
    assert all(copy == copies[0] for copy in copies)
    assert router.account(START, "anna", "81", Acct_Delay_Time=3).code == ACCOUNTING_RESPONSE
    assert [record.first("Acct-Delay-Time") for record in records()] == [*[""] * len(copies), "3"]


def test_accounting_goes_on_without_a_replica(server, router, add, records):
    """The spool alone decides the acknowledgement; edge finds out later whose record it is."""
    add("anna")
    assert router.account(START, "anna", "81").code == ACCOUNTING_RESPONSE
    with server.without_replica():
        assert router.account(STOP, "anna", "81").code == ACCOUNTING_RESPONSE
    start, stop = records()
    assert start.first("Tmp-String-0")
    assert (stop.first("Acct-Status-Type"), stop.first("Tmp-String-0")) == ("Stop", "")


def test_what_cannot_be_spooled_is_not_acknowledged(router, add, records, closed_spool):
    """The router keeps it and sends it again; then it is there once."""
    add("anna")
    assert router.account(START, "anna", "81").code == ACCOUNTING_RESPONSE
    with closed_spool:
        assert router.account(STOP, "anna", "81", silent=True) is None
    assert router.account(STOP, "anna", "81").code == ACCOUNTING_RESPONSE
    assert [record.first("Acct-Status-Type") for record in records()] == ["Start", "Stop"]


@pytest.mark.parametrize("broken", [{"plan_version_id": 999_999}, {"plan": '{"nonsense": 1}'}, {"routes": "[1"}])
def test_a_broken_fact_stops_no_accounting(router, add, records, broken):
    """Bytes that were used are counted whatever is wrong with the service."""
    add("anna", **broken)
    assert router.account(START, "anna", "81").code == ACCOUNTING_RESPONSE
    assert [record.first("User-Name") for record in records()] == ["anna"]


@pytest.mark.parametrize("name", [b"\xff\xfe", b"anna\xc3"])
def test_text_that_is_no_utf8_is_spooled(router, records, name):
    """A record without a note is better than a router that sends it for ever."""
    assert router.account(START, name, "81").code == ACCOUNTING_RESPONSE
    assert router.account(START, "anna", "82", NAS_Port_Id=name).code == ACCOUNTING_RESPONSE
    assert [record.first("Tmp-String-0") for record in records()] == ["", ""]


@pytest.mark.parametrize(
    "name", ["no", "0123", "łódź", "qu\"ote's", "new\nline", "\\", "a\\nb", "oct\\101al", "x" * 253]
)
def test_any_name_comes_through_the_spool(router, add, records, name):
    """Edge reads it to the letter."""
    service_id = add(name)
    assert router.account(START, name, "81").code == ACCOUNTING_RESPONSE
    (record,) = records()
    assert record.first("User-Name") == name
    assert f" service={service_id} " in record.first("Tmp-String-0")


def test_a_router_that_comes_up_is_noted(router, records):
    """accel-ppp's Accounting-On has neither name nor session."""
    assert router.account(ACCOUNTING_ON, "", "").code == ACCOUNTING_RESPONSE
    (record,) = records()
    assert record.first("Acct-Status-Type") == "Accounting-On"
    assert record.first("Tmp-String-0") == f"operator={router.operator} router={router.operator}"


def test_a_new_router_may_begin_with_accounting(server, add, router, records):
    """Its sessions may be older than its entry."""
    new = Router(server, "127.8.0.3", b"its own secret", operator=router.operator)
    server.add_router(router_row(new.address, 900_003, "its own secret", operator=router.operator))
    assert new.account(START, "anna", "81").code == ACCOUNTING_RESPONSE
