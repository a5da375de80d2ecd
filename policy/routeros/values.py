"""RouterOS values: always text on the wire, here read and compared as what they are.

A router writes back the same value in other words: `10M/50M` as `10000000/50000000`, `yes` as `true`, `1d` as
`1d00:00:00` (API and RADIUS pages of help.mikrotik.com). Text stays text: a subscriber named `no`, `0123` or `1e3` is
just that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Hashable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from policy import rate_limit
from policy.errors import PolicyError
from policy.mac import canonical_mac

# Stands for a secret that is not told here: it equals every other, and is never sent. No stored text has a zero byte.
HIDDEN = "\0"

# A number of more digits is none that any router writes, and reading it would take long.
_DIGITS_MAXIMUM = 20
_RATE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?(k|K|M|G|T)?(?:bps)?")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
# Old releases: `1d01:22:53`; now: `2d20h12m20s`, `300ms`, `453us`; a bare number is seconds.
_CLOCK = re.compile(
    r"(?:([0-9]{1,6})w)?(?:([0-9]{1,6})d)?([0-9]{1,6}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?", re.ASCII
)
_PART = re.compile(r"([0-9]{1,12})(w|d|h|ms|us|ns|m|s|)")
_PARTS = re.compile(r"(?:[0-9]{1,12}(?:w|d|h|ms|us|ns|m|s))+|[0-9]{1,12}")
_SIZES = {"w": 604800 * 10**6, "d": 86400 * 10**6, "h": 3600 * 10**6, "m": 60 * 10**6, "s": 10**6, "": 10**6}
_SIZES |= {"ms": 1000, "us": 1, "ns": 0}
_NEVER = frozenset({"", "none", "never"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OLD_DATE = re.compile(r"([a-z]{3})/([0-9]{2})/([0-9]{4})(?: ([0-9]{2}:[0-9]{2}:[0-9]{2}))?", re.ASCII | re.IGNORECASE)
_NEW_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2}:[0-9]{2}:[0-9]{2})?", re.ASCII)
_VERSION = re.compile(
    r"([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,4}))?(?:(alpha|beta|rc)([0-9]{1,4}))?(?: .*)?", re.DOTALL
)
_STAGES = {"alpha": 0, "beta": 1, "rc": 2, None: 3}


class Kind(StrEnum):
    """What the text of a field is."""

    TEXT = "text"
    SECRET = "secret"  # noqa: S105 # the name of a kind
    BOOLEAN = "boolean"
    INTEGER = "integer"
    RATE = "rate"
    RATES = "rates"
    RATE_LIMIT = "rate limit"
    DURATION = "duration"
    DURATIONS = "durations"
    COUNTDOWN = "countdown"
    INTEGERS = "integers"
    TEXTS = "texts"
    HOST = "host"
    ADDRESS = "address"
    ADDRESSES = "addresses"
    MAC = "mac"
    LIST = "list"


class Version(NamedTuple):
    """A release of RouterOS, in order: betas stand before candidates, those before the release."""

    major: int
    minor: int
    patch: int = 0
    stage: int = _STAGES[None]
    build: int = 0


def boolean(text: str) -> bool:
    """`yes` and `true`, `no` and `false`. Raises PolicyError for anything else."""
    if text in ("true", "yes"):
        return True
    if text in ("false", "no"):
        return False
    raise PolicyError(f"{text!r} is neither yes nor no")


def integer(text: str) -> int:
    """A whole number in decimal digits. Raises PolicyError."""
    if not _INTEGER.fullmatch(text):
        raise PolicyError(f"{text!r} is not a whole number")
    return int(text)


def rate_bps(text: str) -> int:
    """A rate in bit/s: plain digits, or with k, M or G, which are decimal; `unlimited` is 0. Raises PolicyError."""
    if text == "unlimited":
        return 0
    match = _RATE.fullmatch(text)
    if match is None:
        raise PolicyError(f"{text!r} is not a rate such as 512k or 10M")
    bps = Decimal(f"{match[1]}.{match[2] or 0}") * _UNITS[(match[3] or "").replace("K", "k")]
    if bps != int(bps):
        raise PolicyError(f"the rate {text!r} is not a whole number of bit/s")
    return int(bps)


def pair(text: str) -> tuple[str, str]:
    """Upload and download of `upload/download`; one value counts for both, as in a queue. Raises PolicyError."""
    first, slash, second = text.partition("/")
    if "/" in second:
        raise PolicyError(f"{text!r} has more than an upload and a download")
    return first, second if slash else first


def rates_bps(text: str) -> tuple[int, int]:
    """Upload and download in bit/s. Raises PolicyError."""
    up, down = pair(text)
    return rate_bps(up), rate_bps(down)


def duration(text: str) -> timedelta:
    """A length of time in any dialect; `none`, `never` and "" are nothing. Raises PolicyError."""
    if text in _NEVER:
        return timedelta(0)
    match = _CLOCK.fullmatch(text)
    if match is not None:
        weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[:5])
        microseconds = int((match[6] or "").ljust(6, "0"))
        return timedelta(days, seconds, microseconds, minutes=minutes, hours=hours, weeks=weeks)
    if not _PARTS.fullmatch(text):
        raise PolicyError(f"{text!r} is not a length of time such as 1d2h or 00:05:00")
    total = sum(int(count) * _SIZES[unit] for count, unit in _PART.findall(text))
    try:
        return timedelta(microseconds=total)
    except OverflowError as error:
        raise PolicyError(f"{text!r} is longer than any length of time") from error


def duration_text(seconds: int) -> str:
    """Seconds as RouterOS writes them, such as `1d2h30m`; nothing is `0s`."""
    parts = []
    for unit in ("w", "d", "h", "m", "s"):
        size = _SIZES[unit] // 10**6
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def moment(text: str) -> datetime:
    """A date with or without time, as v6 (`nov/22/2026 10:00:00`) or v7 writes it, in the router's own time zone.

    Raises PolicyError.
    """
    match = _OLD_DATE.fullmatch(text)
    if match is not None and match[1].lower() in _MONTHS:
        month = _MONTHS.index(match[1].lower()) + 1
        text = f"{match[3]}-{month:02}-{match[2]}" + (f" {match[4]}" if match[4] else "")
    if not _NEW_DATE.fullmatch(text):
        raise PolicyError(f"{text!r} is not a date such as 2026-11-22 10:00:00")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise PolicyError(f"{text!r} is no date of any calendar") from error


def address(text: str) -> str:
    """An address, network or range in its one spelling: `10.0.0.1` is `10.0.0.1/32`. Raises PolicyError."""
    first, dash, last = text.partition("-")
    try:
        if dash:
            return f"{ipaddress.ip_address(first)}-{ipaddress.ip_address(last)}"
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError as error:
        raise PolicyError(f"{text!r} is not an address") from error


def host(text: str) -> str:
    """One address, which may carry /32 or /128; "" where it is 0.0.0.0, which means none. Raises PolicyError."""
    try:
        one = ipaddress.ip_interface(text)
    except ValueError as error:
        raise PolicyError(f"{text!r} is not an address") from error
    if one.network.num_addresses != 1:
        raise PolicyError(f"{text!r} is a network, not one address")
    return "" if one.ip.is_unspecified else str(one.ip)


def words(text: str) -> tuple[str, ...]:
    """The parts of a list with commas, in order, without blanks around them; "" has none."""
    parts = (part.strip() for part in text.split(","))
    return tuple(part for part in parts if part)


def version(text: str) -> Version:
    """A release such as `7.16.1 (stable)`, `6.49.10` or `7.17beta4`. Raises PolicyError."""
    match = _VERSION.fullmatch(text)
    if match is None:
        raise PolicyError(f"{text!r} is not a version of RouterOS such as 7.16.1")
    return Version(int(match[1]), int(match[2]), int(match[3] or 0), _STAGES[match[4]], int(match[5] or 0))


def canonical(kind: Kind, text: str) -> Hashable:
    """What a text means as this kind: equal for two texts that a router takes for the same.

    Never raises: a text that cannot be read as its kind is a text, equal to itself alone.
    """
    # Texts and secrets mean themselves, and have no place in a cache.
    return _canonical(kind, text) if kind in _READERS else text


@lru_cache(maxsize=4096)
def _canonical(kind: Kind, text: str) -> Hashable:
    try:
        return kind, _READERS[kind](text)
    except PolicyError:
        return text


def same(kind: Kind, one: str, other: str) -> bool:
    """Whether two texts are one value. A secret that is hidden on either side counts as the same."""
    if one == other or (kind == Kind.SECRET and HIDDEN in (one, other)):
        return True
    return canonical(kind, one) == canonical(kind, other)


def _rate_limit(text: str) -> Hashable:
    try:
        return rate_limit.canonical(text)
    except PolicyError:
        return tuple(text.split())


def _address_or_name(text: str) -> str:
    try:
        return address(text)
    except PolicyError:
        return text


def _mac(text: str) -> str:
    mac = canonical_mac(text)
    if not mac:
        raise PolicyError(f"{text!r} is not a MAC address")
    # All zeros stand for "any" where a device may be named but is not.
    return "" if mac == "00:00:00:00:00:00" else mac


def _both(reader: Callable[[str], Hashable]) -> Callable[[str], Hashable]:
    def read(text: str) -> Hashable:
        up, down = pair(text)
        return reader(up), reader(down)

    return read


_READERS: dict[Kind, Callable[[str], Hashable]] = {
    Kind.BOOLEAN: boolean,
    Kind.INTEGER: integer,
    Kind.RATE: rate_bps,
    Kind.RATES: rates_bps,
    Kind.RATE_LIMIT: _rate_limit,
    Kind.DURATION: duration,
    Kind.DURATIONS: _both(duration),
    # What is left of it runs down, so two are the same when both end or neither does.
    Kind.COUNTDOWN: lambda text: bool(duration(text)),
    Kind.INTEGERS: _both(integer),
    Kind.TEXTS: pair,
    Kind.HOST: lambda text: host(text) if text else "",
    Kind.ADDRESS: _address_or_name,
    Kind.ADDRESSES: lambda text: frozenset(_address_or_name(part) for part in words(text)),
    Kind.MAC: lambda text: _mac(text) if text else "",
    Kind.LIST: lambda text: frozenset(words(text)),
}
