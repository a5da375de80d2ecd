"""What a router tells about itself: for the page of its health, and for the clock of its certificates and logs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from network.routeros.connection import Connection
from network.routeros.errors import RefusedError
from network.routeros.link import Reply
from policy.errors import PolicyError
from policy.routeros import values

MAX_RADIUS: Final = 16  # clients whose counters are read; more than two are rare
_OFFSET_PARTS: Final = 2


class RadiusCounters(NamedTuple):
    """One `/radius` entry and what it has counted since the router started; None where a version does not tell.

    Bad replies are the sign of another secret, timeouts that of a server that is not there.
    """

    address: str
    requests: int | None
    accepts: int | None
    rejects: int | None
    resends: int | None
    timeouts: int | None
    bad_replies: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterFacts:
    """What was read; "" or None is what this router does not tell or our user may not read.

    `clock` is the router's own, aware UTC; compare it with `read_at`, by half a `round_trip_ms` at most.
    """

    identity: str
    version: str
    board: str
    architecture: str
    uptime_s: int | None
    cpu_percent: int | None
    free_memory_bytes: int | None
    total_memory_bytes: int | None
    clock: datetime | None
    certificate_ends_at: datetime | None
    radius: tuple[RadiusCounters, ...]
    round_trip_ms: float
    read_at: datetime


async def health(connection: Connection) -> RouterFacts:
    """Read it, all at once. A menu that this router or our user's group does not have is left out.

    Raises UnknownOutcomeError or NotSentError if the connection ended.
    """
    identity, resource, clock, radius = await asyncio.gather(
        _settings(connection, "/system/identity/print"),
        _settings(connection, "/system/resource/print"),
        _read(connection, "/system/clock/print"),
        _read(connection, "/radius/print", "=.proplist=.id,address"),
    )
    read_at = datetime.now(UTC)
    servers = radius.rows[:MAX_RADIUS] if radius is not None else []
    counted = await asyncio.gather(*[_counters(connection, row) for row in servers])
    version = resource.get("version", "")
    return RouterFacts(
        identity=identity.get("name", ""),
        version=version.split()[0] if version.split() else "",
        board=resource.get("board-name", ""),
        architecture=resource.get("architecture-name", ""),
        uptime_s=_seconds(resource.get("uptime", "")),
        cpu_percent=_number(resource.get("cpu-load", "").removesuffix("%")),
        free_memory_bytes=_number(resource.get("free-memory", "")),
        total_memory_bytes=_number(resource.get("total-memory", "")),
        clock=_clock(clock.rows[0]) if clock is not None and clock.rows else None,
        certificate_ends_at=connection.certificate_end(),
        radius=tuple(counted),
        # The clock's print is the shortest of them to carry out.
        round_trip_ms=clock.round_trip_ms if clock is not None else 0.0,
        read_at=read_at,
    )


async def _settings(connection: Connection, *words: str) -> dict[str, str]:
    reply = await _read(connection, *words)
    return reply.rows[0] if reply is not None and reply.rows else {}


async def _read(connection: Connection, *words: str) -> Reply | None:
    with contextlib.suppress(RefusedError):
        return await connection.send(words)
    return None


async def _counters(connection: Connection, row: dict[str, str]) -> RadiusCounters:
    said = await _settings(connection, "/radius/monitor", f"=.id={row.get('.id', '')}", "=once=")
    names = ("requests", "accepts", "rejects", "resends", "timeouts", "bad-replies")
    return RadiusCounters(row.get("address", ""), *(_number(said.get(name, "")) for name in names))


def _clock(row: dict[str, str]) -> datetime | None:
    """The router's clock from date, time and offset (`+02:00`); None if one of them cannot be read."""
    try:
        local = values.moment(f"{row.get('date', '')} {row.get('time', '')}")
        return (local - _offset(row.get("gmt-offset", ""))).replace(tzinfo=UTC)
    except (PolicyError, OverflowError):
        return None


def _offset(text: str) -> timedelta:
    sign = -1 if text.startswith("-") else 1
    parts = text.lstrip("+-").split(":")
    if len(parts) != _OFFSET_PARTS or not all(part.isascii() and part.isdigit() and len(part) <= 2 for part in parts):
        raise PolicyError(f"{text!r} is no offset such as +02:00")
    return sign * timedelta(hours=int(parts[0]), minutes=int(parts[1]))


def _number(text: str) -> int | None:
    try:
        return values.integer(text)
    except PolicyError:
        return None


def _seconds(text: str) -> int | None:
    try:
        return int(values.duration(text).total_seconds()) if text else None
    except PolicyError:
        return None
