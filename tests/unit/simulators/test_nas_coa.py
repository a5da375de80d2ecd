"""CoA and Disconnect change what RouterOS can change, refuse with the right cause, and fall silent where it would."""

from __future__ import annotations

import pytest
from pyrad.packet import CoAACK, CoANAK, CoARequest, DisconnectACK, DisconnectNAK

from simulators import attributes
from simulators.clock import HandClock
from simulators.settings import Client, IdentifyBy, TerminateCause, UnsupportedByCoA

ANNA = Client(username="anna", mac="02:00:5e:00:00:0a")
BERT = Client(username="bert", mac="02:00:5e:00:00:0b")


def anna_on(nas):
    return nas.add_session(ANNA, reply=[("Mikrotik-Rate-Limit", "10M/50M")], class_value=b"login")


async def test_rate_limit_changes(town, coa_client):
    """A CoA with all identifiers sets the new rate on the live session, and Class stays the login's."""
    async with town() as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            answer = await client.coa(
                User_Name="anna",
                Acct_Session_Id=session.session_id,
                Framed_IP_Address=session.address,
                NAS_IP_Address="127.0.0.11",
                NAS_Identifier="tower-1",
                Mikrotik_Rate_Limit="1M/1M",
                Filter_Id=["a.in", "b.out"],
                Class=b"other",
            )
        assert answer == (CoAACK, [])
        assert session.rate_limit == "1M/1M"
        assert session.attributes["Filter-Id"] == ("a.in", "b.out")
        assert session.class_values == (b"login",)
        (record,) = nas.received
        assert record.acked
        assert ("Mikrotik-Rate-Limit", "1M/1M") in record.attributes


@pytest.mark.parametrize("signed", [True, False])
async def test_answer_is_signed_as_the_request(town, coa_client, signed):
    """The answer bears a Message-Authenticator exactly when the request did, and echoes Proxy-State."""
    async with town() as (nas, _):
        anna_on(nas)
        with coa_client(nas) as client:
            packet = client.request(CoARequest, signed=signed, User_Name="anna", Proxy_State=[b"p1", b"p2"])
            client.send(packet)
            reply = await client.answer_to(packet)
        assert ("Message-Authenticator" in reply) is signed
        assert reply["Proxy-State"] == [b"p1", b"p2"]


@pytest.mark.parametrize(
    ("wanted", "all_answer", "any_answer"),
    [
        ({"User_Name": "anna"}, CoAACK, CoAACK),
        ({"Calling_Station_Id": "02:00:5E:00:00:0A"}, CoAACK, CoAACK),
        ({"User_Name": "anna", "Acct_Session_Id": "8110ffff"}, CoANAK, CoAACK),
        ({"User_Name": "anna", "Framed_IP_Address": "10.255.0.1"}, CoANAK, CoAACK),
        ({"User_Name": "ANNA"}, CoANAK, CoANAK),
    ],
)
async def test_identification(town, coa_client, wanted, all_answer, any_answer):
    """All given identifiers must match, or any, by a switch; nobody found is Error-Cause 503."""
    async with town() as (nas, _):
        session = anna_on(nas)
        for by, code in ((IdentifyBy.ALL, all_answer), (IdentifyBy.ANY, any_answer)):
            nas.switch(coa_identify_by=by)
            session.change("Mikrotik-Rate-Limit", ("10M/50M",))
            with coa_client(nas) as client:
                answer, cause = await client.coa(Mikrotik_Rate_Limit="2M/2M", **wanted)
            assert answer == code
            assert cause == ([] if code == CoAACK else ["Session-Context-Not-Found"])
            assert session.rate_limit == ("2M/2M" if code == CoAACK else "10M/50M")


async def test_every_session_of_a_name(town, coa_client):
    """A Disconnect by User-Name ends every session of that user and no other."""
    async with town() as (nas, _):
        first, second, other = nas.add_session(ANNA), nas.add_session(ANNA), nas.add_session(BERT)
        with coa_client(nas) as client:
            assert await client.disconnect(User_Name="anna") == (DisconnectACK, [])
        assert (first.online, second.online, other.online) == (False, False, True)


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        ({"User_Name": "anna", "NAS_IP_Address": "127.0.0.99"}, "NAS-Identification-Mismatch"),
        ({"User_Name": "anna", "NAS_Identifier": "tower-2"}, "NAS-Identification-Mismatch"),
        ({"Mikrotik_Rate_Limit": "1M/1M"}, "Missing-Attribute"),
        ({"User_Name": "anna", "Mikrotik_Rate_Limit": "quick"}, "Invalid-Attribute-Value"),
    ],
)
async def test_refusals(town, coa_client, sent, cause):
    """Another router's address, no identifier and an unreadable rate are NAKs with their own Error-Cause."""
    async with town() as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            assert await client.coa(**sent) == (CoANAK, [cause])
        assert session.rate_limit == "10M/50M"


