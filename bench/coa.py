"""`ispagents bench coa`: changes of live sessions, against radclient, and 10,000 of them on 50 simulated routers.

Ours is `network.coa.verbs.change_authorization`, as the worker calls it: every request signed with
Message-Authenticator, every reply checked in full, every outcome looked at.
"""

import asyncio
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from pyrad.client import Client, Timeout
from pyrad.dictionary import Dictionary

import network.coa
from bench import report, subscribers
from bench.routers import SOURCE, Line, Network, Routers
from bench.servers import process
from bench.servers.acknowledging import Acknowledging
from bench.servers.contract import SECRET, Endpoint
from network.coa.target import Target
from network.coa.transport import Transport
from network.coa.verbs import Session, change_authorization
from network.contract import Outcome, Result, Secret

AFTER: Final = "2M/10M"
CHANGE: Final = (("Mikrotik-Rate-Limit", AFTER),)
SEED: Final = 20261122

SERVER_THREADS: Final = 2  # of the acknowledging FreeRADIUS, on two cores
RADCLIENT_PARALLEL: Final = (128, 200, 256)  # in the same rounds; the best median counts
# It walks its whole list of requests again and again: with 20,000 it is a third as fast. With these it is at its best.
RADCLIENT_PACKETS: Final = 2_500
RADCLIENT_SIGNING_PARALLEL: Final = 256  # for reference: with Message-Authenticator, as ours sends it
RADCLIENT_TRIES: Final = 10
RADCLIENT_TIMEOUT_S: Final = 1
RADCLIENT_PATIENCE_S: Final = 60.0
WINDOW: Final = 64  # of ours against one server that answers at once
ROUTER_WINDOW: Final = 32  # network.coa.target's own default, kind to a router
PROCESSES: Final = 2  # of simulated routers, so that they are not what is measured
ROUND_TRIPS_S: Final = (0.0, 0.02)
LOSSES: Final = (0.0, 0.01)  # in each direction
DICTIONARY: Final = Path(network.coa.__path__[0]) / "dictionary" / "dictionary"


