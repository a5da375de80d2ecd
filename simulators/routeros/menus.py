"""Menus: which fields a row has, what must be unique, what may be done, and what the refusals say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from simulators.routeros.fields import Field, Kind, Version, flag, text

Row = dict[str, str]


class Unique(NamedTuple):
    """A key of which there is one row only. `among_enabled`: a disabled row neither clashes nor is refused."""

    fields: tuple[str, ...]
    refusal: str
    among_enabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Menu:
    """One menu: its fields, its keys, and what may be done."""

    path: str
    fields: tuple[Field, ...]
    unique: tuple[Unique, ...] = ()
    single: bool = False  # settings without rows, such as /system/identity
    ordered: bool = False  # move and place-before mean something
    addable: bool = True
    editable: bool = True
    removable: bool = True
    write_policy: str = "write"
    name_field: str = "name"  # rows may be named by it where an id is expected
    cannot_change_dynamic: str = "failure: can not change dynamic object"
    cannot_remove_dynamic: str = "failure: can not remove dynamic object"
    at_start: tuple[Row, ...] = ()
    builtin: frozenset[str] = field(default_factory=frozenset)  # names of rows that cannot be removed

    def known(self, version: Version) -> dict[str, Field]:
        """Return the fields of this release by name."""
        return {one.name: one for one in self.fields if one.in_version(version)}


def field_of(name: str, kind: Kind = text, default: str | None = None, **more: object) -> Field:
    """Return a field; the tables of menus read better without keywords."""
    return Field(name=name, kind=kind, default=default, **more)  # type: ignore[arg-type]  # the tables are data


def shown(*names: str) -> tuple[Field, ...]:
    """Return fields that the router alone writes."""
    return tuple(field_of(name, read_only=True) for name in names)


NO_ADDRESS = "0.0.0.0"  # noqa: S104  # how RouterOS writes "none"; nothing binds to it
COMMENT = field_of("comment")
DISABLED = field_of("disabled", flag, "false")
DYNAMIC = field_of("dynamic", flag, "false", read_only=True)
INVALID = field_of("invalid", flag, "false", read_only=True)
COMMON = (COMMENT, DISABLED)
