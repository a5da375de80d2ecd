"""Start, stop and find again the embedded PostgreSQL, whatever crashed before."""

import os
import re
import secrets
import shlex
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import errors, sql

from ispagents import processes
from ispagents.errors import Problem, explained
from ispagents.postgres import data_folder
from ispagents.postgres.binaries import Binaries, find_binaries, reachable_binaries
from ispagents.postgres.data_folder import FULL_DISK, SUPERUSER
from ispagents.processes import User
from ispagents.state_folder import StateFolder, write_atomically
from ispagents.supervisor.child import Child

START_TIMEOUT_S: Final = 60  # replaying up to max_wal_size after a crash on a slow disk
STOP_TIMEOUT_S: Final = 30.0  # fast mode: sessions end at once, then a checkpoint is written
LOG_LIMIT_BYTES: Final = 10_000_000  # at a start outside the supervisor, which rotates by itself
FREE_PORTS: Final = range(21000, 31000)  # below the kernel's range for outgoing connections, so that none of those
PORT_ATTEMPTS: Final = 50  # takes our port while the server restarts
STATUS_LINE: Final = (
    7  # of postmaster.pid, counted from 0: "starting", "ready", "stopping" (src/include/utils/pidfile.h)
)
CONNECT_TIMEOUT_S: Final = 10


