"""The data folder: made once by initdb; our settings and who may connect as whom are written before every start."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ispagents import processes
from ispagents.errors import Problem, explained
from ispagents.postgres.binaries import Binaries
from ispagents.processes import User
from ispagents.state_folder import StateFolder, write_atomically

SUPERUSER: Final = "postgres"
MAP_NAME: Final = "ispagents"
IDENTITIES: Final = "pg_ident.conf"
INITDB_TIMEOUT_S: Final = 180.0  # a second on a disk of today, a minute on a memory card
# PostgreSQL's words for a full disk: strerror's, or its own where a write came out short.
FULL_DISK: Final = r"No space left on device|Disk quota exceeded|wrote only \d+ of \d+ bytes"

SETTINGS: Final = """\
# Written by ISPAgents before every start. Your own settings belong into local.conf beside this file.
listen_addresses = '127.0.0.1'
unix_socket_permissions = 0777       # who may connect as whom is said by pg_hba.conf and pg_ident.conf
max_connections = 100
shared_buffers = 128MB
max_wal_size = 512MB                 # an embedded database shares its disk with everything else
min_wal_size = 64MB
fsync = on                           # nothing approved is lost
synchronous_commit = on
jit = off                            # our queries are short; compiling one costs more than it saves
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
logging_collector = off              # standard error goes to log/postgresql.log, rotated by who started the server
log_destination = 'stderr'
log_line_prefix = '%m [%p] %u@%d '
log_checkpoints = off
log_min_error_statement = panic      # a failed statement may hold a password; it stays out of the log
password_encryption = 'scram-sha-256'
"""

ACCESS = f"""\
# Written by ISPAgents before every start.
local  all  all                peer map={MAP_NAME}
host   all  all  127.0.0.1/32  scram-sha-256
"""


def create_data_folder(state: StateFolder, data: Path, binaries: Binaries, user: User) -> None:
    """Make the database cluster where there is none. A run that was cut off is thrown away and begun again.

    UTF-8, C.UTF-8 from PostgreSQL's own provider (sorts the same on every machine, needs no locale installed),
    data checksums. Raises Problem in one sentence when initdb fails; its output is in `log/initdb.log`.
    """
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with explained(data, "give the state folder to this user"):
        fresh.mkdir(mode=0o700)
        if not user.is_current():
            os.chown(fresh, user.uid, user.gid)
    # Our own options only: initdb writes no password, since nobody logs in as the superuser over TCP.
    # --no-sync is left out: the first start must survive a power cut too.
    status, output = processes.run_short(
        "initdb",
        [
            *processes.as_user(user),
            binaries.program("initdb"),
            f"--pgdata={fresh}",
            f"--username={SUPERUSER}",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--auth-local=peer",
            "--auth-host=scram-sha-256",
        ],
        timeout_s=INITDB_TIMEOUT_S,
    )
    log = state.log / "initdb.log"
    with explained(log, "free space or choose another folder with --state"):
        log.write_text(output + "\n", encoding="utf-8")
    if status != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        if re.search(FULL_DISK, output):
            raise Problem(f"The disk that holds {state.path} is full: free some space there and start again.")
        raise Problem(f"The embedded PostgreSQL could not be set up: {_reason(output)}; all of it is in {log}.")
    with explained(data, "give the state folder to this user"):
        fresh.rename(data)


def made_by_major(data: Path) -> int | None:
    """Return the major version that made the data folder, None where there is no finished one."""
    try:
        return int((data / "PG_VERSION").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Problem(f"{data} is damaged or closed to this user ({error}): restore it from a backup.") from error


def configure(folder: Path, *, port: int, sockets: Path, peers: Mapping[str, Sequence[str]]) -> None:
    """Write the settings, who may connect, and which user of this machine may become which role.

    They lie in `folder`, which is ours, and not in the data folder: root never writes where the server's user could
    put a link to something else. A person's own settings come last, from `local.conf` there.
    """
    local = folder / "local.conf"
    files = {
        "postgresql.conf": (
            f"{SETTINGS}port = {port}\n"
            f"unix_socket_directories = {_quoted(str(sockets))}\n"
            f"hba_file = {_quoted(str(folder / 'pg_hba.conf'))}\n"
            f"ident_file = {_quoted(str(folder / IDENTITIES))}\n"
            + (f"include = {_quoted(str(local))}\n" if local.exists() else "")
        ),
        "pg_hba.conf": ACCESS,
        IDENTITIES: identity_map(peers),
    }
    with explained(folder, "give the state folder to this user"):
        for name, text in files.items():
            write_atomically(folder / name, text, mode=0o644)


def update_identities(folder: Path, peers: Mapping[str, Sequence[str]]) -> bool:
    """Write who may become whom beside a running server; says whether that changed, so that it must reload."""
    path, text = folder / IDENTITIES, identity_map(peers)
    with explained(path, "give the state folder to this user"):
        if path.read_text(encoding="utf-8") == text:
            return False
        write_atomically(path, text, mode=0o644)
    return True


def identity_map(peers: Mapping[str, Sequence[str]]) -> str:
    """Return pg_ident.conf: a line for each user of this machine and each role that it may become."""
    lines = [
        f'{MAP_NAME}  "{_plain(system)}"  "{_plain(role)}"'
        for system, roles in peers.items()
        for role in dict.fromkeys(roles)
    ]
    return "\n".join(["# Written by ISPAgents before every start.", *lines, ""])


def _plain(name: str) -> str:
    """Refuse a name that would mean something else in pg_ident.conf: a quote, a line break, a pattern."""
    if not name or name.startswith(("/", "+")) or any(character in name for character in '"\n\r\\'):
        raise ValueError(f"{name!r} cannot be a user or role in pg_ident.conf")
    return name


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _reason(output: str) -> str:
    """Return the line of initdb's output that says why, or its last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line or "FATAL:" in line]
    return (told or lines or ["no reason given"])[-1 if not told else 0]
