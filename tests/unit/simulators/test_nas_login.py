"""A login says what RouterOS says, and believes only genuine replies."""

from __future__ import annotations

import asyncio

import pytest
from pyrad import packet as pyrad_packet

from simulators import mschap
from simulators.clock import HandClock
from simulators.nas import Nas
from simulators.settings import Client, NasSettings

ANNA = Client(username="anna", password="geheim", mac="02:00:5e:00:00:0a")


def values(packet, name):
    return list(packet.get(name, []))


async def test_pppoe_request(town):
    """A PPPoE Access-Request has the attributes of the RouterOS page, signed first."""
    async with town() as (nas, server):
        result = await nas.login(Client(username="anna", password="geheim", mac="02-00-5e-00-00-0a", interface="v7"))
        (request,) = server.access
        assert result.accepted
        assert request.raw_packet[20:22] == bytes((80, 18))
        assert request.verify_message_authenticator()
        assert request.PwDecrypt(request["User-Password"][0]) == "geheim"
        sent = {name: values(request, name) for name in ("User-Name", "Calling-Station-Id", "Called-Station-Id")}
        assert sent == {
            "User-Name": ["anna"],
            "Calling-Station-Id": ["02:00:5E:00:00:0A"],
            "Called-Station-Id": ["service1"],
        }
        assert values(request, "Service-Type") == ["Framed-User"]
        assert values(request, "Framed-Protocol") == ["PPP"]
        assert values(request, "NAS-Port-Type") == ["Ethernet"]
        assert values(request, "NAS-Port-Id") == ["v7"]
        assert values(request, "NAS-Identifier") == ["tower-1"]
        assert values(request, "NAS-IP-Address") == ["127.0.0.11"]
        assert values(request, "Acct-Session-Id") == ["81100000"]


async def test_hotspot_request(town):
    """A hotspot login names the host's address, and its session id is NAS-Port in hex."""
    async with town(boot=3) as (nas, server):
        client = Client(username="anna", password="x", mac=ANNA.mac, method="hotspot", protocol="chap")
        result = await nas.login(client)
        (request,) = server.access
        assert values(request, "Service-Type") == ["Login-User"]
        assert values(request, "NAS-Port-Type") == ["Wireless-802.11"]
        assert values(request, "Mikrotik-Host-IP") == values(request, "Framed-IP-Address") == [result.session.address]
        assert f"{request['NAS-Port'][0]:08x}" == request["Acct-Session-Id"][0] == "80300000"
        assert request.VerifyChapPasswd("x")
        assert "Framed-Protocol" not in request


@pytest.mark.parametrize("method", ["dhcp", "hotspot_mac"])
async def test_mac_as_user_name(town, method):
    """DHCP and hotspot by MAC log in with the MAC as name and no password."""
    async with town() as (nas, server):
        await nas.login(Client(mac=ANNA.mac, method=method))
        (request,) = server.access
        assert values(request, "User-Name") == ["02:00:5E:00:00:0A"]
        assert request.PwDecrypt(request["User-Password"][0]) == ""


async def test_name_that_is_not_utf8(town):
    """A user name in another character set goes out byte by byte as it came in."""
    async with town() as (nas, server):
        await nas.login(Client(username=b"J\xfcrgen".decode(errors="surrogateescape"), mac=ANNA.mac))
        assert server.access[0].get(1) == [b"J\xfcrgen"]


@pytest.mark.parametrize(("known_password", "accepted"), [("geheim", True), ("wrong", False)])
async def test_mschapv2_server_must_prove_itself(town, known_password, accepted):
    """An MS-CHAPv2 client comes online only if MS-CHAP2-Success shows that the server knows the password."""

    def reply(request):
        answer = request["MS-CHAP2-Response"][0]
        challenge = request["MS-CHAP-Challenge"][0]
        peer, response = answer[2:18], answer[26:50]
        assert response == mschap.nt_response(challenge, peer, b"anna", "geheim")
        proof = mschap.authenticator_response(known_password, response, peer, challenge, b"anna")
        return pyrad_packet.AccessAccept, {"MS-CHAP2-Success": answer[:1] + proof.encode()}

    async with town() as (nas, server):
        server.reply = reply
        result = await nas.login(Client(username="anna", password="geheim", mac=ANNA.mac, protocol="mschapv2"))
        assert result.accepted is accepted
        assert bool(result.problem) is not accepted
        assert len(nas.sessions) == accepted


async def test_reply_is_applied(town):
    """An accepted session has the address, rate, lists, timeouts and Class of the reply."""
    async with town() as (nas, server):
        server.accept(
            Framed_IP_Address="10.9.8.7",
            Mikrotik_Rate_Limit="10M/50M",
            Mikrotik_Address_List=["paying", "vip"],
            Session_Timeout=3600,
            Idle_Timeout=600,
            Class=b"ai:\x01",
        )
        session = (await nas.login(ANNA)).session
        assert session.address == "10.9.8.7"
        assert session.rate_limit == "10M/50M"
        assert session.limits_bps() == (10_000_000, 50_000_000)
        assert session.address_lists == ("paying", "vip")
        assert (session.session_timeout_s, session.idle_timeout_s) == (3600, 600)
        assert session.class_values == (b"ai:\x01",)


