"""Reads the replica, one connection for each thread of the server."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from policy.documents import read_operator, read_plan
from policy.facts import Bindings, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.standing import Standing
from radius_module.reading import Reading, Rest, wal_index
from radius_module.replica_schema import FORMAT, POINTER, generation_file

# Interior pages of a table with a million services take about 2 MB; leaves come from the page cache of the kernel.
CACHE_KIB = 3072
# Mapped pages need no copy and no call into the kernel; they count as memory of the server, so not all of a large file.
MAPPED_BYTES = 52 * 1024 * 1024
STATEMENTS = 16
PLANS = 4096
POINTER_MAXIMUM_BYTES = 32

# What few services have travels as one value, NULL for the others: a column costs as much as a step of the search.
_LOGIN = """
SELECT r.router_id, r.operator_id, s.service_id, s.password, s.method, s.standing, s.plan_version_id, s.prepaid_until,
       CASE WHEN s.address = '' AND s.ipv6_prefix = '' AND s.delegated_ipv6_prefix = '' AND s.routes = ''
                 AND s.bind_mac = 0 AND s.bind_router = 0 AND s.bind_port = 0 THEN NULL
            ELSE json_array(s.address, s.ipv6_prefix, s.delegated_ipv6_prefix, s.routes,
                            s.bind_mac, s.mac, s.bind_router, s.bound_router_id, s.bind_port, s.port) END
FROM routers AS r LEFT JOIN services AS s ON s.operator_id = r.operator_id AND s.username = ?2
WHERE r.address = ?1
"""
_ROUTER = "SELECT router_id, name, secret, require_message_authenticator FROM routers WHERE address = ?"
_METHODS = {method.value: method for method in Method}
_STANDINGS = {standing.value: standing for standing in Standing}


class NoReplica(Exception):  # noqa: N818 - reads as what happened
    """There is no usable replica: the server must stay silent, so that the router asks its other server."""


class RouterRow(NamedTuple):
    """A router as FreeRADIUS's client."""

    router_id: int
    name: str
    secret: str
    require_message_authenticator: bool

    def __repr__(self) -> str:
        """Never shows the secret."""
        return f"RouterRow(router_id={self.router_id}, name={self.name!r})"


class LoginRow(NamedTuple):
    """What the replica knows of a router and a user name. Without `service` the name is unknown there."""

    router_id: int
    operator_id: int
    service: ServiceFacts | None
    password: str | None
    bindings: Bindings

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"LoginRow(router_id={self.router_id}, service={self.service!r})"


class Found(NamedTuple):
    """A row of the replica as it was read, which is all that most logins need; see `login_row` for the rest.

    Without `service_id` the name is unknown there. `special` is the JSON of what few services have, None without it.
    """

    router_id: int
    operator_id: int
    service_id: int | None
    password: str | None
    method: str
    standing: str
    plan_version_id: int
    prepaid_until: float | None
    special: str | None

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Found(router_id={self.router_id}, service_id={self.service_id})"


class Replica:
    """The replica in a folder. Follows the pointer by itself; safe for many threads."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; the folder may be empty still."""
        self._folder = folder
        self._pointer = os.fspath(folder / POINTER)
        self._local = threading.local()
        self._rest = Rest()
        self._plan = lru_cache(maxsize=PLANS)(self._read_plan)

    def login(self, address: str, username: str) -> LoginRow | None:
        """The router at this source address with the service of this name; None where the router is unknown.

        Raises NoReplica.
        """
        found = self.find(address, username)
        return login_row(found) if found is not None else None

    def find(self, address: str, username: str) -> Found | None:
        """The same as it stands in the replica. Raises NoReplica."""
        row = self._one(_LOGIN, (address, username))
        return tuple.__new__(Found, row) if row is not None else None

    def generation(self) -> object:
        """What this thread read last: equal for as long as it is the same file. None before the first reading."""
        reading: Reading | None = getattr(self._local, "reading", None)
        return reading.pointer.identity if reading is not None else None

    def router(self, address: str) -> RouterRow | None:
        """The router at this source address, or None. Raises NoReplica."""
        row = self._one(_ROUTER, (address,))
        return RouterRow(row[0], row[1], row[2], bool(row[3])) if row else None

    def plan(self, plan_version_id: int) -> PlanFacts:
        """A plan version; versions never change, so they are kept, for one generation: the next may be of another
        database, whose versions have the same numbers. Raises NoReplica.
        """
        identity = self.generation()
        return self._read_plan(plan_version_id, None) if identity is None else self._plan(plan_version_id, identity)

    def operator(self, operator_id: int) -> OperatorFacts:
        """An operator's choices for refused logins. Raises NoReplica."""
        row = self._one("SELECT refusals FROM operators WHERE operator_id = ?", (operator_id,))
        if row is None:
            return OperatorFacts(operator_id)
        try:
            return read_operator({"refusals": json.loads(row[0])}, operator_id)
        except ValueError as error:
            raise NoReplica(f"the replica's operator {operator_id} cannot be read: {error}") from error

    def newest_time(self) -> float:
        """The newest moment that edge has seen on the database's clock, in seconds of the epoch; 0 if none."""
        row = self._one("SELECT value FROM meta WHERE key = 'newest_time'", ())
        return float(row[0]) if row else 0.0

    def _read_plan(self, plan_version_id: int, _generation: object) -> PlanFacts:
        row = self._one("SELECT name, facts FROM plan_versions WHERE plan_version_id = ?", (plan_version_id,))
        if row is None:
            raise NoReplica(f"the replica has no plan version {plan_version_id}; it is being rebuilt or damaged")
        try:
            return read_plan(json.loads(row[1]), plan_version_id, row[0])
        except ValueError as error:
            raise NoReplica(f"the replica's plan version {plan_version_id} cannot be read: {error}") from error

    def close(self) -> None:
        """End what runs beside the logins; reading again opens everything anew."""
        self._rest.stop()

    def _one(self, statement: str, values: tuple[object, ...]) -> tuple[Any, ...] | None:
        reading = self._reading()
        try:
            return reading.one(statement, values)
        except sqlite3.Error as error:
            # The next call opens the file anew, whatever was wrong with this connection.
            reading.pointer.moved = True
            raise NoReplica(f"the replica cannot be read: {error}") from error

    def _connection(self) -> sqlite3.Connection:
        return self._reading().connection

    def _reading(self) -> Reading:
        try:
            reading: Reading = self._local.reading
        except AttributeError:
            return self._open(None)
        return reading if reading.pointer.stands() else self._open(reading)

    def _open(self, old: Reading | None) -> Reading:
        pointer = Pointer(self._pointer)
        file = generation_file(self._folder, pointer.generation)
        connection, changing = _open_file(file)
        reading = Reading(connection, wal_index(file) if changing else None, self._rest, pointer)
        self._local.reading = reading
        if old is not None:
            old.close()
        return reading


