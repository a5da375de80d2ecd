"""Routers whose own configuration holds services: RouterOS without sockets, and people who touch it by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policy.routeros.menus import ADDRESS_LIST, PPP_ACTIVE, PPP_PROFILE, PPP_SECRET, QUEUE, menu_of
from policy.routeros.objects import Item, tag_of
from simulation.api import ApiConnection, Fate
from simulation.world import World
from simulators.clock import Timer
from simulators.routeros.commands import Answer, Commands, Request
from simulators.routeros.customers import RefusedError
from simulators.routeros.device import Device
from simulators.routeros.permissions import policies_of
from simulators.routeros.settings import RouterOsSettings
from simulators.routeros.store import Row
from simulators.routeros.traps import TrapError

MENUS = (PPP_SECRET, PPP_PROFILE, QUEUE, ADDRESS_LIST)
# An ISP's own ways, one of them on each router.
STYLES: tuple[dict[str, Any], ...] = (
    {},
    {"ppp": "queue"},
    {"ppp": "queue", "queue_before": "theirs"},
    {"ppp_service": "", "address_pool": "customers", "cut_connections": False},
)
# The pools, and how their addresses begin; who names none gets one of the first.
POOLS = {"": "10.20.0.", "customers": "10.20.0.", "debtors": "10.21.0."}
BOOTS_S = (2.0, 60.0)
BREAKS = (Fate.BEFORE, Fate.AFTER, Fate.SILENT, Fate.TRAP, Fate.REBOOT)


class _Timer:
    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None

    def run(self) -> None:
        if self.action is not None:
            self.action()


class WorldClock:
    """The world's time, as a simulated router wants it."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> float:
        """Seconds."""
        return self._world.elapsed_s

    def wall(self) -> float:
        """Seconds since 1970."""
        return self._world.now.timestamp()

    def call_later(self, delay_s: float, action: Callable[[], object]) -> Timer:
        """Once, unless it is cancelled."""
        timer = _Timer(action)
        self._world.after(delay_s, timer.run)
        return timer


@dataclass(frozen=True)
class Drop:
    """A session that a command ended although a new login gives the same."""

    username: str
    had: tuple[str, tuple[str, ...], str]


