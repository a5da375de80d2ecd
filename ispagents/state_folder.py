"""The state folder: everything an installation keeps on disk, and the lock that lets one `up` use it at a time.

    postgresql/   the embedded database         run/      status, sockets, the lock
    log/          one file a process            secrets/  keys and passwords, for us alone
    freeradius/   the generated configuration   replica/  what FreeRADIUS answers from
    spool/        accounting on its way

As root the folder belongs to root and servers run as an unprivileged user, so every folder on the way must be
traversable; hence mode 0711: others may pass through to what is theirs, and see nothing on the way.
"""

import fcntl
import json
import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ispagents import processes
from ispagents.errors import Problem, explained

STATE_VARIABLE: Final = "ISPAGENTS_STATE"
SYSTEM_FOLDER: Final = Path("/var/lib/ispagents")
SOCKET_PATH_LIMIT_BYTES: Final = 107  # sockaddr_un.sun_path holds 108 with the closing zero (unix(7))
LONGEST_SOCKET: Final = "postgresql/.s.PGSQL.65535"  # the longest name that anybody puts below `sockets`
FREERADIUS_GROUP: Final = "freerad"  # Debian's group of the FreeRADIUS server
_FLOCK: Final = "hhqqi0q"  # struct flock: type, whence, start, length, pid (fcntl(2))
_REMEDY: Final = "give it to this user or choose another folder with --state"

# Mode, and who owns it: "us", or "service" for the unprivileged user that servers run as; the last word says whether
# FreeRADIUS's group is to reach in. Ownership is only ever changed by root; for others all is their own.
SUBFOLDERS: Final = {
    "postgresql": (0o711, "us", False),  # the data folder below it is PostgreSQL's own, 0700
    "run": (0o711, "us", False),
    "log": (0o711, "us", False),  # files in it are 0640; a server opens its own
    "freeradius": (0o750, "us", True),
    "replica": (0o2750, "service", True),  # edge writes, FreeRADIUS reads
    "spool": (0o2770, "service", True),  # FreeRADIUS writes, edge reads and removes
    "secrets": (0o700, "us", False),
}


def default_state_path() -> Path:
    """Return where state is kept when nobody says: $ISPAGENTS_STATE, the system's place, or the user's own."""
    if chosen := os.environ.get(STATE_VARIABLE):
        return Path(chosen)
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "ispagents"


