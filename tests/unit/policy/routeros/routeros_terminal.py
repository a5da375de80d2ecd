"""A router's terminal: scripts are run on the simulator's menus, which take no field that they do not know."""

from typing import Any

from routeros_language import Mistake, Reader, text_of

from simulators.clock import HandClock
from simulators.routeros import RouterOsSettings
from simulators.routeros.commands import Commands, Request
from simulators.routeros.device import Device
from simulators.routeros.menus_system import POLICIES
from simulators.routeros.traps import TrapError

SERVICE = "/ip/service"
RENAMED_IN = (7, 24)  # of a service: `address` is `available-from`
LISTS = {(SERVICE, "address"), ("/system/ntp/client", "servers")}
FINGERPRINT = "5f" * 32


class Terminal:
    """One router and the person at it. `said` is what `:put` printed."""

    def __init__(self, version: str, **settings: Any) -> None:
        self.device = Device(RouterOsSettings(version=version, **settings), HandClock())
        self.scripts: dict[str, str] = {}
        self.said: list[str] = []
        self._commands = Commands(self.device)

    def run(self, script: str) -> None:
        """Run a script as an import does."""
        Reader(self, script, [{}]).block()

    def state(self) -> dict[str, Any]:
        """Everything that is configured, in order, without ids and what counts by itself."""
        found: dict[str, Any] = {"scripts": dict(self.scripts)}
        for path, table in self.device.store.tables.items():
            if path not in ("/system/resource", "/system/clock"):
                found[path] = [
                    {name: value for name, value in row.fields.items() if name != "creation-time"} for row in table
                ]
        clock = self.device.store.single("/system/clock").fields
        found["zone"] = (clock["time-zone-name"], clock["time-zone-autodetect"])
        return found

    def command(self, menu: str, verb: str, items: Any, arguments: dict[str, Any]) -> Any:
        """Carry out one command; raises TrapError."""
        if menu == "/system/script":
            return self._script(verb, items, arguments)
        if menu == "/certificate" and verb in ("add", "sign"):
            return self._certificate(verb, items, arguments)
        if menu not in self.device.store.tables:
            raise TrapError("bad command name")
        table = self.device[menu]
        named = {self._field(menu, name): text_of(value) for name, value in arguments.items()}
        if verb in ("set", "remove", "move") and not table.menu.single:
            if items is None:
                raise Mistake(f"{menu} {verb} names nothing")
            key = "numbers" if verb == "move" else ".id"
            for one in items if isinstance(items, list) else [items]:
                self._do(f"{menu}/{verb}", {key: self._id(table, one), **named})
            return None
        return self._do(f"{menu}/{verb}", named)

    def find(self, menu: str) -> list[tuple[Any, dict[str, str]]]:
        """The rows of a menu with what finds them."""
        if menu == "/system/script":
            return [(name, {"name": name}) for name in sorted(self.scripts)]
        if menu not in self.device.store.tables:
            raise TrapError("bad command name")
        return [(row.id, row.printed()) for row in self.device[menu]]

    def get(self, menu: str, item: Any, name: str) -> Any:
        """A value with its type; None where print leaves it out."""
        table, name = self.device[menu], self._field(menu, name)
        row = self.device.store.single(menu) if table.menu.single else table.get(self._id(table, item))
        if row is None or name not in table.known:
            raise TrapError("no such item")
        value = row.printed().get(name)
        if (menu, name) in LISTS:
            return [part for part in (value or "").split(",") if part]
        return {"true": True, "false": False}.get(value or "", value)

    def _field(self, menu: str, name: str) -> str:
        """The simulator's name of a field, where a release has another."""
        if menu != SERVICE or self.device.settings.release < RENAMED_IN:
            return name
        return {"available-from": "address", "address": "no such name"}.get(name, name)

    def _id(self, table: Any, item: Any) -> str:
        one = item[0] if isinstance(item, list) and len(item) == 1 else item
        if not isinstance(one, str):
            raise Mistake(f"{table.menu.path}: {item!r} is not one item")
        row = table.get(one) or (table.named(one) if table.menu.name_field else None)
        if row is None:
            raise TrapError("no such item")
        return str(row.id)

    def _do(self, command: str, arguments: dict[str, str]) -> None:
        self._commands.run(Request(command, arguments), frozenset(POLICIES))

    def _script(self, verb: str, items: Any, arguments: dict[str, Any]) -> None:
        if verb == "add":
            if arguments["name"] in self.scripts:
                raise TrapError("failure: item with such name already exists")
            self.scripts[arguments["name"]] = arguments["source"]
        elif verb == "run":
            self.run(self.scripts[items])
        elif verb == "remove":
            del self.scripts[items]
        else:
            raise Mistake(verb)

    def _certificate(self, verb: str, items: Any, arguments: dict[str, Any]) -> None:
        table = self.device["/certificate"]
        if verb == "add":
            assert {"name", "common-name", "key-usage", "days-valid", "key-size"} == set(arguments)
            table.add({"name": arguments["name"], "common-name": arguments["common-name"]})
            return
        row = table.get(self._id(table, items))
        assert row is not None
        table.change(row, {"private-key": "true", "fingerprint": FINGERPRINT})
