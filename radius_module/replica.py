"""Reads the replica: the current generation's table, and what of it is few enough to be kept as Python values."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from struct import error as StructError  # noqa: N812 - an exception's name, as all others have
from typing import Any, NamedTuple

from policy.documents import read_operator, read_plan
from policy.facts import Bindings, OperatorFacts, PlanFacts, ServiceFacts
from policy.quota import NO_USAGE, UsageState, read_state_text
from radius_module.records import (
    POINTER,
    RouterRow,
    generation_file,
    operator_key,
    plan_key,
    read_pointer,
    read_router,
    read_service,
    router_key,
    services_of,
)
from radius_module.table import WORD_CHANGES, WORD_RETIRED, Damaged, Table

PLANS = 4096
ROUTERS = 4096
LOOK_EVERY_S = 1.0
# Edge may publish between the two steps of opening; more often than this in a row it never does.
TRIES = 5
NOBODY = (0, None)
# A router, and the id and record of a service as they stand in the replica; without a record the name is unknown there.
# A bare tuple, since a named one costs twice as much to make and this is made for every login.
Found = tuple[RouterRow, int, bytes | None]


class NoReplica(Exception):  # noqa: N818 - reads as what happened
    """There is no usable replica: the server must stay silent, so that the router asks its other server."""


class LoginRow(NamedTuple):
    """What the replica knows of a router and a user name. Without `service` the name is unknown there."""

    router_id: int
    operator_id: int
    service: ServiceFacts | None
    password: str | None
    bindings: Bindings
    usage: UsageState = NO_USAGE

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"LoginRow(router_id={self.router_id}, service={self.service!r})"


class Generation:
    """One generation, open. What is kept of it goes with it: another database may use the same numbers."""

    def __init__(self, table: Table, identity: tuple[int, int]) -> None:
        """`identity` tells the pointer's file that named it."""
        self.table = table
        self.identity = identity
        self.looked_at_s = time.monotonic()
        self._plans: dict[int, PlanFacts] = {}
        # For who reads it: what follows from the plan versions of this generation alone.
        self.derived: dict[object, Any] = {}
        self.words = table.words
        self._get = table.get
        self._routers: dict[str, tuple[RouterRow, bytes]] = {}
        self._changes = -1

    def find(self, address: str, username: str) -> Found | None:
        """The router at this address and the service of this name; None without such a router. Raises NoReplica."""
        if self.words[WORD_CHANGES] != self._changes:
            self._changes, self._routers = self.words[WORD_CHANGES], {}
        try:
            router, services = self._routers.get(address) or self._read_router(address)
            if router is None:
                return None
            known = self._get(services + username.encode()) or NOBODY
        except Damaged as error:
            raise NoReplica(f"the replica cannot be read: {error}") from error
        return router, *known

    def router(self, address: str) -> RouterRow | None:
        """The router at this address, or None. Raises NoReplica."""
        found = self.find(address, "")
        return found[0] if found is not None else None

    def plan(self, plan_version_id: int) -> PlanFacts:
        """A plan version; versions never change, so they are kept. Raises NoReplica."""
        plan = self._plans.get(plan_version_id)
        if plan is None:
            plan = self._read_plan(plan_version_id)
            if len(self._plans) < PLANS:
                self._plans[plan_version_id] = plan
        return plan

    def _read_plan(self, plan_version_id: int) -> PlanFacts:
        value = self.value(plan_key(plan_version_id))
        if value is None:
            raise NoReplica(f"the replica has no plan version {plan_version_id}; it is being rebuilt or damaged")
        try:
            name, facts = json.loads(value)
            return read_plan(json.loads(facts), plan_version_id, name)
        except ValueError as error:
            raise NoReplica(f"the replica's plan version {plan_version_id} cannot be read: {error}") from error

    def value(self, key: bytes) -> bytes | None:
        """What stands under a key, or None. Raises NoReplica."""
        try:
            known = self._get(key)
        except Damaged as error:
            raise NoReplica(f"the replica cannot be read: {error}") from error
        return known[1] if known is not None else None

    def _read_router(self, address: str) -> tuple[RouterRow | None, bytes]:
        record = self._get(router_key(address))
        if record is None:
            return None, b""
        try:
            router = read_router(record[1])
        except (ValueError, TypeError) as error:
            raise Damaged(f"the router {address} cannot be read: {error}") from error
        known = (router, services_of(router.operator_id))
        if len(self._routers) < ROUTERS:
            self._routers[address] = known
        return known


