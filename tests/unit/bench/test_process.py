"""Whatever happens, nothing of a bench stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.servers import process
from bench.servers.contract import Endpoint, ServerError


def test_the_first_interrupt_unwinds_and_a_second_cannot_stop_that() -> None:
    """Ctrl-C twice still stops every server."""
    stopped: list[str] = []

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        stopped.append("server")

    def work() -> None:
        with process.orderly_end() as stack:
            stack.callback(stop)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert stopped == ["server"]


def test_a_server_that_ends_early_is_told_with_its_log(tmp_path: Path) -> None:
    """The error holds the end of the log."""
    log = tmp_path / "log"
    child = process.spawn([sys.executable, "-c", "print('no such module'); raise SystemExit(3)"], log)
    with pytest.raises(ServerError, match=r"ended with 3(.|\n)*no such module"):
        for _ in process.wait_until_alive(child, log, 10):
            pass


def test_usage_tells_cpu_and_memory_of_a_process_and_its_helper() -> None:
    """Work shows up in the CPU of the process that did it."""
    worker = subprocess.Popen(
        [sys.executable, "-c", "x = sum(range(20_000_000)); print(x, flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        used = process.usage(Endpoint("127.0.0.1", 1, "x", worker.pid, (worker.pid,)))
        worker.kill()
    assert used.server_cpu_s > 0
    assert used.helpers_cpu_s >= used.server_cpu_s
    assert used.rss_mib >= used.pss_mib > 1


def test_folders_of_killed_benches_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose maker lives stays; one whose maker is gone goes."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    alive, dead = (tmp_path / f"ispagents-bench-{pid}-x" for pid in (os.getpid(), gone.pid))
    alive.mkdir()
    dead.mkdir()
    process.sweep()
    assert (alive.exists(), dead.exists()) == (True, False)
