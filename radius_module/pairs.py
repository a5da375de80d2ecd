"""Attributes on their way to FreeRADIUS: validated and escaped.

FreeRADIUS 3.2.1 to 3.2.8 sends a value it cannot parse as zero (an address of 0.0.0.0, a timeout of 0), so nothing
leaves here that it could not parse. String values are read as double-quoted text, so backslashes are doubled.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache

Pair = tuple[str, str, str]

STRING_MAXIMUM_BYTES = 253  # RFC 2865 section 5
VENDOR = "Mikrotik-"
VENDOR_STRING_MAXIMUM_BYTES = 247  # RFC 2865 section 5.26: six bytes more; the server cuts off the rest in silence
INTEGER_MAXIMUM = 2**32 - 1

# Plain `str` in exact tuples: rlm_python3 drops lists and refuses subclasses.
ADD = "+="


class UnfitValue(Exception):  # noqa: N818 - reads as what happened
    """A value that the server would misread. The login is not answered; the log names the attribute."""


def escaped(text: str) -> str:
    """`text` as the inside of a double-quoted FreeRADIUS string."""
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text


@lru_cache(maxsize=8192)
def checked(name: str, value: str) -> Pair:
    """One attribute, added beside others of its name. Raises UnfitValue."""
    check = _CHECKS.get(name) or (_vendor_string if name.startswith(VENDOR) else _string)
    try:
        return (name, ADD, check(value))
    except ValueError as error:
        raise UnfitValue(f"{name} cannot be {value!r}: {error}") from error


def _string(value: str) -> str:
    if not 1 <= len(value.encode()) <= STRING_MAXIMUM_BYTES:
        raise ValueError(f"a string has 1 to {STRING_MAXIMUM_BYTES} bytes")
    if "\0" in value:
        raise ValueError("a string holds no zero byte")
    return escaped(value)


def _vendor_string(value: str) -> str:
    if len(value.encode()) > VENDOR_STRING_MAXIMUM_BYTES:
        raise ValueError(f"a string of a vendor has 1 to {VENDOR_STRING_MAXIMUM_BYTES} bytes")
    return _string(value)


def _integer(value: str) -> str:
    if not (value.isascii() and value.isdigit()) or int(value) > INTEGER_MAXIMUM:
        raise ValueError(f"an integer is a whole number up to {INTEGER_MAXIMUM}")
    return value


def _address(value: str) -> str:
    return str(ipaddress.IPv4Address(value))


def _ipv6_prefix(value: str) -> str:
    return str(ipaddress.IPv6Network(value))


_CHECKS: dict[str, Callable[[str], str]] = {
    "Framed-IP-Address": _address,
    "Framed-IPv6-Prefix": _ipv6_prefix,
    "Delegated-IPv6-Prefix": _ipv6_prefix,
    "Session-Timeout": _integer,
    "Idle-Timeout": _integer,
    "Acct-Interim-Interval": _integer,
    "Port-Limit": _integer,
    "Mikrotik-Total-Limit": _integer,
    "Mikrotik-Total-Limit-Gigawords": _integer,
}
