"""Simulated RouterOS APIs in a process of their own: `ApiRouters` starts it, `python -m bench.api_routers` is it.

The process reads a line of JSON (its Fleet), prints one when it is ready and one more for each further line (how
many rows of a menu have such values, for each router), and ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict, dataclass
from typing import Final

from bench import subscribers
from bench.helper import Helper
from simulators.routeros.router import RouterOs
from simulators.routeros.settings import ApiFaults, ApiUser, RouterOsSettings

USER: Final = "bench"
PASSWORD: Final = "made-up password"
BEFORE: Final = "10M/50M"


@dataclass(frozen=True, slots=True)
class Fleet:
    """So many routers, each with so many secrets and simple queues, answering after so many seconds."""

    routers: int = 1
    secrets: int = 0
    queues: int = 0
    round_trip_s: float = 0.0


class ApiRouters:
    """The process, from `__init__` to `stop`."""

    def __init__(self, fleet: Fleet) -> None:
        self._helper = Helper("bench.api_routers", asdict(fleet))

    def ready(self) -> list[tuple[str, int]]:
        """Address and port of each router. Waits until all listen; raises ServerError."""
        return [(address, port) for address, port in self._helper.hear()]

    def count(self, menu: str, **values: str) -> int:
        """How many rows of the menu have these values, in all routers together."""
        self._helper.tell([menu, values])
        return sum(self._helper.hear())

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._helper.stop()


async def _serve(fleet: Fleet) -> None:
    routers = [_router(fleet, number) for number in range(fleet.routers)]
    for router in routers:
        await router.start()
    print(json.dumps([(router.address, router.port) for router in routers]), flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        menu, values = json.loads(line)
        print(json.dumps([len(router.rows(menu, **values)) for router in routers]), flush=True)


def _router(fleet: Fleet, number: int) -> RouterOs:
    settings = RouterOsSettings(
        identity=f"bench-{number}",
        address=f"127.2.{number // 250}.{number % 250 + 1}",
        users=(ApiUser(name=USER, password=PASSWORD),),
        faults=ApiFaults(latency_s=fleet.round_trip_s),
    )
    router = RouterOs(settings)
    router.add("/ppp/profile", name="before")
    router.add("/ppp/profile", name="after")
    for one in range(fleet.secrets):
        name = subscribers.user_name(one)
        router.add("/ppp/secret", name=name, password=PASSWORD, profile="before", comment=f"ispagents:service-{one}")
    for one in range(fleet.queues):
        name = subscribers.user_name(one)
        target = f"10.{one >> 16}.{one >> 8 & 255}.{one & 255}/32"
        router.add("/queue/simple", name=name, target=target, max_limit=BEFORE, comment=f"ispagents:service-{one}")
    return router


if __name__ == "__main__":
    asyncio.run(_serve(Fleet(**json.loads(sys.stdin.readline()))))