class CoaBenchError(Exception):
    """A change was not acknowledged or not found on the router, so that its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    packets: int
    rounds: int
    pyrad_seconds: float
    network_rounds: int
    routers: int = 50
    sessions: int = 200


FULL: Final = Size(packets=RADCLIENT_PACKETS, rounds=21, pyrad_seconds=2.0, network_rounds=5)
QUICK: Final = Size(packets=RADCLIENT_PACKETS, rounds=7, pyrad_seconds=0.5, network_rounds=1)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises CoaBenchError or ServerError. About 3 minutes, under 45 s when `quick`."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    say(f"seed {SEED}")
    results: dict[str, Any] = {"rate_vs_radclient": None, "seconds_10k_50_routers": None}
    with process.orderly_end() as stack:
        results |= _against_radclient(stack, size, say)
        results |= _pyrad_alone(stack, size, say)
        results |= _networks(stack, size, say)
    results |= {"seed": SEED, "packets": size.packets, "rounds": size.rounds, "network_rounds": size.network_rounds}
    return results


def _against_radclient(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    server = Acknowledging()
    stack.callback(server.stop)
    endpoint = server.start(SERVER_THREADS)
    folder = process.make_folder("radclient", "root")
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    radclient = Radclient(endpoint, folder, size.packets, signed=False)
    signing_radclient = Radclient(endpoint, folder, size.packets, signed=True)
    lines = [
        Line(endpoint.address, endpoint.port, subscribers.user_name(one), f"81{one:06x}", subscribers.address(one))
        for one in range(size.packets)
    ]
    theirs: dict[int, list[float]] = {parallel: [] for parallel in RADCLIENT_PARALLEL}
    ours: list[float] = []
    signing: list[float] = []
    _change(lines, endpoint.secret, WINDOW)  # reads the dictionaries, which is taken off radclient's time too
    for number in range(size.rounds):
        for parallel, rates in theirs.items():
            rates.append(radclient.rate(parallel))
        took_s, _ = _change(lines, endpoint.secret, WINDOW)
        ours.append(size.packets / took_s)
        signing.append(signing_radclient.rate(RADCLIENT_SIGNING_PARALLEL))
        told = ", ".join(f"radclient -p {parallel} {rates[-1]:,.0f}" for parallel, rates in theirs.items())
        say(f"round {number + 1} of {size.rounds}: ours {ours[-1]:,.0f}/s, {told}, signing {signing[-1]:,.0f}")
    best = max(theirs, key=lambda parallel: median(theirs[parallel]))
    pyrad_rate = _pyrad(lines[:1000], endpoint.secret, size.pyrad_seconds)
    say(f"pyrad's client, one at a time: {pyrad_rate:,.0f}/s")
    server.stop()
    return {
        "rate_vs_radclient": _ratio(ours, theirs[best]),
        "rate_vs_radclient_signing": _ratio(ours, signing),
        "coa_per_s": round(median(ours)),
        "radclient_per_s": round(median(theirs[best])),
        "radclient_parallel": best,
        "radclient_signing_per_s": round(median(signing)),
        **{f"radclient_p{parallel}_per_s": round(median(rates)) for parallel, rates in theirs.items()},
        "pyrad_per_s": round(pyrad_rate),
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return round(median(mine / his for mine, his in zip(ours, theirs, strict=True)), 3)


class Radclient:
    """FreeRADIUS's own client, given a file of requests as text. What it needs to start is taken off its time."""

    def __init__(self, endpoint: Endpoint, folder: Path, packets: int, *, signed: bool) -> None:
        self._endpoint = endpoint
        self._folder = folder
        self._packets = packets
        self._name = "signed" if signed else "unsigned"
        last = "Message-Authenticator = 0x00\n\n" if signed else "\n"
        for count in (1, packets):
            with (folder / f"{self._name}-{count}").open("w") as file:
                for one in range(count):
                    file.write(
                        f'User-Name = "{subscribers.user_name(one)}"\nAcct-Session-Id = "81{one:06x}"\n'
                        f'Framed-IP-Address = {subscribers.address(one)}\nMikrotik-Rate-Limit = "{AFTER}"\n{last}'
                    )

    def rate(self, parallel: int) -> float:
        """Requests a second. Raises CoaBenchError if one was lost for good."""
        start_s = self._run(parallel, 1)
        return self._packets / (self._run(parallel, self._packets) - start_s)

    def _run(self, parallel: int, count: int) -> float:
        limits = ["-p", str(parallel), "-r", str(RADCLIENT_TRIES), "-t", str(RADCLIENT_TIMEOUT_S)]
        where = f"{self._endpoint.address}:{self._endpoint.port}"
        file = str(self._folder / f"{self._name}-{count}")
        command = ["radclient", "-q", "-s", *limits, "-f", file, where, "coa", self._endpoint.secret]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=RADCLIENT_PATIENCE_S)
        took_s = time.perf_counter() - began
        if f"Accepted      : {count}\n" not in done.stdout:
            raise CoaBenchError(f"radclient -p {parallel} lost packets: {' '.join(done.stdout.split())} {done.stderr}")
        return took_s


def _change(lines: Sequence[Line], secret: str, window: int) -> tuple[float, list[Result]]:
    """Change all of them; seconds from the first call to the last outcome. All must be acknowledged.

    For each router as many runners as it may have requests in flight, each taking the next session when one is done.
    """
    kept = Secret(secret)
    of_router: dict[tuple[str, int], list[Line]] = {}
    for line in lines:
        of_router.setdefault((line.address, line.port), []).append(line)
    outcomes: list[Result] = []

    async def runner(transport: Transport, target: Target, waiting: Iterator[Line]) -> None:
        for line in waiting:
            outcome = await change_authorization(transport, target, _session(line), CHANGE)
            outcomes.append(outcome)

    async def all_of_them() -> float:
        async with Transport(SOURCE) as transport, asyncio.TaskGroup() as runners:
            began = time.perf_counter()
            for (address, port), own in of_router.items():
                target = Target(address=address, port=port, secret=kept, window=window)
                waiting = iter(own)
                for _ in range(window):
                    runners.create_task(runner(transport, target, waiting))
        return time.perf_counter() - began

    took_s = asyncio.run(all_of_them())
    wrong = Counter(f"{one.outcome}: {one.cause}" for one in outcomes if one.outcome is not Outcome.APPLIED)
    if wrong:
        raise CoaBenchError(f"{wrong.total()} of {len(lines)} changes were not acknowledged: {dict(wrong)}")
    return took_s, outcomes


