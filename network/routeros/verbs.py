"""Read items and carry out plans; a verb acts when called and says what happened as values.

    observe(connection, queries)    items by menu, all menus read at once
    apply(connection, plan)         one plan, one command after the other
    apply_all(connection, plans)    many plans beside each other: of each the next command leaves when the last was done

A plan is what belongs together (one service): its commands may need each other, a profile before the secret that names
it. The API promises no order for commands that are on their way at once, so within a plan each waits for the answer to
the one before, unless the caller says that they are independent. Plans do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from network.contract import Outcome, Result, nothing_sent
from network.routeros.commands import (
    SECRET_FIELDS,
    check_menu,
    check_name,
    evidence_of,
    shows,
    untold,
    without_secrets,
    words_of,
)
from network.routeros.connection import Connection
from network.routeros.errors import (
    AlreadyExistsError,
    InvalidCommandError,
    NoSuchItemError,
    NoSuchMenuError,
    NotSentError,
    RefusedError,
    RouterosError,
    TooManyError,
    UnknownOutcomeError,
)
from network.routeros.link import Reply
from policy.routeros.objects import Change, Command, Item, Plan, Verb
from policy.routeros.values import HIDDEN

MAX_VALUES: Final = 2_000  # in one query; a router looks at each of them for each of its items
DONE: Final = "The router did it; read it back to prove it."
UNTOLD: Final = " Its secret was left as it is, since another is not known here."
DONE_REPLY: Final = (("answer", "!done"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to read of a menu.

    `fields`    only these (the `.id` always comes too); () is all, which can be slow.
    `where`     fields with the values that they may have, exactly as the router writes them; all must hold.
    `present`   fields that must be set, such as `comment`.
    `optional`  a router without this menu gives None instead of an error.
    `max_rows`  more than these end the connection; None is the target's limit.
    """

    menu: str
    fields: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    present: tuple[str, ...] = ()
    optional: bool = False
    max_rows: int | None = None

    def words(self) -> tuple[str, ...]:
        """The command. Raises InvalidCommandError."""
        check_menu(self.menu)
        for name in (*self.fields, *self.present, *(name for name, _ in self.where)):
            check_name(name)
        wanted = dict.fromkeys((".id", *self.fields))
        only = (f"=.proplist={','.join(wanted)}",) if self.fields else ()
        return (f"{self.menu}/print", *only, *self._conditions())

    def _conditions(self) -> Iterator[str]:
        """The query's words: each pushes true or false, `?#` joins what was pushed (API page, Queries)."""
        terms = 0
        for name, values in self.where:
            if not 0 < len(values) <= MAX_VALUES:
                raise InvalidCommandError(f"{len(values)} values to look for; give 1 to {MAX_VALUES}.")
            yield from (f"?{name}={value}" for value in values)
            if len(values) > 1:
                yield "?#" + "|" * (len(values) - 1)
            terms += 1
        for name in self.present:
            yield f"?{name}"
            terms += 1
        if terms > 1:
            yield "?#" + "&" * (terms - 1)


class Step(NamedTuple):
    """One change and what came of it. `item_id` is the `.id` that it is about, of an add the new one; "" if unknown.

    `result.attempts` is 0 if the command was not sent. `result.sent` shows no secret.
    """

    change: Change
    result: Result
    item_id: str


class Applied(NamedTuple):
    """What came of a plan: a step for each of its changes, in order."""

    steps: tuple[Step, ...]

    @property
    def outcome(self) -> Outcome:
        """Of all together: applied, or already so if nothing was left to do; else that of the first step that failed.

        Unknown comes before refused, since it has to be settled by looking.
        """
        outcomes = [step.result.outcome for step in self.steps]
        if Outcome.UNKNOWN in outcomes:
            return Outcome.UNKNOWN
        good = (Outcome.APPLIED, Outcome.ALREADY_SO)
        failed = next((outcome for outcome in outcomes if outcome not in good), None)
        if failed is not None:
            return failed
        return Outcome.APPLIED if Outcome.APPLIED in outcomes else Outcome.ALREADY_SO


