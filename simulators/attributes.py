"""RADIUS attributes: names and text to bytes and back, through pyrad's dictionary but without its slow packets.

A key is the attribute number, or vendor number times 256 plus the attribute number, so that one integer names
either. Text keeps bytes that are not UTF-8 (surrogateescape), and octets are written as ``0x`` and hex digits.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrad.dictionary import Dictionary

DICTIONARY_FILE = Path(__file__).with_name("dictionary")
VENDOR_SPECIFIC = 26  # RFC 2865 section 5.26
VALUE_BYTES_MAX = 253  # RFC 2865 section 5: one length octet, two bytes of header
VENDOR_VALUE_BYTES_MAX = 247  # RFC 2865 section 5.26: six bytes more

Value = str | int | bytes
Pair = tuple[str, Value]


class MalformedPacketError(ValueError):
    """The bytes are no RADIUS packet: a length does not fit. Trying again cannot help."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One line of the dictionary."""

    name: str
    key: int
    kind: str
    names_to_numbers: dict[str, int] = field(default_factory=dict)
    numbers_to_names: dict[int, str] = field(default_factory=dict)


def _load(path: Path) -> dict[str, Attribute]:
    source: Any = Dictionary(str(path))
    found = {}
    for name, entry in source.attributes.items():
        vendor = source.vendors.GetForward(entry.vendor) if entry.vendor else 0
        names = {text: int.from_bytes(number, "big") for text, number in entry.values.forward.items()}
        numbers = {number: text for text, number in names.items()}
        found[name] = Attribute(name, vendor << 8 | entry.code, entry.type, names, numbers)
    return found


BY_NAME = _load(DICTIONARY_FILE)
BY_KEY = {attribute.key: attribute for attribute in BY_NAME.values()}


def key_of(name: str) -> int:
    """Return the key of a named attribute; raises KeyError for a name the dictionary lacks."""
    return BY_NAME[name].key


def _text_to_bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _octets_to_bytes(value: Value) -> bytes:
    if isinstance(value, str) and value.startswith("0x"):
        return bytes.fromhex(value[2:])
    return _text_to_bytes(value)


def _prefix_to_bytes(value: Value) -> bytes:
    network = ipaddress.IPv6Network(str(value))
    return bytes((0, network.prefixlen)) + network.network_address.packed


def _prefix_to_text(value: bytes) -> str:
    return f"{ipaddress.IPv6Address(value[2:].ljust(16, bytes(1)))}/{value[1]}"


def _ifid_to_bytes(value: Value) -> bytes:
    return b"".join(int(part, 16).to_bytes(2, "big") for part in str(value).split(":"))


_TO_BYTES: dict[str, Callable[[Value], bytes]] = {
    "string": _text_to_bytes,
    "octets": _octets_to_bytes,
    "ipaddr": lambda value: ipaddress.IPv4Address(value).packed,
    "ipv6addr": lambda value: ipaddress.IPv6Address(value).packed,
    "ipv6prefix": _prefix_to_bytes,
    "ifid": _ifid_to_bytes,
    "integer": lambda value: struct.pack("!I", int(value)),
    "date": lambda value: struct.pack("!I", int(value)),
}
_FIXED_BYTES = {"ipaddr": 4, "ipv6addr": 16, "ifid": 8, "integer": 4, "date": 4}
_TO_TEXT: dict[str, Callable[[bytes], str]] = {
    "string": lambda value: value.decode("utf-8", "surrogateescape"),
    "octets": lambda value: "0x" + value.hex(),
    "ipaddr": lambda value: "{}.{}.{}.{}".format(*value),
    "ipv6addr": lambda value: str(ipaddress.IPv6Address(value)),
    "ipv6prefix": _prefix_to_text,
    "ifid": lambda value: ":".join(value[start : start + 2].hex() for start in (0, 2, 4, 6)),
    "integer": lambda value: str(int.from_bytes(value, "big")),
    "date": lambda value: str(int.from_bytes(value, "big")),
}


