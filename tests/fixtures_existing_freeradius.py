"""A FreeRADIUS as somebody else runs it: the distribution's own raddb, copied, on ports of its own, with old users."""

import os
import random
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fixtures_freeradius import CONTROL, SECRET, Reply, Router, Server, access_request, as_bytes, layout_in, router_row
from fixtures_postgres import temporary_state

from edge.replica_writer import ReplicaWriter
from ispagents import cli, freeradius
from ispagents.cli import commands
from ispagents.installation import free_port
from ispagents.state_folder import StateFolder

STOCK = Path("/etc/freeradius/3.0")
OLD_USERS = """
old Cleartext-Password := "old password"
	Reply-Message := "as before"
"""
_random = random.Random(20261123)

if not cli.app.registered_groups:
    commands.mount(cli.app)


class OldRouter(Router):
    """A router that bears unsigned answers, as 3.2.1 gives them to users who are not ours."""

    def login(
        self, username: str | bytes, proof: list[Any], *, authenticator: bytes = b"", **more: Any
    ) -> Reply | None:
        """Send an Access-Request."""
        silent = more.pop("silent", False)
        pairs = [("User-Name", as_bytes(username)), *proof, ("Service-Type", 2), ("Framed-Protocol", 1)]
        packet = access_request(pairs, self.secret, authenticator or _random.randbytes(16), signed=True)
        return self.ask(packet, self.server.layout.auth_port, silent=silent)


@dataclass
class Existing:
    """The server, the state folder that joins it, and its files."""

    server: Server
    state: StateFolder
    raddb: Path

    def run(self, *words: str) -> int:
        """An `ispagents freeradius` command; its exit code."""
        return cli.run(["--state", str(self.state.path), "freeradius", *words])

    def install(self, *words: str) -> int:
        """Join, without a question."""
        return self.run("install", "--raddb", str(self.raddb), "--yes", *words)

    def restart(self) -> None:
        """Stop and start the process."""
        self.server.stop()
        self.server.start()

    @property
    def site(self) -> Path:
        """The file of the virtual server."""
        return self.raddb / "sites-available" / "default"

    def change(self, name: str, *changes: tuple[str, str]) -> None:
        """Replace text of one of its files, each exactly once."""
        path = self.raddb / name
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, (name, old, text.count(old))
            text = text.replace(old, new)
        path.write_text(text)

    def snapshot(self) -> dict[str, tuple[object, ...]]:
        """Every file with its bytes, rights, owner and time."""
        found: dict[str, tuple[object, ...]] = {}
        for path in sorted(self.raddb.rglob("*")):
            status = path.lstat()
            content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
            times = 0 if path.is_dir() else status.st_mtime_ns
            name = str(path.relative_to(self.raddb))
            found[name] = (content, status.st_mode, status.st_uid, status.st_gid, times)
        return found

    def detail(self) -> str:
        """What the old `detail` module has written of accounting."""
        return "".join(path.read_text() for path in sorted((self.server.layout.log / "radacct").rglob("detail-*")))

    def own_by_server(self, *folders: Path) -> None:
        """Give folders to the server's user, as the distribution has them."""
        if self.server.installed.user is not None:
            for folder in folders:
                shutil.chown(folder, self.server.installed.user, self.server.installed.user)
                for path in folder.rglob("*"):
                    if not path.is_symlink():
                        shutil.chown(path, self.server.installed.user, self.server.installed.user)


@contextmanager
def existing_freeradius(prepare: Callable[[Existing], None] = lambda _: None) -> Iterator[Existing]:
    """Make a server that is not ours and does not run yet; `prepare` changes its files."""
    with temporary_state("ispagents-existing-") as state:
        folder = state.path.parent
        layout = replace(layout_in(folder), spool=state.spool, replica=state.replica)
        shutil.copytree(STOCK, layout.raddb, symlinks=True)
        for path in (layout.log, layout.run):
            path.mkdir()
        writer = ReplicaWriter.begin_empty(layout.replica)
        server = Server(freeradius.find(), layout, folder, writer)
        world = Existing(server, state, layout.raddb)
        _adapt(world)
        prepare(world)
        world.own_by_server(layout.raddb, layout.log, layout.run)
        writer.put_plan(1, "Home 50", '{"rate_limit": "10M/50M"}')
        writer.put_operator(1, "{}")
        writer.put_router(*router_row(CONTROL, 1))
        writer.publish()
        try:
            yield world
        finally:
            server.stop()
            with suppress(ValueError):  # of a test that has closed it, so that edge can write
                server.writer.close()


def _adapt(world: Existing) -> None:
    """Other ports and folders than the machine's own; everything else stays the distribution's."""
    layout = world.server.layout
    main = world.raddb / "radiusd.conf"
    text = main.read_text().replace(str(STOCK), str(world.raddb))
    text = text.replace("logdir = /var/log/freeradius", f"logdir = {layout.log}")
    text = text.replace("file = ${logdir}/radius.log", "file = ${logdir}/freeradius.log")
    text = re.sub(r"(?m)^run_dir = .*$", f"run_dir = {layout.run}", text)
    text = re.sub(r"(?m)^\treject_delay = 1$", "\treject_delay = 0", text)
    if os.geteuid() != 0:
        text = re.sub(r"(?m)^\t(user|group) = freerad$", r"#\1", text)
    main.write_text(text)
    ports = iter((layout.auth_port, layout.acct_port))
    site = re.sub(r"(?m)^\tport = 0$", lambda _: f"\tport = {next(ports, 0) or _free()}", world.site.read_text())
    site = re.sub(r"(?m)^\tipaddr = \*$", f"\tipaddr = {layout.address}", site)
    world.site.write_text(re.sub(r"(?m)^\tipv6addr = ::.*$", "\tipaddr = 127.0.0.9", site))
    inner = world.raddb / "sites-available" / "inner-tunnel"
    inner.write_text(inner.read_text().replace("port = 18120", f"port = {_free()}"))
    users = world.raddb / "mods-config" / "files" / "authorize"
    users.write_text(OLD_USERS + users.read_text())
    with (world.raddb / "clients.conf").open("a") as clients:
        clients.write(f'\nclient routers {{\n\tipaddr = 127.0.0.0/8\n\tsecret = "{SECRET.decode()}"\n}}\n')


def _free() -> int:
    return free_port("127.0.0.1", socket.SOCK_DGRAM)


def checked(world: Existing) -> None:
    """Assert that the server's own check mode is content."""
    command = [*freeradius.command(world.server.installed, world.server.layout), "-C", "-l", "stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
