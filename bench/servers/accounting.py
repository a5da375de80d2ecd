"""What takes accounting: FreeRADIUS with `detail` alone, with rlm_sql as it is distributed, and ours."""

import socket
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from bench.acct_load import ACCOUNTING_RESPONSE, START, attributes, encode
from bench.servers import process
from bench.servers.contract import SECRET, Endpoint, ServerError
from bench.servers.freeradius import RADDB, START_PATIENCE_S, USER, FreeRadius, pool_text
from bench.servers.own import ADDRESS, THREADS, fill
from bench.servers.postgres import ThrowAwayPostgres
from bench.servers.rlm_sql import fill as fill_standard
from bench.servers.rlm_sql import write_module
from edge.replica_writer import ReplicaWriter
from ispagents import freeradius
from ispagents.errors import Problem
from ispagents.state_folder import StateFolder

# radiusd.conf as the distribution has it, with the accounting part of its default server. `unix` and a second `detail`
# beside SQL are left out, which is kind to the baseline.
_RADIUSD: Final = """
prefix = /usr
libdir = /usr/lib/freeradius
confdir = {folder}
raddbdir = {folder}
modconfdir = {folder}/mods-config
logdir = {folder}
radacctdir = {folder}/radacct
run_dir = {folder}
name = freeradius
max_request_time = 30
cleanup_delay = 5
max_requests = 16384
hostname_lookups = no
log {{
    destination = files
    file = {folder}/radius.log
}}
security {{
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
client bench {{
    ipaddr = 127.0.0.0/8
    secret = {secret}
}}
{pool}
modules {{
    $INCLUDE {raddb}/mods-available/always
    $INCLUDE {raddb}/mods-available/expr
    $INCLUDE {raddb}/mods-available/preprocess
    $INCLUDE {raddb}/mods-available/attr_filter
{modules}
}}
policy {{
    $INCLUDE {raddb}/policy.d/
}}
server default {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {port}
    }}
    preacct {{
        preprocess
        acct_unique
    }}
    accounting {{
        {accounting}
        attr_filter.accounting_response
    }}
}}
"""
_DETAIL: Final = """
    detail {{
        filename = {folder}/radacct/detail
        permissions = 0600
        locking = yes
        header = "%t"
    }}
"""


class Standard:
    """The distribution's server: `detail` alone, or its SQL module on a database of its own."""

    def __init__(self, name: str, threads: int, database: ThrowAwayPostgres | None = None) -> None:
        self.name = name
        self._threads = threads
        self._database = database
        self._server = FreeRadius("acct")

    def start(self) -> Endpoint:
        """Returns when it answers. Raises ServerError."""
        folder = self._server.prepare()
        (folder / "mods-config" / "preprocess").symlink_to(RADDB / "mods-config" / "preprocess")
        (folder / "radacct").mkdir()
        process.own(folder / "radacct", USER)
        modules = _DETAIL.format(folder=folder)
        if self._database is not None:
            name = f"radius_{self._threads}"
            fill_standard(self._database, name, 1)
            write_module(folder, self._database, name)
            modules = f"    $INCLUDE {folder}/sql"
        port = process.free_port()
        text = _RADIUSD.format(
            folder=folder,
            raddb=RADDB,
            secret=SECRET,
            pool=pool_text(self._threads),
            modules=modules,
            port=port,
            accounting="detail" if self._database is None else "-sql",
        )
        running, endpoint = self._server.run(folder, text, port)
        _answers(running, endpoint)
        return endpoint

    def rows(self) -> int:
        """How many sessions the database has; 0 without one."""
        if self._database is None:
            return 0
        with self._database.connect(f"radius_{self._threads}") as connection:
            row = connection.execute("SELECT count(*) FROM radacct WHERE acctinputoctets > 0").fetchone()
        return int(str(row[0])) if row is not None else 0

    def stop(self) -> None:
        """End it and remove its files."""
        self._server.stop()


class OwnServer(NamedTuple):
    """Our FreeRADIUS, writing into the spool of a state folder."""

    endpoint: Endpoint
    running: "subprocess.Popen[bytes]"
    writer: ReplicaWriter

    def stop(self) -> None:
        """End it."""
        process.end(self.running)
        self.writer.close()


def start_own(state: StateFolder, services: int) -> OwnServer:
    """The shipped raddb and module, with a replica of so many services. Raises ServerError."""
    try:
        installed = freeradius.find()
        layout = freeradius.Layout(
            raddb=state.path / "raddb",
            log=state.path / "log-radius",
            run=state.path / "run-radius",
            spool=state.spool,
            replica=state.replica,
            address=ADDRESS,
            auth_port=process.free_port(),
            acct_port=process.free_port(),
            threads=THREADS,
        )
        freeradius.prepare(installed, layout)
    except Problem as problem:
        raise ServerError(str(problem)) from problem
    writer = fill(layout.replica, services)
    output = layout.log / "freeradius.log"
    owner = installed.user or ""
    output.touch()
    process.own(output, owner)
    running = process.spawn(process.as_user(owner, freeradius.command(installed, layout)), output)
    endpoint = Endpoint(ADDRESS, layout.acct_port, SECRET, running.pid, log=output)
    _answers(running, endpoint)
    return OwnServer(endpoint, running, writer)


def _answers(running: "subprocess.Popen[bytes]", endpoint: Endpoint) -> None:
    """Waits for the acknowledgement of a Start."""
    packet = encode(endpoint.secret.encode(), 1, attributes(0, START, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.5)
        one.connect((endpoint.address, endpoint.port))
        for _ in process.wait_until_alive(running, endpoint.log or Path("/dev/null"), START_PATIENCE_S):
            try:
                one.send(packet)
                if one.recv(4096)[0] == ACCOUNTING_RESPONSE:
                    return
            except (TimeoutError, ConnectionRefusedError):
                continue