def _session(line: Line) -> Session:
    return Session(user_name=line.user_name, acct_session_id=line.session_id, framed_ip_address=line.framed_ip_address)


def _pyrad(lines: Sequence[Line], secret: str, seconds: float) -> float:
    """Changes a second by pyrad's own client, which sends one and waits for its answer."""
    client = Client(
        server=lines[0].address, coaport=lines[0].port, secret=secret.encode(), dict=Dictionary(str(DICTIONARY))
    )
    client.timeout = 1
    began, done = time.perf_counter(), 0
    while (took_s := time.perf_counter() - began) < seconds:
        line = lines[done % len(lines)]
        request = client.CreateCoAPacket(User_Name=line.user_name)
        request["Acct-Session-Id"] = line.session_id
        request["Framed-IP-Address"] = line.framed_ip_address
        request["Mikrotik-Rate-Limit"] = AFTER
        try:
            client.SendPacket(request)
        except Timeout:
            raise CoaBenchError("pyrad's client got no answer") from None
        done += 1
    return done / took_s


def _pyrad_alone(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    """The same at 20 ms, from a simulated router."""
    routers = Routers(Network(routers=1, sessions=size.sessions, delay_s=ROUND_TRIPS_S[-1] / 2, seed=SEED))
    stack.callback(routers.stop)
    rate = _pyrad(routers.ready(), SECRET, size.pyrad_seconds)
    routers.stop()
    say(f"pyrad's client at 20 ms: {rate:,.0f}/s")
    return {"pyrad_per_s_20ms": round(rate, 1)}


def _networks(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    for round_trip_s in ROUND_TRIPS_S:
        for loss in LOSSES:
            name = f"{round_trip_s * 1000:.0f} ms, {loss:.0%} loss"
            rounds = [_one_network(stack, size, round_trip_s, loss, SEED + at) for at in range(size.network_rounds)]
            rows[name] = {
                "sessions": size.routers * size.sessions,
                "routers": size.routers,
                "seconds": round(median(took_s for took_s, _ in rounds), 2),
                "slowest_seconds": round(max(took_s for took_s, _ in rounds), 2),
                "sent_again": round(median(sum(one.attempts - 1 for one in outcomes) for _, outcomes in rounds)),
                "most_attempts": max(one.attempts for _, outcomes in rounds for one in outcomes),
            }
            say(f"{name}: {rows[name]}")
    last = rows[name]
    return {"seconds_10k_50_routers": last["seconds"], "servers": rows}


def _one_network(
    stack: ExitStack, size: Size, round_trip_s: float, loss: float, seed: int
) -> tuple[float, list[Result]]:
    """All sessions of all routers changed, acknowledged, and read back from the routers."""
    share = size.routers // PROCESSES
    parts = [
        Routers(Network(share, size.sessions, place * share, round_trip_s / 2, loss, seed))
        for place in range(PROCESSES)
    ]
    for part in parts:
        stack.callback(part.stop)
    lines = [line for part in parts for line in part.ready()]
    took_s, outcomes = _change(lines, SECRET, ROUTER_WINDOW)
    rates = sum((part.rates() for part in parts), Counter[str]())
    for part in parts:
        part.stop()
    if rates != {AFTER: len(lines)} or len(lines) != size.routers * size.sessions:
        raise CoaBenchError(
            f"acknowledged, but the routers (seed {seed}) have {dict(rates)} instead of {AFTER} for all"
        )
    return took_s, outcomes
