"""Takes back what was applied, newest first, and only where the router still shows what we made of it.

undo(connection, applied)     the reverse commands, with what came of each
settle(connection, applied)   steps whose outcome is unknown, settled by looking
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

from network.contract import Outcome, Result, nothing_sent
from network.routeros.commands import check_menu, check_name, shows
from network.routeros.connection import Connection
from network.routeros.errors import RouterosError
from network.routeros.verbs import Applied, Step, carry_out
from policy.routeros.menus import agrees, touchable
from policy.routeros.objects import Change, Command, Fields, Item, Verb

LOOKED_AT_ONCE: Final = 50  # items in one query; a router tries each condition on each item of the menu


class Seen(StrEnum):
    """What the router shows of a step."""

    AFTER = "after"
    """What the step made."""
    GONE = "gone"
    """No such item. For a removal this is what it made."""
    OTHER = "other"
    """An item, but not as the step left it."""
    UNREAD = "unread"
    """It could not be read."""


class Look(NamedTuple):
    """What was seen, and the item, if there is one."""

    seen: Seen
    item: Item | None = None
    why: str = ""


async def undo(connection: Connection, applied: Applied) -> Applied:
    """Send the reverse of what was done, in reverse order; a step for each reverse command that there was reason for.

    Every item is read first. One that a person has changed or removed since is not touched, and refused with
    `changed_meanwhile`. A step of unknown outcome is undone if the router shows that it was done. After the connection
    ended the rest is not sent. Raises nothing of the network.
    """
    (undone,) = await undo_all(connection, (applied,))
    return undone


async def undo_all(connection: Connection, applied: Sequence[Applied]) -> tuple[Applied, ...]:
    """`undo` for many plans beside each other, in the order given; each is taken back from its own end."""
    begun = [[step for step in one.steps if step.change.undo is not None and _may_be_done(step)] for one in applied]
    looks = iter(await look_at(connection, [step for steps in begun for step in steps]))
    seen = [[(step, next(looks)) for step in steps] for steps in begun]
    results: list[Applied | None] = [None] * len(applied)
    waiting = iter(enumerate(seen))

    async def runner() -> None:
        for place, pairs in waiting:
            steps = [await _take_back(connection, step, look) for step, look in reversed(pairs)]
            results[place] = Applied(tuple([step for step in steps if step is not None]))

    async with asyncio.TaskGroup() as runners:
        for _ in range(min(connection.target.window, len(applied))):
            runners.create_task(runner())
    return tuple([one for one in results if one is not None])


async def settle(connection: Connection, applied: Applied) -> Applied:
    """The same with every unknown outcome settled by looking: applied, or refused with `not_done`.

    What cannot be read, or shows neither what was made nor nothing, stays unknown. Raises nothing of the network.
    """
    unknown = [step for step in applied.steps if step.result.outcome is Outcome.UNKNOWN]
    looks = dict(zip(map(id, unknown), await look_at(connection, unknown), strict=True))
    return Applied(tuple([_settled(step, looks[id(step)]) if id(step) in looks else step for step in applied.steps]))


async def look_at(connection: Connection, steps: Sequence[Step]) -> list[Look]:
    """What the router shows of each step's item, read in few commands: a router looks at all of a menu for each.

    An item is found by its `.id`; where that is unknown, gone or another's by now, by its key.
    """
    looks = await _look(connection, steps, by_key=False)
    again = [
        place
        for place, (step, look) in enumerate(zip(steps, looks, strict=True))
        if look.seen in (Seen.GONE, Seen.OTHER) and _has_id(step) and step.change.command.key
    ]
    by_key = await _look(connection, [steps[place] for place in again], by_key=True)
    for place, look in zip(again, by_key, strict=True):
        if look.seen is not Seen.GONE:
            looks[place] = look
    return looks


async def _look(connection: Connection, steps: Sequence[Step], *, by_key: bool) -> list[Look]:
    chunks = _chunks(steps)
    asked = [connection.ask(_words([steps[place] for place in places], by_key=by_key)) for places in chunks]
    replies = await asyncio.gather(*asked, return_exceptions=True)
    looks = [Look(Seen.GONE)] * len(steps)
    for places, reply in zip(chunks, replies, strict=True):
        if isinstance(reply, BaseException) and not isinstance(reply, RouterosError):
            raise reply
        if isinstance(reply, BaseException):
            found, unread = [], Look(Seen.UNREAD, why=str(reply))
        else:
            menu = steps[places[0]].change.command.menu
            found, unread = [Item(menu, row.pop(".id", ""), row) for row in reply.rows], None
        ids = {item.id: item for item in found}
        for place in places:
            looks[place] = unread or _judged(steps[place], found, ids, by_key=by_key)
    return looks


def _may_be_done(step: Step) -> bool:
    return step.result.outcome in (Outcome.APPLIED, Outcome.UNKNOWN)


def _chunks(steps: Sequence[Step]) -> list[list[int]]:
    """The places of steps that are read by one command. What has neither `.id` nor key is all of its menu: settings."""
    of_menu: dict[str, list[int]] = {}
    alone: list[list[int]] = []
    for place, step in enumerate(steps):
        if _has_id(step) or step.change.command.key:
            of_menu.setdefault(step.change.command.menu, []).append(place)
        else:
            alone.append([place])
    several = [
        places[start : start + LOOKED_AT_ONCE]
        for places in of_menu.values()
        for start in range(0, len(places), LOOKED_AT_ONCE)
    ]
    return several + alone


def _has_id(step: Step) -> bool:
    """Whether the item can be found by its id. That of a removed item tells nothing: its key may be taken again."""
    return bool(step.item_id) and step.change.command.verb is not Verb.REMOVE


def _words(steps: Sequence[Step], *, by_key: bool) -> tuple[str, ...]:
    """Reads the items of some steps of one menu: each is one condition, and any of them may hold."""
    menu = steps[0].change.command.menu
    check_menu(menu)
    conditions: list[str] = []
    for step in steps:
        if _has_id(step) and not by_key:
            conditions.append(f"?.id={step.item_id}")
            continue
        key = _key_after(step.change.command)
        for name, value in key:
            check_name(name)
            conditions.append(f"?{name}={value}")
        if len(key) > 1:
            conditions.append("?#" + "&" * (len(key) - 1))
    either = ("?#" + "|" * (len(steps) - 1),) if len(steps) > 1 else ()
    return (f"{menu}/print", *conditions, *either)


def _key_after(command: Command) -> Fields:
    """What finds the item when the command is done: a set may have changed its key."""
    changed = dict(command.fields) if command.verb is Verb.SET else {}
    return tuple((name, changed.get(name, value)) for name, value in command.key)


def _judged(step: Step, found: Sequence[Item], ids: Mapping[str, Item], *, by_key: bool) -> Look:
    command = step.change.command
    if _has_id(step) and not by_key:
        item = ids.get(step.item_id)
        candidates = [item] if item is not None else []
    else:
        candidates = [item for item in found if agrees(item, _key_after(command))]
    if not candidates:
        return Look(Seen.GONE)
    after = [item for item in candidates if shows(item, command) and touchable(item)]
    if command.verb is Verb.REMOVE or len(after) != 1:
        return Look(Seen.OTHER, candidates[0])
    return Look(Seen.AFTER, after[0])


async def _take_back(connection: Connection, step: Step, look: Look) -> Step | None:
    reverse = step.change.undo
    if reverse is None:
        return None
    change = Change(reverse, None, f"undo: {step.change.why}")
    done = Seen.GONE if step.change.command.verb is Verb.REMOVE else Seen.AFTER
    if look.seen is Seen.UNREAD:
        said = f"It was not undone, since its item could not be read: {look.why}"
        return _untouched(change, Outcome.UNREACHABLE, "unread", said, may_retry=True)
    if look.seen is not done and step.result.outcome is Outcome.UNKNOWN:
        return None  # it never happened, or is not what we made: there is nothing of ours to take back
    if look.seen is Seen.GONE and reverse.verb is Verb.REMOVE:
        said = "The item is gone already, so there was nothing to take back."
        return _untouched(change, Outcome.ALREADY_SO, "already_gone", said, may_retry=False)
    if look.seen is not done:
        what = "is gone" if look.seen is Seen.GONE else "is not as we left it"
        said = f"Somebody has been there since: the item {what}. It was not touched; decide what it should be."
        return _untouched(change, Outcome.REFUSED, "changed_meanwhile", said, may_retry=False)
    return await carry_out(connection, change, _on(reverse, look.item))


def _on(reverse: Command, item: Item | None) -> Command:
    """The reverse command with the item's `.id` of now."""
    if item is None or reverse.verb is Verb.ADD:
        return reverse
    return reverse._replace(id=item.id)