class Replica:
    """The replica in a folder. Follows the pointer by itself; safe for many threads."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; the folder may be empty still."""
        self._folder = folder
        self._current: Generation | None = None

    def login(self, address: str, username: str) -> LoginRow | None:
        """The router at this source address with the service of this name; None where the router is unknown.

        Raises NoReplica.
        """
        found = self.find(address, username)
        return login_row(found) if found is not None else None

    def find(self, address: str, username: str) -> Found | None:
        """The same as it stands in the replica. Raises NoReplica."""
        return self.generation().find(address, username)

    def router(self, address: str) -> RouterRow | None:
        """The router at this source address, or None. Raises NoReplica."""
        return self.generation().router(address)

    def plan(self, plan_version_id: int) -> PlanFacts:
        """A plan version. Raises NoReplica."""
        return self.generation().plan(plan_version_id)

    def operator(self, operator_id: int) -> OperatorFacts:
        """An operator's choices for refused logins. Raises NoReplica."""
        value = self.generation().value(operator_key(operator_id))
        if value is None:
            return OperatorFacts(operator_id)
        try:
            return read_operator({"refusals": json.loads(value)}, operator_id)
        except ValueError as error:
            raise NoReplica(f"the replica's operator {operator_id} cannot be read: {error}") from error

    def newest_time(self) -> float:
        """The newest moment that edge has seen on the database's clock, in seconds of the epoch; 0 if none."""
        return self.generation().table.time()

    def generation(self) -> Generation:
        """The current generation. Raises NoReplica.

        Edge says in the table itself that another one took its place; a folder that somebody else exchanged is noticed
        within a second.
        """
        current = self._current
        if current is None or current.words[WORD_RETIRED]:
            return self._open()
        now_s = time.monotonic()
        if now_s - current.looked_at_s > LOOK_EVERY_S:
            if self._identity() != current.identity:
                return self._open()
            current.looked_at_s = now_s
        return current

    def _open(self) -> Generation:
        problem: Exception = NoReplica("there is no replica yet; start edge")
        for _ in range(TRIES):
            identity = self._identity()
            number = read_pointer(self._folder)
            if number is None:
                raise NoReplica("the replica's pointer cannot be read; start edge")
            try:
                table = Table(generation_file(self._folder, number))
            except Damaged as error:
                problem = error
                continue
            if not table.words[WORD_RETIRED]:
                self._current = Generation(table, identity)
                return self._current
        raise NoReplica(f"the replica cannot be read: {problem}")

    def _identity(self) -> tuple[int, int]:
        try:
            status = os.stat(self._folder / POINTER)  # noqa: PTH116 - a Path's own stat costs several times as much
        except OSError as error:
            raise NoReplica("there is no replica yet; start edge") from error
        return (status.st_ino, status.st_mtime_ns)


def login_row(found: Found) -> LoginRow:
    """The facts in a record. Raises NoReplica where it is damaged."""
    router, service_id, value = found
    if value is None:
        return LoginRow(router.router_id, router.operator_id, None, None, Bindings())
    try:
        service, password, bindings, usage = read_service(service_id, value)
        state = read_state_text(usage) if usage else NO_USAGE
    except (ValueError, TypeError, StructError, IndexError) as error:
        raise NoReplica(f"the replica's service {service_id} cannot be read: {error}") from error
    return LoginRow(router.router_id, router.operator_id, service, password, bindings, state)
