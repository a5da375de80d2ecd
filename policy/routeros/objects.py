"""Items of a router's configuration: as they were read, as they are wanted, and the commands between the two.

Values are text throughout, as the API writes them; `policy.routeros.values` says when two of them are the same.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

Fields = tuple[tuple[str, str], ...]

# A comment that begins so marks what is ours: `ispagents:service-12`, then a blank and the comment of whoever made it.
_TAG = re.compile(r"ispagents:([a-z0-9]+(?:-[a-z0-9]+)*)(?: (.*))?", re.DOTALL)


class Item(NamedTuple):
    """An item as a router printed it. `id` is its `.id`, which is never kept: dynamic ones change with every login."""

    menu: str
    id: str
    fields: dict[str, str]

    @property
    def tag(self) -> str:
        """Whose it is among ours (`service-12`, `garden-3`), or "" for what is not ours."""
        return tag_of(self.fields.get("comment", ""))

    @property
    def dynamic(self) -> bool:
        """Made by the router itself, for a session: it goes with it, and nobody edits it."""
        return self.fields.get("dynamic") in ("true", "yes")


class Wanted(NamedTuple):
    """An item as it should be. `key` are the fields it is found by, `fields` those that it must have besides.

    Fields that are not named are left as they are. With `present` False there must be none.
    `tag` marks it as ours; a menu without comments (profiles of a hotspot) has its name for that. Without a `key` the
    tag alone finds it (firewall rules). `before` are the fields of the item that it stands before where order counts.
    """

    menu: str
    key: Fields
    fields: Fields = ()
    tag: str = ""
    present: bool = True
    before: Fields = ()


class Verb(StrEnum):
    """What a command does."""

    ADD = "add"
    SET = "set"
    REMOVE = "remove"
    MOVE = "move"


class Command(NamedTuple):
    """One command. `key` finds the item in a terminal and says what it is about; `id` is its `.id` now ("" for add).

    An add's `fields` are all of the item, its key too. `place_before` is the `.id` before which an added or moved item
    goes, "" for the end, and `before` finds the same item in a terminal.
    """

    verb: Verb
    menu: str
    key: Fields
    fields: Fields = ()
    id: str = ""
    place_before: str = ""
    before: Fields = ()


class Change(NamedTuple):
    """A command, what takes it back (None: nothing has to), and why it is there, in a few words."""

    command: Command
    undo: Command | None
    why: str


class Conflict(NamedTuple):
    """Something is in the way that is not ours; a person must decide. `item` is what stands there."""

    wanted: Wanted
    item: Item
    why: str


class Plan(NamedTuple):
    """What leads from what a router has to what it should have, in order; and what stands in the way."""

    changes: tuple[Change, ...] = ()
    conflicts: tuple[Conflict, ...] = ()


def tag_of(comment: str) -> str:
    """The tag in a comment, or ""."""
    match = _TAG.fullmatch(comment)
    return match[1] if match else ""


def tagged(tag: str, comment: str = "") -> str:
    """A comment that marks an item as ours, with the words that it had before."""
    match = _TAG.fullmatch(comment)
    rest = (match[2] or "") if match else comment
    return f"ispagents:{tag} {rest}" if rest else f"ispagents:{tag}"


def untagged(comment: str) -> str:
    """The comment without our mark."""
    match = _TAG.fullmatch(comment)
    return (match[2] or "") if match else comment
