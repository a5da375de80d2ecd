"""Rows of a router's menus: ids, unique keys, references by name, order, rows that the router made itself."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simulators.clock import Clock
from simulators.routeros import traps
from simulators.routeros.fields import Field, Version, text
from simulators.routeros.menus import Menu
from simulators.routeros.traps import TrapError

# Dynamic rows count from here, so that their ids are never those of configuration
DYNAMIC_IDS_FROM = 0x80000000
Fields = dict[str, str]


@dataclass(slots=True, eq=False)
class Row:
    """One row. `live` adds what changes by itself (uptime, counters) whenever somebody looks."""

    id: str
    fields: Fields
    dynamic: bool = False
    live: Callable[[], Fields] | None = None
    ends_at_s: float | None = None  # an entry with a timeout is gone from then on
    on_removed: Callable[[], object] | None = None  # what removing this row by hand does besides

    def printed(self) -> Fields:
        """Return its fields as print shows them, without `.id`."""
        return self.fields if self.live is None else {**self.fields, **self.live()}


class Table:
    """The rows of one menu, in order."""

    def __init__(self, menu: Menu, version: Version, clock: Clock, *, rows_max: int | None = None) -> None:
        self.menu = menu
        self.known = menu.known(version)
        self.covered = tuple(one.name for one in self.known.values() if one.secret or one.hidden)
        self.rows_max = rows_max
        self.changed: Callable[[Row], object] | None = None  # called after a row came, changed or went
        self._clock = clock
        self._rows: dict[str, Row] = {}
        self._keys: dict[tuple[str, ...], Row] = {}
        self._ids = itertools.count(1)
        self._dynamic_ids = itertools.count(DYNAMIC_IDS_FROM)
        self._ending: list[tuple[float, int, Row]] = []
        self._turns = itertools.count()
        self._referring = tuple(one.name for one in self.known.values() if one.refers)
        self._named: Counter[tuple[str, str]] = Counter()  # how often a field names something
        self._defaults = {one.name: one.default for one in self.known.values() if one.default is not None}

    def __len__(self) -> int:
        self._expire()
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        self._expire()
        return iter(list(self._rows.values()))

    def get(self, row_id: str) -> Row | None:
        """Return the row of this id, or of this name where the menu has names."""
        self._expire()
        row = self._rows.get(row_id)
        if row is None and self.menu.name_field and not row_id.startswith("*"):
            row = self.named(row_id)
        return row

    def named(self, name: str) -> Row | None:
        """Return the first row of this name."""
        field = self.menu.name_field
        if any(unique.fields == (field,) and not unique.among_enabled for unique in self.menu.unique):
            return self._keys.get((field, name))
        return next((row for row in self if row.fields.get(field) == name), None)

    def having(self, **wanted: str) -> list[Row]:
        """Return the rows with these values; an underscore in a name stands for a hyphen."""
        pairs = {name.replace("_", "-"): value for name, value in wanted.items()}
        return [row for row in self if all(row.fields.get(name) == value for name, value in pairs.items())]

    def add(
        self,
        fields: Fields,
        *,
        before: Row | None = None,
        dynamic: bool = False,
        live: Callable[[], Fields] | None = None,
    ) -> Row:
        """Put a row in, at the end or before another; raises TrapError for a key that exists or a full menu."""
        self._expire()
        complete = {**self._defaults, **fields}
        if self.rows_max is not None and len(self._rows) >= self.rows_max:
            raise TrapError("failure: can not add more entries")
        self._refuse_double(complete, None)
        row = Row(f"*{next(self._dynamic_ids if dynamic else self._ids):X}", complete, dynamic, live)
        if dynamic and "dynamic" in self.known:
            complete["dynamic"] = "true"
        self._rows[row.id] = row
        self._index(row)
        if before is not None:
            self._place(row, before)
        self._tell(row)
        return row

    def change(self, row: Row, fields: Fields, unset: tuple[str, ...] = ()) -> None:
        """Give a row other values; raises TrapError where its new key exists already."""
        new = {**row.fields, **fields}
        for name in unset:
            new.pop(name, None)
            if name in self._defaults:
                new[name] = self._defaults[name]
        self._refuse_double(new, row)
        self._unindex(row)
        row.fields.clear()
        row.fields.update(new)
        self._index(row)
        self._tell(row)

    def remove(self, row: Row) -> None:
        """Take a row out; one that is gone does no harm."""
        if self._rows.get(row.id) is row:
            del self._rows[row.id]
            self._unindex(row)
            self._tell(row)

    def move(self, row: Row, before: Row | None) -> None:
        """Put a row before another, or to the end."""
        if before is not row:
            self._place(row, before)
            self._tell(row)

    def end_at(self, row: Row, ends_at_s: float | None) -> None:
        """Let a row vanish by itself at a moment of the clock, or never."""
        row.ends_at_s = ends_at_s
        if ends_at_s is not None:
            heapq.heappush(self._ending, (ends_at_s, next(self._turns), row))

    def rename(self, field: str, old: str, new: str) -> None:
        """Put a new name where a field names something by its old one."""
        if self._named[field, old] <= 0:
            return
        for row in self.having(**{field: old}):
            self._unindex(row)
            row.fields[field] = new
            self._index(row)

    def forget_dynamic(self, boot: int) -> None:
        """Lose what the router had made itself, as a reboot does; later ones get other ids."""
        for row in list(self._rows.values()):
            if row.dynamic:
                self.remove(row)
        self._ending.clear()
        self._dynamic_ids = itertools.count(DYNAMIC_IDS_FROM + boot * 0x10000)

    def _expire(self) -> None:
        while self._ending and self._ending[0][0] <= self._clock.now():
            _, _, row = heapq.heappop(self._ending)
            if row.ends_at_s is not None and row.ends_at_s <= self._clock.now():
                self.remove(row)

    def _tell(self, row: Row) -> None:
        if self.changed is not None:
            self.changed(row)

    def _place(self, row: Row, before: Row | None) -> None:
        rest = [one for one in self._rows.values() if one is not row]
        place = rest.index(before) if before is not None else len(rest)
        rest.insert(place, row)
        self._rows = {one.id: one for one in rest}

    def _keys_of(self, fields: Fields) -> Iterator[tuple[tuple[str, ...], str]]:
        for unique in self.menu.unique:
            values = [fields.get(name, "") for name in unique.fields]
            counts = not unique.among_enabled or fields.get("disabled") != "true"
            if counts and values[0]:  # a lease without an address has no key
                yield (*unique.fields, *values), unique.refusal

    def _refuse_double(self, fields: Fields, row: Row | None) -> None:
        for key, message in self._keys_of(fields):
            if self._keys.get(key, row) is not row:
                raise TrapError(message)

    def _index(self, row: Row) -> None:
        for key, _ in self._keys_of(row.fields):
            self._keys[key] = row
        for name in self._referring:
            self._named[name, row.fields.get(name, "")] += 1

    def _unindex(self, row: Row) -> None:
        for key, _ in self._keys_of(row.fields):
            if self._keys.get(key) is row:
                del self._keys[key]
        for name in self._referring:
            self._named[name, row.fields.get(name, "")] -= 1


class Store:
    """All menus of a router."""

    def __init__(self, menus: tuple[Menu, ...], version: Version, clock: Clock, rows_max: dict[str, int]) -> None:
        self.version = version
        self.tables = {menu.path: Table(menu, version, clock, rows_max=rows_max.get(menu.path)) for menu in menus}
        for table in self.tables.values():
            for row in table.menu.at_start or ({},) if table.menu.single else table.menu.at_start:
                table.add(dict(row))

    def __getitem__(self, path: str) -> Table:
        return self.tables[path]

    def single(self, path: str) -> Row:
        """Return the one row of a menu of settings."""
        return next(iter(self.tables[path]))

    def read(self, table: Table, arguments: Fields) -> tuple[Fields, tuple[str, ...]]:
        """Return the values to store, and the names to unset; raises TrapError for what the menu does not take."""
        values: Fields = {}
        unset: list[str] = []
        for argument, value in arguments.items():
            name, wants_unset = (argument[1:], True) if argument.startswith("!") else (argument, False)
            field = table.known.get(name)
            if field is None or field.read_only:
                raise traps.unknown(name, self.version)
            if wants_unset or (name == "comment" and not value) or value in field.means_unset:
                unset.append(name)
            else:
                values[name] = self._value(field, value)
        return values, tuple(unset)

    def _value(self, field: Field, value: str) -> str:
        if not field.refers:
            return field.kind(field.name, value)
        if value in field.refers_also:
            return value
        row = self.tables[field.refers].get(value)
        if row is None:
            if field.kind is text:
                raise traps.no_match(field.name)
            return field.kind(field.name, value)  # an address where the name of a pool may stand too
        return row.fields[self.tables[field.refers].menu.name_field]

    def rename(self, path: str, old: str, new: str) -> None:
        """Follow a row's new name in everything that names it; RouterOS keeps references, not names."""
        for table in self.tables.values():
            for field in table.known.values():
                if field.refers == path:
                    table.rename(field.name, old, new)
