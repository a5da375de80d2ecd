"""What routers reported, as values: accounting records, and logins that were refused or taught a binding."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from policy.stamp import SessionClass


class Kind(StrEnum):
    """Acct-Status-Type, as far as it matters here (RFC 2866 section 5.1)."""

    START = "Start"
    STOP = "Stop"
    INTERIM = "Interim-Update"
    ON = "Accounting-On"
    OFF = "Accounting-Off"


class Note(NamedTuple):
    """What the module wrote on the record when it came in. Zero and "" where it could not."""

    operator_id: int = 0
    router_id: int = 0
    service_id: int = 0
    stamp: str = ""
    reason: str = ""
    learn: tuple[str, ...] = ()


class Report(NamedTuple):
    """An accounting record. Counters are cumulative; upload is what the router received (RFC 2866 Input)."""

    kind: Kind
    source: str
    note: Note
    session_class: SessionClass | None
    username: str
    acct_session_id: str
    method: str | None
    mac: str
    port: str
    framed_address: str | None
    at: datetime
    started_at: datetime
    session_time_s: int
    upload_bytes: int
    download_bytes: int
    terminate_cause: str


class LoginNote(NamedTuple):
    """A login that was refused (`note.reason`) or taught a binding (`note.learn`)."""

    source: str
    note: Note
    username: str
    mac: str
    port: str
    at: datetime