class Pointer:
    """The pointer's file, held open to see whether it still is the pointer. Raises NoReplica where there is none.

    That it was replaced or removed shows in its own links and time of change, which a look at its name does at twice
    the cost: this runs for every login.
    """

    __slots__ = ("_changed_ns", "_descriptor", "generation", "identity", "moved")

    def __init__(self, path: str) -> None:
        """Open and read it."""
        self._descriptor = -1
        self.moved = False
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            # Before it is read, so that what changes meanwhile is seen by the next look.
            status = os.fstat(self._descriptor)
            self.identity = (status.st_ino, status.st_mtime_ns)
            self._changed_ns = status.st_ctime_ns
            text = os.pread(self._descriptor, POINTER_MAXIMUM_BYTES, 0)
        except OSError as error:
            raise NoReplica("there is no replica yet; start edge") from error
        try:
            self.generation = int(text)
        except ValueError as error:
            raise NoReplica("the replica's pointer cannot be read; start edge") from error

    def stands(self) -> bool:
        """Whether it is still the pointer, unchanged."""
        status = os.fstat(self._descriptor)
        return status.st_nlink > 0 and status.st_ctime_ns == self._changed_ns and not self.moved

    def __del__(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def login_row(found: Found) -> LoginRow:
    """The facts in a row."""
    if found.service_id is None:
        return LoginRow(found.router_id, found.operator_id, None, None, Bindings())
    prepaid = None if found.prepaid_until is None else datetime.fromtimestamp(found.prepaid_until, UTC)
    known = (found.service_id, _METHODS[found.method], _STANDINGS[found.standing], found.plan_version_id, prepaid)
    if found.special is None:
        return LoginRow(found.router_id, found.operator_id, ServiceFacts(*known), found.password, Bindings())
    address, ipv6, delegated_ipv6, routes, *bound = json.loads(found.special)
    service = ServiceFacts(*known, address, ipv6, delegated_ipv6, tuple(json.loads(routes)) if routes else ())
    bind_mac, mac, bind_router, router_id, bind_port, port = bound
    bindings = Bindings(bind_mac == 1, mac, bind_router == 1, router_id, bind_port == 1, port)
    return LoginRow(found.router_id, found.operator_id, service, found.password, bindings)


def _open_file(file: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection, and whether edge may still write to the file."""
    # With edge cleanly stopped the -wal file is gone and a reader without write rights cannot open the database as
    # WAL; it is complete then, and edge never writes to it again, so it may be taken as immutable.
    changing = file.with_name(file.name + "-wal").exists()
    mode = "mode=ro" if changing else "immutable=1"
    address = f"{file.absolute().as_uri()}?{mode}"
    try:
        connection = sqlite3.connect(
            address, uri=True, isolation_level=None, cached_statements=STATEMENTS, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise NoReplica(f"the replica {file.name} cannot be opened: {error}") from error
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
        row = connection.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise NoReplica(f"the replica {file.name} cannot be opened: {error}") from error
    if row is None or row[0] != str(FORMAT):
        connection.close()
        raise NoReplica(f"the replica {file.name} has another format; restart edge of the same version")
    return connection, changing
