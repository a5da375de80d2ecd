"""Connecting to a simulated router: who is trusted, who is let in, and how every end of a connection reads."""

import asyncio
import logging

import pytest
from routeros_peers import (
    LIST,
    PASSWORD,
    SECRETS,
    Peer,
    asynchronous,
    certificate,
    connected,
    simulated,
    target_of,
    until,
)

from network.contract import Secret
from network.routeros import errors
from network.routeros.connection import connect
from network.routeros.keeper import Keeper
from network.routeros.target import Limits, Security
from simulators.routeros.settings import ApiFaults, ApiUser, Break

PRINT = ("/system/identity/print",)
HASTY = Limits(command_timeout_s=0.1)


@pytest.mark.parametrize("version", ["6.43", "6.49.10", "7.16.1", "7.20"])
@asynchronous
async def test_plain_login(version):
    """Every release from 6.43 on lets us in with words, and answers."""
    async with simulated(version=version, identity="łódź") as router, connected(router) as connection:
        reply = await connection.send(PRINT)
        assert reply.rows == [{"name": "łódź"}]
        assert reply.round_trip_ms > 0


@asynchronous
async def test_old_login_only_when_asked_for():
    """A release before 6.43 is left alone unless its target says so; one that knows no challenge is not fooled."""
    async with simulated(version="6.40.8") as router:
        with pytest.raises(errors.OldLoginError, match="upgrade the router"):
            await connect(target_of(router))
        async with connected(router, old_login=True) as connection:
            assert (await connection.send(PRINT)).rows
        with pytest.raises(errors.LoginRefusedError):
            await connect(target_of(router, old_login=True, password=Secret("wrong")))


@asynchronous
async def test_wrong_password_and_user():
    """A refused login says so and is not repeated by itself."""
    async with simulated() as router:
        for changed in ({"password": Secret("wrong")}, {"username": "nobody"}):
            with pytest.raises(errors.LoginRefusedError, match="password") as refused:
                await connect(target_of(router, **changed))
            assert not refused.value.may_retry


@asynchronous
async def test_verified_certificate(tmp_path):
    """A certificate is accepted from its authority and for its name; the end of its validity is told."""
    files, _, pem = certificate(tmp_path)
    async with simulated(tls=files) as router:
        safe = {"port": router.tls_port, "security": Security.VERIFIED}
        async with connected(router, **safe, server_name="tower", authorities=pem) as connection:
            assert (await connection.send(PRINT)).rows
            assert connection.certificate_end() is not None
        for changed in ({"server_name": "other", "authorities": pem}, {"server_name": "tower"}):
            with pytest.raises(errors.NotTrustedError, match="No password was sent"):
                await connect(target_of(router, **safe, **changed))
        with pytest.raises(errors.InvalidTargetError):
            await connect(target_of(router, **safe, authorities="nonsense"))


@asynchronous
async def test_pinned_certificate(tmp_path):
    """The pinned certificate is accepted although nobody vouches for it, even expired; another router's is not."""
    files, fingerprint, _ = certificate(tmp_path, days=-1)
    _, another, _ = certificate(tmp_path, name="elsewhere")
    async with simulated(tls=files) as router:
        pinned = {"port": router.tls_port, "security": Security.PINNED}
        async with connected(router, **pinned, fingerprint=fingerprint) as connection:
            assert (await connection.send(PRINT)).rows
        with pytest.raises(errors.NotTrustedError, match=fingerprint):
            await connect(target_of(router, **pinned, fingerprint=another))
        with pytest.raises(errors.NotConnectedError, match="api-ssl"):
            await connect(
                target_of(router, Limits(connect_timeout_s=0.2), security=Security.PINNED, fingerprint=fingerprint)
            )


@asynchronous
async def test_nobody_there():
    """A closed port and a silent one are told apart from a refusal."""
    async with simulated() as router:
        gone = target_of(router)
    with pytest.raises(errors.UnreachableError, match="/ip service"):
        await connect(gone)
    async with Peer.running(lambda *_: None) as peer:
        peer.data_received = lambda _: None
        with pytest.raises(errors.UnreachableError, match="did not let us in"):
            await connect(target_of(peer, Limits(connect_timeout_s=0.1)))


