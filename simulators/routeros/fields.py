"""Fields of a menu: what they take, how they are written back, what they say to a value that they cannot read."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from simulators.rate_limit import limits_bps
from simulators.routeros import traps

Version = tuple[int, ...]
Kind = Callable[[str, str], str]  # (argument, value as written) -> value as stored; raises TrapError

_RATE = re.compile(r"(\d+)([kMG]?)")
_FACTOR = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_CLOCK = re.compile(r"(?:(\d+)w)?\s?(?:(\d+)d)?\s?(?:(\d+):(\d\d):(\d\d))?")
_UNITS = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_SECONDS = (604_800, 86_400, 3_600, 60, 1)
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:[:-]?[0-9A-Fa-f]{2}){5}")
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One property of a menu's rows. A default of None means that print leaves it out until somebody sets it."""

    name: str
    kind: Kind
    default: str | None = None
    required: bool = False
    read_only: bool = False
    secret: bool = False  # shown only to groups with the policy "sensitive"
    hidden: bool = False  # never shown
    refers: str = ""  # the menu whose row this names
    refers_also: tuple[str, ...] = ()  # words that are allowed beside names
    means_unset: tuple[str, ...] = ()  # words that take the property away: print then leaves it out
    since: Version = ()
    until: Version = ()  # the first version without it

    def in_version(self, version: Version) -> bool:
        """Tell whether this release has it."""
        return self.since <= version and (not self.until or version < self.until)


def text(_: str, value: str) -> str:
    """Take any text."""
    return value


def flag(argument: str, value: str) -> str:
    """Yes and no, read back as true and false."""
    if value in {"yes", "true"}:
        return "true"
    if value in {"no", "false"}:
        return "false"
    raise traps.no_match(argument)


def choice(*words: str) -> Kind:
    """One of these words."""

    def read(argument: str, value: str) -> str:
        if value not in words:
            raise traps.no_match(argument)
        return value

    return read


def choices(*words: str) -> Kind:
    """Any of these words, separated by commas; `!` before one takes it out."""

    def read(argument: str, value: str) -> str:
        if any(part.removeprefix("!") not in words for part in value.split(",") if part):
            raise traps.no_match(argument)
        return value

    return read


def number(low: int = 0, high: int = 0xFFFFFFFF) -> Kind:
    """A whole number between two others."""

    def read(argument: str, value: str) -> str:
        if not value.isdecimal():
            raise traps.invalid(argument)
        if not low <= int(value) <= high:
            raise traps.out_of_range(argument, low, high)
        return str(int(value))

    return read


def rate(argument: str, value: str) -> str:
    """Bits a second with k, M or G, read back as plain digits."""
    match = _RATE.fullmatch(value)
    if match is None:
        raise traps.invalid(argument)
    return str(int(match[1]) * _FACTOR[match[2]])


def pair(kind: Kind) -> Kind:
    """Upload and download; one value means both."""

    def read(argument: str, value: str) -> str:
        parts = value.split("/")
        if len(parts) > 2:
            raise traps.invalid(argument)
        up, down = kind(argument, parts[0]), kind(argument, parts[-1])
        return f"{up}/{down}"

    return read


def seconds_of(value: str) -> int | None:
    """Return the seconds of `1d2h`, `1d 02:00:00`, `02:00:00` or `7200`; None for what is no time."""
    for pattern in (_UNITS, _CLOCK):
        match = pattern.fullmatch(value)
        if match is not None and value.strip():
            return sum(int(part or 0) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True))
    return None


def time_text(seconds: float) -> str:
    """Write seconds as releases since 6 do: `1w2d3h4m5s`."""
    rest, parts = int(seconds), []
    for unit, letter in zip(_SECONDS, "wdhms", strict=True):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts) or "0s"


def time(*words: str) -> Kind:
    """A span of time, or one of these words."""

    def read(argument: str, value: str) -> str:
        if value in words:
            return value
        seconds = seconds_of(value)
        if seconds is None:
            raise traps.TrapError(f"invalid time value for argument {argument}", traps.ARGUMENT)
        return time_text(seconds)

    return read


def address(argument: str, value: str) -> str:
    """One IPv4 address."""
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError as error:
        raise traps.invalid(argument) from error


def addresses(argument: str, value: str) -> str:
    """An IPv4 address, network or range as firewall rules take them; a network of one address is the address."""
    if "-" in value:
        first, _, last = value.partition("-")
        return f"{address(argument, first)}-{address(argument, last)}"
    try:
        network = ipaddress.IPv4Network(value, strict=False)
    except ValueError as error:
        raise traps.invalid(argument) from error
    return str(network.network_address) if network.prefixlen == 32 else str(network)


def negatable(kind: Kind) -> Kind:
    """The same with `!` before it, which means everything else."""

    def read(argument: str, value: str) -> str:
        return "!" + kind(argument, value[1:]) if value.startswith("!") else kind(argument, value)

    return read


def list_address(argument: str, value: str) -> str:
    """What an address list holds: an address, a network, a range or a DNS name."""
    return value if _HOST.fullmatch(value) else addresses(argument, value)


def ranges(argument: str, value: str) -> str:
    """Addresses of a pool: ranges, networks and single addresses, separated by commas."""
    return ",".join(addresses(argument, part) for part in value.split(","))


def networks(argument: str, value: str) -> str:
    """Networks separated by commas, or nothing; single addresses are written with /32."""
    try:
        return ",".join(str(ipaddress.IPv4Network(part, strict=False)) for part in value.split(",") if part)
    except ValueError as error:
        raise traps.invalid(argument) from error


def ports(argument: str, value: str) -> str:
    """Ports and ranges of ports, separated by commas."""
    for part in value.split(","):
        first, _, last = part.partition("-")
        for end in (first, last or first):
            number(0, 65_535)(argument, end)
    return value


def rate_limit(argument: str, value: str) -> str:
    """What Mikrotik-Rate-Limit takes, kept as it was written."""
    if value:
        try:
            limits_bps(value)
        except ValueError as error:
            raise traps.invalid(argument) from error
    return value


def target(argument: str, value: str) -> str:
    """What a simple queue is for: networks and interfaces, separated by commas."""
    found = []
    for part in value.split(","):
        try:
            found.append(str(ipaddress.IPv4Network(part, strict=False)))
        except ValueError:
            if not part or part[0].isdigit():
                raise traps.invalid(argument) from None
            found.append(part)
    return ",".join(found)


def mac(argument: str, value: str) -> str:
    """A MAC address, written back in upper case with colons."""
    if not _MAC.fullmatch(value):
        raise traps.TrapError(f"invalid value of {argument}, mac address required", traps.ARGUMENT)
    digits = re.sub("[:-]", "", value).upper()
    return ":".join(digits[place : place + 2] for place in range(0, 12, 2))


def or_empty(kind: Kind) -> Kind:
    """The same, or nothing at all."""

    def read(argument: str, value: str) -> str:
        return kind(argument, value) if value else ""

    return read
