"""Logs of our own processes: a line an event, a constant message plus fields, on standard output."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


class _OneLine(logging.Formatter):
    """Exceptions of libraries as their last line; the traceback of a lost database helps nobody."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """The exception's own words, in one line."""
        cause = ei[1]
        while cause is not None and (deeper := cause.__cause__ or cause.__context__) is not None:
            cause = deeper
        return f"{type(cause).__name__}: {' '.join(str(cause).split())}"

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line."""
        return " ".join(super().format(record).split("\n"))


def configure() -> None:
    """Write events as `time level logger message field=value`; the libraries' own logs only from warnings on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    # It writes every word of a login, the password included, when anybody turns its debug log on.
    logging.getLogger("librouteros").disabled = True
    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"], bool_as_flag=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(),
    )
