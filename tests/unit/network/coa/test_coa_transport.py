"""The transport against a scripted router on 127.0.0.2: what arrives there, and what each exchange ends as."""

import asyncio
import random
from functools import wraps

import pytest
from scripted_router import ScriptedRouter, acknowledge, reply_to, stay_silent, values_of

from network.coa import identifiers
from network.coa.errors import (
    InvalidAttributeError,
    InvalidTargetError,
    SourceAddressError,
    TransportClosedError,
)
from network.coa.exchange import Ending
from network.coa.packets import Kind, Request
from network.coa.target import Retransmission, Target
from network.coa.transport import Transport
from network.contract import Secret

QUICK = Retransmission(first_timeout_s=0.02, back_off=1.5, max_timeout_s=0.05, max_attempts=4)
PATIENT = Retransmission(first_timeout_s=30, max_timeout_s=30)


def asynchronous(test):
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def target_of(router: ScriptedRouter, retransmission: Retransmission = PATIENT, **settings) -> Target:
    settings = {"secret": Secret("testing123"), "window": 400} | settings
    return Target(address=router.address, port=router.port, retransmission=retransmission, **settings)


def request_for(user: str) -> Request:
    return Request(Kind.COA, (("User-Name", user), ("Mikrotik-Rate-Limit", "1M/1M")))


def open_transport(**settings) -> Transport:
    return Transport("127.0.0.1", chance=random.Random(1).random, **settings)


@asynchronous
async def test_answered():
    """An acknowledged request is one packet from our source address, and its reply is the end."""
    async with ScriptedRouter() as router, open_transport() as transport:
        exchange = await transport.exchange(target_of(router), request_for("ann"))
        assert exchange.ending is Ending.ANSWERED
        assert exchange.reply.acknowledged
        assert exchange.attempts == 1
        assert exchange.round_trip_ms > 0
        assert exchange.started_at <= exchange.ended_at
        ((packet, sender),) = router.received
        assert sender[0] == "127.0.0.1"
        assert values_of(packet, 1) == [b"ann"]
        assert len(values_of(packet, 80)) == 1


@asynchronous
async def test_source_address():
    """Packets leave from exactly the address that was asked for."""
    async with ScriptedRouter() as router, Transport("127.0.0.7") as transport:
        await transport.exchange(target_of(router), request_for("ann"))
        assert router.received[0][1][0] == "127.0.0.7"


@asynchronous
async def test_without_message_authenticator():
    """A router set to get no Message-Authenticator gets none."""
    async with ScriptedRouter() as router, open_transport() as transport:
        await transport.exchange(target_of(router, message_authenticator=False), request_for("ann"))
        assert values_of(router.received[0][0], 80) == []


@asynchronous
async def test_loss():
    """After lost packets the identical bytes are sent again, and the answer to them counts."""

    def third_time(router, data, sender):
        if len(router.received) == 3:
            acknowledge(router, data, sender)

    async with ScriptedRouter(third_time) as router, open_transport() as transport:
        exchange = await transport.exchange(target_of(router, QUICK), request_for("ann"))
        assert (exchange.ending, exchange.attempts) == (Ending.ANSWERED, 3)
        assert len(set(router.received)) == 1
        assert transport.counters.retransmitted == 2


@asynchronous
async def test_silence():
    """A silent router gets exactly the attempts it was set to get."""
    async with ScriptedRouter(stay_silent) as router, open_transport() as transport:
        exchange = await transport.exchange(target_of(router, QUICK), request_for("ann"))
        assert (exchange.ending, exchange.attempts, exchange.reply) == (Ending.NO_ANSWER, 4, None)
        await router.until(4)
        assert len(set(router.received)) == 1
        assert transport.snapshot()["in_flight"] == 0


@asynchronous
async def test_duplicates():
    """The second copy of a reply settles nothing and is counted."""

    def twice(router, data, sender):
        for _ in range(2):
            acknowledge(router, data, sender)

    async with ScriptedRouter(twice) as router, open_transport() as transport:
        for user in ("ann", "bob", "cid"):
            assert (await transport.exchange(target_of(router), request_for(user))).attempts == 1
        assert transport.counters.answered == 3
        assert transport.counters.late_or_duplicate >= 2