@pytest.mark.parametrize(
    ("reply", "address"),
    [
        ({"Framed_Pool": "walled"}, "10.99.0.1"),
        ({"Framed_IP_Address": "10.1.1.1", "Framed_Pool": "walled"}, "10.1.1.1"),
        ({"Framed_IP_Address": "255.255.255.254", "Framed_Pool": "walled"}, "10.64.0.1"),
        ({}, "10.64.0.1"),
    ],
)
async def test_where_the_address_comes_from(town, reply, address):
    """Framed-IP-Address wins over Framed-Pool; one from 224.0.0.0/3 means the profile's own pool."""
    async with town(pools={"walled": "10.99.0.0/24"}) as (nas, server):
        server.accept(**reply)
        assert (await nas.login(ANNA)).session.address == address


@pytest.mark.parametrize(
    ("reply", "problem"), [({"Framed_Pool": "walled"}, "walled"), ({"Mikrotik_Rate_Limit": "fast"}, "'fast'")]
)
async def test_reply_that_cannot_be_used(town, reply, problem):
    """A pool this router lacks or a rate it cannot read leaves the client offline and says why."""
    async with town() as (nas, server):
        server.accept(**reply)
        result = await nas.login(ANNA)
        assert not result.accepted
        assert problem in result.problem
        assert (len(nas.sessions), nas.counters.accepts) == (0, 1)


async def test_reject(town):
    """A reject brings its message and no session."""
    async with town() as (nas, server):
        server.reply = lambda _: (pyrad_packet.AccessReject, {"Reply-Message": "please pay"})
        result = await nas.login(ANNA)
        assert (result.accepted, result.timed_out, result.reply_message) == (False, False, "please pay")
        assert nas.counters.rejects == 1


@pytest.mark.parametrize("required", [True, False])
async def test_unsigned_accept(town, required):
    """An Access-Accept without Message-Authenticator is a bad reply where the router requires one (7.15 default)."""
    clock = HandClock()
    async with town(clock, require_message_auth=required, radius_tries=1) as (nas, server):
        server.signs = False
        login = asyncio.ensure_future(nas.login(ANNA))
        await nas.until(lambda: nas.counters.bad_replies + nas.counters.accepts == 1)
        clock.advance(10)
        result = await login
        assert result.accepted is not required
        assert result.timed_out is required
        assert nas.counters.bad_replies == required


async def test_reply_under_another_secret(town):
    """A reply under another secret counts as bad, and the login times out."""
    clock = HandClock()
    async with town(clock, radius_tries=1) as (nas, server):
        server.secret = b"other"
        login = asyncio.ensure_future(nas.login(ANNA))
        await nas.until(lambda: nas.counters.bad_replies == 1)
        clock.advance(3)
        assert (await login).timed_out


async def test_resends_are_the_same_packet(town):
    """An unanswered Access-Request is sent again unchanged, so that the server knows it for the same."""
    clock = HandClock()
    async with town(clock) as (nas, server):
        server.mute = 1
        login = asyncio.ensure_future(nas.login(ANNA))
        await server.heard()
        clock.advance(3)
        assert (await login).accepted
        assert server.access[0].raw_packet == server.access[1].raw_packet
        assert (nas.counters.requests, nas.counters.timeouts, nas.counters.resends) == (2, 1, 1)


async def test_second_server(town):
    """When the first server stays silent for all tries, the second one is asked."""
    clock = HandClock()
    async with town() as (_, server):
        radius = (("127.0.0.1", 9, 9), server.address)
        settings = NasSettings(name="n", address="127.0.0.12", radius=radius, secret=b"made-up-secret", coa_port=0)
        async with Nas(settings, clock) as nas:
            login = asyncio.ensure_future(nas.login(ANNA))
            await asyncio.sleep(0)
            clock.advance(9)
            assert (await login).accepted
            assert nas.counters.timeouts == 3


async def test_more_logins_than_identifiers(town):
    """More logins at once than a socket has identifiers all succeed, each with a session id of its own."""
    async with town(radius_sockets=1, radius_in_flight_max=1000) as (nas, _):
        clients = [Client(username=f"u{number}", mac=f"02000000{number:04x}") for number in range(600)]
        results = await asyncio.gather(*(nas.login(client) for client in clients))
        assert all(result.accepted for result in results)
        assert len({result.session.session_id for result in results}) == 600
        assert len({result.session.address for result in results}) == 600


async def test_same_seed_same_requests(town):
    """The same seed and the same order of logins give byte for byte the same first request."""
    packets = []
    for _ in range(2):
        async with town(seed=7) as (nas, server):
            await nas.login(ANNA)
            packets.append(server.access[0].raw_packet)
    assert packets[0] == packets[1]


@pytest.mark.parametrize(
    "wrong",
    [{"username": "a", "mac": "02:00"}, {"mac": ANNA.mac}, {"username": "a", "mac": ANNA.mac, "method": "pptp"}],
)
def test_client_that_cannot_be(wrong):
    """A client without a name, with half a MAC address or with an unknown method is refused at once."""
    with pytest.raises(ValueError, match=r"needs a user name|is no"):
        Client(**wrong)


def test_secrets_do_not_show():
    """Neither the RADIUS secret nor a password appears in a repr."""
    settings = NasSettings(name="n", address="127.0.0.1", radius=(("127.0.0.1", 1, 2),), secret="hidden-1")
    assert "hidden" not in repr(settings) + repr(Client(username="a", password="hidden-2", mac=ANNA.mac))
