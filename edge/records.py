"""What a spool record means: an accounting report, or a login that was refused or taught a binding."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from edge.detail_file import Record
from policy.mac import canonical_mac
from policy.stamp import SessionClass, read_class
from sql.reports import Kind, LoginNote, Note, Report

GIGAWORD = 2**32
COUNTER_MAXIMUM = 2**63 - 1
# A router's clock and its delays are not to be trusted far: what claims to be older than this is taken as just now.
DELAY_MAXIMUM_S = 30 * 86400
SESSION_MAXIMUM_S = 10 * 365 * 86400
NAME_MAXIMUM_BYTES = 253
# A session says the same of itself in every record; of so many it is remembered, some 10 MB.
KNOWN = 16_384

Values = dict[str, str]
_KINDS = {kind.value: kind for kind in Kind}


class UnfitRecord(Exception):  # noqa: N818 - reads as what happened
    """A record that cannot mean anything; it is set aside with this reason."""


def read_report(record: Record) -> Report:
    """An accounting record. Raises UnfitRecord."""
    values = record.values()
    get = values.get
    kind = _KINDS.get(get("Acct-Status-Type", ""))
    if kind is None:
        raise UnfitRecord(f"Acct-Status-Type is {get('Acct-Status-Type', '')!r}")
    at = _moment(values)
    session_time_s = min(_number(values, "Acct-Session-Time"), SESSION_MAXIMUM_S)
    acct_session_id = get("Acct-Session-Id", "")
    if kind not in (Kind.ON, Kind.OFF) and not acct_session_id:
        raise UnfitRecord("there is no Acct-Session-Id")
    return Report(
        kind=kind,
        source=_source(values),
        note=read_note(get("Tmp-String-0", "")),
        session_class=_class(record, values),
        username=_name(get("User-Name", "")),
        acct_session_id=_name(acct_session_id),
        method=_method(values),
        mac=canonical_mac(get("Calling-Station-Id", "")),
        port=_name(get("NAS-Port-Id", "")),
        framed_address=_address(get("Framed-IP-Address", "")),
        at=at,
        started_at=at - timedelta(seconds=session_time_s),
        session_time_s=session_time_s,
        upload_bytes=_octets(values, "Acct-Input"),
        download_bytes=_octets(values, "Acct-Output"),
        terminate_cause=_name(get("Acct-Terminate-Cause", "")),
    )


def read_login_note(record: Record) -> LoginNote:
    """A record of the logins spool. Raises UnfitRecord."""
    values = record.values()
    get = values.get
    note = read_note(get("Tmp-String-0", ""))
    if not note.router_id or not note.reason:
        raise UnfitRecord("the module left no note on this login")
    return LoginNote(
        source=_source(values),
        note=note,
        username=_name(get("User-Name", "")),
        mac=canonical_mac(get("Calling-Station-Id", "")),
        port=_name(get("NAS-Port-Id", "")),
        at=_moment(values),
    )


@lru_cache(maxsize=KNOWN)
def read_note(text: str) -> Note:
    """The module's note, `name=value` separated by blanks; names that are not known are passed over."""
    values = dict(part.split("=", 1) for part in text.split() if "=" in part)
    return Note(
        operator_id=_digits(values.get("operator", "")),
        router_id=_digits(values.get("router", "")),
        service_id=_digits(values.get("service", "")),
        stamp=values.get("stamp", ""),
        reason=values.get("reason", ""),
        learn=tuple(values["learn"].split(",")) if "learn" in values else (),
    )


def _moment(values: Values) -> datetime:
    """When it happened: FreeRADIUS's own clock at arrival, less the delay that the router admits."""
    arrived = _number(values, "Timestamp")
    if not arrived:
        raise UnfitRecord("there is no Timestamp")
    delay_s = _number(values, "Acct-Delay-Time")
    if delay_s > DELAY_MAXIMUM_S:
        delay_s = 0
    try:
        return datetime.fromtimestamp(arrived - delay_s, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UnfitRecord(f"Timestamp {arrived} is no time") from error


def _octets(values: Values, prefix: str) -> int:
    total = _number(values, f"{prefix}-Octets") + _number(values, f"{prefix}-Gigawords") * GIGAWORD
    if total > COUNTER_MAXIMUM:
        raise UnfitRecord(f"{prefix} counts more bytes than there can be")
    return total


def _number(values: Values, name: str) -> int:
    text = values.get(name)
    return _digits(text) if text else 0


def _digits(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _name(text: str) -> str:
    """Text that PostgreSQL can hold: no zero bytes, and within one attribute's length."""
    if text.isascii() and len(text) <= NAME_MAXIMUM_BYTES and "\0" not in text:
        return text
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean.encode()[:NAME_MAXIMUM_BYTES].decode("utf-8", "ignore")


@lru_cache(maxsize=KNOWN)
def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _source(values: Values) -> str:
    return values.get("Packet-Src-IP-Address") or values.get("Packet-Src-IPv6-Address", "")


def _method(values: Values) -> str | None:
    if values.get("Framed-Protocol") == "PPP":
        return "pppoe"
    return "hotspot" if values.get("Service-Type") == "Login-User" else None


def _class(record: Record, values: Values) -> SessionClass | None:
    """Our own Class among those of a record; octets are printed as hexadecimal."""
    if (found := _read_class(values.get("Class", ""))) is not None:
        return found
    for name, value in record.attributes:
        if name == "Class" and (found := _read_class(value)) is not None:
            return found
    return None


@lru_cache(maxsize=KNOWN)
def _read_class(value: str) -> SessionClass | None:
    if not value.startswith("0x"):
        return None
    try:
        return read_class(bytes.fromhex(value[2:]).decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        return None
