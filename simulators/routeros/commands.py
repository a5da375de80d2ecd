"""Commands: the verbs of a menu, what each may take, and who may give it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulators.routeros import traps
from simulators.routeros.queries import compile_query
from simulators.routeros.store import Fields, Row, Table
from simulators.routeros.traps import TrapError

if TYPE_CHECKING:
    from simulators.routeros.device import Device

PRINT_ARGUMENTS = frozenset(
    {"detail", "count-only", "stats", "without-paging", "terse", "from", "brief", "value-list", "as-value", "where"}
)
STARS = "*****"


@dataclass(slots=True)
class Request:
    """A sentence that asks for something."""

    command: str
    arguments: Fields = field(default_factory=dict)
    queries: list[str] = field(default_factory=list)
    tag: str | None = None

    @property
    def menu(self) -> str:
        """Return the menu's path."""
        return self.command.rpartition("/")[0]

    @property
    def verb(self) -> str:
        """Return what to do in the menu."""
        return self.command.rpartition("/")[2]


@dataclass(slots=True)
class Answer:
    """Rows, each as a `!re`, and what `!done` carries."""

    rows: Iterable[Fields] = ()
    done: Fields = field(default_factory=dict)


def read_request(words: list[bytes]) -> Request:
    """Return what a sentence asks for. The order of attributes means nothing, that of query words does."""
    texts = [word.decode("utf-8", "surrogateescape") for word in words]
    request = Request(texts[0])
    for text in texts[1:]:
        if text.startswith("="):
            name, _, value = text[1:].partition("=")
            request.arguments[name] = value
        elif text.startswith("?"):
            request.queries.append(text)
        elif text.startswith(".tag="):
            request.tag = text[5:]
        elif text.startswith("."):
            name, _, value = text.partition("=")
            request.arguments[name] = value
    return request


