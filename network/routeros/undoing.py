"""Takes back what was applied, newest first, and only where the router still shows what we made of it.

undo(connection, applied)     the reverse commands, with what came of each
settle(connection, applied)   steps whose outcome is unknown, settled by looking
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from network.contract import Outcome, Result, nothing_sent
from network.routeros.commands import check_menu, check_name, shows
from network.routeros.connection import Connection
from network.routeros.errors import RouterosError
from network.routeros.verbs import Applied, Step, carry_out
from policy.routeros.menus import touchable
from policy.routeros.objects import Change, Command, Item, Verb


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
    begun = [step for step in applied.steps if step.change.undo is not None and _may_be_done(step)]
    looks = await look_at(connection, begun)
    steps = [
        await _take_back(connection, step, look) for step, look in zip(reversed(begun), reversed(looks), strict=True)
    ]
    return Applied(tuple(step for step in steps if step is not None))


async def undo_all(connection: Connection, applied: Sequence[Applied]) -> tuple[Applied, ...]:
    """`undo` for many plans beside each other, in the order given; each is taken back from its own end."""
    results: list[Applied | None] = [None] * len(applied)
    waiting = iter(enumerate(applied))

    async def runner() -> None:
        for place, one in waiting:
            results[place] = await undo(connection, one)

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
    """What the router shows of each step's item; all are read at once."""
    futures = [connection.ask(_words(step)) for step in steps]
    replies = await asyncio.gather(*futures, return_exceptions=True)
    looks = []
    for step, reply in zip(steps, replies, strict=True):
        if isinstance(reply, RouterosError):
            looks.append(Look(Seen.UNREAD, why=str(reply)))
        elif isinstance(reply, BaseException):
            raise reply
        else:
            items = [Item(step.change.command.menu, row.pop(".id", ""), row) for row in reply.rows]
            looks.append(_judged(step, items))
    return looks


def _may_be_done(step: Step) -> bool:
    return step.result.outcome in (Outcome.APPLIED, Outcome.UNKNOWN)


def _words(step: Step) -> tuple[str, ...]:
    """Reads the item by its `.id`, or by its key: an unknown add told us no id, and a restart may give others."""
    command = step.change.command
    check_menu(command.menu)
    for name, _ in command.key:
        check_name(name)
    by_key = [f"?{name}={value}" for name, value in command.key]
    if len(by_key) > 1:
        by_key.append("?#" + "&" * (len(by_key) - 1))
    by_id = [f"?.id={step.item_id}"] if step.item_id else []
    either = ["?#|"] if by_key and by_id else []
    return (f"{command.menu}/print", *by_key, *by_id, *either)


def _judged(step: Step, items: Sequence[Item]) -> Look:
    command = step.change.command
    if command.verb is Verb.REMOVE:
        # Another item may have got the id of the removed one; what counts is whether the key is taken again.
        again = next((item for item in items if shows(item, command._replace(fields=()))), None)
        return Look(Seen.GONE) if again is None else Look(Seen.OTHER, again)
    after = [item for item in items if shows(item, command) and touchable(item)]
    own = next((item for item in after if item.id == step.item_id), None)
    if own is None and len(after) == 1:
        own = after[0]
    if own is not None:
        return Look(Seen.AFTER, own)
    return Look(Seen.OTHER, items[0]) if items else Look(Seen.GONE)


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
