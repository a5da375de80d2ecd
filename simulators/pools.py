"""Addresses that the router hands out by itself: ``/ip pool``."""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Mapping

DEFAULT_POOL = ""


class UnknownPoolError(LookupError):
    """The reply names a pool this router does not have. Add it to the router's `pools` or change the reply."""


class PoolEmptyError(LookupError):
    """Every address of the pool is in use. Trying again helps once a session has ended."""


class _Pool:
    __slots__ = ("_first", "_free", "_last", "_next")

    def __init__(self, network: ipaddress.IPv4Network) -> None:
        self._first = int(network.network_address) + 1
        self._last = int(network.broadcast_address) - 1
        self._next = self._first
        self._free: deque[str] = deque()

    def take(self) -> str | None:
        if self._next <= self._last:
            self._next += 1
            return "{}.{}.{}.{}".format(*(self._next - 1).to_bytes(4, "big"))
        return self._free.popleft() if self._free else None

    def give_back(self, address: str) -> None:
        self._free.append(address)

    def clear(self) -> None:
        self._next = self._first
        self._free.clear()


class Pools:
    """All pools of a router; the one named "" serves logins whose reply names none."""

    def __init__(self, default: str, named: Mapping[str, str]) -> None:
        networks = {DEFAULT_POOL: default, **named}
        self._pools = {name: _Pool(ipaddress.IPv4Network(network)) for name, network in networks.items()}

    def take(self, name: str = DEFAULT_POOL) -> str:
        """Return a free address; raises UnknownPoolError or PoolEmptyError."""
        pool = self._pools.get(name)
        if pool is None:
            raise UnknownPoolError(f"this router has no pool named {name!r}")
        address = pool.take()
        if address is None:
            raise PoolEmptyError(f"the pool {name!r} has no free address")
        return address

    def give_back(self, name: str, address: str) -> None:
        """Make an address free again."""
        self._pools[name].give_back(address)

    def clear(self) -> None:
        """Make every address free, as a reboot does."""
        for pool in self._pools.values():
            pool.clear()
