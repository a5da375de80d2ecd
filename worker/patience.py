"""Answers of routers outlive a database that restarts: they are kept in memory rather than asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError

log = structlog.get_logger("worker.patience")

STORE_S = 30.0
STORE_AGAIN_S = 0.2


def patiently(store: Callable[[], None]) -> None:
    """Store something that may be stored twice, however often it takes. Raises OperationalError when patience ends."""
    began = time.monotonic()
    while True:
        try:
            store()
        except OperationalError as error:
            if time.monotonic() - began > STORE_S:
                raise
            log.warning("an answer could not be stored yet", error=str(error).splitlines()[0])
            time.sleep(STORE_AGAIN_S)
        else:
            return