@asynchronous
async def test_late_reply():
    """A reply to a request that was given up meets nobody: the next request has another identifier."""
    held = []

    def hold_first(router, data, sender):
        if values_of(data, 1) == [b"ann"]:
            held.append((data, sender))
            return
        router.send(reply_to(held[0][0]), held[0][1])
        router.send(reply_to(data, code=45), sender)

    async with ScriptedRouter(hold_first) as router, open_transport() as transport:
        first = await transport.exchange(target_of(router, QUICK), request_for("ann"))
        second = await transport.exchange(target_of(router), request_for("bob"))
        assert first.ending is Ending.NO_ANSWER
        assert not second.reply.acknowledged
        assert transport.counters.late_or_duplicate == 1


@asynchronous
async def test_wrong_secret():
    """Replies with a wrong signature never end an exchange; they are counted in it."""

    def forge(router, data, sender):
        router.send(reply_to(data, secret=b"other"), sender)

    async with ScriptedRouter(forge) as router, open_transport() as transport:
        exchange = await transport.exchange(target_of(router, QUICK), request_for("ann"))
        assert exchange.ending is Ending.NO_ANSWER
        causes = dict(exchange.rejected)
        assert set(causes) == {"bad_authenticator"}
        assert causes["bad_authenticator"] == transport.counters.rejected >= 3


@asynchronous
async def test_forged_before_true():
    """A forged reply that comes first does not keep the true one out."""

    def forge_then_answer(router, data, sender):
        router.send(reply_to(data, code=45, secret=b"other"), sender)
        acknowledge(router, data, sender)

    async with ScriptedRouter(forge_then_answer) as router, open_transport() as transport:
        exchange = await transport.exchange(target_of(router), request_for("ann"))
        assert exchange.reply.acknowledged
        assert exchange.rejected == (("bad_authenticator", 1),)


@asynchronous
async def test_other_sender():
    """A right reply from another address or port is ignored and counted."""
    async with ScriptedRouter() as stranger, open_transport() as transport:

        def by_stranger(_router, data, sender):
            stranger.send(reply_to(data), sender)

        async with ScriptedRouter(by_stranger, "127.0.0.3") as router:
            exchange = await transport.exchange(target_of(router, QUICK), request_for("ann"))
            assert exchange.ending is Ending.NO_ANSWER
            assert transport.counters.foreign >= 3


@asynchronous
async def test_many_at_once():
    """Over 256 at once to one router use several sockets, and no pair of socket and identifier twice."""
    count = 320

    def answer_when_all_are_here(router, _data, _sender):
        if len(router.received) == count:
            for data, sender in reversed(router.received):
                user = values_of(data, 1)[0]
                router.send(reply_to(data, attributes=bytes((18, len(user) + 2)) + user), sender)

    async with ScriptedRouter(answer_when_all_are_here) as router, open_transport() as transport:
        target = target_of(router, window=count)
        exchanges = await asyncio.gather(*[transport.exchange(target, request_for(f"u{i}")) for i in range(count)])
        pairs = {(sender, data[1]) for data, sender in router.received}
        assert len(pairs) == count
        assert len({sender for sender, _ in pairs}) == 2
        answers = [exchange.reply.attributes for exchange in exchanges]
        assert answers == [(("Reply-Message", f"u{i}"),) for i in range(count)]


@asynchronous
async def test_identifiers_run_out(monkeypatch):
    """With one socket the 257th waits for an identifier that has rested, and then goes out."""
    monkeypatch.setattr(identifiers, "ANSWERED_REST_S", 0.01)
    async with ScriptedRouter() as router, open_transport(max_sockets=1) as transport:
        target = target_of(router)
        exchanges = await asyncio.gather(*[transport.exchange(target, request_for(f"u{i}")) for i in range(600)])
        assert all(exchange.reply.acknowledged for exchange in exchanges)
        assert len({sender for _, sender in router.received}) == 1
        assert transport.snapshot()["sockets"] == 1


