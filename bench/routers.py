"""Simulated routers with live sessions in a process of their own: `Routers` starts it, `python -m bench.routers` is it.

The process reads a line of JSON (its Network), prints one when it is ready and one more for each further line it reads
(what each session has now), and ends when its input does.
"""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Final, NamedTuple

from bench import subscribers
from bench.helper import Helper
from bench.servers.contract import SECRET
from simulators.faults import FaultSettings, LineFaults
from simulators.nas import Nas
from simulators.settings import Client, NasSettings, RadiusServer

SOURCE: Final = "127.0.0.1"  # where CoA comes from; a router answers nobody else
PASSWORD: Final = "made-up password"
REDIAL_S: Final = 0.5
BEFORE: Final = "10M/50M"
START_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Network:
    """So many routers with so many sessions each, numbered from `first`, behind a line with delay and loss each way."""

    routers: int
    sessions: int
    first: int = 0
    delay_s: float = 0.0
    loss: float = 0.0
    seed: int = 1
    auth_port: int = 0
    """Where clients that were thrown out dial in again, and where their accounting goes; 0: nowhere."""
    acct_port: int = 0


class Line(NamedTuple):
    """One live session and where its router takes CoA."""

    address: str
    port: int
    user_name: str
    session_id: str
    framed_ip_address: str


class Routers:
    """The process, from `__init__` to `stop`."""

    def __init__(self, network: Network) -> None:
        self._helper = Helper("bench.routers", asdict(network))

    def ready(self) -> list[Line]:
        """Every live session. Waits until all are online; raises ServerError."""
        return [Line(*one) for one in self._helper.hear()]

    def rates(self) -> Counter[str]:
        """How many sessions have which rate limit now, as the routers themselves say."""
        self._helper.tell("rates")
        return Counter(self._helper.hear())

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._helper.stop()


async def _serve(network: Network) -> None:
    faults = LineFaults(loss=network.loss, delay_s=network.delay_s)
    routers = [_router(network, number, faults) for number in range(network.first, network.first + network.routers)]
    lines = []
    for router in routers:
        await router.start()
        lines += [
            (router.settings.address, router.coa_port, one.username, one.session_id, one.address)
            for one in router.sessions
        ]
    print(json.dumps(lines), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        rates = Counter(session.rate_limit for router in routers for session in router.sessions)
        print(json.dumps(rates), flush=True)


def _router(network: Network, number: int, faults: LineFaults) -> Nas:
    settings = NasSettings(
        name=f"bench-{number}",
        address=f"127.1.{number // 250}.{number % 250 + 1}",
        radius=(RadiusServer(SOURCE, network.auth_port, network.acct_port),),
        secret=SECRET,
        coa_port=0,
        received_kept=1,
        faults=FaultSettings.both_ways(faults, network.seed),
        seed=network.seed,
    )
    router = Nas(settings)
    for place in range(network.sessions):
        subscriber = number * network.sessions + place
        router.add_session(
            Client(
                username=subscribers.user_name(subscriber),
                password=PASSWORD,
                mac=subscribers.mac(subscriber),
                redial_s=REDIAL_S if network.auth_port else None,
            ),
            address=subscribers.address(subscriber),
            reply=[("Mikrotik-Rate-Limit", BEFORE)],
            accounting=network.acct_port > 0,
        )
    return router


if __name__ == "__main__":
    asyncio.run(_serve(Network(**json.loads(sys.stdin.readline()))))
