"""A router's state: its menus with what they begin with, and what a change of a row brings about."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from simulators.clock import Clock
from simulators.routeros.certificates import NAME as CERTIFICATE_NAME
from simulators.routeros.certificates import certificate_fields, date_and_time
from simulators.routeros.commands import Answer, Request
from simulators.routeros.customers import Customers
from simulators.routeros.entries import ADDRESS_LISTS, Entries
from simulators.routeros.fields import time_text
from simulators.routeros.firewall import FILTER, Firewall
from simulators.routeros.joined import JoinedNas
from simulators.routeros.menus_access import ACCESS
from simulators.routeros.menus_network import NETWORK
from simulators.routeros.menus_system import SYSTEM, policies
from simulators.routeros.settings import RouterOsSettings
from simulators.routeros.standing import Standing, standing
from simulators.routeros.store import Fields, Row, Store, Table
from simulators.routeros.traps import MISSING, TrapError

MENUS = (*ACCESS, *NETWORK, *SYSTEM)
Special = tuple[str, Callable[[Request], Answer]]  # the policy it takes, and what it does
RADIUS_COUNTERS = ("pending", "requests", "accepts", "rejects", "resends", "timeouts", "bad-replies")
FASTTRACK_COMMENT = "special dummy rule to show fasttrack counters"


class Device:
    """One router without its sockets. Everything is called from one thread."""

    def __init__(self, settings: RouterOsSettings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.boot = 0
        self.on_reboot: list[Callable[[], object]] = []
        self.booted_s = clock.now()
        self.store = Store(MENUS, settings.release, clock, dict(settings.rows_max))
        self.random = random.Random(f"{settings.faults.seed}:{settings.identity}")
        self.specials: dict[str, Special] = {
            "/system/reboot": ("reboot", self._reboot),
            "/radius/monitor": ("read", self._monitor),
            "/ip/dhcp-server/lease/make-static": ("write", self._make_static),
        }
        # Version 6 says its number with it; clients must know both
        self.no_such_item = "no such item" if settings.release >= (7,) else "no such item (4)"
        self.customers = Customers(self)
        self.firewall = Firewall(self)
        self.entries = Entries(self)
        self.resolve = self.entries.resolve
        self.joined: JoinedNas | None = None
        self.radius_counters = dict.fromkeys(RADIUS_COUNTERS, 0)  # what /radius/monitor shows without a NAS
        self.ppp_login = self.customers.ppp_login
        self.hotspot_login = self.customers.hotspot_login
        self.hotspot_return = self.customers.hotspot_return
        self.dhcp_bind = self.customers.dhcp_bind
        self._begin()

    def __getitem__(self, path: str) -> Table:
        """Return the table of a menu."""
        return self.store[path]

    # -- changes, by whomever ----------------------------------------------------------------------------------------

    def add(self, table: Table, values: Fields, before: Row | None = None) -> Row:
        """Add a row; raises TrapError."""
        timed = table.menu.path in ADDRESS_LISTS and "timeout" in values
        row = table.add(values, before=before, dynamic=timed)
        if table.menu.path in ADDRESS_LISTS:
            self.entries.added(table, row)
        elif table.menu.path == FILTER:
            self._show_fasttrack()
        return row

    def change(self, table: Table, row: Row, values: Fields, unset: tuple[str, ...] = ()) -> None:
        """Change a row; raises TrapError, for rows that the router made too."""
        if row.dynamic and not set(values) | set(unset) <= self._changeable(table):
            raise TrapError(table.menu.cannot_change_dynamic)
        name = table.menu.name_field
        old = row.fields.get(name, "")
        table.change(row, values, unset)
        if table.menu.path == FILTER:
            self._show_fasttrack()
        elif table.menu.path in ADDRESS_LISTS:
            self.entries.follow(table, row)
            if "timeout" in {*values, *unset}:
                self.entries.time(table, row)
        if name in values and values[name] != old:
            self.store.rename(table.menu.path, old, values[name])
        if table.menu.path == "/radius/incoming" and "accept" in values and self.joined is not None:
            self.joined.incoming(values["accept"] == "true")

    def remove(self, table: Table, row: Row) -> None:
        """Remove a row; raises TrapError for what cannot go."""
        if row.fields.get(table.menu.name_field) in table.menu.builtin:
            raise TrapError("failure: can not remove default item")
        if table.menu.path == "/user/group" and self.store["/user"].having(group=row.fields["name"]):
            raise TrapError("failure: group has some users")
        if row.on_removed is not None:
            row.on_removed()
            return
        table.remove(row)
        if table.menu.path == FILTER:
            self._show_fasttrack()
        elif table.menu.path in ADDRESS_LISTS:
            self.entries.gone(table, row)
        name = row.fields.get(table.menu.name_field, "")
        if name and not row.dynamic:
            # What named it shows its id from now on: a reference into nothing, as RouterOS prints it
            self.store.rename(table.menu.path, name, row.id)

    def reboot(self) -> None:
        """Lose everything dynamic and count the uptime anew; a joined NAS reboots with it."""
        if self.joined is not None:
            self.joined.reboot()
        else:
            self.went_down()

    def went_down(self) -> None:
        """Be a router that has just booted."""
        self.boot += 1
        for happens in self.on_reboot:
            happens()
        self.customers.forget()
        for table in self.store.tables.values():
            table.forget_dynamic(self.boot)
        self.entries.forget()
        self._show_fasttrack()
        self.booted_s = self.clock.now()

    def now_texts(self) -> tuple[str, str]:
        """Return date and time as this release writes them."""
        now = time.gmtime(self.clock.wall() + self.settings.clock_skew_s)
        return date_and_time(now, self.settings.release)

    # -- what a customer gets now ------------------------------------------------------------------------------------

    def standing(self, who: str) -> Standing:
        """Return what the customer of this name, or at this address, gets from the router at this moment."""
        return standing(self, who)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _changeable(self, table: Table) -> frozenset[str]:
        """Return what may be changed in a row that the router made."""
        if table.menu.path not in ADDRESS_LISTS:
            return frozenset()
        return frozenset({"comment", "timeout"} if self.settings.timeout_changeable else {"comment"})

    def _show_fasttrack(self) -> None:
        """Keep the dummy rule that RouterOS puts on top while a rule fasttracks, to show the counters there."""
        table = self.store[FILTER]
        dummy = next((row for row in table if row.dynamic), None)
        tracks = [row for row in table if row.fields["action"] == "fasttrack-connection"]
        if tracks and dummy is None:
            fields = {"chain": "forward", "action": "passthrough", "comment": FASTTRACK_COMMENT}
            table.add(fields, before=next(iter(table)), dynamic=True)
        elif dummy is not None and not tracks:
            table.remove(dummy)

    def _reboot(self, _: Request) -> Answer:
        self.reboot()
        return Answer()

    def _monitor(self, request: Request) -> Answer:
        """Show counters once; a real router goes on until it is cancelled, unless it is asked for once."""
        if "once" not in request.arguments:
            raise TrapError("missing =once=: the simulator counts once only", MISSING)
        counted = self.joined.counters() if self.joined is not None else self.radius_counters
        return Answer([{**{name: str(value) for name, value in counted.items()}, "last-request-rtt": "2ms"}])

    def _make_static(self, request: Request) -> Answer:
        row = self.store["/ip/dhcp-server/lease"].get(request.arguments.get(".id", ""))
        if row is None:
            raise TrapError(self.no_such_item, MISSING)
        row.dynamic = False
        row.fields["dynamic"] = "false"
        return Answer()

    def _begin(self) -> None:
        settings, store = self.settings, self.store
        store.single("/system/identity").fields["name"] = settings.identity
        store.single("/system/resource").live = self._resource
        store.single("/system/clock").live = self._clock_fields
        store.single("/system/routerboard").fields.update(routerboard="true", model=settings.board)
        for name in settings.interfaces:
            store["/interface"].add({"name": name, "default-name": name, "type": "ether", "running": "true"})
        if settings.tls is not None:
            store["/certificate"].add(
                certificate_fields(settings.tls.certificate, settings.release, self.clock.wall()),
            )
            for service in store["/ip/service"].having(name="api-ssl"):
                service.fields["certificate"] = CERTIFICATE_NAME
        for name, given in settings.groups.items():
            store["/user/group"].add({"name": name, "policy": policies("policy", given)})
        for user in settings.users:
            fields = {"name": user.name, "password": user.password, "group": user.group}
            values, _ = store.read(store["/user"], fields)
            store["/user"].add(values)

    def _resource(self) -> Fields:
        return {
            "uptime": time_text(self.clock.now() - self.booted_s),
            "version": f"{self.settings.version} (stable)",
            "free-memory": str(3 << 30),
            "total-memory": str(4 << 30),
            "cpu": "ARM64",
            "cpu-count": "4",
            "cpu-load": str(1 + len(self.store["/ppp/active"]) // 100),
            "free-hdd-space": str(100 << 20),
            "total-hdd-space": str(128 << 20),
            "architecture-name": "arm64",
            "board-name": self.settings.board,
            "platform": "MikroTik",
        }

    def _clock_fields(self) -> Fields:
        date, at = self.now_texts()
        return {"time": at, "date": date, "gmt-offset": "+00:00", "dst-active": "false"}
