"""Prepares and describes the FreeRADIUS process: its raddb in the state folder, its version, its command."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import policy
import radius_module
from ispagents.errors import Problem

BINARIES = ("freeradius", "radiusd")
FOLDERS_OF_BINARIES = ("/usr/sbin", "/usr/local/sbin", "/sbin")
LIBRARY_FOLDERS = ("/usr/lib/freeradius", "/usr/lib64/freeradius", "/usr/local/lib/freeradius", "/usr/local/lib")
OLDEST = (3, 2, 1)
# The value of every attribute that Python returns is lost outside debug mode (fixed after 3.2.10, commit 58bafac6e5).
BROKEN = ((3, 2, 9), (3, 2, 10))
USERS = ("freerad", "radiusd")
# Calls into the module run one at a time, and a second thread fights for its lock more than it does beside it: of 1, 2,
# 3, 4 and 8 one had the most logins a second in three runs, and the lowest p99 in two (bench/README.md).
THREADS = 1
LONGEST_PATH_BYTES = 200


@dataclass(frozen=True, slots=True)
class FreeRadius:
    """An installed FreeRADIUS. `user` is what it runs as when started by root, or None."""

    binary: Path
    libraries: Path
    version: tuple[int, ...]
    user: str | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the server's files are, and where it listens."""

    raddb: Path
    log: Path
    run: Path
    spool: Path
    replica: Path
    address: str
    auth_port: int
    acct_port: int
    threads: int = THREADS


def find() -> FreeRadius:
    """The installed server. Raises Problem where it is missing, too old or known to be broken."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS_OF_BINARIES))
    binary = next((found for name in BINARIES if (found := shutil.which(name, path=path))), None)
    if binary is None:
        raise Problem("FreeRADIUS is not installed; run `make setup`, or install freeradius and freeradius-python3.")
    libraries = next(
        (Path(name) for name in LIBRARY_FOLDERS if (Path(name) / "rlm_python3.so").exists()),
        None,
    )
    if libraries is None:
        raise Problem("FreeRADIUS has no Python module; run `make setup`, or install freeradius-python3.")
    version = _version(binary)
    if version < OLDEST:
        raise Problem(f"FreeRADIUS {_dotted(version)} is too old; install {_dotted(OLDEST)} or later of series 3.2.")
    if version in BROKEN:
        raise Problem(
            f"FreeRADIUS {_dotted(version)} loses every attribute that a Python module returns, so customers would "
            "get no speed limit; install 3.2.8 or 3.2.11."
        )
    return FreeRadius(Path(binary), libraries, version, _user())


def check_paths(layout: Layout) -> None:
    """Raises Problem for a folder whose name the server's configuration cannot hold."""
    for path in (layout.raddb, layout.log, layout.run, layout.spool, layout.replica):
        if len(os.fsencode(path)) > LONGEST_PATH_BYTES or re.search(r"[\s\"'${}\\#]", str(path)):
            raise Problem(
                f"FreeRADIUS cannot use the folder {path}; choose a shorter one without blanks and quotes with --state."
            )


def prepare(server: FreeRadius, layout: Layout) -> None:
    """Write the raddb anew from the shipped one, and make the folders that the server writes to."""
    check_paths(layout)
    shutil.rmtree(layout.raddb, ignore_errors=True)
    shutil.copytree(template(), layout.raddb)
    python = layout.raddb / "python"
    for package in (policy, radius_module):
        source = Path(package.__path__[0])
        shutil.copytree(source, python / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    _write_settings(server, layout, python)
    for folder in (layout.log, layout.run, layout.spool, layout.spool / "accounting", layout.spool / "logins"):
        folder.mkdir(parents=True, exist_ok=True)
    layout.replica.mkdir(parents=True, exist_ok=True)
    if server.user is not None:
        _hand_over(server.user, layout)


def template() -> Path:
    """The shipped raddb: beside this package in a checkout, inside it when installed."""
    beside = Path(__file__).parent.parent / "freeradius-config"
    return beside if beside.is_dir() else Path(__file__).parent / "freeradius-config"


def command(server: FreeRadius, layout: Layout) -> list[str]:
    """The command that runs the server in the foreground."""
    return [str(server.binary), "-f", "-d", str(layout.raddb), "-n", "radiusd"]


def check(server: FreeRadius, layout: Layout) -> None:
    """Let the server check its own configuration. Raises Problem with its first complaint."""
    result = subprocess.run(
        [*command(server, layout), "-C", "-l", "stdout"], capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        lines = [line for line in result.stdout.splitlines() if "rror" in line or "Failed" in line]
        raise Problem(f"FreeRADIUS does not accept its configuration in {layout.raddb}: {(lines or ['no reason'])[0]}")


def _write_settings(server: FreeRadius, layout: Layout, python: Path) -> None:
    values = {
        "libdir": server.libraries,
        "log": layout.log,
        "run": layout.run,
        "spool": layout.spool,
        "replica": layout.replica,
        "python": python,
        "address": layout.address,
        "auth_port": layout.auth_port,
        "acct_port": layout.acct_port,
        "threads": layout.threads,
    }
    lines = [f"ispagents_{name} = {value}" for name, value in values.items()]
    (layout.raddb / "settings.conf").write_text("# Written by ispagents at every start.\n" + "\n".join(lines) + "\n")
    run_as = f"user = {server.user}\ngroup = {_group(server.user)}\n" if server.user is not None else ""
    (layout.raddb / "run_as.conf").write_text("# Written by ispagents at every start.\n" + run_as)


def _hand_over(user: str, layout: Layout) -> None:
    """Give the server what it must read and write, and nothing more."""
    entry = pwd.getpwnam(user)
    for folder in (layout.log, layout.run):
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.chmod(0o750)
    for folder in (layout.spool, layout.spool / "accounting", layout.spool / "logins"):
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        folder.chmod(0o2770)
    # Passwords in clear: the group may read, nobody else may look.
    os.chown(layout.replica, os.getuid(), entry.pw_gid)
    layout.replica.chmod(0o2750)
    for path in (layout.raddb, *layout.raddb.rglob("*")):
        os.chown(path, os.getuid(), entry.pw_gid)
        path.chmod(0o750 if path.is_dir() else 0o640)


def _user() -> str | None:
    """The server's own user, when we are root; otherwise it runs as we do."""
    if os.geteuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise Problem("FreeRADIUS must not run as root and its user freerad is missing; reinstall the package freeradius.")


def _group(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _version(binary: str) -> tuple[int, ...]:
    result = subprocess.run([binary, "-v"], capture_output=True, text=True, errors="replace", check=False)
    match = re.search(r"FreeRADIUS Version (\d+)\.(\d+)\.(\d+)", result.stdout)
    if match is None:
        raise Problem(f"{binary} does not say its version; is it FreeRADIUS?")
    return tuple(int(part) for part in match.groups())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)
