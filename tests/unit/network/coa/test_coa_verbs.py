"""The verbs: what a person reads for every way in which a router can answer, or not."""

import asyncio
from functools import wraps

import pytest
from scripted_router import SECRET, ScriptedRouter, acknowledge, nak_to, reply_to, stay_silent, values_of

from network.coa.abilities import ROUTEROS, Ability
from network.coa.attributes import definitions
from network.coa.error_causes import ErrorCause
from network.coa.errors import InvalidAttributeError, InvalidTargetError
from network.coa.target import Retransmission, Target
from network.coa.transport import Transport
from network.coa.turns import Turns
from network.coa.verbs import Session, change_authorization, disconnect
from network.contract import Outcome, Secret

QUICK = Retransmission(first_timeout_s=0.02, max_timeout_s=0.02, max_attempts=2)
PATIENT = Retransmission(first_timeout_s=30, max_timeout_s=30)
ANN = Session(user_name="ann", acct_session_id="81A00001", framed_ip_address="10.1.2.3", nas_identifier="tower")
RATE = (("Mikrotik-Rate-Limit", "10M/50M"),)


def asynchronous(test):
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def target_of(router: ScriptedRouter, retransmission: Retransmission = PATIENT, **settings) -> Target:
    settings = {"secret": Secret(SECRET)} | settings
    return Target(address=router.address, port=router.port, retransmission=retransmission, **settings)


async def both(script, retransmission=PATIENT, **settings):
    """The results of a CoA and a Disconnect at a router with this script."""
    async with ScriptedRouter(script) as router, Transport("127.0.0.1") as transport:
        target = target_of(router, retransmission, **settings)
        return await change_authorization(transport, target, ANN, RATE), await disconnect(transport, target, ANN)


@asynchronous
async def test_acknowledged():
    """An ACK is `applied`, with what was sent as evidence; the identification comes first, in the target's order."""
    changed, ended = await both(acknowledge)
    identification = (("User-Name", "ann"), ("Acct-Session-Id", "81A00001"), ("Framed-IP-Address", "10.1.2.3"))
    for result, sent in ((changed, identification + RATE), (ended, identification)):
        assert (result.outcome, result.cause, result.attempts) == (Outcome.APPLIED, "acknowledged", 1)
        assert result.sent == sent
        assert result.may_retry is False


@asynchronous
async def test_what_identifies_is_a_setting():
    """Only the attributes that the target wants, and that are known, are sent."""
    async with ScriptedRouter() as router, Transport("127.0.0.1") as transport:
        target = target_of(router, identify_by=("NAS-Identifier", "Acct-Session-Id", "Calling-Station-Id"))
        result = await disconnect(transport, target, ANN)
        assert result.sent == (("NAS-Identifier", "tower"), ("Acct-Session-Id", "81A00001"))
        assert values_of(router.received[0][0], 1) == []


@pytest.mark.parametrize("cause", list(ErrorCause))
@asynchronous
async def test_refused_with_a_cause(cause):
    """Every Error-Cause but 201 and 503 is `refused` with its number; only passing ones invite a retry."""
    for result in await both(lambda router, data, sender: router.send(nak_to(data, cause), sender)):
        if cause not in {201, 503}:
            assert (result.outcome, result.cause) == (Outcome.REFUSED, f"error_cause:{cause.value}")
            assert result.may_retry is (cause in {504, 505, 506})
        assert result.reply == (("Error-Cause", str(cause.value)),)
        assert str(cause.value) in result.explanation


@asynchronous
async def test_session_gone():
    """503 means done for a Disconnect, and nothing to change for a CoA."""
    changed, ended = await both(lambda router, data, sender: router.send(nak_to(data, 503), sender))
    assert (changed.outcome, changed.cause, changed.may_retry) == (Outcome.REFUSED, "session_gone", False)
    assert (ended.outcome, ended.cause, ended.may_retry) == (Outcome.ALREADY_SO, "already_offline", False)
    assert "already offline" in ended.explanation


@asynchronous
async def test_refused_without_a_cause():
    """A NAK that gives no reason has a sentence of its own."""
    for result in await both(lambda router, data, sender: router.send(nak_to(data, None), sender)):
        assert (result.outcome, result.cause) == (Outcome.REFUSED, "no_error_cause")
        assert "without saying why" in result.explanation


@asynchronous
async def test_no_answer():
    """Silence names the usual reasons and may be tried again."""
    for result in await both(stay_silent, QUICK):
        assert (result.outcome, result.cause, result.attempts) == (Outcome.NO_ANSWER, "timeout", 2)
        assert result.may_retry is True
        assert result.round_trip_ms is None
        for reason in ("accept=no", "1700 or 3799", "source address", "secret", "firewall"):
            assert reason in result.explanation


@asynchronous
async def test_wrong_secret_signs():
    """Badly signed replies alone are `no_answer` that points to the secret, and never show it."""
    results = await both(lambda router, data, sender: router.send(reply_to(data, secret=b"other"), sender), QUICK)
    for result in results:
        assert (result.outcome, result.cause) == (Outcome.NO_ANSWER, "wrong_secret_signs")
        assert result.may_retry is False
        assert SECRET.decode() not in repr(result)


@asynchronous
async def test_missing_message_authenticator():
    """A router that must sign its replies and does not is named as such."""
    for result in await both(acknowledge, QUICK, require_message_authenticator=True):
        assert (result.outcome, result.cause) == (Outcome.NO_ANSWER, "missing_message_authenticator")


@asynchronous
async def test_unreachable():
    """A closed port is `unreachable`, and may be a router that is starting."""
    async with ScriptedRouter() as router, Transport("127.0.0.1") as transport:
        await router.stop()
        result = await disconnect(transport, target_of(router, QUICK), ANN)
        assert (result.outcome, result.cause, result.may_retry) == (Outcome.UNREACHABLE, "port_unreachable", True)


