"""Entries of address lists that live by themselves: those with a timeout, and the addresses behind a DNS name.

RouterOS keeps a name as it was written and adds a dynamic entry for each address that it resolves to, with the name as
its comment; these come and go with the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.routeros.fields import seconds_of, time_text
from simulators.routeros.store import Row, Table
from simulators.routeros.traps import TrapError

if TYPE_CHECKING:
    from simulators.routeros.device import Device

ADDRESS_LIST = "/ip/firewall/address-list"
ADDRESS_LISTS = (ADDRESS_LIST, "/ipv6/firewall/address-list")


class Entries:
    """Follows every change of an address list."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._dns: dict[str, tuple[str, ...]] = {}
        self._resolved: dict[str, list[Row]] = {}  # by the id of the entry with the name

    def resolve(self, name: str, *addresses: str) -> None:
        """Have a name resolve to these addresses from now on, in every list."""
        self._dns[name] = addresses
        table = self._device[ADDRESS_LIST]
        for row in table.having(address=name):
            self.follow(table, row)

    def added(self, table: Table, row: Row) -> None:
        """Follow a new entry."""
        row.fields["creation-time"] = " ".join(self._device.now_texts())
        self.follow(table, row)
        self.time(table, row)

    def follow(self, table: Table, row: Row) -> None:
        """Follow what an entry says now."""
        self.gone(table, row)
        if row.fields["disabled"] == "true":
            return
        children = []
        for address in self._dns.get(row.fields["address"], ()):
            fields = {"list": row.fields["list"], "address": address, "comment": row.fields["address"]}
            try:
                children.append(table.add({**fields, "creation-time": row.fields["creation-time"]}, dynamic=True))
            except TrapError:
                continue  # the list has this address already
        self._resolved[row.id] = children

    def gone(self, table: Table, row: Row) -> None:
        """Remove what an entry had resolved to."""
        for child in self._resolved.pop(row.id, ()):
            table.remove(child)

    def forget(self) -> None:
        """Know nothing of dynamic rows any more, as after a reboot, and resolve anew."""
        self._resolved.clear()
        table = self._device[ADDRESS_LIST]
        for row in table:
            self.follow(table, row)

    def time(self, table: Table, row: Row) -> None:
        """Let an entry with a timeout end by itself."""
        timeout = row.fields.get("timeout")
        if timeout is None:
            table.end_at(row, None)
            row.live = None
            return
        ends_at_s = self._device.clock.now() + (seconds_of(timeout) or 0)
        table.end_at(row, ends_at_s)
        row.live = lambda: {"timeout": time_text(max(ends_at_s - self._device.clock.now(), 0.0))}
