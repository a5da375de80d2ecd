"""Commands that were carried out, kept as a document so that they can be taken back later. No secret is in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from policy.routeros.menus import field_of
from policy.routeros.objects import Change, Command, Fields, Verb
from policy.routeros.values import Kind

DONE = "done"  # the key of a proposal under which they stand


class Done(NamedTuple):
    """A change that was carried out, and the `.id` of what it is about."""

    change: Change
    item_id: str


def kept(done: Iterable[Done]) -> list[dict[str, Any]]:
    """The document, in the order in which it was done. What has no reverse, or one with a secret, is left out of it.

    `secret` marks the latter: whoever knows the secret types the reverse.
    """
    rows: list[dict[str, Any]] = []
    for change, item_id in done:
        if change.undo is None:
            continue
        if _tells(change.command) or _tells(change.undo):
            rows.append({"secret": True})
        else:
            rows.append({"command": list(change.command), "undo": list(change.undo), "id": item_id, "why": change.why})
    return rows


def holds_secret(document: Iterable[dict[str, Any]]) -> bool:
    """Whether something of it cannot be taken back without a secret that is not kept."""
    return any(row.get("secret") for row in document)


def read_kept(document: Iterable[dict[str, Any]]) -> tuple[Done, ...]:
    """What was carried out, of a document that `kept` made."""
    return tuple(
        Done(Change(_command(row["command"]), _command(row["undo"]), row["why"]), row["id"]) for row in document
    )


def _tells(command: Command) -> bool:
    return any(field_of(command.menu, name).kind == Kind.SECRET for name, _ in command.fields)


def _command(parts: Sequence[Any]) -> Command:
    verb, menu, key, fields, item_id, place_before, before = parts
    return Command(Verb(verb), menu, _fields(key), _fields(fields), item_id, place_before, _fields(before))


def _fields(pairs: Iterable[Sequence[str]]) -> Fields:
    return tuple((name, text) for name, text in pairs)
