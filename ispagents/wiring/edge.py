"""The edge process: a follower and an ingester, each in a thread; when one fails, the process ends and starts anew."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog

from edge.follower import Follower
from edge.ingester import Ingester
from ispagents.database import find, secret_box
from ispagents.settings import Settings
from ispagents.state_folder import StateFolder
from ispagents.wiring import common
from sql.roles import Role

log = structlog.get_logger("edge")

CONNECT_TIMEOUT_S = 5
# A peer that vanished without a word is noticed within a quarter of a minute.
KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15000,
}


def main(state: StateFolder, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    os.umask(0o027)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    box = secret_box(state)

    def connect() -> psycopg.Connection[Any]:
        conninfo = find(state, settings).conninfo(Role.EDGE)
        return psycopg.connect(
            conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="ispagents edge",
            **KEEPALIVES,
        )

    ingester = Ingester(connect=connect, spool=state.spool, node=settings.node_name)
    follower = Follower(
        connect=connect,
        folder=state.replica,
        box=box,
        node=settings.node_name,
        address=settings.node_address,
        spool_waiting=ingester.waiting_bytes,
    )
    failed: list[BaseException] = []
    threads = [
        threading.Thread(target=_guard, args=(body, stop, failed), name=name)
        for name, body in (("follower", follower.run), ("ingester", ingester.run))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def _guard(body: Callable[[Callable[[], bool]], None], stop: threading.Event, failed: list[BaseException]) -> None:
    try:
        body(stop.is_set)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other thread must stop too and the process end
        failed.append(error)
        stop.set()


if __name__ == "__main__":
    common.run("edge", main)