def _untouched(change: Change, outcome: Outcome, cause: str, said: str, *, may_retry: bool) -> Step:
    result = nothing_sent(outcome, cause=cause, explanation=said, now=datetime.now(UTC), may_retry=may_retry)
    return Step(change, result, change.command.id)


def _settled(step: Step, look: Look) -> Step:
    command = step.change.command
    done = Seen.GONE if command.verb is Verb.REMOVE else Seen.AFTER
    if look.seen is done:
        item_id = look.item.id if look.item is not None else step.item_id
        said = "The connection ended before the answer, but the router shows that it was done."
        return Step(step.change, _told(step.result, Outcome.APPLIED, "seen", said), item_id)
    if look.seen is not (Seen.GONE if command.verb is Verb.ADD else Seen.OTHER):
        return step
    said = "The connection ended before the answer, and the router shows that it was not done; send it again."
    return Step(step.change, _told(step.result, Outcome.REFUSED, "not_done", said), step.item_id)


def _told(result: Result, outcome: Outcome, cause: str, said: str) -> Result:
    return Result(
        outcome=outcome,
        cause=cause,
        explanation=said,
        attempts=result.attempts,
        round_trip_ms=None,
        sent=result.sent,
        reply=result.reply,
        started_at=result.started_at,
        ended_at=max(datetime.now(UTC), result.started_at),
        may_retry=outcome is not Outcome.APPLIED,
    )
