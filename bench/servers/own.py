"""ISPAgents' own server: FreeRADIUS with radius_module on a replica, as `ispagents` sets it up."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench import subscribers
from bench.load import ExpectedRate
from bench.servers import process
from bench.servers.contract import SECRET, Endpoint, LoginServer, ServerError
from bench.servers.freeradius import START_PATIENCE_S, probe
from edge.replica_writer import ReplicaWriter
from ispagents import freeradius
from ispagents.errors import Problem
from policy.facts import Bindings, Method, ServiceFacts
from policy.standing import Standing
from radius_module.records import RouterRow, ServiceRow

THREADS: Final = freeradius.THREADS  # the number that we ship, and no other: our own settings do not compete

ADDRESS: Final = "127.0.0.1"
OPERATOR_ID: Final = 1
ROUTER_ID: Final = 1
NO_REFUSALS: Final = "{}"
PREPAID_UNTIL: Final = datetime.fromtimestamp(subscribers.PREPAID_UNTIL_S, UTC)


class Own:
    """The shipped raddb and module; the replica stays open for writing, as when edge runs."""

    name: Final = "ispagents"
    rate: ExpectedRate = "billing"

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: ReplicaWriter | None = None
        self._folder: Path | None = None

    def start(self, users: int, threads: int) -> Endpoint:
        self.stop()
        try:
            installed = freeradius.find()
            # The server's own user is only let in by group, as when `ispagents` starts it.
            folder = self._folder = process.make_folder("own", "root")
            layout = freeradius.Layout(
                raddb=folder / "raddb",
                log=folder / "log",
                run=folder / "run",
                spool=folder / "spool",
                replica=folder / "replica",
                address=ADDRESS,
                auth_port=process.free_port(),
                acct_port=process.free_port(),
                threads=threads,
            )
            freeradius.prepare(installed, layout)
        except Problem as problem:
            raise ServerError(str(problem)) from problem
        self._writer = fill(layout.replica, users)
        output = layout.log / "freeradius.log"
        command = freeradius.command(installed, layout)
        # Already as its own user: changing it later would undo that the kernel ends the server with us.
        owner = installed.user or ""
        output.touch()
        process.own(output, owner)
        self._process = process.spawn(process.as_user(owner, command), output)
        endpoint = Endpoint(ADDRESS, layout.auth_port, SECRET, self._process.pid, log=output)
        probe(self.name, self._process, endpoint, START_PATIENCE_S)
        return endpoint

    def stop(self) -> None:
        process.end(self._process)
        self._process = None
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def own_server() -> LoginServer:
    """A new server that is not started yet."""
    return Own()


def fill(folder: Path, users: int) -> ReplicaWriter:
    """A published replica with so many services, still open for writing."""
    writer = ReplicaWriter.begin_empty(folder, users)
    writer.put_operator(OPERATOR_ID, NO_REFUSALS)
    writer.put_router(
        ADDRESS, RouterRow(ROUTER_ID, OPERATOR_ID, "bench-nas", SECRET, require_message_authenticator=True)
    )
    for number, rate in enumerate(subscribers.PLAN_RATES):
        writer.put_plan(number + 1, subscribers.plan_name(number), f'{{"rate_limit": "{rate}"}}')
    with writer:
        writer.put_services(_services(users))
    writer.publish()
    return writer


def _services(users: int) -> Iterator[ServiceRow]:
    for number in range(users):
        facts = ServiceFacts(
            number + 1,
            Method.PPPOE,
            Standing.SUSPENDED if subscribers.is_suspended(number) else Standing.CURRENT,
            subscribers.plan_number(number) + 1,
            PREPAID_UNTIL if subscribers.is_prepaid(number) else None,
            subscribers.address(number) if subscribers.has_address(number) else "",
        )
        bound = Bindings(bind_mac=True, mac=subscribers.mac(number)) if subscribers.is_bound(number) else Bindings()
        yield ServiceRow(OPERATOR_ID, subscribers.user_name(number), subscribers.password(number), facts, bound)
