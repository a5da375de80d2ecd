"""Accounting counts like RouterOS, repeats itself until acknowledged, and says how a session ended."""

from __future__ import annotations

import asyncio

import pytest

from simulators.clock import HandClock
from simulators.settings import AccountingOutcome, Client, TerminateCause

ANNA = Client(username="anna", mac="02:00:5e:00:00:0a")


async def online(nas, client=ANNA):
    result = await nas.login(client)
    await nas.idle()
    return result.session


async def test_start_and_stop(town):
    """A session sends Start and Stop with its Class, address and, as PPP, Acct-Authentic."""
    async with town() as (nas, server):
        server.accept(Class=[b"one", b"two"], Framed_IP_Address="10.2.3.4")
        session = await online(nas)
        assert await nas.logout(session) is AccountingOutcome.ACKNOWLEDGED
        start, stop = server.records
        assert (start["Acct-Status-Type"], stop["Acct-Status-Type"]) == (["Start"], ["Stop"])
        assert start["Class"] == stop["Class"] == [b"one", b"two"]
        assert start["Framed-IP-Address"] == ["10.2.3.4"]
        assert start["Acct-Authentic"] == ["RADIUS"]
        assert start["Acct-Session-Id"] == server.access[0]["Acct-Session-Id"]
        assert stop["Acct-Terminate-Cause"] == ["User-Request"]
        assert "Acct-Session-Time" not in start
        assert nas.counters.acct_acked == 2


async def test_hotspot_has_no_authentic(town):
    """Acct-Authentic is for PPP only."""
    async with town() as (nas, server):
        await online(nas, Client(username="h", mac=ANNA.mac, method="hotspot"))
        assert "Acct-Authentic" not in server.records[0]


async def test_gigawords(town):
    """Counters above 4 GiB are split into octets and Gigawords; Input is the client's upload."""
    async with town() as (nas, server):
        session = await online(nas)
        session.add_traffic(5 * 2**32 + 7, 123)
        assert await nas.interim(session) is AccountingOutcome.ACKNOWLEDGED
        record = server.records[-1]
        assert (record["Acct-Input-Gigawords"], record["Acct-Input-Octets"]) == ([5], [7])
        assert (record["Acct-Output-Gigawords"], record["Acct-Output-Octets"]) == ([0], [123])


async def test_traffic_follows_the_rate_limit(town):
    """Traffic grows with time at the client's rate, but no faster than the session's limit."""
    clock = HandClock()
    async with town(clock) as (nas, server):
        server.accept(Mikrotik_Rate_Limit="1M/8M")
        client = Client(username="anna", mac=ANNA.mac, upload_bps=500_000, download_bps=100_000_000)
        session = await online(nas, client)
        clock.advance(10)
        await nas.interim(session)
        record = server.records[-1]
        assert record["Acct-Session-Time"] == [10]
        assert record["Acct-Input-Octets"] == [625_000]
        assert record["Acct-Output-Octets"] == [10_000_000]


@pytest.mark.parametrize(
    ("method", "settings", "sent_s", "interims"),
    [
        ("pppoe", {"interim_update_s": 60}, 0, 2),
        ("pppoe", {"interim_update_s": 60}, 30, 4),
        ("hotspot", {}, 30, 4),
        ("hotspot", {"interim_update_s": 60, "hotspot_interim_received": False}, 30, 2),
        ("dhcp", {"interim_update_s": 60}, 30, 2),
        ("pppoe", {}, 0, 0),
    ],
)
async def test_interims(town, method, settings, sent_s, interims):
    """Interims come at the router's interval, or at the server's where the service obeys it."""
    clock = HandClock()
    async with town(clock, radius_timeout_s=1000, **settings) as (nas, server):
        server.accept(Acct_Interim_Interval=sent_s)
        await online(nas, Client(username="anna", mac=ANNA.mac, method=method))
        clock.advance(121)
        await nas.idle()
        assert len(server.records_of("Interim-Update")) == interims


async def test_resend_is_a_new_packet(town):
    """A resent record has a later Acct-Delay-Time, a new identifier and a new authenticator."""
    clock = HandClock()
    async with town(clock, radius_sockets=1) as (nas, server):
        session = await online(nas)
        server.mute = 1
        sent = asyncio.ensure_future(nas.logout(session))
        await server.heard()
        clock.advance(3)
        assert await sent is AccountingOutcome.ACKNOWLEDGED
        first, second = server.records_of("Stop")
        assert (first["Acct-Delay-Time"], second["Acct-Delay-Time"]) == ([0], [3])
        assert first.id != second.id
        assert first.authenticator != second.authenticator
        assert first["Event-Timestamp"] == second["Event-Timestamp"]


async def test_gives_up(town):
    """After all tries a record is given up, counted, and the router is idle again."""
    clock = HandClock()
    async with town(clock, radius_tries=2) as (nas, server):
        session = await online(nas)
        server.mute = 99
        sent = asyncio.ensure_future(nas.logout(session))
        await asyncio.sleep(0)
        clock.advance(6)
        assert await sent is AccountingOutcome.GIVEN_UP
        await nas.idle()
        assert (nas.counters.acct_given_up, nas.counters.resends) == (1, 1)


@pytest.mark.parametrize(
    ("reply", "advance_s", "traffic", "cause"),
    [
        ({"Session_Timeout": 60}, 61, 0, TerminateCause.SESSION_TIMEOUT),
        ({"Idle_Timeout": 30}, 31, 0, TerminateCause.IDLE_TIMEOUT),
        ({"Mikrotik_Recv_Limit": 1000}, 0, 1000, TerminateCause.NAS_REQUEST),
        ({"Mikrotik_Total_Limit": 1, "Mikrotik_Total_Limit_Gigawords": 1}, 0, 2**32 + 1, TerminateCause.NAS_REQUEST),
    ],
)
async def test_a_session_ends_by_itself(town, reply, advance_s, traffic, cause):
    """Session-Timeout, Idle-Timeout and the byte limits end a session with a Stop that says which."""
    clock = HandClock()
    async with town(clock) as (nas, server):
        server.accept(**reply)
        session = await online(nas)
        session.add_traffic(traffic, 0)
        clock.advance(advance_s)
        await nas.idle()
        assert (session.online, session.ended_by, len(nas.sessions)) == (False, cause, 0)
        assert server.records[-1]["Acct-Terminate-Cause"] == [cause.value]


async def test_no_interim_after_the_end(town):
    """A session that is over cannot send an interim."""
    async with town() as (nas, _):
        session = await online(nas)
        await nas.logout(session)
        with pytest.raises(ValueError, match="is over"):
            await nas.interim(session)
        assert await nas.logout(session) is None


async def test_skewed_clock(town):
    """A router without NTP stamps its records with its own wrong time."""
    clock = HandClock(wall_s=1_700_000_000)
    async with town(clock, clock_skew_s=-86_400) as (nas, server):
        await online(nas)
        assert server.records[0]["Event-Timestamp"] == [1_700_000_000 - 86_400]
