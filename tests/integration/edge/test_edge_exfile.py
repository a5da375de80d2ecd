"""A writer that locks as FreeRADIUS does and the ingester share a spool: no record is lost, none is read twice."""

import subprocess
import sys
import threading

import pytest
from edge_node import Line, eventually

from edge import ingester as ingester_module
from edge.detail_file import NAME
from edge.ingester import LOGINS

RECORDS = 3000
WRITERS = 2

# What exfile_open, exfile_unlock and rlm_detail of FreeRADIUS 3.2.1 do (src/main/exfile.c): the file stays open; for
# each record it is locked without waiting, opened anew by its name where somebody holds the lock or it was unlinked,
# appended to, and unlocked. Two such processes stand for two servers that share a spool.
WRITER = """
import errno, fcntl, os, random, sys, time
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
chance = random.Random(int(sys.argv[2][-1]))
text = sys.stdin.buffer.read()
file = -1
def opened():
    return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
for number in range(count):
    while True:
        if file < 0:
            file = opened()
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            assert error.errno in (errno.EAGAIN, errno.EACCES), error
            os.close(file)
            file = opened()
            continue
        if os.fstat(file).st_nlink == 0:
            os.close(file)
            file = -1
            continue
        break
    os.lseek(file, 0, os.SEEK_END)
    record = text.replace(b"NUMBER", b"%s-%d" % (name.encode(), number % 50))
    half = chance.randrange(len(record)) if number % 7 == 0 else len(record)
    os.write(file, record[:half])
    if half < len(record):
        time.sleep(0.0005)
        os.write(file, record[half:])
    fcntl.lockf(file, fcntl.LOCK_UN)
    if number % 20 == 0:
        time.sleep(chance.random() * 0.004)
"""


@pytest.mark.parametrize("batch", [1000, 3])
def test_no_record_is_lost_and_none_is_counted_twice(edge, isp, monkeypatch, batch):
    """What the writers wrote is what was counted, record by record, however small the batches are."""
    monkeypatch.setattr(ingester_module, "BATCH_RECORDS", batch)
    tower = isp.router()
    path = edge.folder / "spool" / LOGINS / NAME
    note = f"operator={isp.operator_id} router={tower.id} service=0 reason=unknown_user"
    text = Line(tower, "NUMBER").record("Start", Tmp_String_0=note)
    records = RECORDS if batch > 3 else RECORDS // 5
    stop = threading.Event()
    ingester = threading.Thread(target=edge.ingester().run, args=(stop.is_set,))
    ingester.start()
    try:
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), f"writer{number}", str(records)], stdin=subprocess.PIPE
            )
            for number in range(WRITERS)
        ]
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write(text.encode())
            writer.stdin.close()
        assert [writer.wait(60) for writer in writers] == [0] * WRITERS
        eventually(lambda: not edge.waiting())
    finally:
        stop.set()
        ingester.join()

    assert edge.rows("SELECT reason FROM spool_rejects") == []
    assert edge.rows("SELECT DISTINCT times FROM refused_logins") == [(records // 50,)]
    assert edge.rows("SELECT sum(times), count(*) FROM refused_logins") == [(WRITERS * records, WRITERS * 50)]