def encode(name: str, value: Value) -> bytes:
    """Return one attribute's bytes; raises KeyError for an unknown name and ValueError for a value that cannot be."""
    attribute = BY_NAME[name]
    if isinstance(value, str) and value in attribute.names_to_numbers:
        value = attribute.names_to_numbers[value]
    try:
        raw = value if isinstance(value, bytes) else _TO_BYTES[attribute.kind](value)
    except (ValueError, struct.error) as error:
        raise ValueError(f"{name} cannot be {value!r}: it is of type {attribute.kind}") from error
    return wrap(attribute.key, raw)


def wrap(key: int, raw: bytes) -> bytes:
    """Put the header of RFC 2865 section 5 (and 5.26 for a vendor) before a value; ValueError when it is too long."""
    if key < 256:
        if len(raw) > VALUE_BYTES_MAX:
            raise ValueError(f"attribute {key} is {len(raw)} bytes long, at most {VALUE_BYTES_MAX} fit")
        return bytes((key, len(raw) + 2)) + raw
    if len(raw) > VENDOR_VALUE_BYTES_MAX:
        raise ValueError(f"attribute {key_name(key)} is {len(raw)} bytes, at most {VENDOR_VALUE_BYTES_MAX} fit")
    return struct.pack("!BBIBB", VENDOR_SPECIFIC, len(raw) + 8, key >> 8, key & 0xFF, len(raw) + 2) + raw


def encode_all(pairs: Iterable[Pair]) -> bytes:
    """Return the bytes of several attributes, in order."""
    return b"".join(encode(name, value) for name, value in pairs)


def split(packet: bytes, start: int = 20) -> list[tuple[int, bytes]]:
    """Return (key, raw value) for each attribute of a packet, vendor attributes unpacked.

    Raises MalformedPacketError when a length points outside (RFC 2865 section 5). A Vendor-Specific attribute that
    does not follow the recommended layout is kept whole under key 26.
    """
    pairs: list[tuple[int, bytes]] = []
    position, end = start, len(packet)
    while position < end:
        if position + 2 > end:
            raise MalformedPacketError("a lone byte stands after the last attribute")
        stop = position + packet[position + 1]
        if stop < position + 2 or stop > end:
            raise MalformedPacketError(f"the length of attribute {packet[position]} points outside the packet")
        if packet[position] == VENDOR_SPECIFIC:
            pairs += _split_vendor(packet[position + 2 : stop])
        else:
            pairs.append((packet[position], packet[position + 2 : stop]))
        position = stop
    return pairs


def _split_vendor(value: bytes) -> list[tuple[int, bytes]]:
    if len(value) < 6:
        return [(VENDOR_SPECIFIC, value)]
    vendor = int.from_bytes(value[:4], "big") << 8
    pairs = []
    position = 4
    while position < len(value):
        stop = position + (value[position + 1] if position + 1 < len(value) else 0)
        if stop < position + 2 or stop > len(value):
            return [(VENDOR_SPECIFIC, value)]
        pairs.append((vendor | value[position], value[position + 2 : stop]))
        position = stop
    return pairs


def key_name(key: int) -> str:
    """Return the attribute's name, or one made of its numbers."""
    attribute = BY_KEY.get(key)
    if attribute is not None:
        return attribute.name
    return f"Attr-{key}" if key < 256 else f"Attr-26.{key >> 8}.{key & 0xFF}"


def to_text(key: int, raw: bytes) -> str:
    """Return the value as text: a named number by its name, anything that does not fit its type as hex."""
    attribute = BY_KEY.get(key)
    if attribute is None:
        return "0x" + raw.hex()
    if not _fits(attribute.kind, raw):
        return "0x" + raw.hex()
    if attribute.numbers_to_names:
        named = attribute.numbers_to_names.get(int.from_bytes(raw, "big"))
        if named is not None:
            return named
    return _TO_TEXT[attribute.kind](raw)


def _fits(kind: str, raw: bytes) -> bool:
    if kind == "ipv6prefix":
        return 2 <= len(raw) <= 18 and raw[1] <= 128
    return len(raw) == _FIXED_BYTES.get(kind, len(raw))


def is_valid(key: int, raw: bytes) -> bool:
    """Tell whether the value has the length that its type asks for."""
    attribute = BY_KEY.get(key)
    return attribute is None or _fits(attribute.kind, raw)


def describe(pairs: Iterable[tuple[int, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return (name, text) for each raw pair, in order."""
    return tuple((key_name(key), to_text(key, raw)) for key, raw in pairs)