@asynchronous
async def test_same_bytes_are_not_sent_anew(monkeypatch):
    """What is set again after a change in between is not a copy of the first time, which a router may not act on."""
    monkeypatch.setattr(identifiers, "ANSWERED_REST_S", 0.0)
    async with ScriptedRouter() as router, open_transport(max_sockets=2) as transport:
        target = target_of(router)
        for number in range(600):
            await transport.exchange(target, request_for(("on", "off")[number % 2]))
        last_of_slot = {}
        for data, sender in router.received:
            assert last_of_slot.get((sender, data[1])) != data
            last_of_slot[sender, data[1]] = data


@asynchronous
async def test_window():
    """A router never has more than its window in flight, and the others follow in order."""
    async with ScriptedRouter(stay_silent) as router, open_transport() as transport:
        target = target_of(router, window=3)
        tasks = [asyncio.create_task(transport.exchange(target, request_for(f"u{i}"))) for i in range(10)]
        for answered in range(10):
            await router.until(min(answered + 3, 10))
            assert transport.snapshot()["in_flight"] == min(3, 10 - answered)
            router.send(reply_to(router.received[answered][0]), router.received[answered][1])
            await tasks[answered]
        assert [values_of(data, 1)[0].decode() for data, _ in router.received] == [f"u{i}" for i in range(10)]


@asynchronous
async def test_windows_are_per_router():
    """A router that is full does not hold up another."""
    async with (
        ScriptedRouter(stay_silent) as silent,
        ScriptedRouter(address="127.0.0.3") as quick,
        open_transport() as transport,
    ):
        stuck = asyncio.create_task(transport.exchange(target_of(silent, window=1), request_for("ann")))
        await silent.until(1)
        assert (await transport.exchange(target_of(quick, window=1), request_for("bob"))).reply.acknowledged
        stuck.cancel()


@asynchronous
async def test_closed_port():
    """A port where nobody listens is `unreachable`, after all attempts were made."""
    async with ScriptedRouter() as router, open_transport() as transport:
        await router.stop()
        exchange = await transport.exchange(target_of(router, QUICK), request_for("ann"))
        assert (exchange.ending, exchange.attempts) == (Ending.UNREACHABLE, 4)
        assert transport.counters.network_errors >= 3


@asynchronous
async def test_closed_port_harms_nobody_else():
    """ICMP errors of one router fail no packet to another on the same socket."""
    async with ScriptedRouter() as closed, ScriptedRouter(address="127.0.0.3") as router, open_transport() as transport:
        await closed.stop()
        dead, live = target_of(closed, QUICK), target_of(router)
        exchanges = await asyncio.gather(
            *[transport.exchange((dead, live)[i % 2], request_for(f"u{i}")) for i in range(60)]
        )
        assert {exchange.ending for exchange in exchanges[::2]} == {Ending.UNREACHABLE}
        assert {(exchange.ending, exchange.attempts) for exchange in exchanges[1::2]} == {(Ending.ANSWERED, 1)}


@asynchronous
async def test_cancelled_in_flight():
    """A cancelled exchange sends nothing more and makes room for the next."""
    async with ScriptedRouter(stay_silent) as router, open_transport() as transport:
        target = target_of(router, window=1)
        first = asyncio.create_task(transport.exchange(target, request_for("ann")))
        second = asyncio.create_task(transport.exchange(target, request_for("bob")))
        await router.until(1)
        first.cancel()
        await router.until(2)
        router.send(reply_to(router.received[0][0]), router.received[0][1])
        router.send(reply_to(router.received[1][0]), router.received[1][1])
        assert (await second).reply.acknowledged
        assert first.cancelled()
        assert transport.snapshot() | {"in_flight": 0, "waiting": 0, "late_or_duplicate": 1} == transport.snapshot()


