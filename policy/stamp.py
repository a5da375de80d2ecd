"""The stamp of an access, and the Class that carries it through a session.

A stamp is `<format>-<16 hex digits>`: a hash of what the network applies, without what runs down by itself
(remaining time and bytes), without the reason and without per-login values. Two accesses with one stamp are the same
to the network. The format's number is part of the text, so a new format alone is never taken for drift.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from policy.access import Access

FORMAT = 1
CLASS_MAXIMUM_BYTES = 253  # RFC 2865 section 5.25
# FreeRADIUS takes `ai:` and 32 hex digits in Class as the unique session id (raddb/policy.d/accounting).
_CLASS = re.compile(r"ai:([0-9a-f]{32}):(0|[1-9][0-9]{0,18}):([0-9]+-[0-9a-f]{16})")


class SessionClass(NamedTuple):
    """What Class says of a session: the login that opened it, its service (0: none) and the stamp it was given."""

    login_id: str
    service_id: int
    stamp: str


# Made once: `json.dumps` makes a new encoder for every text, which costs more than the text.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@lru_cache(maxsize=4096)
def _hash(parts: tuple[object, ...]) -> str:
    return f"{FORMAT}-{blake2b(_encode(parts).encode(), digest_size=8).hexdigest()}"


def stamp(access: Access) -> str:
    """The stamp of an access; equal for accesses that the network cannot tell apart."""
    # access[2:17] is rate_limit to plan_session_timeout_s; a test holds this against the field names.
    return _hash((access.kind.value, *access[2:17]))


def parts_of_stamp(access: Access) -> tuple[str, str]:
    """What is hashed before and after the address, for the many accesses that differ in nothing else."""
    return _encode((access.kind.value, *access[2:5]))[:-1] + ",", "," + _encode(access[6:17])[1:]


@lru_cache(maxsize=4096)
def stamp_with_address(parts: tuple[str, str], address: str) -> str:
    """The stamp of the access that `parts_of_stamp` was given, with this address instead of its own."""
    before, after = parts
    return f"{FORMAT}-{blake2b(f'{before}{_encode(address)}{after}'.encode(), digest_size=8).hexdigest()}"


def same_format(one: str, other: str) -> bool:
    """Whether two stamps can be compared at all."""
    return one.partition("-")[0] == other.partition("-")[0]


def class_of(login_id: str, service_id: int, access_stamp: str) -> str:
    """The text of Class for a login; `login_id` is 32 hex digits."""
    return f"ai:{login_id}:{service_id}:{access_stamp}"


def read_class(text: str) -> SessionClass | None:
    """What one of our own Class values says, or None for a foreign one."""
    match = _CLASS.fullmatch(text)
    return SessionClass(match[1], int(match[2]), match[3]) if match else None