@pytest.mark.parametrize(
    "change",
    [
        {"Framed_Pool": "walled"},
        {"Framed_Route": "10.1.0.0/16 10.0.0.1 1"},
        {"Class": b"x"},
        {"Mikrotik_Total_Limit": 1},
        {"Mikrotik_Address_List": "overdue"},
    ],
)
@pytest.mark.parametrize("unsupported", list(UnsupportedByCoA))
async def test_what_cannot_change(town, coa_client, change, unsupported):
    """What RouterOS cannot change is ignored with an ACK or refused with 401, and nothing beside it is half done."""
    async with town(coa_unsupported=unsupported) as (nas, _):
        session = anna_on(nas)
        before = dict(session.attributes)
        with coa_client(nas) as client:
            answer = await client.coa(User_Name="anna", Mikrotik_Rate_Limit="1M/1M", **change)
        if unsupported is UnsupportedByCoA.NAK:
            assert answer == (CoANAK, ["Unsupported-Attribute"])
            assert session.attributes == before
        else:
            assert answer == (CoAACK, [])
            assert session.attributes == before | {"Mikrotik-Rate-Limit": ("1M/1M",)}


async def test_address_as_a_change(town, coa_client):
    """Where any identifier is enough, another Framed-IP-Address is a change, and that is not possible."""
    async with town(coa_identify_by=IdentifyBy.ANY, coa_unsupported=UnsupportedByCoA.NAK) as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            answer = await client.coa(User_Name="anna", Framed_IP_Address="10.255.0.1")
        assert answer == (CoANAK, ["Unsupported-Attribute"])
        assert session.address != "10.255.0.1"


async def test_address_list_switch(town, coa_client):
    """With the switch on, a CoA replaces the session's address lists."""
    async with town(coa_address_list=True) as (nas, _):
        session = nas.add_session(ANNA, reply=[("Mikrotik-Address-List", "paying")])
        with coa_client(nas) as client:
            await client.coa(User_Name="anna", Mikrotik_Address_List="overdue")
        assert session.address_lists == ("overdue",)


async def test_ack_without_effect(town, coa_client):
    """A router that lies says ACK to CoA and Disconnect and does neither."""
    async with town(ack_without_effect=True) as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            assert (await client.coa(User_Name="anna", Mikrotik_Rate_Limit="1M/1M"))[0] == CoAACK
            assert (await client.disconnect(User_Name="anna"))[0] == DisconnectACK
        assert (session.online, session.rate_limit) == (True, "10M/50M")


@pytest.mark.parametrize(
    ("settings", "sender", "signed"),
    [
        ({"accept_incoming": False}, {}, True),
        ({}, {"address": "127.0.0.99"}, True),
        ({}, {"secret": b"another"}, True),
        ({}, {"secret": b"another"}, False),
        ({"require_message_authenticator_on_coa": True}, {}, False),
    ],
)
async def test_silence(town, coa_client, settings, sender, signed):
    """A wrong source, a wrong secret, a missing signature and a closed door all get no answer and change nothing."""
    async with town(**settings) as (nas, _):
        session = anna_on(nas)
        with coa_client(nas, **sender) as client:
            client.send(client.request(CoARequest, signed=signed, User_Name="anna", Mikrotik_Rate_Limit="1M/1M"))
            await nas.until(lambda: nas.counters.coa_dropped == 1)
            assert not client.has_an_answer()
        assert session.rate_limit == "10M/50M"
        assert nas.received[0].why


async def test_wrong_signature_is_never_taken(town, coa_client):
    """A Message-Authenticator that is present and wrong is dropped though none is required."""
    async with town() as (nas, _):
        anna_on(nas)
        with coa_client(nas) as client:
            packet = client.request(CoARequest, signed=False, User_Name="anna")
            packet.AddAttribute("Message-Authenticator", bytes(16))
            client.send(packet)
            await nas.until(lambda: nas.counters.coa_dropped == 1)
            assert "Message-Authenticator" in nas.received[0].why