@dataclass(frozen=True)
class StateFolder:
    """A state folder by its path, made absolute. Nothing is touched until `create`."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).expanduser().resolve())

    @classmethod
    def default(cls, chosen: Path | None = None) -> "StateFolder":
        """Return the chosen folder, or the default one."""
        return cls(chosen if chosen is not None else default_state_path())

    @property
    def postgresql(self) -> Path:
        return self.path / "postgresql"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def freeradius(self) -> Path:
        return self.path / "freeradius"

    @property
    def replica(self) -> Path:
        return self.path / "replica"

    @property
    def spool(self) -> Path:
        return self.path / "spool"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def status_file(self) -> Path:
        return self.run / "status.json"

    @property
    def sockets(self) -> Path:
        """The folder for unix sockets: `run`, or a remembered short one when `run` is too deep for the kernel."""
        if _fits(self.run):
            return self.run
        with explained(self.run, _REMEDY):
            try:
                return Path(self._sockets_note.read_text(encoding="utf-8").strip())
            except FileNotFoundError:
                return self.run

    @property
    def _sockets_note(self) -> Path:
        return self.run / "sockets-folder"

    def create(self) -> "StateFolder":
        """Make the folder and its subfolders where they are missing, and check that servers can live in it.

        Raises Problem in one sentence when it is a file, not writable, on a full disk, or closed to the user that
        servers run as.
        """
        user = processes.service_user()
        with explained(self.path, _REMEDY):
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(13, "permission denied", str(self.path))
            self._open_for_passing()
            for name, (mode, owner, shared) in SUBFOLDERS.items():
                self._subfolder(name, mode, user.uid if owner == "service" else os.geteuid(), shared=shared)
            self._probe_disk()
            self._choose_sockets()
        if not user.is_current() and not user.can_enter(self.path):
            raise Problem(
                f"{self.path} cannot be reached by the user {user.name} that servers run as (a folder above it is "
                "closed): choose another folder with --state, such as one below /var/lib."
            )
        return self

    def _open_for_passing(self) -> None:
        """Let servers pass through a folder of ours that is new. One with other things in it keeps its mode."""
        found = self.path.stat()
        if found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX and not any(self.path.iterdir()):
            self.path.chmod(0o711)

    def _subfolder(self, name: str, mode: int, uid: int, *, shared: bool) -> None:
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        group = processes.find_group(FREERADIUS_GROUP) if shared and os.geteuid() == 0 else None
        if os.geteuid() == 0:
            os.chown(folder, uid, group if group is not None else -1)
        folder.chmod(mode)

    def _probe_disk(self) -> None:
        """Write and sync a block, so that a full disk is said now and not by some process's traceback later."""
        with tempfile.TemporaryFile(dir=self.run) as probe:
            probe.write(bytes(65536))
            probe.flush()
            os.fsync(probe.fileno())

    def _choose_sockets(self) -> None:
        if _fits(self.run):
            return
        remembered = self.sockets
        if remembered != self.run and _is_ours(remembered):
            remembered.chmod(0o711)
            return
        bases = [Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")), Path("/tmp")]  # noqa: S108 - made by mkdtemp
        if os.geteuid() == 0:
            bases = bases[1:]  # root's runtime folder is closed to the user that servers run as
        base = next((base for base in bases if os.access(base, os.W_OK) and _fits(base / "ispagents-12345678")), None)
        if base is None:
            raise Problem(
                f"{self.run} is too long for sockets (the limit is {SOCKET_PATH_LIMIT_BYTES} bytes) and /tmp cannot "
                "be used instead: choose a shorter folder with --state."
            )
        folder = Path(tempfile.mkdtemp(prefix="ispagents-", dir=base))
        folder.chmod(0o711)
        write_atomically(self._sockets_note, f"{folder}\n", mode=0o644)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go when the process ends, however it ends.

        Raises Problem when another process holds it.
        """
        with explained(self.run, _REMEDY):
            handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
            except (BlockingIOError, PermissionError):
                raise Problem(
                    f"{self.path} is already in use by process {self._noted_pid() or 'unknown'}; stop it or choose "
                    "another with --state."
                ) from None
            with explained(self._lock_file, _REMEDY):
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            yield
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def holder(self) -> int | None:
        """Return the pid of the process that holds the lock (0 when it is not known), None when nobody does.

        Asks without taking the lock, so it never disturbs a start at the same moment.
        """
        try:
            handle = os.open(self._lock_file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            answer = fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
        finally:
            os.close(handle)
        kind: int = struct.unpack(_FLOCK, answer)[0]
        return None if kind == fcntl.F_UNLCK else self._noted_pid()

    @property
    def _lock_file(self) -> Path:
        return self.run / "lock"

    def _noted_pid(self) -> int:
        try:
            return int(self._lock_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace `run/status.json`; a reader sees the old or the new one, never a part."""
        write_atomically(self.status_file, json.dumps(status, indent=2) + "\n", mode=0o644)

    def read_status(self) -> dict[str, Any] | None:
        """Return what `run/status.json` says, or None when there is none. Ask `holder` whether it is current."""
        try:
            status = json.loads(self.status_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Problem(f"{self.status_file} cannot be read ({error}): start again to have it rewritten.") from error
        return status if isinstance(status, dict) else None


def write_atomically(path: Path, text: str, *, mode: int) -> None:
    """Write a file beside its place and move it there. Raises OSError and leaves the old one as it was."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / LONGEST_SOCKET)) <= SOCKET_PATH_LIMIT_BYTES


def _is_ours(folder: Path) -> bool:
    """Say whether a remembered folder in a place open to everyone is still the one that we made."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
