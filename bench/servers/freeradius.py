"""One FreeRADIUS in a folder of its own: the distribution's modules around the lines that a server adds."""

import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final

from bench import packets
from bench.servers import process
from bench.servers.contract import DISTRIBUTION_POOL, SECRET, Endpoint, ServerError

RADDB: Final = Path("/etc/freeradius/3.0")
USER: Final = "freerad"
START_PATIENCE_S: Final = 60.0  # a `files` server with many entries reads them for a while

# radiusd.conf as the distribution has it, without what a login does not use (EAP, proxying, control socket).
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
    auth = no
}}
security {{
    allow_core_dumps = yes
    max_attributes = 200
    reject_delay = 0
    status_server = no
}}
proxy_requests = yes
client bench {{
    ipaddr = 127.0.0.0/8
    secret = {secret}
}}
{pool}
modules {{
    $INCLUDE {raddb}/mods-available/always
    $INCLUDE {raddb}/mods-available/expr
    $INCLUDE {raddb}/mods-available/attr_filter
    $INCLUDE {raddb}/mods-available/utf8
    $INCLUDE {raddb}/mods-available/chap
    $INCLUDE {raddb}/mods-available/mschap
    $INCLUDE {raddb}/mods-available/pap
{modules}
}}
policy {{
    $INCLUDE {raddb}/policy.d/
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
{authorize}
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
    }}
    post-auth {{
{post_auth}
    }}
}}
"""

_DISTRIBUTION_POOL: Final = """
thread pool {
    start_servers = 5
    max_servers = 32
    min_spare_servers = 3
    max_spare_servers = 10
    max_requests_per_server = 0
    auto_limit_acct = no
}
"""

_FIXED_POOL: Final = """
thread pool {{
    start_servers = {threads}
    max_servers = {threads}
    min_spare_servers = {threads}
    max_spare_servers = {threads}
    max_requests_per_server = 0
    auto_limit_acct = no
}}
"""


def pool_text(threads: int) -> str:
    """The thread pool as the configuration has it."""
    return _DISTRIBUTION_POOL if threads == DISTRIBUTION_POOL else _FIXED_POOL.format(threads=threads)


class FreeRadius:
    """Started once; the configuration arrives as text for the three places where servers differ."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None
        self.folder: Path | None = None

    def prepare(self) -> Path:
        """The folder, with an empty mods-config, for files that the modules read."""
        self.stop()
        folder = self.folder = process.make_folder(self._name, USER)
        (folder / "mods-config").mkdir()
        for shared in ("attr_filter", "sql"):
            (folder / "mods-config" / shared).symlink_to(RADDB / "mods-config" / shared)
        (folder / "dictionary").touch()
        return folder

    def start(self, *, threads: int, modules: str, authorize: str, post_auth: str) -> Endpoint:
        if self.folder is None:
            raise ServerError("call prepare() first")
        port = process.free_port()
        pool = pool_text(threads)
        text = _RADIUSD.format(
            folder=self.folder,
            raddb=RADDB,
            secret=SECRET,
            pool=pool,
            modules=modules,
            port=port,
            authorize=authorize,
            post_auth=post_auth,
        )
        running, endpoint = self.run(self.folder, text, port)
        probe(self._name, running, endpoint, START_PATIENCE_S)
        return endpoint

    def run(self, folder: Path, text: str, port: int) -> "tuple[subprocess.Popen[bytes], Endpoint]":
        """Start it in the prepared folder with this radiusd.conf; it need not answer yet."""
        (folder / "radiusd.conf").write_text(text)
        log = folder / "radius.log"
        log.touch()
        for path in (folder, log):
            process.own(path, USER)
        command = ["freeradius", "-f", "-n", "radiusd", "-d", str(folder)]
        self._process = process.spawn(process.as_user(USER, command), log)
        return self._process, Endpoint("127.0.0.1", port, SECRET, self._process.pid, log=log)

    def stop(self) -> None:
        process.end(self._process, signal.SIGTERM)
        self._process = None
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None


def probe(name: str, server: "subprocess.Popen[bytes]", endpoint: Endpoint, patience_s: float) -> None:
    """Waits for the first answer, then makes sure that a wrong password is refused."""
    log = endpoint.log or Path("/dev/null")
    right = packets.Login.of(0, session=0)
    wrong = packets.Login(0, "not-the-password"[:16], session=1)
    for _ in process.wait_until_alive(server, log, patience_s):
        if ask(endpoint, right) == packets.ACCESS_ACCEPT:
            break
    if ask(endpoint, wrong, patience_s=3.0) != packets.ACCESS_REJECT:
        raise ServerError(f"{name} lets a wrong password in, or does not answer it:\n{process.tail(log)}")


def ask(endpoint: Endpoint, login: packets.Login, *, patience_s: float = 0.5) -> int | None:
    """The code of the answer to one login, None without an answer; BadReplyError for one that is not genuine."""
    secret = endpoint.secret.encode()
    request = packets.Encoder(secret).access_request(
        login, login.session % packets.IDENTIFIERS, b"bench-probe-%04d" % login.session
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(patience_s)
        one.connect((endpoint.address, endpoint.port))
        try:
            one.send(request)
            return packets.Verifier(secret).check(request, one.recv(4096)).code
        except (TimeoutError, ConnectionRefusedError):
            return None