@asynchronous
async def test_tags_keep_many_commands_apart():
    """A thousand commands at once each get their own answer, also when a slow menu is overtaken."""
    faults = ApiFaults(latency_s=0.005, slow={SECRETS: 0.1})
    async with simulated(faults=faults) as router, connected(router) as connection:
        for number in range(50):
            router.add(SECRETS, name=f"no{number}")
        slow = connection.ask((f"{SECRETS}/print",))
        quick = connection.ask(PRINT)
        ended = []
        for future in (slow, quick):
            future.add_done_callback(ended.append)
        ids = await asyncio.gather(
            *[connection.ask((f"{LIST}/add", "=list=paid", f"=address=10.0.{n // 250}.{n % 250}")) for n in range(1000)]
        )
        rows = {row[".id"]: row["address"] for row in router.rows(LIST)}
        assert [rows[reply.done["ret"]] for reply in ids] == [f"10.0.{n // 250}.{n % 250}" for n in range(1000)]
        assert [row["name"] for row in (await slow).rows] == [f"no{number}" for number in range(50)]
        assert ended == [quick, slow]


@pytest.mark.parametrize("how", [Break.BEFORE, Break.AFTER, Break.MID_REPLY, Break.FATAL, Break.REBOOT])
@asynchronous
async def test_a_connection_that_ends(how):
    """What was in flight is unknown, what waited was not sent, and nothing is sent any more."""
    async with simulated() as router, connected(router, window=1) as connection:
        router.break_next(f"{LIST}/add", how)
        first = connection.ask((f"{LIST}/add", "=list=a", "=address=10.0.0.1"))
        second = connection.ask((f"{LIST}/add", "=list=a", "=address=10.0.0.2"))
        if how is Break.REBOOT:
            assert (await first).done["ret"]
        else:
            with pytest.raises(errors.UnknownOutcomeError) as ended:
                await first
            assert ended.value.why == ("fatal" if how is Break.FATAL else "closed")
        with pytest.raises((errors.NotSentError, errors.UnknownOutcomeError)):
            await second
        assert not connection.usable
        with pytest.raises(errors.NotSentError):
            await connection.send(PRINT)
        assert not router.rows(LIST, address="10.0.0.2")


@asynchronous
async def test_a_hanging_peer():
    """A command without an answer ends the connection in time, with all that was on its way."""
    async with simulated() as router, connected(router, HASTY) as connection:
        router.break_next("/", Break.SILENT)
        results = await asyncio.gather(connection.ask(PRINT), connection.ask(PRINT), return_exceptions=True)
        assert [getattr(one, "why", "answered") for one in results] == ["timeout", "answered"]
        assert not connection.usable


def flood(peer, tag, _):
    row = b"".join(len(word).to_bytes(1, "big") + word for word in (b"!re", tag.encode(), b"=name=no")) + b"\x00"
    peer.transport.write(row * 1_000_000)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (flood, "too_large"),
        (lambda peer, tag, _: [peer.say("!re", tag, f"=name={'x' * 1000}") for _ in range(2000)], "too_large"),
        (lambda peer, tag, _: [peer.say("!trap", tag, "=message=no") for _ in range(20)], "too_large"),
        (lambda peer, _tag, _: peer.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "malformed"),
        (lambda peer, _tag, _: peer.transport.write(b"\xff\xff\xff\xff"), "malformed"),
        (lambda peer, _tag, _: peer.say("!done", ".tag=4711"), "malformed"),
        (lambda peer, _tag, _: peer.say("!done"), "malformed"),
        (lambda peer, tag, _: peer.say("!surprise", tag), "malformed"),
        (lambda peer, _tag, _: peer.say("!fatal", "too many\r\nsessions"), "fatal"),
    ],
)
@asynchronous
async def test_nonsense_ends_the_connection(script, why):
    """A million rows, garbage, answers to nobody: the command is unknown, and memory stays bounded."""
    limits = Limits(max_rows=100_000, max_reply_bytes=1 << 20)
    async with Peer.running(script) as peer, connected(peer, limits) as connection:
        with pytest.raises(errors.UnknownOutcomeError) as ended:
            await connection.send(PRINT)
        assert ended.value.why == why
        assert str(ended.value).isprintable()
        assert not connection.usable


