"""What the machine says: our folder and its rights, replica, spool, ports, the server's log, mandatory rules."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import policy
import radius_module
from ispagents import processes
from ispagents.existing_freeradius import running
from ispagents.existing_freeradius.findings import Finding, Weight, some
from ispagents.existing_freeradius.joining import SPOOLS, Ours, unreachable
from ispagents.existing_freeradius.layout import Existing
from ispagents.settings import Settings
from radius_module.records import POINTER, generation_file, read_pointer
from radius_module.replica import NoReplica, Replica

# Edge writes the time every second; half a minute is longer than any restart of it.
STALE_S: Final = 30.0
UNDRAINED_S: Final = 60.0
LOG_READ_BYTES: Final = 256 * 1024
SERVER_NAMES: Final = ("freeradius", "radiusd")
USUAL_PORTS: Final = {"auth": "radius", "acct": "radius-acct"}
_UNKNOWN_CLIENT = re.compile(r"from unknown client (\S+)")
_WRONG_SECRET = re.compile(r"packet from (?:host )?(\S+).*(?:Shared secret is incorrect|invalid Message-Authenticator)")
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


class Holder(NamedTuple):
    """A process that has a port."""

    pid: int
    name: str


def examine(existing: Existing, ours: Ours, settings: Settings, site: str, *, joined: bool) -> Iterator[Finding]:
    """Everything that the machine tells."""
    if said := running.complaint(existing):
        todo = "Mend what it says; until then the server does not start again."
        yield Finding("refused", Weight.WRONG, f"FreeRADIUS does not accept its configuration: {said}.", todo)
    yield from _ports(existing, site, joined=joined)
    yield from _log(existing)
    if not joined:
        return
    if settings.freeradius != "existing":
        said = "ISPAgents still runs a FreeRADIUS of its own with `ispagents up`, beside this one."
        todo = f"Write ISPAGENTS_FREERADIUS=existing into {ours.state.path / 'ispagents.env'} and start `up` again."
        yield Finding("own_server", Weight.WRONG, said, todo)
    yield from _reach(existing, ours)
    yield from _code(ours)
    yield from _replica(existing, ours)
    yield from _clients(existing, ours)
    yield from _spool(ours)
    yield from _mandatory_rules(existing, ours)


def _reach(existing: Existing, ours: Ours) -> Iterator[Finding]:
    user = existing.user()
    todo = "Run `ispagents freeradius install` again, which gives the rights; the folders above need mode 0711."
    for one in unreachable(user, ours):
        yield Finding("unreachable", Weight.WRONG, f"{one[:1].upper()}{one[1:]}.", todo)
    for name in SPOOLS:
        file = ours.state.spool / name / "detail"
        if file.exists() and not user.can("test", "-w", str(file)):
            said = f"The user {user.name} that the server runs as cannot write to {file}, so records are refused."
            yield Finding("detail_rights", Weight.WRONG, said, f"chown {user.name} {file}", str(file))


def _code(ours: Ours) -> Iterator[Finding]:
    """Whether the server reads the same code as this program has."""
    for package in (policy, radius_module):
        source = Path(package.__path__[0])
        for file in source.rglob("*.py"):
            copy = ours.python / source.name / file.relative_to(source)
            if not copy.exists() or copy.read_bytes() != file.read_bytes():
                said = "The server has another version of our code than this program, after an upgrade for example."
                todo = "Run `ispagents freeradius install` again and restart the server."
                yield Finding("old_code", Weight.WRONG, said, todo, str(ours.python))
                return


def _replica(existing: Existing, ours: Ours) -> Iterator[Finding]:
    todo = "Start `ispagents up`; edge writes it, and edge's log says what stops it."
    folder = ours.state.replica
    try:
        age_s = time.time() - Replica(folder).newest_time()
    except NoReplica as error:
        said = f"There is no replica that the server can answer from ({error}); logins of ours get no answer."
        yield Finding("no_replica", Weight.WRONG, said, todo, str(folder))
        return
    if age_s > STALE_S:
        said = f"The replica is {_age(age_s)} old: changes since then do not reach logins."
        yield Finding("stale_replica", Weight.WRONG, said, todo, str(folder))
    user, number = existing.user(), read_pointer(folder)
    files = [folder / POINTER, *([generation_file(folder, number)] if number is not None else [])]
    for file in files:
        if not user.can("test", "-r", str(file)):
            said = f"The user {user.name} that the server runs as cannot read {file}; logins of ours get no answer."
            todo = f"Run `ispagents freeradius install` again, or `chgrp {existing.group_name()} {file}`."
            yield Finding("unreadable_replica", Weight.WRONG, said, todo, str(file))


def _clients(existing: Existing, ours: Ours) -> Iterator[Finding]:
    """Clients of the server's files against the routers of ISPAgents, by the replica."""
    replica = Replica(ours.state.replica)
    strangers, differing = [], []
    for one in existing.clients():
        if "/" in one.address and not one.address.endswith("/32"):
            continue
        address = one.address.removesuffix("/32")
        if address.startswith("127.") or ":" in address or not address[:1].isdigit():
            continue
        try:
            router = replica.router(address)
        except NoReplica:
            return
        if router is None:
            strangers.append(f"{one.name} ({address})")
        elif router.secret != one.secret:
            differing.append(f"{one.name} ({address})")
    if differing:
        said = f"Clients whose secret is another one than ISPAgents has: {some(differing)}; CoA to them fails."
        todo = "Give ISPAgents the same with `ispagents router set NAME --secret-stdin`, or correct the server's file."
        yield Finding("secret_differs", Weight.WRONG, said, todo)
    if strangers:
        said = f"Clients that are no routers of ISPAgents: {some(strangers)}; nobody behind them is ever ours."
        yield Finding("client_unknown", Weight.NOTE, said, "Add those that are routers of customers: `router add`.")


