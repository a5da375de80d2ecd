"""A router reboots without a word, dies and returns, and suffers its line the same way for the same seed."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from simulators.clock import HandClock, Wheel
from simulators.faults import FaultSettings, Line, LineFaults
from simulators.nas import Nas
from simulators.nas_command import main
from simulators.rate_limit import limits_bps
from simulators.settings import Client, NasSettings

ANNA = Client(username="anna", mac="02:00:5e:00:00:0a")


async def test_reboot(town):
    """A reboot loses sessions without Stop or Accounting-Off, moves the boot digit and restarts the counters."""
    clock = HandClock()
    async with town(clock, boot=15) as (nas, server):
        before = (await nas.login(Client(username="anna", mac=ANNA.mac, redial_s=5))).session
        await nas.login(Client(username="bert", mac=ANNA.mac))
        await nas.idle()
        nas.reboot()
        assert (len(nas.sessions), before.online, before.ended_by) == (0, False, None)
        assert [record["Acct-Status-Type"] for record in server.records] == [["Start"], ["Start"]]
        clock.advance(5.1)
        await nas.until(lambda: len(nas.sessions) == 1)
        (after,) = nas.sessions
        assert (before.session_id, after.session_id) == ("81f00000", "81000000")
        assert (after.username, after.address) == ("anna", before.address)


async def test_reboot_during_a_login(town):
    """A login under way while the router reboots leads nowhere."""
    async with town(HandClock()) as (nas, server):
        server.mute = 1
        login = asyncio.ensure_future(nas.login(ANNA))
        await server.heard()
        nas.reboot()
        result = await login
        assert (result.accepted, result.timed_out, len(nas.sessions)) == (False, True, 0)


async def test_cut_and_restore(town):
    """A cut router neither sends nor hears; restored, it goes on with its sessions."""
    clock = HandClock()
    async with town(clock, radius_tries=1) as (nas, server):
        session = (await nas.login(ANNA)).session
        await nas.idle()
        nas.cut()
        login = asyncio.ensure_future(nas.login(Client(username="bert", mac=ANNA.mac)))
        await asyncio.sleep(0)
        clock.advance(3)
        assert (await login).timed_out
        assert (len(server.access), session.online) == (1, True)
        nas.restore()
        assert (await nas.login(Client(username="bert", mac=ANNA.mac))).accepted


async def test_refused_client_goes_on_dialling(town):
    """A client kept online tries again after its redial time until it is let in."""
    clock = HandClock()
    async with town(clock) as (nas, server):
        accept, server.reply = server.reply, lambda _: (3, {})
        await nas.keep_online(Client(username="anna", mac=ANNA.mac, redial_s=1))
        server.reply = accept
        clock.advance(1.1)
        await nas.until(lambda: len(nas.sessions) == 1)
        assert nas.counters.rejects == 1


async def test_address_in_use(town):
    """A router that cannot bind says so and leaves nothing open."""
    async with town() as (nas, server):
        settings = NasSettings(
            name="b", address=nas.settings.address, radius=(server.address,), secret="s", coa_port=nas.coa_port
        )
        with pytest.raises(OSError, match="in use"):
            await Nas(settings).start()


async def test_switches_and_fixed_settings(town):
    """A switch changes at once; a setting that is wired in cannot."""
    async with town() as (nas, _):
        nas.switch(ack_without_effect=True)
        assert nas.settings.ack_without_effect
        with pytest.raises(ValueError, match="name cannot change"):
            nas.switch(name="other")


async def test_stopped_router(town):
    """A stopped router refuses logins and may be stopped again."""
    async with town() as (nas, _):
        await nas.stop()
        await nas.stop()
        with pytest.raises(RuntimeError, match="not started"):
            await nas.login(ANNA)


def plans(seed, name="a:radius:in", **faults):
    line = Line(LineFaults(**faults), seed, name, HandClock())
    return [line.plan() for _ in range(500)]


def test_faults_repeat_by_seed():
    """The same seed makes the same choices, another seed or another line others."""
    faults = {"loss": 0.1, "duplication": 0.1, "delay_s": 0.02, "jitter_s": 0.01, "reorder": 0.1}
    assert plans(7, **faults) == plans(7, **faults)
    assert plans(7, **faults) != plans(8, **faults)
    assert plans(7, **faults) != plans(7, name="a:radius:out", **faults)


def test_one_fault_does_not_move_another():
    """Which packets are lost stays the same when delay and duplication are added."""
    plain = [not plan for plan in plans(7, loss=0.2)]
    assert plain == [not plan for plan in plans(7, loss=0.2, delay_s=1.0, jitter_s=1.0, duplication=0.5)]
    assert 60 < sum(plain) < 140


def test_line_delivers_late_twice_and_out_of_order():
    """Delayed packets arrive at their time, doubled ones twice, held ones after later ones."""
    clock = HandClock()
    arrived = []
    line = Line(LineFaults(delay_s=1.0, duplication=1.0), 1, "l", clock)
    line.carry(lambda: arrived.append("packet"))
    clock.advance(0.9)
    assert arrived == []
    clock.advance(0.2)
    assert arrived == ["packet", "packet"]
    mixed = Line(LineFaults(reorder=0.3), 3, "l", clock)
    order: list[int] = []
    for number in range(20):
        mixed.carry(lambda number=number: order.append(number))
    clock.advance(1)
    assert order != sorted(order)
    assert sorted(order) == list(range(20))


async def test_bad_line_loses_no_accounting(town):
    """Over a line that loses, doubles and reorders, every login and record gets through or is counted as given up."""
    line = LineFaults(loss=0.2, duplication=0.2, reorder=0.2, reorder_hold_s=0.002)
    faults = FaultSettings.both_ways(line, seed=3)
    async with town(faults=faults, radius_timeout_s=0.02, radius_tries=8) as (nas, server):
        clients = [Client(username=f"u{number}", mac=f"02000000{number:04x}") for number in range(50)]
        results = await asyncio.gather(*(nas.login(client) for client in clients))
        await nas.idle()
        accepted = sum(result.accepted for result in results)
        assert accepted + sum(result.timed_out for result in results) == 50
        assert nas.counters.acct_acked + nas.counters.acct_given_up == accepted == len(nas.sessions)
        assert nas.counters.resends > 0
        assert len({record["User-Name"][0] for record in server.records}) >= nas.counters.acct_acked


@pytest.mark.parametrize("wrong", [{"loss": 1.5}, {"delay_s": -1}])
def test_faults_that_cannot_be(wrong):
    """A share above one and a negative delay are refused at once."""
    with pytest.raises(ValueError, match=r"share|negative"):
        LineFaults(**wrong)


def test_wheel_is_late_never_early():
    """The wheel runs an action within one tick after its time, and nothing after clear."""
    clock = HandClock()
    wheel = Wheel(clock, tick_s=0.1)
    ran = []
    for delay_s in (0.35, 0.05, 0.35):
        due_s = clock.now() + delay_s
        wheel.add(delay_s, lambda due_s=due_s: ran.append(clock.now() - due_s))
    clock.advance(1)
    assert len(ran) == 3
    assert all(0 <= late_s <= 0.1 + 1e-6 for late_s in ran)
    wheel.add(0.1, lambda: ran.append(9))
    wheel.clear()
    clock.advance(1)
    assert len(ran) == 3


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("10M/50M", (10_000_000, 50_000_000)),
        ("512k", (512_000, 512_000)),
        ("384k/1536k 0/0 0/0 0/0 8 96k/384k", (384_000, 1_536_000)),
        ("64000/128000 1M/2M 512k/1M 10/10", (64_000, 128_000)),
    ],
)
def test_rate_limits(text, limits):
    """The first field is upload and download; one number is both; k and M are decimal."""
    assert limits_bps(text) == limits


@pytest.mark.parametrize("text", ["", "fast", "10m", "10G", "1M/2M/3M", "1M 1M 1M 10 9", "1M 1M 1M ten", "1.5M"])
def test_rate_limits_that_cannot_be_read(text):
    """What the documented grammar does not allow is an error that names it."""
    with pytest.raises(ValueError, match="is no"):
        limits_bps(text)


HEADER = "username,password,mac,method,protocol\n"


@pytest.mark.parametrize(
    ("arguments", "clients", "said"),
    [
        (["--name", "a"], HEADER, "--address"),
        (["--radius", "127.0.0.1"], HEADER, "ADDRESS:AUTH_PORT:ACCT_PORT"),
        (["--loss", "2"], HEADER, "loss is a share"),
        ([], "username,mac\n", "lacks the columns"),
        ([], HEADER + "anna,x,02:00:5e:00:00:0a,pppoe,eap\n", "line 2"),
        ([], HEADER + "anna,x,nonsense,pppoe,pap\n", "no MAC address"),
        (["--address", "192.0.2.1"], HEADER, "--address"),
    ],
)
def test_wrong_arguments(tmp_path, capsys, arguments, clients, said):
    """A wrong argument or file gives one sentence that names it, and exit code 2."""
    (tmp_path / "secret").write_text("s")
    (tmp_path / "clients.csv").write_text(clients)
    usual = {
        "--address": "127.0.0.11",
        "--name": "a",
        "--radius": "127.0.0.1:1812:1813",
        "--secret-file": str(tmp_path / "secret"),
        "--clients": str(tmp_path / "clients.csv"),
    }
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    everything = arguments if "--name" in given else [text for pair in {**usual, **given}.items() for text in pair]
    assert main(everything) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


async def test_command_runs_and_stops(tmp_path, town):
    """The command brings its clients online, says so, and Ctrl-C ends it with exit code 0."""
    (tmp_path / "secret").write_text("made-up-secret\n")
    (tmp_path / "clients.csv").write_text(HEADER + "anna,x,02:00:5e:00:00:0a,pppoe,pap\n")
    async with town() as (_, server):
        command = [sys.executable, "-m", "simulators.nas", "--address", "127.0.0.13", "--name", "tower-3"]
        command += ["--radius", "{}:{}:{}".format(*server.address), "--coa-port", "0"]
        command += ["--secret-file", str(tmp_path / "secret"), "--clients", str(tmp_path / "clients.csv")]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        lines = []
        async for line in process.stdout:
            lines.append(line.decode())
            if "online 1" in lines[-1]:
                process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        assert lines[0].startswith("router tower-3 at 127.0.0.13")
        assert lines[-1] == "router tower-3 stopped\n"
        assert server.access[0]["NAS-Identifier"] == ["tower-3"]
