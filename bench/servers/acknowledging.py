"""FreeRADIUS as the other end of a CoA: its own `coa` listener, which says yes to everything."""

import socket
from pathlib import Path
from typing import Final

from bench.servers import process
from bench.servers.contract import SECRET, Endpoint
from bench.servers.freeradius import RADDB, START_PATIENCE_S, FreeRadius
from network.coa.packets import Kind, Request, decode_reply

_RADIUSD: Final = """
prefix = /usr
libdir = /usr/lib/freeradius
confdir = {folder}
raddbdir = {folder}
logdir = {folder}
run_dir = {folder}
name = freeradius
max_requests = 65536
cleanup_delay = 2
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
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = 1
    max_spare_servers = {threads}
    max_requests_per_server = 0
    auto_limit_acct = no
}}
modules {{
    $INCLUDE {raddb}/mods-available/always
}}
server coa {{
    listen {{
        type = coa
        ipaddr = 127.0.0.1
        port = {port}
    }}
    recv-coa {{
        ok
    }}
    send-coa {{
        ok
    }}
}}
"""


class Acknowledging:
    """Runs between `start` and `stop`."""

    def __init__(self) -> None:
        self._server = FreeRadius("coa")

    def start(self, threads: int) -> Endpoint:
        """Returns when it answers. Raises ServerError."""
        folder, port = self._server.prepare(), process.free_port()
        text = _RADIUSD.format(folder=folder, raddb=RADDB, secret=SECRET, threads=threads, port=port)
        running, endpoint = self._server.run(folder, text, port)
        for _ in process.wait_until_alive(running, endpoint.log or Path("/dev/null"), START_PATIENCE_S):
            if _acknowledges(endpoint):
                break
        return endpoint

    def stop(self) -> None:
        self._server.stop()


def _acknowledges(endpoint: Endpoint) -> bool:
    secret = endpoint.secret.encode()
    packet = Request(Kind.COA, (("User-Name", "probe"),)).encode(secret, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(0.5)
        one.connect((endpoint.address, endpoint.port))
        try:
            one.send(packet)
            return decode_reply(one.recv(4096), packet, secret).acknowledged
        except (TimeoutError, ConnectionRefusedError):
            return False
