"""One attribute between text and its bytes, by the dictionary in `dictionary/`; pure apart from reading that once.

Values are text everywhere, and each type has one spelling:

    string      UTF-8; bytes that are not UTF-8 travel as surrogate escapes, so a received value goes back unchanged
    octets      `0x` and an even number of hex digits are bytes, anything else is its UTF-8
    integer     ASCII digits, 0..4294967295, or a name that the dictionary gives to the value
    date        ASCII digits: seconds since 1970-01-01T00:00:00Z
    addresses   as `ipaddress` reads them; prefixes with `/length` and no host bits
"""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

from pyrad import tools
from pyrad.dictionary import Dictionary

from network.coa.errors import InvalidAttributeError

VENDOR_SPECIFIC: Final = 26
MESSAGE_AUTHENTICATOR: Final = 80
MAX_VALUE_BYTES: Final = 253  # RFC 2865 section 5: one length octet that also counts type and length
MAX_VENDOR_VALUE_BYTES: Final = 247  # RFC 2865 section 5.26: four octets of vendor and two of its own header
MAX_INTEGER: Final = 0xFFFFFFFF
SHOWN_VALUE_CHARACTERS: Final = 60  # an error message quotes this much of a bad value
CACHED_ATTRIBUTES: Final = 8192  # one run repeats its rates and routers; about 2 MiB when full
HIDDEN: Final = "(hidden)"
# Values that may be shown to nobody: passwords and keys, encrypted on the wire or not.
SECRET_NAMES: Final = frozenset(
    {
        "User-Password",
        "CHAP-Password",
        "Mikrotik-Wireless-Enc-Key",
        "Mikrotik-Wireless-PSK",
        "Mikrotik-Wireless-MPKey",
    }
)

_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})+")
_INTERFACE_ID: Final = re.compile(r"[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){3}")


@dataclass(frozen=True, slots=True)
class Definition:
    """One dictionary entry. `vendor` 0 is a standard attribute; `names` and `numbers` are its named values."""

    name: str
    vendor: int
    code: int
    kind: str
    encrypted: bool
    names: dict[int, str]
    numbers: dict[str, int]


@cache
def definitions() -> dict[str, Definition]:
    """Every attribute this connector knows, by name; read once from the package's own files."""
    source = Dictionary(str(Path(__file__).with_name("dictionary") / "dictionary"))
    found: dict[str, Definition] = {}
    for name, entry in source.attributes.items():
        vendor = source.vendors.GetForward(entry.vendor) if entry.vendor else 0
        numbers = {}
        for label in entry.values.forward:
            numbers[label] = int.from_bytes(entry.values.GetForward(label), "big")
        names = {number: label for label, number in numbers.items()}
        found[name] = Definition(name, vendor, entry.code, entry.type, bool(entry.encrypt), names, numbers)
    return found


@cache
def by_number() -> dict[tuple[int, int], Definition]:
    """The same, by (vendor, code)."""
    return {(entry.vendor, entry.code): entry for entry in definitions().values()}


@lru_cache(maxsize=CACHED_ATTRIBUTES)
def encode_attribute(name: str, value: str) -> bytes:
    """The wire bytes of one attribute, header included.

    Raises InvalidAttributeError naming the attribute and what would be right.
    """
    entry = definitions().get(name)
    if entry is None:
        raise InvalidAttributeError(
            f"{name!r} is not an attribute of this connector; use a name from network/coa/dictionary, "
            "spelled exactly, or add it there."
        )
    if entry.encrypted or name in SECRET_NAMES:
        raise InvalidAttributeError(f"{name} carries a secret and is never sent in a CoA; leave it out.")
    if entry.code == MESSAGE_AUTHENTICATOR and not entry.vendor:
        raise InvalidAttributeError("Message-Authenticator is computed when a packet is built; leave it out.")
    if not isinstance(value, str):
        raise InvalidAttributeError(f"{name} needs text, not {type(value).__name__}; pass its value as a string.")
    try:
        data = _encode_value(entry, value)
    except ValueError as error:
        shown = value if len(value) <= SHOWN_VALUE_CHARACTERS else value[:SHOWN_VALUE_CHARACTERS] + "..."
        raise InvalidAttributeError(f"{name} cannot be {shown!r}: {error}") from None
    return _frame(entry, data)


