"""People: they look, think for a while, and then approve or reject what they saw, which may have moved since."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from simulation.database import EPOCH
from simulation.ledger import Document, Line, Promise
from simulation.world import World
from sql import batches, brakes, intent, undo
from sql.errors import NotFound, Refused
from sql.roles import Role

THINKING_S = (1.0, 150.0)
PEOPLE = ("ada", "ben", "cem")
NOT_FACTS = {"service_id"}


class Seen(NamedTuple):
    """A waiting change as a person saw it."""

    change_id: int
    hash: str


class People:
    """Those who decide. What they did is written into the ledger's lines."""

    def __init__(self, world: World, lines: list[Line]) -> None:
        """Nobody has looked yet."""
        self._world = world
        self._lines = {line.service_id: line for line in lines}

    def know(self, line: Line) -> None:
        """One more service."""
        self._lines[line.service_id] = line

    def waiting(self) -> list[Seen]:
        """What waits for a person now."""
        query = "SELECT id, preview_hash FROM changes WHERE state = 'awaiting_approval' ORDER BY id"
        return [Seen(*row) for row in self._world.look(query)]

    def look(self) -> None:
        """Somebody looks at what waits, and decides on some of it a while later."""
        seen = self.waiting()
        if seen:
            some = self._world.random.sample(seen, self._world.random.randint(1, len(seen)))
            by = self._world.random.choice(PEOPLE)
            self._world.after(self._world.between(*THINKING_S), lambda: self._decide(some, by))

    def approve_all(self) -> int:
        """Two people approve all that waits, as it is now. Returns how many waited."""
        seen = self.waiting()
        for by in PEOPLE[:2] if seen else ():
            for one in self.waiting():
                self.approve(one, by)
        return len(seen)

    def reject_all(self) -> None:
        """Somebody says no to all that waits."""
        seen = self.waiting()
        if seen:
            self._reject(seen, self._world.random.choice(PEOPLE))

    def undo_something(self) -> None:
        """Somebody takes the latest change of a service back, for a while."""
        world = self._world
        query = "SELECT id, service_id, from_facts, to_facts FROM changes WHERE state = 'approved' ORDER BY id DESC"
        rows = world.look(f"{query} LIMIT 8")
        if not rows:
            return
        change_id, service_id, before, after = world.random.choice(rows)
        until = world.now + timedelta(seconds=round(world.between(20, 400)))
        by = world.random.choice(PEOPLE)

        def work(session: Session) -> int:
            change = intent.change_by_id(session, world.operator_id, change_id)
            return undo.undo(session, change, until=until, reason="a mistake", by=by).id

        made = self._refusable(lambda: world.stored(Role.WEB, work))
        if made is not None:
            line = self._lines[service_id]
            for one in line.overrides:
                one.ended = True
            line.overrides.append(Promise(made, until, _altered(before, after)))
            world.counts["undone"] += 1
            world.say(f"{by} undoes change {change_id} of {line.username} until {(until - EPOCH).total_seconds():.0f}")

    def end_override(self) -> None:
        """An undo ends early."""
        world = self._world
        running = [one for line in self._lines.values() for one in line.overrides if one.holds(world.now)]
        if running:
            one = world.random.choice(running)
            work = world.stored
            done = work(Role.WEB, lambda s: undo.end_override(s, world.operator_id, one.id, by=PEOPLE[0]))
            one.ended = one.ended or done is not None

    def switch(self, *, stopped: bool) -> None:
        """All network writes of the operator are stopped, or go on."""
        world = self._world
        done = world.stored(Role.WEB, lambda s: brakes.set_network_writes(s, world.operator_id, stopped, PEOPLE[0]))
        if done:
            world.say(f"network writes {'stop' if stopped else 'go on'}")

    def approve(self, one: Seen, by: str) -> None:
        """Approve one as it was seen; a preview that has moved is renewed, and that is kept."""
        world = self._world

        def work(session: Session) -> str:
            change = intent.change_by_id(session, world.operator_id, one.change_id)
            try:
                done = intent.approve(session, change, by=by, seen_hash=one.hash, now=world.now)
            except intent.StalePreview:
                return "stale"
            return "approves" if done else "is the first to approve"

        said = self._refusable(lambda: world.stored(Role.WEB, work))
        if said is not None:
            world.say(f"{by} {said} change {one.change_id}")
            world.counts[f"a person {said}"] += 1

    def _decide(self, seen: list[Seen], by: str) -> None:
        world = self._world
        if world.chance(0.2):
            self._reject(seen, by)
        elif world.chance(0.3):
            found = world.stored(
                Role.WEB, lambda s: batches.approve_some(s, world.operator_id, seen, by=by, now=world.now)
            )
            for decided in found or ():
                world.say(f"{by} approves change {decided.change_id} of many: {decided.refused or decided.done}")
        else:
            for one in seen:
                self.approve(one, by)

    def _reject(self, seen: list[Seen], by: str) -> None:
        world = self._world
        found = world.stored(
            Role.WEB,
            lambda s: batches.reject_some(s, world.operator_id, [one.change_id for one in seen], by=by, note="no"),
        )
        for one in found or ():
            if one.done:
                rows = world.look("SELECT service_id, from_facts, to_facts FROM changes WHERE id = %s", one.change_id)
                service_id, before, after = rows[0]
                self._lines[service_id].rejected = (before, after)
                world.say(f"{by} rejects change {one.change_id} of {self._lines[service_id].username}")

    def _refusable(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (Refused, NotFound) as refusal:
            self._world.say(f"refused: {refusal}")
            self._world.counts["refused to people"] += 1
            return None


def _altered(before: Document | None, after: Document) -> Document:
    return {
        name: (before or {}).get(name)
        for name in sorted((before or {}).keys() | after.keys())
        if name not in NOT_FACTS and (before or {}).get(name) != after.get(name)
    }
