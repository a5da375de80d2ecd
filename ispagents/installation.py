"""Everything on one machine: the database, edge, FreeRADIUS, worker and web, started in order and supervised."""

from __future__ import annotations

import json
import secrets
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ispagents import freeradius
from ispagents.database import Databases, configured, embedded, migrate_now, prepare_embedded, secret_box
from ispagents.errors import Problem
from ispagents.freeradius import Layout
from ispagents.processes import find_user
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder, write_atomically
from ispagents.supervisor import Child, Supervisor
from radius_module.records import read_pointer
from sql.roles import Role

DETAILS_FILE = "installation.json"
WORKER_READY = "worker.ready"
HEALTH_TIMEOUT_S = 3.0
FREE_PORTS = range(10_000, 20_000)  # below the kernel's range for outgoing packets, so that none of those takes our
PORT_ATTEMPTS = 100  # port before the server has it, or while it restarts


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation: where everything is, and the supervisor that keeps it running."""

    state: StateFolder
    settings: Settings
    databases: Databases
    supervisor: Supervisor


@contextmanager
def running(state: StateFolder, settings: Settings, say: Callable[[str], None]) -> Iterator[Installation]:
    """Start everything; stop it at the end of the block. Raises Problem with what to do.

    `say` gets a line for each thing that is being done.
    """
    # One that was here before us is started by whoever started it before us.
    server = freeradius.find() if settings.freeradius == "own" else None
    freeradius.check_paths(layout_of(state, settings))
    state.create()
    with state.lock(), Supervisor(state) as supervisor:
        settings = with_ports(settings)
        if settings.has_database:
            databases = configured(settings)
        else:
            say("starting the embedded PostgreSQL")
            postgres = embedded(state)
            supervisor.start(postgres.child())
            databases = prepare_embedded(postgres.server())
        before, after = migrate_now(databases)
        if before != after:
            say(f"database schema brought from {before or 'nothing'} to {after}")
        secret_box(state)
        layout = layout_of(state, settings)
        if server is not None:
            freeradius.prepare(server, layout)
            freeradius.check(server, layout)
        write_atomically(state.run / DETAILS_FILE, _details(state, settings, databases, layout), mode=0o640)
        say("starting edge, worker, web and FreeRADIUS" if server is not None else "starting edge, worker and web")
        supervisor.start(*_children(state, settings, databases, layout, server))
        yield Installation(state, settings, databases, supervisor)


def layout_of(state: StateFolder, settings: Settings) -> Layout:
    """Where FreeRADIUS's files are in a state folder."""
    return Layout(
        raddb=state.freeradius / "raddb",
        log=state.freeradius / "log",
        run=state.freeradius / "run",
        spool=state.spool,
        replica=state.replica,
        address=settings.radius_address,
        auth_port=settings.radius_auth_port,
        acct_port=settings.radius_acct_port,
    )


def with_ports(settings: Settings) -> Settings:
    """The settings with every port 0 replaced by a free one. Raises Problem where a wished port is taken."""
    chosen = {"web_port": _port(settings, "web_port", settings.web_address, socket.SOCK_STREAM)}
    if settings.freeradius == "own":
        auth_port = _port(settings, "radius_auth_port", settings.radius_address, socket.SOCK_DGRAM)
        acct_port = _port(settings, "radius_acct_port", settings.radius_address, socket.SOCK_DGRAM, auth_port)
        chosen |= {"radius_auth_port": auth_port, "radius_acct_port": acct_port}
    return settings.model_copy(update=chosen)


def wished_or_any(settings: Settings) -> Settings:
    """The settings with 0 (any free port) for every wished port that is taken."""
    wishes = {
        "radius_auth_port": (settings.radius_address, socket.SOCK_DGRAM),
        "radius_acct_port": (settings.radius_address, socket.SOCK_DGRAM),
        "web_port": (settings.web_address, socket.SOCK_STREAM),
    }
    taken = {name: 0 for name, (address, kind) in wishes.items() if not is_free(address, getattr(settings, name), kind)}
    return settings.model_copy(update=taken)