async def observe(connection: Connection, queries: Sequence[Query]) -> dict[str, tuple[Item, ...] | None]:
    """The items by menu, in the router's order. Several queries of a menu are read as one, without repeats.

    Raises InvalidCommandError before anything is sent, RefusedError if the router does not answer one of them, and
    UnknownOutcomeError or NotSentError if the connection ended (nothing was changed in any case).
    """
    asked = [query.words() for query in queries]
    futures = [connection.ask(words, max_rows=query.max_rows) for query, words in zip(queries, asked, strict=True)]
    replies = await asyncio.gather(*futures, return_exceptions=True)
    found: dict[str, dict[str, Item] | None] = {}
    for query, reply in zip(queries, replies, strict=True):
        if isinstance(reply, NoSuchMenuError) and query.optional:
            found.setdefault(query.menu, None)
            continue
        if isinstance(reply, BaseException):
            raise reply
        items = found.get(query.menu)
        if items is None:
            items = found[query.menu] = {}
        for place, item in enumerate(_items(query, reply)):
            items[item.id or f"-{place}"] = item
    return {menu: None if items is None else tuple(items.values()) for menu, items in found.items()}


def _items(query: Query, reply: Reply) -> Iterator[Item]:
    wanted = frozenset(query.fields)
    for row in reply.rows:
        item_id = row.pop(".id", "")
        for name in row.keys() & SECRET_FIELDS:
            if row[name] and not row[name].strip("*"):
                row[name] = HIDDEN  # a user without the policy for secrets is shown stars, or nothing
        if wanted and not row.keys() <= wanted:
            row = {name: value for name, value in row.items() if name in wanted}  # noqa: PLW2901 - a row's own subset
        yield Item(query.menu, item_id, row)


async def apply(connection: Connection, plan: Plan, *, independent: bool = False) -> Applied:
    """Carry out a plan's changes; stops at the first that is neither done nor already so, unless `independent`.

    `independent`: no change needs another, so all leave at once, in order, and each has its own outcome.
    Raises nothing of the network: what happened stands in the steps.
    """
    if independent:
        return Applied(await _carry_out_at_once(connection, [(change, change.command) for change in plan.changes]))
    steps: list[Step] = []
    stopped = False
    for change in plan.changes:
        step = _held_back(change) if stopped else await carry_out(connection, change, change.command)
        stopped = stopped or step.result.outcome not in (Outcome.APPLIED, Outcome.ALREADY_SO)
        steps.append(step)
    return Applied(tuple(steps))


async def apply_all(connection: Connection, plans: Sequence[Plan]) -> tuple[Applied, ...]:
    """Carry out many plans beside each other, as many at once as the window holds; begun in their order.

    A plan that is refused stops none of the others. Raises nothing of the network.
    """
    results: list[Applied | None] = [None] * len(plans)
    waiting = iter(enumerate(plans))

    async def runner() -> None:
        for place, plan in waiting:
            results[place] = await apply(connection, plan)

    async with asyncio.TaskGroup() as runners:
        for _ in range(min(connection.target.window, len(plans))):
            runners.create_task(runner())
    return tuple([applied for applied in results if applied is not None])


async def carry_out(connection: Connection, change: Change, command: Command) -> Step:
    """Send one command and say what came of it. An add of what is there exactly so is `already_so`."""
    asked_at = datetime.now(UTC)
    try:
        reply = await connection.send(words_of(command))
    except RouterosError as error:
        if isinstance(error, AlreadyExistsError) and command.verb is Verb.ADD:
            return await _perhaps_already_so(connection, change, command, asked_at, error)
        return _failed(change, command, asked_at, error)
    return _done(change, command, reply)