def _spool(ours: Ours) -> Iterator[Finding]:
    now = time.time()
    for name in SPOOLS:
        waiting = [file.stat() for file in (ours.state.spool / name).glob("detail*") if file.is_file()]
        waiting = [one for one in waiting if one.st_size]
        if waiting and (age_s := now - min(one.st_mtime for one in waiting)) > UNDRAINED_S:
            size = sum(one.st_size for one in waiting)
            said = f"{size} bytes of {name} wait in the spool, the oldest for {_age(age_s)}; nobody takes them in."
            todo = (
                "Start `ispagents up`; with the database down they wait, and nothing is lost while the disk has room."
            )
            yield Finding("undrained", Weight.WRONG, said, todo, str(ours.state.spool / name))


def _ports(existing: Existing, site: str, *, joined: bool) -> Iterator[Finding]:
    """Who has the ports of the virtual server, and whether the server has read what is there now."""
    servers: set[int] = set()
    ports = {
        one.port or _usual_port(one.kind): one.kind
        for one in existing.listeners()
        if one.server == site and one.kind in USUAL_PORTS
    }
    for port, kind in ports.items():
        found = holders(port)
        strangers = [holder for holder in found if holder.name not in SERVER_NAMES]
        servers |= {holder.pid for holder in found if holder.name in SERVER_NAMES}
        if strangers and len(strangers) == len(found):
            said = f"UDP port {port} ({kind}) is taken by {strangers[0].name}, process {strangers[0].pid}."
            yield Finding("port_taken", Weight.WRONG, said, "Stop that program, or give one of them another port.")
        elif not found:
            said = f"Nobody listens on UDP port {port} ({kind}): the server does not run."
            yield Finding("not_running", Weight.WRONG, said, f"systemctl start {existing.installed.binary.name}")
    module = existing.raddb / "mods-enabled" / "ispagents"
    started = [_started_at(pid) for pid in servers]
    if joined and started and module.exists() and max(started) < module.stat().st_mtime:
        said = "The server runs since before ISPAgents joined, so it does not know of us yet."
        yield Finding("not_restarted", Weight.WRONG, said, f"systemctl restart {existing.installed.binary.name}")


def _usual_port(kind: str) -> int:
    try:
        return socket.getservbyname(USUAL_PORTS[kind], "udp")
    except OSError:
        return 1812 if kind == "auth" else 1813


def holders(port: int) -> list[Holder]:
    """The processes that have a UDP port; only root sees those of other users."""
    inodes = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return []
    pids = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit() and _has_one(one, inodes)]
    found = [Holder(pid, processes.name_of(pid)) for pid in pids]
    return found or [Holder(0, "a process that this user may not see")]


def _has_one(process: Path, inodes: set[str]) -> bool:
    try:
        return any(os.readlink(one) in inodes for one in (process / "fd").iterdir())  # noqa: PTH115 - a Path would mangle it
    except OSError:
        return False


def _started_at(pid: int) -> float:
    """When a process began, in seconds of the epoch; 0 where it is gone."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.time() - uptime_s + ticks / _TICKS_A_SECOND


def _log(existing: Existing) -> Iterator[Finding]:
    """What the end of the server's log complains of, router by router."""
    path = Path(existing.setting("log", "file"))
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_READ_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return
    if unknown := sorted(set(_UNKNOWN_CLIENT.findall(text))):
        said = f"The server ignored packets from {some(unknown)}, which are no clients of it."
        todo = "Add each router to clients.conf with the secret that it has in ISPAgents, and restart the server."
        yield Finding("unknown_client", Weight.WRONG, said, todo, str(path))
    if wrong := sorted({one.rstrip(",:") for one in _WRONG_SECRET.findall(text)}):
        said = f"Packets from {some(wrong)} had a wrong signature: the secret there is another one."
        yield Finding(
            "wrong_secret", Weight.WRONG, said, "Give the router and clients.conf the same secret.", str(path)
        )


def _mandatory_rules(existing: Existing, ours: Ours) -> Iterator[Finding]:
    """Hints where the distribution confines the server; asking as its user cannot find that out."""
    try:
        enforcing = Path("/sys/fs/selinux/enforce").read_text().strip() == "1"
    except OSError:
        enforcing = False
    if enforcing:
        said = f"SELinux is on, and the server's domain radiusd_t may not use {ours.state.path} by its usual rules."
        todo = (
            f"If logins of ours get no answer: semanage fcontext -a -t radiusd_db_t '{ours.state.spool}(/.*)?', the "
            f"same for {ours.state.replica}, radiusd_etc_t for {ours.folder}, then restorecon -R {ours.state.path}."
        )
        yield Finding("selinux", Weight.NOTE, said, todo)
    try:
        profiles = Path("/sys/kernel/security/apparmor/profiles").read_text()
    except OSError:
        profiles = ""
    if any(line.startswith((str(existing.installed.binary), *SERVER_NAMES)) for line in profiles.splitlines()):
        said = "AppArmor confines the server."
        todo = f"If logins of ours get no answer, let its profile read {ours.state.path} and write {ours.state.spool}."
        yield Finding("apparmor", Weight.NOTE, said, todo)


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
