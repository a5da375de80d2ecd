"""What the replica's table holds, as bytes: services by operator and name, routers by address, plans, operators.

Shared with `edge`, which alone writes it. `POINTER` names the current generation.
"""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from policy.facts import Bindings, Method, ServiceFacts
from policy.standing import Standing

POINTER = "current"

# A service's flags: method, standing, and what else is there.
METHODS = (Method.PPPOE, Method.HOTSPOT, Method.DHCP, Method.STATIC)
STANDINGS = tuple(Standing)
STANDING_SHIFT = 2
METHOD_MASK, STANDING_MASK = 3, 7
HAS_PASSWORD, HAS_PREPAID, HAS_SPECIAL = 32, 64, 128
# Flags and plan version: with the login's own method this is all that most answers depend on.
KIND = struct.Struct("=BI")
KIND_BYTES = KIND.size
# What a service may have of its own beside its password.
HAS_OWN = HAS_PREPAID | HAS_SPECIAL
PREPAID = struct.Struct("=d")
LENGTH = struct.Struct("=H")
# What `_special` writes of a service that is bound to a device and has nothing else.
_BOUND_TO = b"\0\0\x001\0%s\x000\0\0"
# What `_special` writes behind an address that is all there is.
_NOTHING_ELSE = b"\0" * 7


class ServiceRow(NamedTuple):
    """A service as edge writes it. `password` None: the service logs in by its MAC.

    `usage` is the text of its state of usage (`policy.quota.read_state_text`), "" for the many that have none.
    """

    operator_id: int
    username: str
    password: str | None
    facts: ServiceFacts
    bindings: Bindings = Bindings()
    usage: str = ""


class RouterRow(NamedTuple):
    """A router as FreeRADIUS's client."""

    router_id: int
    operator_id: int
    name: str
    secret: str
    require_message_authenticator: bool

    def __repr__(self) -> str:
        """Never shows the secret."""
        return f"RouterRow(router_id={self.router_id}, name={self.name!r})"


def services_of(operator_id: int) -> bytes:
    """What the keys of an operator's services begin with; the user name follows."""
    return b"s%d:" % operator_id


def service_key(operator_id: int, username: str) -> bytes:
    """The key of a service."""
    return services_of(operator_id) + username.encode()


def router_key(address: str) -> bytes:
    """The key of a router."""
    return b"r" + address.encode()


def plan_key(plan_version_id: int) -> bytes:
    """The key of a plan version."""
    return b"p%d" % plan_version_id


def operator_key(operator_id: int) -> bytes:
    """The key of an operator."""
    return b"o%d" % operator_id


def service_value(row: ServiceRow) -> bytes:
    """A service's record; its id stands beside it. Raises ValueError or struct.error for what does not fit in."""
    facts = row.facts
    flags = METHODS.index(facts.method) | STANDINGS.index(facts.standing) << STANDING_SHIFT
    parts = []
    if facts.prepaid_until is not None:
        flags |= HAS_PREPAID
        parts.append(PREPAID.pack(facts.prepaid_until.timestamp()))
    special = _special(facts, row.bindings, row.usage)
    if special:
        flags |= HAS_SPECIAL
        parts += [LENGTH.pack(len(special)), special]
    if row.password is not None:
        flags |= HAS_PASSWORD
        parts.append(row.password.encode())
    return KIND.pack(flags, facts.plan_version_id) + b"".join(parts)


def read_service(service_id: int, value: bytes) -> tuple[ServiceFacts, str | None, Bindings, str]:
    """Facts, password, bindings and usage in a service's record. Raises ValueError or struct.error for damaged ones."""
    flags, plan_version_id = KIND.unpack_from(value)
    at = KIND_BYTES
    prepaid, special, password = None, "", None
    if flags & HAS_PREPAID:
        prepaid = datetime.fromtimestamp(PREPAID.unpack_from(value, at)[0], UTC)
        at += PREPAID.size
    if flags & HAS_SPECIAL:
        (size,) = LENGTH.unpack_from(value, at)
        at += LENGTH.size
        special = value[at : at + size].decode()
        at += size
    if flags & HAS_PASSWORD:
        password = value[at:].decode()
    method, standing = METHODS[flags & METHOD_MASK], STANDINGS[flags >> STANDING_SHIFT & STANDING_MASK]
    known = (service_id, method, standing, plan_version_id, prepaid)
    if not flags & HAS_SPECIAL:
        return ServiceFacts(*known), password, Bindings(), ""
    address, ipv6, delegated_ipv6, bound, mac, router_id, port, usage, *routes = special.split("\0")
    bits = int(bound or 0)
    bindings = Bindings(bits & 1 != 0, mac, bits & 2 != 0, int(router_id or 0), bits & 4 != 0, port)
    return ServiceFacts(*known, address, ipv6, delegated_ipv6, tuple(routes)), password, bindings, usage