class HeldRouter:
    """One router. `foreign`: what others have there, by menu and id; `touched`: whose items were changed by hand.

    `added_late`: for whom something was added when its sender had given it up.
    """

    def __init__(self, world: World, name: str, address: str, style: dict[str, Any]) -> None:
        """Empty but for what every ISP has: pools, and customers of others."""
        self._world = world
        self.name = name
        self.address = address
        self.style = style
        self.router_id = 0
        self.device = Device(RouterOsSettings(identity=name), WorldClock(world))
        self.connections: list[ApiConnection] = []
        self.reachable = True
        self.running = True
        self.locked_out = False
        self.breaks = 0.0
        self.slow = 0.0
        self.touched: set[int] = set()
        self.added_late: set[int] = set()
        self.misled: set[int] = set()
        """Those who may have logged in by a profile that somebody changed: the router's rows do not tell."""
        self.drops: list[Drop] = []
        self.foreign: dict[tuple[str, str], dict[str, str]] = {}
        self.worker_dies: Callable[[str], bool] = lambda _: False
        self.known_before: Callable[[str], bool] = lambda _: False
        self._commands = Commands(self.device)
        self._policies = policies_of(self.device.store, "full")
        for pool in ("customers", "debtors"):
            self.add_foreign("/ip/pool", name=pool, ranges=f"{POOLS[pool]}2-{POOLS[pool]}200")
        self.add_foreign(QUEUE, name="theirs", target="10.9.9.9/32", max_limit="1M/1M")
        self.add_foreign(ADDRESS_LIST, list="paid", address="10.9.9.9")
        self.add_foreign(PPP_SECRET, name="somebody else", password="theirs", comment="of the old days")  # noqa: S106 - made up

    def carry_out(self, request: Request, *, late: bool) -> Answer | TrapError:
        """What the router does with a command."""
        if request.command == f"{PPP_ACTIVE}/remove":
            self._note_drop(request)
        if late and request.verb not in ("print", "getall"):
            self._world.counts["late commands"] += 1
            if request.verb == "add":
                tag = tag_of(request.arguments.get("comment", ""))
                self.added_late |= {int(tag.removeprefix("service-"))} if tag else set()
        try:
            return self._commands.run(request, self._policies)
        except TrapError as trap:
            return trap

    def fate(self, request: Request) -> Fate:
        """What becomes of a command; those that change something go wrong more often."""
        share = self.breaks if request.verb not in ("print", "getall") else self.breaks / 3
        return self._world.random.choice(BREAKS) if self._world.chance(share) else Fate.DONE

    def reboot(self) -> None:
        """Sessions and connections are gone; it is back after a while."""
        self._world.say(f"{self.name} reboots")
        self.running = False
        self.device.reboot()
        self.drop_connections()
        self._world.after(self._world.between(*BOOTS_S), self.up)

    def up(self) -> None:
        """It runs."""
        self.running = True

    def drop_connections(self) -> None:
        """Every connection ends without a word."""
        for one in self.connections:
            one.hang_up()
        self.connections.clear()

    def login(self, username: str, password: str) -> None:
        """A customer's box dials, if it is not online."""
        if self.running and not self.device.customers.named(username):
            try:
                self.device.ppp_login(username, password, caller_id="02:00:00:00:00:01")
            except RefusedError:
                self._world.counts["refused by a secret"] += 1

    def hang_up(self, username: str) -> None:
        """A customer's box is unplugged."""
        for online in self.device.customers.named(username):
            self.device.customers.go(online)

    def hang_up_all(self) -> None:
        """Whoever is at the router ends all sessions."""
        for online in self.device.customers:
            self.device.customers.go(online)

    def items(self) -> dict[str, tuple[Item, ...]]:
        """Everything, as whoever may see all reads it; no API is in between."""
        found = {menu: self.device[menu] for menu in MENUS}
        return {menu: tuple(Item(menu, row.id, dict(row.printed())) for row in table) for menu, table in found.items()}

    # By hand -----------------------------------------------------------------------------------------------------

    def add_foreign(self, menu: str, **fields: str) -> bool:
        """Somebody adds something of their own; False where the router does not take it."""
        table = self.device[menu]
        try:
            values, _ = self.device.store.read(table, {key.replace("_", "-"): one for key, one in fields.items()})
            row = self.device.add(table, values)
        except TrapError:
            return False
        self.foreign[menu, row.id] = dict(row.fields)
        return True

    def remove_foreign(self, menu: str, name: str, *, agreed: bool) -> None:
        """Somebody removes their own again, but for what has become ours as was agreed."""
        row = self.device[menu].named(name)
        if row is not None and (menu, row.id) in self.foreign:
            del self.foreign[menu, row.id]
            if not (agreed and _is_ours(menu, row)):
                self.device.remove(self.device[menu], row)

    def adopted(self, name: str) -> None:
        """What stands there under this name is ours by now."""
        for menu, row_id in list(self.foreign):
            if name in (self.foreign[menu, row_id].get("name"), self.foreign[menu, row_id].get("target")):
                del self.foreign[menu, row_id]

    def remove_orphans(self, held: set[int]) -> None:
        """`drift fix`: what a late command left of services that are held here no more is found, and taken away."""
        for menu in (PPP_SECRET, QUEUE, ADDRESS_LIST):
            for row in list(self.device[menu]):
                if self._services_of(menu, row) & (self.added_late - held):
                    self.device.remove(self.device[menu], row)
                    self._world.counts["orphans removed"] += 1

    def meddle(self) -> None:
        """Somebody changes or removes something of ours."""
        random = self._world.random
        mine = [(menu, row) for menu in MENUS for row in self.device[menu] if _is_ours(menu, row)]
        if not mine:
            return
        menu, row = random.choice(mine)
        touched = self._services_of(menu, row)
        change = {"disabled": "true"} if "disabled" in row.fields else {"rate-limit": "1M/1M"}
        if random.random() < 0.5 and menu != PPP_PROFILE:
            self.device.remove(self.device[menu], row)
            what = "removes"
        else:
            values, _ = self.device.store.read(self.device[menu], change)
            self.device.change(self.device[menu], row, values)
            what = "changes"
        self.touched |= touched
        if menu == PPP_PROFILE:
            self.misled |= touched
        self._world.say(f"somebody {what} {menu} {row.fields.get('name', row.id)} of {self.name} by hand")
        self._world.counts["changed by hand"] += 1

    def _services_of(self, menu: str, row: Row) -> set[int]:
        if menu == PPP_PROFILE:
            rows = [one for one in self.device[PPP_SECRET] if one.fields.get("profile") == row.fields["name"]]
        else:
            rows = [row]
        tags = [tag_of(one.fields.get("comment", "")) for one in rows]
        return {int(tag.removeprefix("service-")) for tag in tags if tag}

    def _note_drop(self, request: Request) -> None:
        """A session is about to be ended: is there a reason?"""
        row = self.device[PPP_ACTIVE].get(request.arguments.get(".id", ""))
        if row is None:
            return
        name = row.fields["name"]
        online = self.device.customers.named(name)[-1]
        had = (online.rate_limit, online.address_lists, online.address)
        secret = self.device[PPP_SECRET].named(name)
        gets = self._would_get(name, secret)
        same = gets is not None and gets[:2] == had[:2] and had[2].startswith(gets[2])
        if same and self.known_before(name):
            self.drops.append(Drop(name, had))

    def _would_get(self, name: str, secret: Row | None) -> tuple[str, tuple[str, ...], str] | None:
        if secret is None:
            return None
        try:
            terms = self.device.customers.ppp_terms(name, secret.fields.get("password", ""))
        except RefusedError:
            return None
        if terms is None:
            return None
        return terms.rate_limit, terms.address_lists, POOLS.get(terms.address, terms.address)


def _is_ours(menu: str, row: Row) -> bool:
    if row.dynamic:
        return False
    if not menu_of(menu).comments:
        return row.fields["name"].startswith("ispagents-")
    return bool(tag_of(row.fields.get("comment", "")))