def is_free(address: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether a port can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _port(settings: Settings, name: str, address: str, kind: socket.SocketKind, but_not: int = 0) -> int:
    wished: int = getattr(settings, name)
    if wished and is_free(address, wished, kind):
        return wished
    if wished:
        raise Problem(
            f"Port {wished} of {address} is taken by another program or not allowed; stop that program, or choose "
            f"another port with ISPAGENTS_{name.upper()} (0 takes any free one)."
        )
    return free_port(address, kind, but_not)


def free_port(address: str, kind: socket.SocketKind, but_not: int = 0) -> int:
    """A port, not `but_not`, that nobody uses at this moment. Raises Problem for an address that is not ours."""
    for port in (secrets.choice(FREE_PORTS) for _ in range(PORT_ATTEMPTS)):
        if port != but_not and is_free(address, port, kind):
            return port
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise Problem(f"The address {address} is not one of this machine: {error.strerror}.") from error
        return int(probe.getsockname()[1])


def _children(
    state: StateFolder, settings: Settings, databases: Databases, layout: Layout, server: freeradius.FreeRadius | None
) -> list[Child]:
    environment = _environment(settings, databases)
    needs = () if settings.has_database else ("postgresql",)
    worker_ready = state.run / WORKER_READY

    def process(name: str, ready: Callable[[], bool], **more: Any) -> Child:
        command = (sys.executable, "-m", f"ispagents.wiring.{name}", "--state", str(state.path))
        return Child(name=name, command=command, env=environment, depends_on=needs, ready=ready, **more)

    children = [
        process("edge", lambda: read_pointer(state.replica) is not None),
        process(
            "worker", worker_ready.exists, before_start=lambda: worker_ready.unlink(missing_ok=True), stop_timeout_s=15
        ),
        process("web", lambda: _answers(settings)),
    ]
    if server is not None:
        children.append(_freeradius(settings, layout, server))
    return children


def _freeradius(settings: Settings, layout: Layout, server: freeradius.FreeRadius) -> Child:
    return Child(
        name="freeradius",
        command=tuple(freeradius.command(server, layout)),
        user=find_user(server.user) if server.user is not None else None,
        depends_on=("edge",),
        ready=lambda: not is_free(settings.radius_address, settings.radius_acct_port, socket.SOCK_DGRAM),
    )


def _environment(settings: Settings, databases: Databases) -> dict[str, str]:
    """The settings for a child process, with the databases' URLs among them."""
    values = {
        f"ISPAGENTS_{name.upper()}": str(value)
        for name in Settings.model_fields
        if not name.startswith("database_") and (value := getattr(settings, name)) is not None
    }
    names = {Role.OWNER: "OWNER", Role.WEB: "WEB", Role.WORKER: "WORKER", Role.EDGE: "EDGE"}
    for role, name in names.items():
        values[f"ISPAGENTS_DATABASE_{name}_URL"] = databases.urls[role].render_as_string(hide_password=False)
    return values


def _answers(settings: Settings) -> bool:
    try:
        with urllib.request.urlopen(web_url(settings) + "health", timeout=HEALTH_TIMEOUT_S):  # noqa: S310 - our own http URL
            return True
    except urllib.error.HTTPError:
        return True  # it answers; that the database is down is its news, not its fault
    except OSError:
        return False


def web_url(settings: Settings) -> str:
    """Where the web pages are."""
    address = f"[{settings.web_address}]" if ":" in settings.web_address else settings.web_address
    return f"http://{address}:{settings.web_port}/"


def _details(state: StateFolder, settings: Settings, databases: Databases, layout: Layout) -> str:
    return json.dumps(
        {
            "state": str(state.path),
            "web": {"url": web_url(settings), "port": settings.web_port},
            "radius": {
                "address": settings.radius_address,
                "auth_port": settings.radius_auth_port,
                "acct_port": settings.radius_acct_port,
            },
            "node": {"name": settings.node_name, "address": settings.node_address},
            "databases": {role.value: url.render_as_string(hide_password=True) for role, url in databases.urls.items()},
            "folders": {
                "state": str(state.path),
                "log": str(state.log),
                "spool": str(state.spool),
                "replica": str(state.replica),
                "raddb": str(layout.raddb),
                "freeradius_log": str(layout.log / "freeradius.log"),
                "secrets_key": str(state.secrets / "secrets.key"),
            },
        },
        indent=2,
    )


def details_file(state: StateFolder) -> Path:
    """The file that says where everything of a running installation is."""
    return state.run / DETAILS_FILE
