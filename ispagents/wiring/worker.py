"""The worker process."""

from __future__ import annotations

import asyncio
import signal

import structlog

from ispagents.database import find, secret_box
from ispagents.errors import Problem
from ispagents.installation import WORKER_READY
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from network.coa.transport import Transport
from network.routeros.keeper import Keeper
from sql.roles import Role
from worker.configure import Configurer
from worker.drift import Drift
from worker.enforce import RouterWorker
from worker.health import HealthWatch
from worker.jobs import DatabaseLost, build_app, quiet_jobs, run
from worker.notice_gateway import check
from worker.sealing import Anchors
from worker.sessions import SessionWatch

log = structlog.get_logger("worker")

RETRY_S = 0.5


def main(state: StateFolder, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    asyncio.run(_main(state, settings))


def _anchors(settings: Settings) -> Anchors:
    """Where the ends of the audits are kept. Raises Problem for an address that no gateway knows."""
    address = settings.audit_anchor_url.get_secret_value() if settings.audit_anchor_url is not None else None
    if address is not None and not check(address):
        raise Problem(
            "ISPAGENTS_AUDIT_ANCHOR_URL is not an address that can be told; "
            "write one of Apprise's, such as mailtos://user:password@example.net?to=auditor@example.org."
        )
    return Anchors(settings.audit_anchor_file, address)


async def _main(state: StateFolder, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    quiet_jobs()
    databases = find(state, settings)
    conninfo = databases.conninfo(Role.WORKER)
    engine = databases.engine(Role.WORKER, pool=11)
    box = secret_box(state)
    anchors = _anchors(settings)
    down = False
    sessions = SessionWatch(engine, settings.accounting_months)
    async with Transport(settings.node_address) as transport, Keeper() as keeper:
        while not stop.is_set():
            routers = RouterWorker(engine, transport, box, stop.is_set)
            app = build_app(conninfo, engine, routers, Configurer(engine, keeper, box, stop.is_set))
            try:
                ready = (state.run / WORKER_READY).touch
                looking = (engine, keeper, box, settings.node_name)
                beside = (HealthWatch(*looking).keep, Drift(*looking).keep, sessions.keep)
                await run(app, conninfo, engine, settings.node_name, stop, ready, anchors, box, beside)
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
