"""A read transaction that is kept never hides a commit, and never outlives its rest."""

import subprocess
import sys
import threading
from pathlib import Path

from edge.replica_writer import ReplicaWriter
from radius_module.replica import Replica

WRITER = """
import sys
from pathlib import Path
from edge.replica_writer import ReplicaWriter
writer = ReplicaWriter.begin_empty(Path(sys.argv[1]))
writer.publish()
print("ready", flush=True)
for line in sys.stdin:
    with writer:
        writer.set_meta("newest_time", line.strip())
    print("done", flush=True)
writer.close()
"""


def test_every_commit_of_another_process_is_seen_by_the_next_read(tmp_path: Path) -> None:
    """Edge is another process; what it has committed is what the next login reads, five hundred times in a row."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        replica = Replica(tmp_path)
        for number in range(1, 501):
            writer.stdin.write(f"{number}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "done\n"
            assert replica.newest_time() == number
            assert replica.newest_time() == number, "and again, from the kept transaction"
        replica.close()
        writer.stdin.close()


def test_a_kept_transaction_ends_by_itself(tmp_path: Path) -> None:
    """A server without logins does not keep edge from emptying its log: the transaction is over within its rest."""
    writer = ReplicaWriter.begin_empty(tmp_path)
    writer.publish()
    with writer:
        writer.set_meta("newest_time", "1")
    replica = Replica(tmp_path)
    assert replica.newest_time() == 1
    reading = replica._reading()
    assert reading.connection.in_transaction
    waiting = threading.Event()
    for _ in range(200):
        if not reading.connection.in_transaction:
            break
        waiting.wait(0.05)
    assert not reading.connection.in_transaction
    assert replica.newest_time() == 1
    replica.close()
    reading.close()
    writer.close()