class Commands:
    """What a router does with a request of a user who is logged in."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._verbs: dict[str, Callable[[Table, Request, frozenset[str]], Answer]] = {
            "print": self._print,
            "getall": self._print,
            "add": self._add,
            "set": self._set,
            "unset": self._unset,
            "remove": self._remove,
            "move": self._move,
            "enable": lambda table, request, _: self._able(table, request, "false"),
            "disable": lambda table, request, _: self._able(table, request, "true"),
        }

    def run(self, request: Request, policies: frozenset[str]) -> Answer:
        """Carry a request out; raises TrapError."""
        special = self._device.specials.get(request.command)
        if special is not None:
            policy, action = special
            if policy not in policies:
                raise traps.not_permitted()
            return action(request)
        table = self._device.store.tables.get(request.menu)
        if table is None:
            raise TrapError("no such command prefix", traps.MISSING)
        verb = self._verbs.get(request.verb)
        if verb is None:
            raise TrapError("no such command", traps.MISSING)
        policy = "read" if verb == self._print else table.menu.write_policy
        if policy not in policies:
            raise traps.not_permitted()
        return verb(table, request, policies)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _print(self, table: Table, request: Request, policies: frozenset[str]) -> Answer:
        arguments = request.arguments
        wanted = arguments.pop(".proplist", None)
        unknown = set(arguments) - PRINT_ARGUMENTS
        if unknown:
            raise traps.unknown(min(unknown), self._device.settings.release)
        rows: Iterable[Row] = table
        if "from" in arguments:
            rows = self._rows(table, arguments["from"])
        matches = compile_query(request.queries)
        names = None if wanted is None else [name for name in wanted.split(",") if name]
        found = [shown for row in rows if matches(shown := self._shown(table, row, policies))]
        if "count-only" in arguments:
            return Answer(done={"ret": str(len(found))})
        if names is None:
            return Answer(found)
        return Answer({name: shown[name] for name in names if name in shown} for shown in found)

    def _shown(self, table: Table, row: Row, policies: frozenset[str]) -> Fields:
        shown = row.printed() if table.menu.single else {".id": row.id, **row.printed()}
        for name in table.covered:
            if name not in shown:
                continue
            if table.known[name].hidden or (
                "sensitive" not in policies and self._device.settings.sensitive_shown_as == "nothing"
            ):
                shown = {key: value for key, value in shown.items() if key != name}
            elif "sensitive" not in policies:
                shown = {**shown, name: STARS}
        return shown

    def _rows(self, table: Table, text: str) -> list[Row]:
        found = []
        for row_id in text.split(","):
            row = table.get(row_id)
            if row is None:
                raise TrapError(self._device.no_such_item, traps.MISSING)
            found.append(row)
        return found

    # -- writing -----------------------------------------------------------------------------------------------------

    def _add(self, table: Table, request: Request, _: frozenset[str]) -> Answer:
        if not table.menu.addable or table.menu.single:
            raise TrapError("no such command", traps.MISSING)
        before = self._before(table, request.arguments)
        copied = request.arguments.pop("copy-from", "")
        values, _unset = self._device.store.read(table, request.arguments)
        if copied:
            values = {**self._rows(table, copied)[0].fields, **values}
        for one in table.known.values():
            if one.required and not values.get(one.name):
                raise traps.missing(one.name)
        row = self._device.add(table, values, before)
        return Answer(done={"ret": row.id})

    def _before(self, table: Table, arguments: Fields) -> Row | None:
        place = arguments.pop("place-before", None)
        if place is None:
            return None
        if not table.menu.ordered:
            raise traps.unknown("place-before", self._device.settings.release)
        return self._place(table, place)

    def _meant(self, table: Table, request: Request) -> list[Row]:
        if table.menu.single:
            return [next(iter(table))]
        ids = request.arguments.pop(".id", None)
        ids = request.arguments.pop("numbers", ids)
        if ids is None:
            raise traps.missing(".id")
        return self._rows(table, ids)

    def _set(self, table: Table, request: Request, _: frozenset[str]) -> Answer:
        if not table.menu.editable:
            raise TrapError("no such command", traps.MISSING)
        rows = self._meant(table, request)
        values, unset = self._device.store.read(table, request.arguments)
        for row in rows:
            self._device.change(table, row, values, unset)
        return Answer()

    def _unset(self, table: Table, request: Request, _: frozenset[str]) -> Answer:
        rows = self._meant(table, request)
        name = request.arguments.get("value-name", "")
        if name not in table.known or table.known[name].required:
            raise traps.no_match("value-name")
        for row in rows:
            self._device.change(table, row, {}, (name,))
        return Answer()

    def _able(self, table: Table, request: Request, disabled: str) -> Answer:
        if "disabled" not in table.known or table.menu.single:
            raise TrapError("no such command", traps.MISSING)
        for row in self._meant(table, request):
            self._device.change(table, row, {"disabled": disabled}, ())
        return Answer()

    def _remove(self, table: Table, request: Request, _: frozenset[str]) -> Answer:
        if not table.menu.removable or table.menu.single:
            raise TrapError("no such command", traps.MISSING)
        for row in self._meant(table, request):
            self._device.remove(table, row)
        return Answer()

    def _move(self, table: Table, request: Request, _: frozenset[str]) -> Answer:
        if not table.menu.ordered:
            raise TrapError("no such command", traps.MISSING)
        rows = self._meant(table, request)
        destination = request.arguments.get("destination", "")
        # A destination that is gone means the end, without a word (measured by others on 7.23)
        before = table.get(destination) if destination else None
        for row in rows:
            if row is before:
                raise TrapError("failure: can not move object before itself")
        for row in (*rows, *([before] if before is not None else [])):
            self._movable(table, row)
        for row in rows:
            table.move(row, before)
        return Answer()

    def _place(self, table: Table, row_id: str) -> Row:
        row = self._rows(table, row_id)[0]
        self._movable(table, row)
        return row

    def _movable(self, table: Table, row: Row) -> None:
        if row.dynamic and table.menu.path.startswith("/ip/firewall/"):
            raise TrapError("failure: can not move builtin")
