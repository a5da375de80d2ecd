"""Child processes that cannot outlive the bench, and what they cost."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.servers.contract import Endpoint, ServerError, Usage

STOP_PATIENCE_S: Final = 10.0
PREFIX: Final = "ispagents-bench-"
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A UDP and TCP port of loopback that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind(("127.0.0.1", 0))
        port: int = stream.getsockname()[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            datagram.bind(("127.0.0.1", port))
        return port


def make_folder(name: str, owner: str) -> Path:
    """An own folder under the temporary one, readable by all as servers run under users of their own."""
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-{name}-"))
    folder.chmod(0o755)
    own(folder, owner)
    return folder


def sweep() -> None:
    """Removes the folders of benches that were killed; their servers ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        maker = folder.name.removeprefix(PREFIX).partition("-")[0]
        if maker.isdigit() and not Path(f"/proc/{maker}").exists():
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def orderly_end() -> Iterator[contextlib.ExitStack]:
    """A stack of things to stop. The first Ctrl-C or SIGTERM unwinds it; further ones cannot interrupt that."""

    def first(_signal: int, _frame: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, first) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with contextlib.ExitStack() as stack:
            yield stack
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def own(path: Path, owner: str) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, owner, pwd.getpwnam(owner).pw_gid)


def as_user(owner: str, command: list[str], *, when_we_die: str = "KILL") -> list[str]:
    """The command under that user when we are root; ended by the kernel should we be killed."""
    identity = []
    if os.geteuid() == 0:
        identity = [f"--reuid={owner}", f"--regid={pwd.getpwnam(owner).pw_gid}", "--init-groups"]
    return ["setpriv", *identity, f"--pdeathsig={when_we_die}", *command]


def spawn(command: list[str], log: Path, folder: Path = Path("/")) -> "subprocess.Popen[bytes]":
    """In a session of its own, so that Ctrl-C reaches only the bench, which then stops its servers in order."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, cwd=folder
        )


def end(process: "subprocess.Popen[bytes] | None", how: signal.Signals = signal.SIGTERM) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(STOP_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def tail(log: Path, lines: int = 12) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return "(no log)"


def wait_until_alive(process: "subprocess.Popen[bytes]", log: Path, patience_s: float) -> Iterator[None]:
    """Yields every 50 ms for as long as the process lives; raises ServerError when it ends or time is up."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise ServerError(f"the server ended with {process.returncode}:\n{tail(log)}")
        yield
        time.sleep(0.05)
    raise ServerError(f"the server did not answer within {patience_s:.0f} s:\n{tail(log)}")


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third on (the second, a name, may hold blanks and brackets)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _cpu_s(pid: int, *, with_ended_children: bool) -> float:
    stat = _stat(pid)
    return sum(int(ticks) for ticks in stat[11 : 15 if with_ended_children else 13]) / _TICKS_PER_S


def _children(parent: int) -> list[int]:
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and int(stat[1]) == parent]


def fate(endpoint: Endpoint) -> str:
    """What became of a server, for an error's text: whether it still runs, how it ended, the end of its log."""
    stat = _stat(endpoint.pid)
    if stat and stat[0] != "Z":
        ending = "the server still runs"
    elif len(stat) > 49:
        status = int(stat[49])
        ending = (
            f"the server was ended by signal {status & 127}" if status & 127 else f"the server ended: {status >> 8}"
        )
    else:
        ending = "the server is gone"
    return f"{ending}; its log ends with\n{tail(endpoint.log)}" if endpoint.log else ending


def usage(endpoint: Endpoint) -> Usage:
    """User and system time, and memory as /proc/PID/smaps_rollup tells."""
    memory = {"Rss": 0, "Pss": 0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{endpoint.pid}/smaps_rollup").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in memory:
                memory[name] = int(value.split()[0])
    helpers = 0.0
    for helper in endpoint.helpers:
        helpers += _cpu_s(helper, with_ended_children=True)
        helpers += sum(_cpu_s(child, with_ended_children=True) for child in _children(helper))
    return Usage(
        server_cpu_s=_cpu_s(endpoint.pid, with_ended_children=False),
        helpers_cpu_s=helpers,
        rss_mib=memory["Rss"] / 1024,
        pss_mib=memory["Pss"] / 1024,
    )