def decode_attribute(code: int, data: bytes) -> tuple[tuple[str, str], ...]:
    """The (name, value) pairs of one received attribute; a vendor attribute may hold several.

    Never raises: what is unknown or does not fit its type is given as `Attr-25` or `Attr-26.9.1` and `0x...`.
    """
    if code != VENDOR_SPECIFIC:
        return (_decode_value(by_number().get((0, code)), f"Attr-{code}", data),)
    if len(data) < 6 or data[0]:
        return (("Attr-26", _hexadecimal(data)),)
    vendor = int.from_bytes(data[:4], "big")
    pairs: list[tuple[str, str]] = []
    position = 4
    while position < len(data):
        length = data[position + 1] if position + 1 < len(data) else 0
        if length < 2 or position + length > len(data):
            # Not the recommended layout of RFC 2865 section 5.26, so the vendor's bytes stay whole.
            return ((f"Attr-26.{vendor}", _hexadecimal(data[4:])),)
        number = data[position]
        part = data[position + 2 : position + length]
        pairs.append(_decode_value(by_number().get((vendor, number)), f"Attr-26.{vendor}.{number}", part))
        position += length
    return tuple(pairs)


def _frame(entry: Definition, data: bytes) -> bytes:
    limit = MAX_VENDOR_VALUE_BYTES if entry.vendor else MAX_VALUE_BYTES
    if not data:
        raise InvalidAttributeError(f"{entry.name} is empty, which RFC 2865 section 5 forbids; leave it out.")
    if len(data) > limit:
        raise InvalidAttributeError(f"{entry.name} has {len(data)} bytes and at most {limit} fit; shorten it.")
    if entry.vendor:
        return struct.pack("!BBIBB", VENDOR_SPECIFIC, len(data) + 8, entry.vendor, entry.code, len(data) + 2) + data
    return bytes((entry.code, len(data) + 2)) + data


def _encode_value(entry: Definition, value: str) -> bytes:
    """The value's bytes; raises ValueError with the part of a sentence that follows a colon."""
    match entry.kind:
        case "string":
            return _encode_text(value)
        case "octets":
            return bytes.fromhex(value[2:]) if _HEX.fullmatch(value) else _encode_text(value)
        case "integer" | "date":
            return _encode_integer(entry, value)
        case "ipaddr":
            return _encode_address(value)
        case "ipv6addr":
            return _encode_ipv6_address(value)
        case "ipv6prefix":
            return _encode_ipv6_prefix(value)
        case "ifid":
            if not _INTERFACE_ID.fullmatch(value):
                raise ValueError("an interface id is four groups of hex digits, such as 211:22ff:fe33:4455.")
            return bytes(tools.EncodeIfId(value))
        case _:  # pragma: no cover - a test encodes every type in the dictionary
            raise ValueError(f"type {entry.kind} cannot be sent.")


def _encode_text(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate); write it again.") from None


def _encode_integer(entry: Definition, value: str) -> bytes:
    number = entry.numbers.get(value)
    if number is None:
        if not _DIGITS.fullmatch(value):
            choice = f" or one of {', '.join(entry.numbers)}" if entry.numbers else ""
            raise ValueError(f"it must be digits, 0 to {MAX_INTEGER}{choice}.")
        number = int(value)
        if number > MAX_INTEGER:
            raise ValueError(f"the largest is {MAX_INTEGER}; byte limits go on in the Gigawords attribute.")
    return number.to_bytes(4, "big")


def _encode_address(value: str) -> bytes:
    try:
        # Ten times as fast as ipaddress, as strict: four decimal numbers and no leading zeros.
        return socket.inet_pton(socket.AF_INET, value)
    except (OSError, ValueError):
        raise ValueError("it must be an IPv4 address, such as 192.0.2.1.") from None


def _encode_ipv6_address(value: str) -> bytes:
    try:
        address = IPv6Address(value)
    except ValueError:
        address = None
    if address is None or address.scope_id is not None:
        raise ValueError("it must be an IPv6 address without a zone, such as 2001:db8::1.")
    return address.packed


def _encode_ipv6_prefix(value: str) -> bytes:
    try:
        network = IPv6Network(value)
    except ValueError:
        network = None
    if network is None or "/" not in value or "%" in value:
        raise ValueError("it must be an IPv6 prefix with a length and no host bits, such as 2001:db8::/56.")
    return bytes(tools.EncodeIPv6Prefix(network))


def _decode_value(entry: Definition | None, unknown_name: str, data: bytes) -> tuple[str, str]:
    if entry is None:
        return unknown_name, _hexadecimal(data)
    if entry.encrypted or entry.name in SECRET_NAMES:
        return entry.name, HIDDEN
    match entry.kind:
        case "string":
            return entry.name, data.decode("utf-8", "surrogateescape")
        case "octets":
            return entry.name, _hexadecimal(data)
        case "integer" | "date" if len(data) == 4:
            number = int.from_bytes(data, "big")
            return entry.name, entry.names.get(number) or str(number)
        case "ipaddr" | "ipv6addr" | "ipv6prefix" | "ifid":
            try:
                return entry.name, str(tools.DecodeAttr(entry.kind, data))
            except ValueError:
                return entry.name, _hexadecimal(data)
        case _:
            return entry.name, _hexadecimal(data)


def _hexadecimal(data: bytes) -> str:
    return "0x" + data.hex()
