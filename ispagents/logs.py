"""Logs of our own processes: a line an event, a constant message plus fields, on standard output."""

from __future__ import annotations

import logging
import sys

import structlog


def configure() -> None:
    """Write events as `time level logger message field=value`; the libraries' own logs only from warnings on."""
    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
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