@dataclass(frozen=True)
class Server:
    """Where a running server is reached, and how to say so."""

    host_socket_dir: Path
    port: int
    pid: int
    data: Path

    def conninfo(self, database: str, role: str) -> str:
        """Return a libpq connection string over the socket, where the Linux user vouches for the role."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.host_socket_dir), port=self.port, dbname=database, user=role
        )

    def url(self, database: str, role: str) -> str:
        """Return the same for SQLAlchemy."""
        return f"postgresql+psycopg://{role}@/{database}?host={self.host_socket_dir}&port={self.port}"

    def tcp_conninfo(self, database: str, role: str) -> str:
        """Return a connection string over TCP; the password comes from elsewhere (PGPASSWORD, a file, an argument)."""
        return psycopg.conninfo.make_conninfo(host="127.0.0.1", port=self.port, dbname=database, user=role)


class EmbeddedPostgres:
    """The server of one state folder.

    `roles` are what the invoking user and the servers' user may become over the socket; `peers` adds other users of
    this machine, each with its roles (FreeRADIUS's `freerad`). The invoking user may also become the superuser.
    Hold the state folder's lock around `start`, `prepare` and `stop`.
    """

    def __init__(
        self,
        state: StateFolder,
        port: int = 0,
        *,
        roles: Sequence[str] = (),
        peers: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.state = state
        self.data = state.postgresql / "data"
        self.log = state.log / "postgresql.log"
        self._wanted_port = port
        self._port: int | None = None
        self._roles = tuple(roles)
        self._peers = dict(peers or {})
        self._user = self._server_user()
        self._binaries: Binaries | None = None

    @property
    def socket_folder(self) -> Path:
        return self.state.sockets / "postgresql"

    @property
    def port(self) -> int:
        """The port, chosen at the first need and then kept, since the socket's name contains it too."""
        if self._port is None:
            self._port = self._choose_port()
        return self._port

    def start(self) -> Server:
        """Make the database where there is none, start the server in the background, wait until it answers.

        Where it already runs, only the roles that users may become are brought up to date. Raises Problem with one
        sentence and the log's path.
        """
        running = self.running_server()
        if running is not None:
            if data_folder.update_identities(self.state.postgresql, self._identities()):
                os.kill(running.pid, signal.SIGHUP)
            return running
        self.prepare()
        self._open_log()
        binaries = self._programs()
        status, output = processes.run_short(
            "The start of PostgreSQL",
            [
                *processes.as_user(self._user),
                binaries.program("pg_ctl"),
                *("start", "-w", "-s", "-t", str(START_TIMEOUT_S), "-D", str(self.data), "-l", str(self.log)),
                *("-o", f"-c config_file={shlex.quote(str(self._settings))}"),  # passes through a shell
            ],
            timeout_s=START_TIMEOUT_S + 10,
        )
        server = self.running_server()
        if status != 0 or server is None:
            raise Problem(self._why_not(output))
        return server

    def prepare(self) -> None:
        """Do what must come before a start: end left-overs, make the data folder, write the settings.

        Ends a server that still runs here, so it is for those who are about to start their own.
        """
        binaries = self._programs()
        if data_folder.made_by_major(self.data) is None:
            data_folder.create_data_folder(self.state, self.data, binaries, self._user)
        else:
            self.stop()
            self._clear_lock_files()
        with explained(self.socket_folder, "choose another folder with --state"):
            self.socket_folder.mkdir(mode=0o711, exist_ok=True)
            if not self._user.is_current():
                os.chown(self.socket_folder, self._user.uid, self._user.gid)
            self.socket_folder.chmod(0o711)
        data_folder.configure(
            self.state.postgresql, port=self.port, sockets=self.socket_folder, peers=self._identities()
        )
        with explained(self.state.run, "choose another folder with --state"):
            write_atomically(self._port_note, f"{self.port}\n", mode=0o644)

    def child(self) -> Child:
        """Return the server as a child of the supervisor, which then notices its death at once.

        SIGINT is a fast shutdown. When the supervisor is killed, SIGQUIT makes the postmaster end its backends too,
        which SIGKILL would leave behind.
        """
        return Child(
            name="postgresql",
            command=(
                *(self._programs().program("postgres"), "-D", str(self.data)),
                *("-c", f"config_file={self._settings}"),
            ),
            env=processes.clean_environment(),
            inherit_environment=False,
            user=self._user,
            before_start=self.prepare,
            ready=self.is_ready,
            ready_timeout_s=START_TIMEOUT_S,
            stop_signal=signal.SIGINT,
            stop_timeout_s=STOP_TIMEOUT_S,
            death_signal=signal.SIGQUIT,
            shown=rf"\bPANIC\b|{FULL_DISK}",  # a client's mistake is an ERROR here, and not the server's
        )

    def running_server(self) -> Server | None:
        """Return the server that answers for this state folder, whoever started it, or None."""
        pid = self._postmaster()
        if pid is None or not self.is_ready():
            return None
        lines = self._pid_file_lines()
        return Server(Path(lines[4]), int(lines[3]), pid, self.data)

    def server(self) -> Server:
        """Return the running server. Raises Problem when there is none."""
        running = self.running_server()
        if running is None:
            raise Problem("The embedded PostgreSQL is not running: start it with 'ispagents up'.")
        return running

    def is_running(self) -> bool:
        """Say whether a postmaster of this data folder lives, ready or not."""
        return self._postmaster() is not None

    def is_ready(self) -> bool:
        """Say whether the server takes connections, by what it says itself in its pid file."""
        lines = self._pid_file_lines()
        return len(lines) > STATUS_LINE and lines[STATUS_LINE].strip() == "ready" and self._postmaster() is not None

    def stop(self) -> None:
        """Stop the server in fast mode and leave nothing of it behind; does nothing where nothing runs."""
        pid = self._postmaster()
        if pid is not None:
            processes.end([pid], still_ours=self._is_ours, first=signal.SIGINT, patience_s=STOP_TIMEOUT_S)
        self._end_left_overs()

    def kill(self) -> None:
        """Kill the postmaster as a crash would, and leave its backends as they are. For tests."""
        pid = self._postmaster()
        if pid is not None:
            processes.end([pid], still_ours=self._is_ours, first=signal.SIGKILL)

    def ensure_database(self, name: str, owner: str | None = None) -> None:
        """Create the database where it is missing, owned by the role `owner` or the superuser."""
        server = self.server()
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name))
        if owner is not None:
            statement += sql.SQL(" OWNER {}").format(sql.Identifier(owner))
        try:
            with psycopg.connect(
                server.conninfo(SUPERUSER, SUPERUSER), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
            ) as connection:
                found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
                if found is None:
                    connection.execute(statement)
        except errors.DuplicateDatabase:
            return  # another process was faster
        except errors.DiskFull as error:
            raise Problem(f"The disk of the database ({self.data}) is full: free some space there.") from error

    # --- inside ---

    def _server_user(self) -> User:
        """Return the owner of the data folder, or of one still to be made: PostgreSQL refuses to run as another."""
        try:
            uid = self.data.stat().st_uid
        except OSError:
            return processes.service_user()
        if os.geteuid() not in {0, uid}:
            raise Problem(f"{self.data} belongs to another user: be that user or choose another --state.")
        return processes.user_of(uid)

    def _identities(self) -> dict[str, list[str]]:
        """Say which user of this machine may become which roles; one that appears twice gets all of its own."""
        invoking = processes.current_user().name
        identities = {name: list(roles) for name, roles in self._peers.items()}
        for name in (self._user.name, processes.service_user().name, invoking):
            identities.setdefault(name, []).extend(self._roles)
        identities[invoking].append(SUPERUSER)
        return identities

    def _programs(self) -> Binaries:
        if self._binaries is None:
            found = find_binaries(data_folder.made_by_major(self.data))
            self._binaries = reachable_binaries(found, self._user, self.state)
        return self._binaries

    def _is_ours(self, pid: int) -> bool:
        return processes.name_of(pid) == "postgres" and processes.works_in(pid, self.data)

    def _postmaster(self) -> int | None:
        """Return the postmaster's pid: the one in the pid file, if a `postgres` of this folder really is behind it."""
        lines = self._pid_file_lines()
        try:
            pid = int(lines[0])
        except (IndexError, ValueError):
            return None
        return pid if self._is_ours(pid) else None

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []

    def _end_left_overs(self) -> None:
        """End backends that outlived their postmaster: a busy one holds the shared memory and blocks the next start."""
        ours = [pid for pid in processes.all_pids() if self._is_ours(pid)]
        rest = processes.end(ours, still_ours=self._is_ours, first=signal.SIGKILL)
        if rest:
            raise Problem(
                f"The PostgreSQL process {rest[0]} of {self.data} does not end even when killed: "
                "look at its disk, which seems to hang, or restart the machine."
            )

    def _clear_lock_files(self) -> None:
        """Remove the lock files of a dead server, which PostgreSQL believes by the pid in them.

        That pid may be another program's by now, or a zombie where the container's first process reaps none; either
        would block the start. Whatever lived in this data folder was ended just before.
        """
        with explained(self.data, "give the state folder to this user"):
            for stale in [self.data / "postmaster.pid", *self.socket_folder.glob(".s.PGSQL.*")]:
                stale.unlink(missing_ok=True)

    @property
    def _settings(self) -> Path:
        return self.state.postgresql / "postgresql.conf"

    @property
    def _port_note(self) -> Path:
        return self.state.run / "postgresql-port"

    def _choose_port(self) -> int:
        """Return the configured port, the one of a running server or of last time, or a free one."""
        if self._wanted_port:
            if not self.is_running() and not _is_free(self._wanted_port):
                raise Problem(
                    f"Port {self._wanted_port} of 127.0.0.1 is taken by another program: stop that one or choose "
                    "another port for the embedded PostgreSQL (0 finds a free one)."
                )
            return self._wanted_port
        try:
            last = int(self._port_note.read_text(encoding="ascii"))
        except (OSError, ValueError):
            last = 0
        candidates = [last] if last else []
        candidates += [secrets.choice(FREE_PORTS) for _ in range(PORT_ATTEMPTS)]
        for port in candidates:
            if (port == last and self.is_running()) or _is_free(port):
                return port
        raise Problem("No free port was found on 127.0.0.1 for the embedded PostgreSQL: configure one.")

    def _open_log(self) -> None:
        """Make the log file for the server's user, and set a grown one aside."""
        with explained(self.log, "give the state folder to this user"):
            if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_name(f"{self.log.name}.1"))
            self.log.touch(mode=0o640)
            if not self._user.is_current():
                os.chown(self.log, self._user.uid, self._user.gid)

    def _why_not(self, output: str) -> str:
        """Say in one sentence why the server did not start, from the end of its log."""
        try:
            tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:]
        except OSError:
            tail = []
        if re.search(FULL_DISK, "\n".join([*tail, output])):
            return f"The disk of the database ({self.data}) is full: free some space there and start again."
        told = [line.split(" FATAL: ", 1)[1].strip() for line in tail if " FATAL: " in line]
        reason = told[-1] if told else (output.splitlines() or ["no reason given"])[-1]
        return f"The embedded PostgreSQL did not start: {reason}; its log is {self.log}."


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
