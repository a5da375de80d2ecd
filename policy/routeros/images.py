"""What a router shows after commands, computed: for previews, and to hold what is read back against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from policy.routeros.menus import agrees, field_of
from policy.routeros.objects import Command, Item, Plan, Verb

Image = dict[str, list[Item]]


def after_image(plan: Plan, observed: Mapping[str, Sequence[Item]]) -> Image:
    """The router after a plan. New items have `new-1`, `new-2` ... for their ids. `observed` is left as it is."""
    return after_commands((change.command for change in plan.changes), observed)


def after_commands(commands: Iterable[Command], observed: Mapping[str, Sequence[Item]]) -> Image:
    """The router after these commands. One whose item is not there changes nothing."""
    image = {path: [item._replace(fields=dict(item.fields)) for item in items] for path, items in observed.items()}
    for number, command in enumerate(commands, 1):
        _carry_out(command, image.setdefault(command.menu, []), f"new-{number}")
    return image


def _carry_out(command: Command, items: list[Item], new_id: str) -> None:
    if command.verb == Verb.ADD:
        fields = {name: text for name, text in command.fields if text or not field_of(command.menu, name).unset}
        items.insert(_place(command, items), Item(command.menu, new_id, fields))
        return
    item = next((one for one in items if _is_meant(one, command)), None)
    if item is None:
        return
    if command.verb == Verb.SET:
        for name, text in command.fields:
            if text or not field_of(command.menu, name).unset:
                item.fields[name] = text
            else:
                item.fields.pop(name, None)
        return
    items.remove(item)
    if command.verb == Verb.MOVE:
        items.insert(_place(command, items), item)


def _is_meant(item: Item, command: Command) -> bool:
    return item.id == command.id if command.id else not item.dynamic and agrees(item, command.key)


def _place(command: Command, items: list[Item]) -> int:
    places = (place for place, item in enumerate(items) if item.id == command.place_before)
    return next(places, len(items)) if command.place_before else len(items)
