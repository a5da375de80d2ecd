"""The audit chain: which bytes of an event are hashed, and how each hash covers the one before.

A hash is `<version>-<64 hex digits>`. Version 1 is SHA-256 over the line `ispagents audit 1`, the line of the hash
before, and the event as canonical JSON in UTF-8: keys in the order of their code points, no blanks, numbers digit by
digit as they are stored, and in text only the quote, the backslash and letters below U+0020 escaped. The hash before
the first event is `genesis`. So anybody can check an export with a few lines of their own.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from policy.errors import PolicyError

VERSION = 1
# Data that is nested deeper is hashed as the text that it is: no reader of JSON may give up on an event, or one event
# would keep all later ones from being sealed. Python's reader gives up at about 1,000, less what stands above it.
NESTED_MAXIMUM = 200
NUMBER_MAXIMUM = 2**63 - 1

_HASH = re.compile(r"1-[0-9a-f]{64}")
_ANY_HASH = re.compile(r"[0-9]{1,4}-[0-9a-f]{16,256}")
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]')
_text = json.JSONEncoder(ensure_ascii=False).encode


class Event(NamedTuple):
    """An audit event as it is stored, every column of it.

    `at` is UTC as `2026-11-22T10:20:30.123456Z`, `data` the text of a JSON object, `revision` the number of the
    transaction that wrote it.
    """

    id: int
    operator_id: int
    at: str
    actor: str
    event: str
    service_id: int | None
    subscriber_id: int | None
    data: str
    revision: str


class Anchor(NamedTuple):
    """A chain's end at a moment, kept where nobody who rewrites the database can rewrite it too."""

    at: str
    operator_id: int
    number: int
    hash: str


class _Digits(str):
    """A number as it was written: no float may round away what somebody altered in the 17th digit."""

    __slots__ = ()


def genesis(operator_id: int) -> str:
    """What the first hash of an operator's chain covers as the hash before."""
    return _hashed(f"genesis of operator {operator_id}")


def chain_hash(before: str, event: Event) -> str:
    """The hash of an event that stands after the hash `before`."""
    return _hashed(f"{before}\n{canonical(event)}")


def is_known(value: str) -> bool:
    """Whether a hash is of a version that this code can compute again."""
    return _HASH.fullmatch(value) is not None


def canonical(event: Event) -> str:
    """An event as canonical JSON. Data that is nested too deep for readers stands in `data_text`, as text."""
    document: dict[str, Any] = event._asdict()
    if is_deep(event.data):
        document["data_text"] = document.pop("data")
    else:
        document["data"] = _read(event.data)
    return _written(document)


def canonical_json(text: str) -> str:
    """Any JSON text in its canonical form. Raises PolicyError for what is no JSON."""
    return _written(_read(text))


def is_deep(text: str) -> bool:
    """Whether JSON is nested deeper than NESTED_MAXIMUM."""
    if text.count("[") + text.count("{") <= NESTED_MAXIMUM:
        return False
    depth = deepest = 0
    for part in _TOKENS.findall(text):
        depth += (part in "[{") - (part in "]}")
        deepest = max(deepest, depth)
    return deepest > NESTED_MAXIMUM


def exported(number: int, before: str, seal: str, event: Event) -> str:
    """A sealed event as one line of an export: its place, the hash before, its own hash, and what was hashed."""
    return f'{{"number":{number},"before":{_text(before)},"hash":{_text(seal)},"event":{canonical(event)}}}'


def exported_unsealed(event: Event) -> str:
    """An event that waits for its seal, as one line of an export."""
    return f'{{"number":null,"before":null,"hash":null,"event":{canonical(event)}}}'


def anchor(now: datetime, operator_id: int, number: int, seal: str) -> Anchor:
    """The anchor of a chain that ends now at this number, with this hash."""
    return Anchor(now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), operator_id, number, seal)


def anchor_line(one: Anchor) -> str:
    """An anchor as one line of JSON."""
    return _written(one._asdict())


def read_anchor(line: str) -> Anchor:
    """An anchor from its line. Raises PolicyError."""
    document = _parsed(line, int)
    if not isinstance(document, dict) or set(document) != set(Anchor._fields):
        raise PolicyError(f"an anchor is a JSON object with {', '.join(Anchor._fields)}")
    found = Anchor(**document)
    if not (isinstance(found.at, str) and isinstance(found.hash, str) and _ANY_HASH.fullmatch(found.hash)):
        raise PolicyError("an anchor has a time, and a hash such as 1-0123abcd")
    for name, value in (("operator_id", found.operator_id), ("number", found.number)):
        if type(value) is not int or not 0 < value <= NUMBER_MAXIMUM:
            raise PolicyError(f"{name} of an anchor is a whole number above zero")
    return found


def _hashed(text: str) -> str:
    covered = f"ispagents audit {VERSION}\n{text}"
    return f"{VERSION}-{sha256(covered.encode()).hexdigest()}"


def _read(text: str) -> Any:
    return _parsed(text, _Digits)


def _parsed(text: str, number: type) -> Any:
    try:
        return json.loads(text, parse_int=number, parse_float=_Digits, parse_constant=_refused)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"this is not JSON: {error}") from error


def _refused(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join([f"{_text(key)}:{_written(value[key])}" for key in sorted(value)]) + "}"
    if isinstance(value, list):
        return "[" + ",".join([_written(part) for part in value]) + "]"
    return value if isinstance(value, _Digits) else _text(value)
