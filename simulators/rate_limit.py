"""What Mikrotik-Rate-Limit says, as far as traffic needs it (RouterOS RADIUS page, grammar of the attribute)."""

from __future__ import annotations

import functools
import re

_NUMBER = re.compile(r"(\d+)([kM]?)")
_SECONDS = re.compile(r"\d+(/\d+)?")
_FACTOR = {"": 1, "k": 1_000, "M": 1_000_000}  # decimal; G and lower-case m are not documented
_PRIORITIES = {"1", "2", "3", "4", "5", "6", "7", "8"}


def _pair(text: str) -> tuple[int, int]:
    parts = text.split("/")
    found = [_NUMBER.fullmatch(part) for part in parts]
    values = [int(match[1]) * _FACTOR[match[2]] for match in found if match]
    if len(values) != len(parts) or len(values) not in {1, 2}:
        raise ValueError(f"{text!r} is no rate: write digits with k or M, upload first, such as 10M/50M")
    return values[0], values[-1]  # tx omitted is the same as rx


@functools.lru_cache(maxsize=4096)  # an ISP has few plans; one parse each
def limits_bps(text: str) -> tuple[int, int]:
    """Return (upload, download) in bits a second, 0 for no limit; ValueError when RouterOS could not read it.

    rx is what the router receives, so the client's upload. Burst, priority and minimum are checked but not simulated.
    """
    fields = text.split()
    if not 1 <= len(fields) <= 6:
        raise ValueError(f"{text!r} is no rate limit: it has {len(fields)} fields, from 1 to 6 are allowed")
    rates = [_pair(part) for part in (*fields[:3], *fields[5:])]
    if len(fields) > 3 and not _SECONDS.fullmatch(fields[3]):
        raise ValueError(f"{fields[3]!r} is no burst time: write seconds such as 10/10")
    if len(fields) > 4 and fields[4] not in _PRIORITIES:
        raise ValueError(f"{fields[4]!r} is no priority: it is one digit from 1 to 8")
    return rates[0]
