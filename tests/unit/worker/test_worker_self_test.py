"""The router self-test tells the mistakes apart, over real sockets, and touches no session."""

import asyncio
import socket
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from scripted_router import SECRET, ScriptedRouter, nak_to, reply_to, stay_silent

from network.coa.target import Retransmission, Target
from network.contract import Secret
from simulators.nas import Nas
from simulators.settings import Client, IdentifyBy, NasSettings
from worker.self_test.conclusion import Verdict
from worker.self_test.examining import examine
from worker.self_test.place import Place
from worker.self_test.probes import Aim

HERE = "127.0.0.1"
ADDRESS = "127.81.0.1"
ELSEWHERE = "127.81.0.2"
IMPATIENT = Retransmission(first_timeout_s=0.1, max_attempts=2)


def place(port, *, address=ADDRESS, secret=SECRET, **more):
    """A router as the database would know it."""
    signs = more.pop("message_authenticator", True)
    target = Target(address=address, port=port, secret=Secret(secret), message_authenticator=signs)
    return Place(**({"name": "tower", "target": target, "source": HERE, "radius_address": address} | more))


@asynccontextmanager
async def running(address=ADDRESS, **options):
    """A simulated router with one customer online."""
    values = {"secret": SECRET, "coa_port": 0} | options
    nas = Nas(NasSettings(name="tower", address=address, radius=((HERE, 9, 9),), **values))
    async with nas:
        nas.add_session(Client(username="anna", mac="02:00:00:00:00:01"), accounting=False)
        yield nas


async def report(where, *ports):
    """The self-test's report, and that the customer at the router is as before."""
    return await examine(where, patience=IMPATIENT, usual_ports=ports)


def free_port(address=ADDRESS):
    """A port at which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def untouched(nas):
    """Whether the one session is as it was."""
    (session,) = nas.sessions
    return session.online and session.attributes == {}


def aims(found):
    """What was sent, in order."""
    return [one.aim for one in found.probes]


def test_a_router_that_is_right():
    """Two requests about nobody are refused with signed answers, which proves port, secret and source."""

    async def story():
        async with running() as nas:
            found = await report(place(nas.coa_port), 3799, 1700)
            assert found.conclusion.verdict == Verdict.RIGHT
            assert found.conclusion.right
            assert aims(found) == [Aim.CONFIGURED, Aim.DISCONNECT]
            assert [one.error_cause for one in nas.received] == [503, 503]
            assert all("503" in one.came_back for one in found.probes)
            assert untouched(nas)

    asyncio.run(story())


@pytest.mark.parametrize("identify_by", list(IdentifyBy))
def test_no_customer_is_touched(identify_by):
    """Whether a router wants all of the identification to fit or any of it: nobody fits the test's."""

    async def story():
        async with running(coa_identify_by=identify_by, coa_requires=("NAS-Identifier",)) as nas:
            await report(place(nas.coa_port))
            assert untouched(nas)
            assert nas.counters.coa_acked == 0

    asyncio.run(story())


def test_the_wrong_port():
    """Nothing listens on the configured port, and the other usual one answers: both ways to mend it are said."""

    async def story():
        async with running() as nas:
            configured = free_port()
            found = await report(place(configured), configured, nas.coa_port)
            end = found.conclusion
            assert end.verdict == Verdict.WRONG_PORT
            assert f"answers on port {nas.coa_port}" in end.sentence
            assert end.here == f"ispagents router set tower --coa-port {nas.coa_port}"
            assert end.on_router == f"/radius incoming set accept=yes port={configured}"
            assert found.probes[0].nobody_listens

    asyncio.run(story())


def test_the_wrong_port_and_the_wrong_secret():
    """The other port answers with a wrong signature: both are said."""

    async def story():
        async with ScriptedRouter(lambda peer, data, to: peer.send(reply_to(data, secret=b"another"), to)) as peer:
            found = await report(place(free_port(peer.address), address=peer.address), peer.port)
            assert found.conclusion.verdict == Verdict.WRONG_PORT
            assert "secret" in found.conclusion.sentence

    asyncio.run(story())


def test_nothing_listens():
    """Every usual port is refused by ICMP: the router is up and takes no incoming requests."""

    async def story():
        configured, other = free_port(), free_port()
        found = await report(place(configured), configured, other)
        assert found.conclusion.verdict == Verdict.NOTHING_LISTENS
        assert found.conclusion.on_router == f"/radius incoming set accept=yes port={configured}"

    asyncio.run(story())