@pytest.mark.parametrize(("check", "sources"), [(False, None), (True, ("127.0.0.99",))])
async def test_other_sources_by_switch(town, coa_client, check, sources):
    """Another sender is heard where the check is off or the list names it."""
    async with town(check_coa_source=check, coa_sources=sources) as (nas, _):
        anna_on(nas)
        with coa_client(nas, address="127.0.0.99") as client:
            assert (await client.coa(User_Name="anna"))[0] == CoAACK


async def test_duplicate_is_executed_once(town, coa_client):
    """The same packet twice gets the same answer twice and is executed once."""
    async with town() as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            packet = client.request(CoARequest, User_Name="anna", Mikrotik_Rate_Limit="1M/1M")
            client.send(packet)
            first = await client.answer_to(packet)
            session.change("Mikrotik-Rate-Limit", ("9M/9M",))
            client.send(packet)
            second = await client.answer_to(packet)
        assert first.raw_packet == second.raw_packet
        assert session.rate_limit == "9M/9M"
        assert [record.duplicate for record in nas.received] == [False, True]
        assert (nas.counters.coa_acked, nas.counters.coa_duplicates) == (1, 1)


async def test_disconnect_ends_and_redials(town, coa_client):
    """A Disconnect sends Stop with Admin-Reset, and a client that redials comes back with a new session."""
    clock = HandClock()
    async with town(clock) as (nas, server):
        old = (await nas.login(Client(username="anna", mac=ANNA.mac, redial_s=2))).session
        with coa_client(nas) as client:
            assert await client.disconnect(Acct_Session_Id=old.session_id) == (DisconnectACK, [])
            assert await client.disconnect(Acct_Session_Id=old.session_id) == (
                DisconnectNAK,
                ["Session-Context-Not-Found"],
            )
        await nas.idle()
        assert old.ended_by is TerminateCause.ADMIN_RESET
        assert server.records[-1]["Acct-Terminate-Cause"] == ["Admin-Reset"]
        clock.advance(2.1)
        await nas.until(lambda: len(nas.sessions) == 1)
        (new,) = nas.sessions
        assert (new.username, new.session_id != old.session_id) == ("anna", True)


@pytest.mark.parametrize(("restarts", "ends_after_s"), [(False, 60), (True, 110)])
async def test_new_session_timeout(town, coa_client, restarts, ends_after_s):
    """A new Session-Timeout counts from the login or from the CoA, by a switch."""
    clock = HandClock()
    async with town(clock, session_timeout_restarts_on_coa=restarts) as (nas, _):
        session = nas.add_session(ANNA, reply=[("Session-Timeout", 300)])
        clock.advance(50)
        with coa_client(nas) as client:
            await client.coa(User_Name="anna", Session_Timeout=60)
        clock.advance(ends_after_s - 50 - 1)
        assert session.online
        clock.advance(2)
        assert session.ended_by is TerminateCause.SESSION_TIMEOUT


async def test_malformed_packets_are_dropped(town):
    """Bytes that are no packet are dropped and kept on record, and the router goes on."""
    async with town() as (nas, _):
        for data in (b"", b"x" * 19, bytes((43, 1, 0, 23)) + bytes(16) + b"\x01\x09a"):
            nas._coa.handle(data, ("127.0.0.1", 1))
        assert nas.counters.coa_dropped == 3
        assert [record.attributes for record in nas.received] == [(), (), ()]


def test_changeable_list_is_in_the_dictionary():
    """The official changeable list holds neither address, pool, route, Class nor address list."""
    from simulators.coa_server import CHANGEABLE  # noqa: PLC0415 - one test reads it

    names = {attributes.key_name(key) for key in CHANGEABLE}
    assert not names & {"Framed-IP-Address", "Framed-Pool", "Framed-Route", "Class", "Mikrotik-Address-List"}
    assert {"Mikrotik-Rate-Limit", "Session-Timeout", "Port-Limit", "Filter-Id"} <= names


async def test_required_attributes(town, coa_client):
    """A router that wants more identification answers with Error-Cause 402 until it gets it."""
    async with town(coa_requires=("NAS-Identifier",)) as (nas, _):
        session = anna_on(nas)
        with coa_client(nas) as client:
            code, _ = await client.coa(User_Name="anna", Mikrotik_Rate_Limit="1M/1M")
            assert code == CoANAK
            assert nas.received[-1].error_cause == 402
            assert session.rate_limit == "10M/50M"
            assert await client.coa(User_Name="anna", NAS_Identifier="tower-1", Mikrotik_Rate_Limit="1M/1M") == (
                CoAACK,
                [],
            )
        assert session.rate_limit == "1M/1M"
