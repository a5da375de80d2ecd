"""The worker process."""

from __future__ import annotations

import asyncio
import signal

import structlog

from ispagents.database import find, secret_box
from ispagents.installation import WORKER_READY
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from network.coa.transport import Transport
from sql.roles import Role
from worker.enforce import RouterWorker
from worker.jobs import DatabaseLost, build_app, quiet_jobs, run

log = structlog.get_logger("worker")

RETRY_S = 0.5


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
    conninfo = databases.conninfo(Role.WORKER)
    engine = databases.engine(Role.WORKER, pool=10)
    box = secret_box(state)
    down = False
    async with Transport(settings.node_address) as transport:
        while not stop.is_set():
            app = build_app(conninfo, engine, RouterWorker(engine, transport, box, stop.is_set))
            try:
                ready = (state.run / WORKER_READY).touch
                await run(app, conninfo, engine, settings.node_name, stop, ready, settings.audit_anchor_file, box)
            except DatabaseLost as lost:
                if not down:
                    log.warning("no database; changes wait", error=str(lost))
                down = True
                await asyncio.sleep(RETRY_S)
            else:
                down = False
    engine.dispose()


if __name__ == "__main__":
    common.run("worker", main)