def test_silence_on_every_port():
    """Both ports take packets and say nothing: incoming is off or a firewall drops, and what silence hides is said."""

    async def story():
        async with running(accept_incoming=False) as nas, ScriptedRouter(stay_silent, ADDRESS) as other:
            found = await report(place(nas.coa_port), other.port)
            assert found.conclusion.verdict == Verdict.SILENT
            assert "cannot be told from a wrong secret" in found.conclusion.sentence
            assert HERE in found.conclusion.sentence
            assert found.conclusion.on_router.startswith("/radius incoming set accept=yes")
            assert untouched(nas)

    asyncio.run(story())


def test_a_wrong_secret_that_answers():
    """Answers with a wrong signature come from another secret."""

    async def story():
        async with ScriptedRouter(lambda peer, data, to: peer.send(reply_to(data, secret=b"another"), to)) as peer:
            found = await report(place(peer.port, address=peer.address), 1700)
            assert found.conclusion.verdict == Verdict.WRONG_SECRET
            assert aims(found) == [Aim.CONFIGURED]
            assert "secret=THE-SECRET" in found.conclusion.on_router
            assert SECRET.decode() not in str(found)

    asyncio.run(story())


@pytest.mark.parametrize("fault", [{"secret": b"another secret"}, {"coa_sources": ("192.0.2.9",)}])
def test_silence_of_one_port_is_a_wrong_secret_or_source(fault):
    """The router is up and has the port open, but says nothing: these two look the same, and that is said."""

    async def story():
        async with running(**fault) as nas:
            found = await report(place(nas.coa_port), free_port())
            assert found.conclusion.verdict == Verdict.SECRET_OR_SOURCE
            assert "cannot be told apart" in found.conclusion.sentence
            assert untouched(nas)

    asyncio.run(story())


def test_the_wrong_source_address():
    """Another address of this machine is answered: the router knows that one as its RADIUS server."""

    async def story():
        async with running(coa_sources=(ELSEWHERE,)) as nas:
            found = await report(place(nas.coa_port, other_sources=("192.0.2.77", ELSEWHERE)), free_port())
            assert found.conclusion.verdict == Verdict.WRONG_SOURCE
            assert found.conclusion.here == f"ISPAGENTS_NODE_ADDRESS={ELSEWHERE}"

    asyncio.run(story())


def test_the_wrong_source_address_and_the_wrong_port():
    """Both mistakes at once are both named."""

    async def story():
        async with running(coa_sources=(ELSEWHERE,)) as nas:
            found = await report(place(free_port(), other_sources=(ELSEWHERE,)), nas.coa_port)
            assert found.conclusion.verdict == Verdict.WRONG_SOURCE
            assert f"it answers on {nas.coa_port}" in found.conclusion.sentence
            assert f"--coa-port {nas.coa_port}" in found.conclusion.here

    asyncio.run(story())


def test_the_wrong_port_and_silence_on_the_right_one():
    """One port is refused by ICMP and the other open but silent: that is most likely the port, and not all is said."""

    async def story():
        async with running(secret=b"another secret") as nas:
            found = await report(place(free_port()), nas.coa_port)
            assert found.conclusion.verdict == Verdict.WRONG_PORT
            assert f"port {nas.coa_port} open" in found.conclusion.sentence
            assert "the secret differs as well, or" in found.conclusion.sentence

    asyncio.run(story())


def test_the_wrong_coa_address():
    """The router answers at the address that its own RADIUS packets come from."""

    async def story():
        async with running(ELSEWHERE) as nas, ScriptedRouter(stay_silent, ADDRESS) as silent:
            where = place(nas.coa_port, radius_address=ELSEWHERE)
            found = await report(where, silent.port)
            assert found.conclusion.verdict == Verdict.WRONG_ADDRESS
            assert found.conclusion.here == f"ispagents router set tower --coa-address {ELSEWHERE}"

    asyncio.run(story())


@pytest.mark.parametrize(
    "known",
    [
        {"radius_address": ELSEWHERE, "heard_at": datetime(2026, 12, 1, tzinfo=UTC)},
        {"nas_address": "192.168.88.1"},
    ],
)
def test_nat(known):
    """CoA meets silence, while accounting comes from elsewhere, or the router calls itself by a private address."""

    async def story():
        async with ScriptedRouter(stay_silent, ADDRESS) as one, ScriptedRouter(stay_silent, ADDRESS) as other:
            found = await report(place(one.port, **known), other.port)
            assert found.conclusion.verdict == Verdict.BEHIND_NAT
            assert str(known.get("nas_address", ELSEWHERE)) in found.conclusion.sentence

    asyncio.run(story())


