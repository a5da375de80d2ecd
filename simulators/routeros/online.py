"""Somebody online: a PPP or hotspot session or a DHCP lease, and the rows that the router makes for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulators.routeros.fields import rate, time_text
from simulators.routeros.store import Fields, Row, Table
from simulators.routeros.traps import TrapError

if TYPE_CHECKING:
    from simulators.routeros.device import Device

ADDRESS_LIST = "/ip/firewall/address-list"
QUEUES = "/queue/simple"
WHILE_ONLINE = frozenset({"/interface", "/ip/hotspot/host"})  # what new limits leave alone


@dataclass(eq=False, slots=True, kw_only=True)
class Online:
    """One customer online. Limits are those of the login: a changed profile reaches the next one only."""

    name: str
    service: str  # pppoe, hotspot or dhcp
    address: str
    caller_id: str
    session_id: str = ""
    server: str = ""
    login_by: str = "http-chap"
    rate_limit: str = ""  # as Mikrotik-Rate-Limit writes it: upload first
    address_lists: tuple[str, ...] = ()
    parent_queue: str = "none"
    queue_place: str = ""  # insert-queue-before: first, bottom, or the name of a queue
    by_radius: bool = False
    octets: Callable[[], tuple[int, int]] = lambda: (0, 0)  # upload and download so far
    hang_up: Callable[[], object] | None = None  # ends it where it lives, when that is not here
    row: Row | None = None  # in /ppp/active, /ip/hotspot/active or /ip/dhcp-server/lease
    interface: str = ""  # `<pppoe-anna>`
    made: list[tuple[Table, Row]] = field(default_factory=list)
    started_s: float = 0.0


def queue_fields(rate_limit: str) -> Fields:
    """Return what a queue gets from `rx/tx burst threshold time priority minimum` (RouterOS RADIUS page)."""
    parts = rate_limit.split()
    names = ("max-limit", "burst-limit", "burst-threshold", "burst-time", "priority", "limit-at")
    fields: Fields = {}
    for name, text in zip(names, parts, strict=False):
        up, _, down = text.partition("/")
        values = (up, down or up)
        if name == "burst-time":
            fields[name] = "/".join(time_text(int(value)) for value in values)
        else:
            fields[name] = "/".join(value if name == "priority" else rate(name, value) for value in values)
    if "burst-limit" in fields:  # without a threshold the rate is it, without a time it is one second
        fields.setdefault("burst-threshold", fields["max-limit"])
        fields.setdefault("burst-time", "1s/1s")
    return fields


class Rows:
    """Makes and removes the rows that follow from somebody being online."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def make(self, online: Online) -> None:
        """Make the queue and the list entries of a session."""
        if online.service == "pppoe" and not online.interface:
            online.interface = self._free_name("/interface", f"pppoe-{online.name}")
            interfaces = self._device["/interface"]
            row = interfaces.add(
                {"name": online.interface, "type": "pppoe-in", "running": "true", "dynamic": "true"}, dynamic=True
            )
            self._keep(online, interfaces, row)
        if online.rate_limit:
            self._make_queue(online)
        for name in online.address_lists:
            table = self._device[ADDRESS_LIST]
            fields = {"list": name, "address": online.address, "creation-time": " ".join(self._device.now_texts())}
            try:
                self._keep(online, table, table.add(fields, dynamic=True))
            except TrapError:
                continue  # somebody's own entry says the same already

    def remake(self, online: Online) -> None:
        """Follow new limits."""
        self.unmake(online, besides=WHILE_ONLINE)
        self.make(online)

    def unmake(self, online: Online, besides: frozenset[str] = frozenset()) -> None:
        """Remove everything that was made for it, but for what is in the menus `besides`."""
        for table, row in online.made:
            if table.menu.path not in besides:
                table.remove(row)
        online.made[:] = [(table, row) for table, row in online.made if table.menu.path in besides]

    def _make_queue(self, online: Online) -> None:
        table = self._device[QUEUES]
        kind = "dhcp-ds" if online.service == "dhcp" else online.service
        fields = {
            "name": self._free_name(QUEUES, f"{kind}-{online.name}"),
            "target": online.interface or f"{online.address}/32",
            "parent": online.parent_queue or "none",
            **queue_fields(online.rate_limit),
        }
        place = online.queue_place
        before = next(iter(table), None) if place == "first" else table.named(place) if place else None
        try:
            row = table.add(fields, before=before, dynamic=True, live=lambda: _counted(online))
        except TrapError:
            return  # a full menu: the session goes on without a limit
        self._keep(online, table, row)

    def _keep(self, online: Online, table: Table, row: Row) -> None:
        if not self._device.settings.dynamic_removable:
            row.on_removed = _refusal(table)
        online.made.append((table, row))

    def _free_name(self, path: str, name: str) -> str:
        table, number, wanted = self._device[path], 0, f"<{name}>"
        while table.named(wanted) is not None:
            number += 1
            wanted = f"<{name}-{number}>"
        return wanted


def _refusal(table: Table) -> Callable[[], object]:
    def refuse() -> None:
        raise TrapError(table.menu.cannot_remove_dynamic)

    return refuse


def _counted(online: Online) -> Fields:
    up, down = online.octets()
    return {"bytes": f"{up}/{down}"}