async def _carry_out_at_once(connection: Connection, changes: Sequence[tuple[Change, Command]]) -> tuple[Step, ...]:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(carry_out(connection, change, command)) for change, command in changes]
    return tuple([task.result() for task in running])


def _done(change: Change, command: Command, reply: Reply) -> Step:
    now = datetime.now(UTC)
    item_id = reply.done.get("ret", "") if command.verb is Verb.ADD else command.id
    result = Result(
        outcome=Outcome.APPLIED,
        cause="done",
        explanation=DONE + UNTOLD if untold(command) else DONE,
        attempts=1,
        round_trip_ms=reply.round_trip_ms,
        sent=evidence_of(command),
        reply=(*DONE_REPLY, *reply.done.items()),
        started_at=now - timedelta(milliseconds=reply.round_trip_ms),
        ended_at=now,
        may_retry=False,
    )
    return Step(change, result, item_id)


def _failed(change: Change, command: Command, asked_at: datetime, error: RouterosError) -> Step:
    if isinstance(error, InvalidCommandError | NotSentError | TooManyError):
        outcome = Outcome.REFUSED if isinstance(error, InvalidCommandError) else Outcome.UNREACHABLE
        result = nothing_sent(
            outcome, cause=error.cause, explanation=str(error), now=asked_at, may_retry=error.may_retry
        )
        return Step(change, result, command.id)
    if isinstance(error, NoSuchItemError) and command.verb is Verb.REMOVE:
        said = "The item is gone already, so there was nothing to remove."
        return _answered(change, command, asked_at, Outcome.ALREADY_SO, "already_gone", said, error)
    if isinstance(error, RefusedError):
        return _answered(change, command, asked_at, Outcome.REFUSED, error.cause, str(error), error)
    why = error.why if isinstance(error, UnknownOutcomeError) else error.cause
    said = f"{error} Look at the router before deciding."
    return _answered(change, command, asked_at, Outcome.UNKNOWN, f"unknown:{why}", said, error)


def _answered(
    change: Change,
    command: Command,
    asked_at: datetime,
    outcome: Outcome,
    cause: str,
    explanation: str,
    error: RouterosError | None,
    item_id: str = "",
) -> Step:
    reply: tuple[tuple[str, str], ...] = ()
    if isinstance(error, RefusedError):
        category = (("category", error.category),) if error.category else ()
        reply = (("answer", "!trap"), ("message", without_secrets(command, error.said)), *category)
    now = datetime.now(UTC)
    result = Result(
        outcome=outcome,
        cause=cause,
        explanation=without_secrets(command, explanation),
        attempts=1,
        round_trip_ms=max((now - asked_at) / timedelta(milliseconds=1), 0.0) if reply else None,
        sent=evidence_of(command),
        reply=reply,
        started_at=min(asked_at, now),
        ended_at=now,
        may_retry=error.may_retry if error is not None else False,
    )
    return Step(change, result, item_id or command.id)


def _held_back(change: Change) -> Step:
    said = "It was not sent, since an earlier command of the same plan did not come to a good end."
    now = datetime.now(UTC)
    result = nothing_sent(Outcome.REFUSED, cause="held_back", explanation=said, now=now, may_retry=True)
    return Step(change, result, change.command.id)


async def _perhaps_already_so(
    connection: Connection, change: Change, command: Command, asked_at: datetime, error: AlreadyExistsError
) -> Step:
    """An add was refused because of its key: if the item there is just what was to be added, nothing is left to do."""
    try:
        found = await observe(connection, [Query(menu=command.menu, where=tuple((n, (v,)) for n, v in command.key))])
    except RouterosError:
        return _failed(change, command, asked_at, error)
    items = found[command.menu] or ()
    if len(items) == 1 and shows(items[0], command):
        said = "The router has just this already, so nothing was left to do."
        return _answered(change, command, asked_at, Outcome.ALREADY_SO, "already_there", said, error, items[0].id)
    return _failed(change, command, asked_at, error)