def test_missing_identifiers():
    """A router that wants its own name in the request: each identification is tried, and those it takes are named."""

    async def story():
        async with running(coa_requires=("NAS-Identifier",)) as nas:
            found = await report(place(nas.coa_port))
            end = found.conclusion
            assert end.verdict == Verdict.MISSING_IDENTIFIERS
            assert "takes User-Name, Acct-Session-Id, Framed-IP-Address and NAS-Identifier; or " in end.sentence
            assert "is sent User-Name, Acct-Session-Id and Framed-IP-Address." in end.sentence
            tried = [one for one in found.probes if one.aim is Aim.IDENTIFICATION]
            assert len(tried) == 8
            taken = [one for one in tried if one.cause == "session_gone"]
            assert all("NAS-Identifier" in one.identified_by for one in taken)
            assert untouched(nas)

    asyncio.run(story())


def test_no_identification_is_taken():
    """When all are refused, the refusal's own explanation follows."""

    async def story():
        async with ScriptedRouter(lambda peer, data, to: peer.send(nak_to(data, 406), to)) as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.MISSING_IDENTIFIERS
            assert "took none of the identifications" in found.conclusion.sentence
            assert "406" in found.conclusion.sentence

    asyncio.run(story())


def test_a_signature_too_much_or_too_little():
    """A router that demands Message-Authenticator is silent without it; the same request with it is answered."""

    async def story():
        async with running(require_message_authenticator_on_coa=True) as nas:
            found = await report(place(nas.coa_port, message_authenticator=False), free_port())
            assert found.conclusion.verdict == Verdict.WRONG_SIGNING
            assert found.conclusion.here == "ispagents router set tower --coa-message-authenticator"

    asyncio.run(story())


def test_a_router_that_says_yes_to_anything():
    """It is asked nothing that could end a session, and its acknowledgements are not to be trusted."""

    async def story():
        async with ScriptedRouter() as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.YES_TO_ANYTHING
            assert [data[0] for data, _ in peer.received] == [43]

    asyncio.run(story())


def test_a_router_that_takes_no_disconnect():
    """CoA is understood, Disconnect is not supported."""

    async def story():
        def answer(peer, data, to):
            peer.send(nak_to(data, 503 if data[0] == 43 else 406), to)

        async with ScriptedRouter(answer) as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.NO_DISCONNECT

    asyncio.run(story())


def test_a_router_that_takes_disconnect_alone():
    """CoA is not supported, Disconnect is: what it takes is said beside what it refuses."""

    async def story():
        def answer(peer, data, to):
            peer.send(nak_to(data, 503 if data[0] == 40 else 406), to)

        async with ScriptedRouter(answer) as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.REFUSES
            assert "It takes Disconnect." in found.conclusion.sentence

    asyncio.run(story())


def test_a_router_that_prohibits_it():
    """Its own words are explained, and what to type on RouterOS is said."""

    async def story():
        async with ScriptedRouter(lambda peer, data, to: peer.send(nak_to(data, 501), to)) as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.REFUSES
            assert "prohibits" in found.conclusion.sentence
            assert found.conclusion.on_router

    asyncio.run(story())


def test_a_router_set_as_taking_no_coa():
    """Its silence is as expected; an answer says that the setting here is behind."""

    async def story():
        async with running() as nas:
            silent = await report(place(free_port(), takes_coa=False))
            answering = await report(place(nas.coa_port, takes_coa=False))
            assert silent.conclusion.verdict == Verdict.TAKES_NONE
            assert answering.conclusion.verdict == Verdict.RIGHT_BUT_SET_AS_TAKING_NONE
            assert answering.conclusion.here.endswith("--dynamic-authorization")

    asyncio.run(story())


def test_another_program_on_the_port():
    """What comes back is no answer to the request, and that is said instead of silence."""

    async def story():
        async with ScriptedRouter(lambda peer, data, to: peer.send(reply_to(data, code=2), to)) as peer:
            found = await report(place(peer.port, address=peer.address))
            assert found.conclusion.verdict == Verdict.NOT_RADIUS

    asyncio.run(story())


def test_an_unreachable_router():
    """From a loopback address nothing reaches a router elsewhere: the setting that is wrong is named."""

    async def story():
        found = await report(place(3799, address="192.0.2.1"), 1700)
        assert found.conclusion.verdict == Verdict.UNREACHABLE
        assert "ISPAGENTS_NODE_ADDRESS" in found.conclusion.sentence

    asyncio.run(story())


def test_ipv6():
    """A router is tested over IPv6 like over IPv4."""

    async def story():
        try:
            peer = ScriptedRouter(lambda peer, data, to: peer.send(nak_to(data, 503), to), "::1")
            await peer.__aenter__()
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        try:
            right = await report(place(peer.port, address="::1", source="::1"))
            wrong = await report(place(9, address="::1", source="::1"), peer.port)
            assert right.conclusion.verdict == Verdict.RIGHT
            assert wrong.conclusion.verdict == Verdict.WRONG_PORT
        finally:
            await peer.stop()

    asyncio.run(story())