@asynchronous
async def test_closed_meanwhile():
    """A program that stops while waiting does not know, and says so."""
    async with ScriptedRouter(stay_silent) as router:
        async with Transport("127.0.0.1") as transport:
            task = asyncio.create_task(disconnect(transport, target_of(router), ANN))
            await router.until(1)
        result = await task
        assert (result.outcome, result.cause, result.may_retry) == (Outcome.UNKNOWN, "closed", True)


@asynchronous
async def test_one_in_flight_per_session():
    """The second request of a session is sent when the first has ended; other sessions do not wait."""
    async with ScriptedRouter(stay_silent) as router, Transport("127.0.0.1") as transport:
        target = target_of(router)
        first = asyncio.create_task(change_authorization(transport, target, ANN, RATE))
        await router.until(1)
        second = asyncio.create_task(disconnect(transport, target, ANN))
        other = asyncio.create_task(disconnect(transport, target, Session(user_name="bob")))
        await router.until(2)
        router.send(reply_to(router.received[0][0]), router.received[0][1])
        await router.until(3)
        assert [(data[0], values_of(data, 1)) for data, _ in router.received] == [
            (43, [b"ann"]),
            (40, [b"bob"]),
            (40, [b"ann"]),
        ]
        for data, sender in router.received[1:]:
            router.send(reply_to(data), sender)
        assert {result.outcome for result in await asyncio.gather(first, second, other)} == {Outcome.APPLIED}


@asynchronous
async def test_turns_survive_cancellation():
    """A turn is passed on whether the one cancelled waits, is just being woken, or holds it."""
    turns, order = Turns(), []

    async def work(name):
        await turns.take("key")
        try:
            order.append(name)
            await asyncio.sleep(0)
        finally:
            turns.give_back("key")

    await turns.take("key")
    tasks = {name: asyncio.create_task(work(name)) for name in "abcd"}
    await asyncio.sleep(0)
    tasks["b"].cancel()
    turns.give_back("key")
    tasks["a"].cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert order == ["c", "d"]
    assert turns._busy == {}


@pytest.mark.parametrize("name", ["Framed-IP-Address", "Framed-Pool", "Framed-Route"])
@asynchronous
async def test_not_changeable(name):
    """Address, pool and route are refused here with the way that works, and nothing is sent."""
    async with ScriptedRouter() as router, Transport("127.0.0.1") as transport:
        result = await change_authorization(transport, target_of(router), ANN, ((name, "10.0.0.1"),))
        assert (result.outcome, result.cause, result.attempts) == (Outcome.REFUSED, f"not_changeable:{name}", 0)
        assert "disconnect it" in result.explanation
        assert transport.counters.sent == 0


@pytest.mark.parametrize(
    ("session", "attributes", "says"),
    [
        (ANN, (), "changes nothing"),
        (ANN, (("User-Name", "bob"),), "identifies the session"),
        (ANN, (("Mikrotik-Rate-Limit", ""),), "leave it out"),
        (Session(nas_identifier="tower"), RATE, "read the session again"),
        (Session(user_name="ann", framed_ip_address="10.1.2"), RATE, "IPv4"),
    ],
)
@asynchronous
async def test_bad_input(session, attributes, says):
    """What cannot be sent is an error before anything is sent, and the session is free afterwards."""
    async with ScriptedRouter() as router, Transport("127.0.0.1") as transport:
        with pytest.raises(InvalidAttributeError, match=says):
            await change_authorization(transport, target_of(router), session, attributes)
        assert transport.counters.sent == 0
        assert transport.turns._busy == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"address": "router.example"},
        {"address": "10.0.0.1\x00"},
        {"port": 0},
        {"port": 65536},
        {"window": 0},
        {"identify_by": ()},
        {"identify_by": ("Class",)},
    ],
)
def test_bad_targets(settings):
    """A router's settings that cannot work are refused when they are made."""
    with pytest.raises(InvalidTargetError):
        Target(**{"address": "10.0.0.1", "port": 3799, "secret": Secret("x")} | settings)


@pytest.mark.parametrize(
    "settings",
    [{"first_timeout_s": 0}, {"first_timeout_s": float("nan")}, {"max_attempts": 0}, {"back_off": 0.5}, {"jitter": 2}],
)
def test_bad_retransmission(settings):
    """Timers that cannot work are refused when they are made."""
    with pytest.raises(InvalidTargetError):
        Retransmission(**settings)


def test_retransmission_waits():
    """Waits grow by the factor up to the longest, and jitter adds its share."""
    timers = Retransmission(first_timeout_s=1, back_off=2, max_timeout_s=3, jitter=0.5)
    assert [timers.wait_s(sent, 0.0) for sent in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert timers.wait_s(1, 0.5) == 1.25


def test_target_hides_its_secret():
    """A target can be logged: its secret is not in it."""
    assert "testing123" not in repr(Target(address="10.0.0.1", port=3799, secret=Secret(SECRET)))


def test_abilities_are_attributes():
    """Everything declared is an attribute that we know, and nothing is both changeable and not."""
    assert ROUTEROS.changeable | ROUTEROS.needs_disconnect <= definitions().keys()
    assert not ROUTEROS.changeable & ROUTEROS.needs_disconnect
    assert ROUTEROS.of("Mikrotik-Rate-Limit") is Ability.CHANGEABLE
    assert ROUTEROS.of("Framed-Pool") is Ability.NEEDS_DISCONNECT
    assert ROUTEROS.of("Mikrotik-Address-List") is Ability.UNPROVEN