@asynchronous
async def test_cancelled_before_it_left():
    """Packets are collected for a moment; one that is cancelled in it is never sent."""
    async with ScriptedRouter() as router, open_transport() as transport:
        target = target_of(router)
        tasks = [asyncio.create_task(transport.exchange(target, request_for(user))) for user in ("ann", "bob")]
        asyncio.get_running_loop().call_soon(tasks[0].cancel)
        assert (await tasks[1]).reply.acknowledged
        assert [values_of(data, 1) for data, _ in router.received] == [[b"bob"]]
        assert tasks[0].cancelled()
        assert transport.counters.sent == 1


@asynchronous
async def test_closed_before_it_left():
    """What was collected when the transport closes is `closed`, without an attempt."""
    async with ScriptedRouter() as router:
        async with open_transport() as transport:
            task = asyncio.create_task(transport.exchange(target_of(router), request_for("ann")))
            await asyncio.sleep(0)
        exchange = await task
        assert (exchange.ending, exchange.attempts) == (Ending.CLOSED, 0)
        assert exchange.started_at <= exchange.ended_at


@asynchronous
async def test_many_timers():
    """One alarm serves routers with different timers: each is sent to as often as it should be, and ends in time."""
    slower = Retransmission(first_timeout_s=0.05, back_off=1, max_timeout_s=0.05, max_attempts=3, jitter=0)
    async with ScriptedRouter(stay_silent) as router, open_transport() as transport:
        began = asyncio.get_running_loop().time()
        wanted = [(slower, 3), (QUICK, 4)] * 50
        exchanges = await asyncio.gather(
            *[
                transport.exchange(target_of(router, timers), request_for(f"u{number}"))
                for number, (timers, _) in enumerate(wanted)
            ]
        )
        assert [exchange.attempts for exchange in exchanges] == [attempts for _, attempts in wanted]
        assert {exchange.ending for exchange in exchanges} == {Ending.NO_ANSWER}
        assert asyncio.get_running_loop().time() - began < 5
        assert transport.snapshot()["in_flight"] == 0
        assert transport._alarm is None


@asynchronous
async def test_cancelled_while_waiting():
    """An exchange cancelled in the queue is never sent."""
    async with ScriptedRouter(stay_silent) as router, open_transport() as transport:
        target = target_of(router, window=1)
        tasks = [asyncio.create_task(transport.exchange(target, request_for(user))) for user in ("ann", "bob", "cid")]
        await router.until(1)
        tasks[1].cancel()
        router.send(reply_to(router.received[0][0]), router.received[0][1])
        await router.until(2)
        assert values_of(router.received[1][0], 1) == [b"cid"]
        tasks[2].cancel()


@asynchronous
async def test_closing():
    """Closing ends what flies and what waits as `closed`; afterwards nothing is accepted."""
    async with ScriptedRouter(stay_silent) as router:
        async with open_transport() as transport:
            target = target_of(router, window=1)
            tasks = [asyncio.create_task(transport.exchange(target, request_for(user))) for user in ("ann", "bob")]
            await router.until(1)
        exchanges = await asyncio.gather(*tasks)
        assert [(exchange.ending, exchange.attempts) for exchange in exchanges] == [
            (Ending.CLOSED, 1),
            (Ending.CLOSED, 0),
        ]
        with pytest.raises(TransportClosedError):
            await transport.exchange(target, request_for("cid"))


@asynchronous
async def test_refused_before_sending():
    """What cannot be sent is an error, and no packet leaves."""
    async with ScriptedRouter() as router, open_transport() as transport:
        with pytest.raises(InvalidAttributeError):
            await transport.exchange(target_of(router), Request(Kind.COA, (("No-Such", "1"),)))
        six = Target(address="2001:db8::1", port=3799, secret=Secret("x"))
        with pytest.raises(InvalidTargetError, match="IPv6"):
            await transport.exchange(six, request_for("ann"))
        assert transport.counters.sent == 0


@asynchronous
async def test_foreign_source_address():
    """A source address that this machine does not have is refused when the transport opens."""
    with pytest.raises(SourceAddressError, match=r"192\.0\.2\.1"):
        async with Transport("192.0.2.1"):
            pass
