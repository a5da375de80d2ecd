"""From what a router has to what it should have: the commands in order, each with what takes it back.

What exists and is not ours is never touched: it is a conflict, unless it already is as wanted, or a person agreed to
adopt it. What others refer to is made first and what is not wanted any more goes last, so that there is no moment in
which a customer has neither the old nor the new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from policy.routeros.matching import Match, called, match, named_by
from policy.routeros.menus import field_of, menu_of, same, value
from policy.routeros.objects import Change, Command, Fields, Item, Plan, Verb, Wanted, tagged
from policy.routeros.order import Places
from policy.routeros.reading import Observed, Reading, reading_of
from policy.routeros.values import HIDDEN, Kind
from policy.wording import short


def difference(wanted: Iterable[Wanted], observed: Observed, *, adopt: bool = False) -> Plan:
    """The plan; empty when everything is as it should be. `observed` has every item of each menu that was read; a
    `Reading` of it saves work when many are asked about.

    `wanted` is all that there should be of the tags that it names: other items with these tags go, where their menu
    was read. With `adopt` what stands under a wanted key becomes ours. Undo restores what was there before; a profile
    stays, since others may use it by then.
    """
    reading = reading_of(observed)
    found = match(wanted, reading, adopt=adopt)
    places = Places(reading)
    groups: dict[tuple[int, str, Fields], list[Match]] = defaultdict(list)
    for one in found.matches:
        groups[menu_of(one.wanted.menu).rank, one.wanted.menu, one.wanted.before].append(one)
    changes: list[Change] = []
    for _, path, before in sorted(groups, key=lambda group: group[0]):
        changes += _made(groups[menu_of(path).rank, path, before], reading.first(path, before), places)
    changes += [_removed(item, places) for item in sorted(found.gone, key=lambda item: -menu_of(item.menu).rank)]
    return Plan(tuple(changes), tuple(found.conflicts))


def removal(items: Iterable[Item], observed: Observed) -> Plan:
    """The plan that removes these items, what refers to others first."""
    places = Places(reading_of(observed))
    return Plan(tuple(_removed(item, places) for item in sorted(items, key=lambda item: -menu_of(item.menu).rank)))


def undo_commands(plan: Plan) -> tuple[Command, ...]:
    """What takes a whole plan back, in order."""
    return tuple(change.undo for change in reversed(plan.changes) if change.undo is not None)


def proved(wanted: Iterable[Wanted], observed: Observed) -> list[str]:
    """What is not as wanted, a sentence each; none: the router was seen doing it. Secrets are never told."""
    reading = reading_of(observed)
    plan = difference(wanted, reading)
    sentences = [one for change in plan.changes for one in _sentences(change, reading)]
    return sentences + [conflict.why for conflict in plan.conflicts]


def _made(group: list[Match], before: Item | None, places: Places) -> list[Change]:
    """Adds, sets and moves. Where rules are a sequence, either all of them stand in order or all are put in order."""
    path = group[0].wanted.menu
    sequence = menu_of(path).sequence
    everybody = sequence and not places.in_order(path, [*(one.item for one in group), before])
    changes: list[Change] = []
    for place, one in enumerate(group):
        goal = before
        if sequence and not everybody:
            goal = next((later.item for later in group[place + 1 :] if later.item is not None), before)
        if one.item is None:
            changes.append(_added(one.wanted, goal, places))
            continue
        changes += _set(one.wanted, one.item)
        if everybody or not places.in_order(path, [one.item, before]):
            changes.append(_moved(one.item, goal, places))
    return changes


def _added(wanted: Wanted, before: Item | None, places: Places) -> Change:
    menu = menu_of(wanted.menu)
    mark: Fields = (("comment", tagged(wanted.tag)),) if wanted.tag and menu.comments else ()
    key = wanted.key if wanted.key and menu.renamed else (*wanted.key, *mark)
    fields = (*wanted.key, *((name, text) for name, text in wanted.fields if _worth_adding(wanted.menu, name, text)))
    place, beside = _place(before)
    command = Command(Verb.ADD, wanted.menu, key, (*fields, *mark), "", place, beside)
    places.put(wanted.menu, "", before)
    undo = None if not menu.comments else Command(Verb.REMOVE, wanted.menu, key)
    return Change(command, undo, f"there is no {called(wanted.menu, key)} yet")


def _worth_adding(path: str, name: str, text: str) -> bool:
    """What has to be taken away from an item that is there, a new one has not got."""
    return bool(text) or not field_of(path, name).unset


def _set(wanted: Wanted, item: Item) -> list[Change]:
    menu = menu_of(item.menu)
    fields = [
        (name, text)
        for name, text in (*wanted.key, *wanted.fields)
        if not same(item.menu, name, value(item.menu, item.fields, name), text)
    ]
    if menu.comments and wanted.tag and item.tag != wanted.tag:
        fields.append(("comment", tagged(wanted.tag, item.fields.get("comment", ""))))
    if not fields:
        return []
    key = named_by(item)
    new = dict(fields)
    before = tuple((name, value(item.menu, item.fields, name)) for name, _ in fields)
    after_key = tuple((name, new.get(name, text)) for name, text in key)
    undo = Command(Verb.SET, item.menu, after_key, before, item.id) if menu.comments else None
    names = [name for name, _ in fields]
    why = f"{_listed(names)} of the {called(item.menu, key)} {'is' if len(names) == 1 else 'are'} not as wanted"
    return [Change(Command(Verb.SET, item.menu, key, tuple(fields), item.id), undo, why)]


def _moved(item: Item, before: Item | None, places: Places) -> Change:
    key = named_by(item)
    back = places.following(item)
    places.put(item.menu, item.id, before)
    place, beside = _place(before)
    command = Command(Verb.MOVE, item.menu, key, (), item.id, place, beside)
    place, beside = _place(back)
    undo = Command(Verb.MOVE, item.menu, key, (), item.id, place, beside)
    return Change(command, undo, f"the {called(item.menu, key)} stands in the wrong place")


def _removed(item: Item, places: Places) -> Change:
    menu = menu_of(item.menu)
    key = named_by(item)
    fields = [(name, item.fields[name]) for name, field in menu.fields.items() if field.written and name in item.fields]
    # A secret that the router does not show has to be put in by whoever knows it.
    hidden = (name for name, field in menu.fields.items() if field.kind == Kind.SECRET and name not in item.fields)
    fields += [(name, HIDDEN) for name in hidden]
    place, beside = _place(places.following(item))
    places.gone(item)
    undo = Command(Verb.ADD, item.menu, key, tuple(fields), "", place, beside)
    command = Command(Verb.REMOVE, item.menu, key, (), item.id)
    return Change(command, None if menu.live else undo, f"the {called(item.menu, key)} is not wanted any more")


def _place(before: Item | None) -> tuple[str, Fields]:
    return ("", ()) if before is None else (before.id, named_by(before))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sentences(change: Change, reading: Reading) -> list[str]:
    command = change.command
    name = called(command.menu, command.key)
    if command.verb == Verb.ADD:
        return [f"There is no {name}."]
    if command.verb == Verb.REMOVE:
        return [f"The {name} is still there."]
    if command.verb == Verb.MOVE:
        return [f"The {name} stands in the wrong place."]
    item = reading.item(command.menu, command.id)
    shown = item.fields if item is not None else {}
    return [
        _differs(command.menu, name, field, value(command.menu, shown, field), text) for field, text in command.fields
    ]


def _differs(path: str, name: str, field: str, shown: str, text: str) -> str:
    if field_of(path, field).kind == Kind.SECRET:
        return f"The {field} of the {name} is another."
    return f"The {name} has {field}={short(shown)!r} where it should be {short(text)!r}."
