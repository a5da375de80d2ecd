"""The shape of the replica: a SQLite file of its own for every generation, and the pointer that names the current one.

Shared with `edge`, which alone writes it. A generation's file is written by one run of edge only and never renamed or
reopened for writing: readers of a SQLite database do not notice when another file takes its place.
"""

from __future__ import annotations

from pathlib import Path

FORMAT = 1
POINTER = "current"

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE operators (operator_id INTEGER PRIMARY KEY, refusals TEXT NOT NULL);
CREATE TABLE plan_versions (plan_version_id INTEGER PRIMARY KEY, name TEXT NOT NULL, facts TEXT NOT NULL);
CREATE TABLE routers (
    address TEXT PRIMARY KEY,
    router_id INTEGER NOT NULL UNIQUE,
    operator_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    require_message_authenticator INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE services (
    operator_id INTEGER NOT NULL,
    username TEXT NOT NULL,
    service_id INTEGER NOT NULL,
    password TEXT,
    method TEXT NOT NULL,
    standing TEXT NOT NULL,
    plan_version_id INTEGER NOT NULL,
    prepaid_until REAL,
    address TEXT NOT NULL,
    ipv6_prefix TEXT NOT NULL,
    delegated_ipv6_prefix TEXT NOT NULL,
    routes TEXT NOT NULL,
    bind_mac INTEGER NOT NULL,
    mac TEXT NOT NULL,
    bind_router INTEGER NOT NULL,
    bound_router_id INTEGER NOT NULL,
    bind_port INTEGER NOT NULL,
    port TEXT NOT NULL,
    PRIMARY KEY (operator_id, username)
) WITHOUT ROWID;
"""
# Made once all rows are there: made before, its pages lie between those of the table, and a login reads farther.
INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS services_by_id ON services (service_id);
"""


def generation_file(folder: Path, generation: int) -> Path:
    """The file of a generation."""
    return folder / f"replica-{generation}.sqlite"


def read_pointer(folder: Path) -> int | None:
    """The current generation, or None where there is no usable pointer."""
    try:
        text = (folder / POINTER).read_text(encoding="ascii")
        return int(text)
    except (OSError, ValueError):
        return None