def password_at(value: bytes) -> int:
    """Where the password begins in a service's record; before it stands all that an answer depends on."""
    at = KIND_BYTES + (PREPAID.size if value[0] & HAS_PREPAID else 0)
    if value[0] & HAS_SPECIAL:
        at += LENGTH.size + int(LENGTH.unpack_from(value, at)[0])
    return at


def address_alone(value: bytes) -> str | None:
    """The address of a service's record, "" for none; None where it has more of its own than that and a prepaid end."""
    if not value[0] & HAS_SPECIAL:
        return ""
    at = KIND_BYTES + (PREPAID.size if value[0] & HAS_PREPAID else 0)
    end = at + LENGTH.size + int(LENGTH.unpack_from(value, at)[0])
    address = value[at + LENGTH.size : end - len(_NOTHING_ELSE)]
    return address.decode() if value.endswith(_NOTHING_ELSE, at, end) and b"\0" not in address else None


def prepaid_until_s(value: bytes) -> float:
    """When the prepaid time ends, in seconds of the epoch; only of a record that has HAS_PREPAID."""
    return float(PREPAID.unpack_from(value, KIND_BYTES)[0])


def without_binding(value: bytes, mac: str) -> bytes:
    """A record whose service has nothing of its own but a password and this device: as if it were not bound at all.

    Such a login is answered as any other of its kind. Every other record comes back as it is. `mac` is canonical
    (policy.mac), "" where the login told none.
    """
    bound = _BOUND_TO % mac.encode()
    size = LENGTH.pack(len(bound))
    flags = value[0]
    if (
        not mac
        or flags & (HAS_OWN | HAS_PASSWORD) != HAS_PASSWORD | HAS_SPECIAL
        or not value.startswith(size + bound, KIND_BYTES)
    ):
        return value
    return bytes((flags ^ HAS_SPECIAL,)) + value[1:KIND_BYTES] + value[KIND_BYTES + LENGTH.size + len(bound) :]


def _special(facts: ServiceFacts, bindings: Bindings, usage: str) -> bytes:
    """What few services have, as one value; b"" for the others."""
    bits = bindings.bind_mac | bindings.bind_router << 1 | bindings.bind_port << 2
    # A device that was learnt counts only while its binding is on.
    bound = (str(bits), bindings.mac, str(bindings.router_id), bindings.port) if bits else ("", "", "", "")
    fields = (facts.address, facts.ipv6_prefix, facts.delegated_ipv6_prefix, *bound, usage, *facts.routes)
    if any("\0" in field for field in fields):
        raise ValueError("a text with a zero byte")
    return "\0".join(fields).encode() if any(fields) else b""


def router_value(row: RouterRow) -> bytes:
    """A router's record."""
    return json.dumps(row).encode()


def read_router(value: bytes) -> RouterRow:
    """A router from its record. Raises ValueError."""
    return RouterRow(*json.loads(value))


def named_value(name: str, facts: str) -> bytes:
    """A plan version's record: its name and the text of its facts."""
    return json.dumps([name, facts]).encode()


def generation_file(folder: Path, generation: int) -> Path:
    """The file of a generation."""
    return folder / f"replica-{generation}.table"


def read_pointer(folder: Path) -> int | None:
    """The current generation, or None where there is no usable pointer."""
    try:
        text = (folder / POINTER).read_text(encoding="ascii")
        return int(text)
    except (OSError, ValueError):
        return None
