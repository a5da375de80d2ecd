"""Simulated routers full of customers, in a process of their own: `DriftRouters` starts it, `python -m` this is it.

The process reads one line of JSON, the items of each router as [menu, fields], prints one with their addresses and
ports, and ends when its input does.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import bench
from bench.servers.contract import ServerError
from simulators.routeros.router import RouterOs
from simulators.routeros.settings import ApiFaults, ApiUser, RouterOsSettings

USER: Final = "bench"
PASSWORD: Final = "made-up password"
ROUND_TRIP_S: Final = 0.02
Items = list[tuple[str, dict[str, str]]]


class DriftRouters:
    """The process, from `__init__` to `stop`."""

    def __init__(self, routers: Sequence[Items]) -> None:
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig=KILL", sys.executable, "-m", "bench.drift_routers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=Path(bench.__file__).parent.parent,
        )
        self._send(json.dumps(routers))

    def ready(self) -> list[tuple[str, int]]:
        """Address and port of each router. Waits until all listen; raises ServerError."""
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            raise ServerError("the simulated routers ended; their error stands above")
        return [(address, port) for address, port in json.loads(line)]

    def stop(self) -> None:
        """End it; harmless when it has ended."""
        self._process.kill()
        self._process.communicate()

    def _send(self, line: str) -> None:
        if self._process.stdin is None:
            raise ServerError("the simulated routers have no input")
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


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
