"""Edge's ingester in a process of its own. `python -m bench.acct_edge CONNINFO SPOOL` ends with its input."""

import sys
import threading
from pathlib import Path

import psycopg
import structlog

from edge.ingester import Ingester
from ispagents.wiring.common import spare_the_collector


def main() -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    conninfo, spool = sys.argv[1:]
    spare_the_collector()
    stop = threading.Event()
    ingester = Ingester(connect=lambda: psycopg.connect(conninfo, autocommit=True), spool=Path(spool), node="bench")
    thread = threading.Thread(target=ingester.run, args=(stop.is_set,))
    thread.start()
    sys.stdin.read()
    stop.set()
    thread.join()


if __name__ == "__main__":
    main()
