"""Processes of the operating system: as whom they run, which are alive, and how they are ended for certain.

Everything reads `/proc` and waits on pidfds (Linux 5.3 or newer), so that no answer rests on a pid alone: pids are
reused, and a server that trusts one from a file ends up talking to a stranger.
"""

import dataclasses
import grp
import os
import pwd
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ispagents.errors import Problem

SERVICE_USER = "ispagents"  # made by scripts/setup.sh when that runs as root
FALLBACK_USER = "nobody"  # exists on every Linux
SUPERVISED_BY = "ISPAGENTS_SUPERVISED_BY"  # environment mark on every supervised process: the state folder
PROBE_TIMEOUT_S = 10.0  # a program asked only whether it can be run
KILL_WAIT_S = 5.0  # after SIGKILL only a process in a hung disk call is still there


@dataclass(frozen=True)
class User:
    """A user of this machine under which a process may run."""

    name: str
    uid: int
    gid: int

    def is_current(self) -> bool:
        """Say whether this process already runs as that user."""
        return os.geteuid() == self.uid

    def can(self, *command: str) -> bool:
        """Run a harmless command as that user and say whether it succeeded.

        Asking the system beats reading modes: access lists, mounts without exec and mandatory rules count too. A
        shell comes between, because setpriv still has root's capabilities when it executes a program itself.
        """
        try:
            done = subprocess.run(
                [*as_user(self), "sh", "-c", 'exec "$@"', "sh", *command],
                check=False,
                capture_output=True,
                cwd="/",
                timeout=PROBE_TIMEOUT_S,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """Say whether that user may reach things below `folder`."""
        return self.can("test", "-x", str(folder))


def current_user() -> User:
    """Return the user that this process runs as."""
    return dataclasses.replace(user_of(os.geteuid()), gid=os.getegid())


def user_of(uid: int) -> User:
    """Look a user up by number; one that the machine does not know is called by it."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return User(str(uid), uid, uid)
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def find_user(name: str) -> User | None:
    """Look a user up by name."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)


def service_user() -> User:
    """Return whom servers run as: ourselves, or as root an unprivileged user.

    Raises Problem when root has no such user.
    """
    if os.geteuid() != 0:
        return current_user()
    user = find_user(SERVICE_USER) or find_user(FALLBACK_USER)
    if user is None:
        raise Problem(
            f"Root has no unprivileged user to run servers as: make one with 'useradd --system {SERVICE_USER}'."
        )
    return user


def find_group(name: str) -> int | None:
    """Look a group's number up by name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def as_user(user: User | None, *, death_signal: signal.Signals | None = None) -> list[str]:
    """Return the words to put before a command so that it runs as `user` and dies with its parent.

    `setpriv` asks for the death signal after it has changed the user, since the kernel forgets the request when a
    process changes its user. For the same reason a program that drops root by itself outlives its parent: start it
    as its user instead. The signal comes when the *thread* that started the process ends.
    """
    words: list[str] = []
    if death_signal is not None:
        words += ["--pdeathsig", death_signal.name]
    if user is not None and not user.is_current():
        words += ["--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups"]
    return ["setpriv", *words, "--"] if words else []


def clean_environment() -> dict[str, str]:
    """Return an environment for a server: nothing of the caller's that would change what it does."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def is_alive(pid: int) -> bool:
    """Say whether a process runs under this pid; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in {"Z", "X"}


def name_of(pid: int) -> str:
    """Return the short name of a process, or an empty text."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
    except OSError:
        return ""


def works_in(pid: int, folder: Path) -> bool:
    """Say whether the live process has `folder` as its working folder. One we may not look into is not ours."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == folder
    except OSError:
        return False


def carries(pid: int, variable: str, value: str) -> bool:
    """Say whether a process was started with `variable=value` in its environment."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return f"{variable}={value}".encode() in environment.split(b"\0")


def all_pids() -> list[int]:
    """Return the pid of every process of this machine that we can see."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]  # noqa: PTH208 - 5 times faster here


def ancestors(pid: int) -> list[int]:
    """Return `pid` and every process above it."""
    chain: list[int] = []
    while pid > 0 and pid not in chain:
        chain.append(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return chain


def left_over(state: Path) -> list[int]:
    """Return the processes that a supervisor of this state folder started and that are still there."""
    spared = set(ancestors(os.getpid()))
    return [pid for pid in all_pids() if pid not in spared and carries(pid, SUPERVISED_BY, str(state))]


def end(
    pids: Iterable[int],
    *,
    still_ours: Callable[[int], bool],
    first: signal.Signals = signal.SIGTERM,
    patience_s: float = KILL_WAIT_S,
) -> list[int]:
    """End processes: `first`, then SIGKILL after `patience_s`. Returns those that survived even that.

    Every pid is opened before `still_ours` is asked again, so that a reused pid is never signalled.
    """
    opened: dict[int, int] = {}
    try:
        for pid in pids:
            try:
                handle = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            opened[pid] = handle
        ours = {pid: handle for pid, handle in opened.items() if still_ours(pid)}
        rest = _signal_and_wait(ours, first, patience_s)
        if rest and first != signal.SIGKILL:
            rest = _signal_and_wait(rest, signal.SIGKILL, KILL_WAIT_S)
        return sorted(rest)
    finally:
        for handle in opened.values():
            os.close(handle)


def wait_gone(pid: int, timeout_s: float) -> bool:
    """Wait until no process runs under this pid; says whether that came true in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return not _wait({pid: handle}, timeout_s)
    finally:
        os.close(handle)


def _signal_and_wait(opened: Mapping[int, int], number: signal.Signals, timeout_s: float) -> dict[int, int]:
    for handle in opened.values():
        try:
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
    return _wait(opened, timeout_s)


def _wait(opened: Mapping[int, int], timeout_s: float) -> dict[int, int]:
    """Wait for exits (a pidfd becomes readable); returns what is still running at the end."""
    running = dict(opened)
    poll = select.poll()
    by_handle = {handle: pid for pid, handle in opened.items()}
    for handle in by_handle:
        poll.register(handle, select.POLLIN)
    deadline = time.monotonic() + timeout_s
    while running:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            break
        for handle, _ in ready:
            poll.unregister(handle)
            running.pop(by_handle[handle])
    return running


def run_short(what: str, command: Sequence[str], *, timeout_s: float) -> tuple[int, str]:
    """Run a short command in a clean environment; returns its exit status and all it printed.

    Raises Problem when the program is missing or does not end in time.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=clean_environment(),
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise Problem(f"The program {error.filename} is missing: run 'make setup' and start again.") from error
    except subprocess.TimeoutExpired as error:
        raise Problem(
            f"{what} did not end within {timeout_s:.0f} s: look whether the machine is overloaded and start again."
        ) from error
    return done.returncode, done.stdout.decode("utf-8", errors="replace").strip()
