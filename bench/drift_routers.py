"""Simulated routers full of customers, in a process of their own: `DriftRouters` starts it, `python -m` this is it.

The process reads one line of JSON, the items of each router as [menu, fields], prints one with their addresses and
ports, and ends when its input does.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final

from bench.helper import Helper
from simulators.routeros.router import RouterOs
from simulators.routeros.settings import ApiFaults, ApiUser, RouterOsSettings

USER: Final = "bench"
PASSWORD: Final = "made-up password"
ROUND_TRIP_S: Final = 0.02
Items = list[tuple[str, dict[str, str]]]


class DriftRouters:
    """The process, from `__init__` to `stop`."""

    def __init__(self, routers: Sequence[Items]) -> None:
        self._helper = Helper("bench.drift_routers", list(routers))

    def ready(self) -> list[tuple[str, int]]:
        """Address and port of each router. Waits until all listen; raises ServerError."""
        return [(address, port) for address, port in self._helper.hear()]

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._helper.stop()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    routers = [_router(number, items) for number, items in enumerate(json.loads(sys.stdin.readline()))]
    for router in routers:
        await router.start()
    print(json.dumps([(router.address, router.port) for router in routers]), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def _router(number: int, items: Items) -> RouterOs:
    settings = RouterOsSettings(
        identity=f"bench-{number}",
        address=f"127.3.{number // 250}.{number % 250 + 1}",
        users=(ApiUser(name=USER, password=PASSWORD),),
        faults=ApiFaults(latency_s=ROUND_TRIP_S),
    )
    router = RouterOs(settings)
    for menu, fields in items:
        router.add(menu, **fields)
    return router


if __name__ == "__main__":
    asyncio.run(_serve())