@asynchronous
async def test_a_caller_that_leaves():
    """A cancelled command is not sent any more; if it was, its answer meets nobody and harms nobody."""
    async with simulated(faults=ApiFaults(latency_s=0.02)) as router, connected(router, window=1) as connection:
        first, second = (connection.ask((f"{LIST}/add", "=list=a", f"=address=10.0.0.{n}")) for n in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        assert (await connection.send(PRINT)).rows
        assert [row["address"] for row in router.rows(LIST)] == ["10.0.0.1"]


@asynchronous
async def test_keeper_shares_and_renews():
    """Many users share one connection; a broken one is made anew, an idle one closed, another password another one."""
    async with simulated() as router, Keeper(idle_s=0.05) as keeper:

        async def one():
            async with keeper.connection(target_of(router)) as connection:
                await connection.send(PRINT)
                return connection

        shared = await asyncio.gather(*[one() for _ in range(20)])
        assert len(set(map(id, shared))) == 1
        router.drop_connections()
        await until(lambda: not shared[0].usable)
        again = await one()
        assert again is not shared[0]
        with pytest.raises(errors.LoginRefusedError):
            async with keeper.connection(target_of(router, password=Secret("wrong"))):
                pass
        assert await one() is not again
        await until(lambda: not len(keeper))
        last = await one()
        target = target_of(router)
    assert not last.usable
    with pytest.raises(errors.NotConnectedError):
        async with keeper.connection(target):
            pass


@asynchronous
async def test_keeper_probes_a_silent_connection():
    """A connection that the network has forgotten is found out before anything is written to it."""
    async with simulated() as router, Keeper(probe_after_s=0.0) as keeper:
        async with keeper.connection(target_of(router)) as first:
            await first.send(PRINT)
        router.break_next("/system/identity/print", Break.AFTER)
        async with keeper.connection(target_of(router)) as second:
            assert second is not first
            await second.send(PRINT)


@asynchronous
async def test_keeper_tells_all_who_wait():
    """One try is made for all who wait, and its failure is told to each; leaving stops what is still being tried."""
    async with Peer.running(lambda *_: None) as peer:
        peer.data_received = lambda _: None

        async def use(keeper, limits):
            async with keeper.connection(target_of(peer, limits)):
                pass

        async with Keeper() as keeper:
            hasty = [use(keeper, Limits(connect_timeout_s=0.05)) for _ in range(5)]
            failed = await asyncio.gather(*hasty, return_exceptions=True)
            assert len({id(one) for one in failed}) == 1
            assert isinstance(failed[0], errors.UnreachableError)
            assert len(keeper) == 0
            patient = asyncio.create_task(use(keeper, Limits()))
            await until(lambda: len(keeper))
        with pytest.raises(errors.NotConnectedError):
            await patient


@asynchronous
async def test_keeper_lets_others_finish():
    """When a router's settings change, who is inside finishes on the old connection, and it is closed after them."""
    async with simulated() as router, Keeper() as keeper:
        async with keeper.connection(target_of(router)) as old:
            async with keeper.connection(target_of(router, window=8)) as new:
                assert new is not old
            assert (await old.send(PRINT)).rows
        await until(lambda: not old.usable)
        assert new.usable


@asynchronous
async def test_keeper_is_bounded():
    """An unused connection makes room for another router; while all are used, one more is refused."""
    async with simulated() as one, simulated() as other, Keeper(max_connections=1) as keeper:
        async with keeper.connection(target_of(one)) as first:
            with pytest.raises(errors.TooManyError):
                async with keeper.connection(target_of(other)):
                    pass
        async with keeper.connection(target_of(other)) as second:
            assert (await second.send(PRINT)).rows
        await until(lambda: not first.usable)
        assert len(keeper) == 1


@asynchronous
async def test_password_in_no_log(caplog, tmp_path):
    """A whole DEBUG log of logins that work and fail, by words and by challenge, has no password in it."""
    files, fingerprint, _ = certificate(tmp_path)
    asyncio.get_running_loop().set_debug(True)
    with caplog.at_level(logging.DEBUG):
        async with simulated(tls=files) as router:
            pinned = {"port": router.tls_port, "security": Security.PINNED, "fingerprint": fingerprint}
            async with connected(router, **pinned) as connection:
                await connection.send((f"{SECRETS}/add", "=name=anna", "=password=very-secret"))
            with pytest.raises(errors.LoginRefusedError) as refused:
                await connect(target_of(router, username="nobody"))
        async with simulated(version="6.40.8") as router, connected(router, old_login=True):
            pass
        assert caplog.records  # asyncio's own, at least
    for hidden in (PASSWORD, "hush-hush", "very-secret"):
        assert hidden not in caplog.text + str(refused.value) + repr(connection) + repr(connection.target)


@asynchronous
async def test_users_of_less_power():
    """A user who may only read is refused by name of the matter, and the connection goes on."""
    reader = ApiUser(name="ispagents", password=PASSWORD, group="read")
    async with simulated(users=(reader,)) as router, connected(router) as connection:
        with pytest.raises(errors.NotPermittedError, match="policies"):
            await connection.send((f"{LIST}/add", "=list=a", "=address=10.0.0.1"))
        with pytest.raises(errors.NoSuchMenuError):
            await connection.send(("/no/such/menu/print",))
        assert (await connection.send(PRINT)).rows
