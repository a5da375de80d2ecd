"""The worker process."""

from __future__ import annotations

import asyncio
import signal

from ispagents.database import find, secret_box
from ispagents.installation import WORKER_READY
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from network.coa.transport import Transport
from sql.roles import Role
from worker.enforce import RouterWorker
from worker.jobs import build_app, quiet_jobs, run


def main(state: StateFolder, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(_main(state, settings))


async def _main(state: StateFolder, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    quiet_jobs()
    databases = find(state, settings)
    engine = databases.engine(Role.WORKER, pool=10)
    async with Transport(settings.node_address) as transport:
        routers = RouterWorker(engine, transport, secret_box(state), stop.is_set)
        app = build_app(databases.conninfo(Role.WORKER), engine, routers)
        await run(app, engine, settings.node_name, stop, (state.run / WORKER_READY).touch)
    engine.dispose()


if __name__ == "__main__":
    common.run("worker", main)
