"""What happens next, at which moment, and whether the database keeps it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple, TypeVar

import psycopg
from sqlalchemy.orm import Session

from simulation.database import EPOCH, SimulationDatabase
from sql.roles import Role
from sql.sessions import acting_for

# A seed has about a hundred; one that goes round in a circle is ended here.
TRANSACTIONS_MAXIMUM = 3000
Result = TypeVar("Result")
Action = Callable[[], object]


class Violation(Exception):  # noqa: N818 - reads as what happened
    """Something is so that must never be so."""


class DatabaseRestarted(Exception):  # noqa: N818 - reads as what happened
    """The database went away in mid-transaction. `committed`: only the news of the commit was lost."""

    def __init__(self, *, committed: bool) -> None:
        """Actors must not look at what is in it; the simulation's own books do."""
        super().__init__("the database restarted")
        self.committed = committed
        self.result: object = None


@dataclass
class Weather:
    """How bad it is: chances from 0 to 1, and times. Drawn once a seed, so that seeds differ in kind."""

    packet_lost: float
    packet_late: float
    packet_doubled: float
    record_lost: float
    record_late: float
    record_doubled: float
    database_restarts: float
    job_lost: float
    job_doubled: float
    dies_after_claim: float

    @classmethod
    def drawn(cls, random: Random) -> Weather:
        """Weather of a seed: some of it bad."""

        def some(most: float) -> float:
            return random.choice((0.0, most / 4, most))

        return cls(
            packet_lost=some(0.5),
            packet_late=random.choice((0.05, 0.25, 0.5)),
            packet_doubled=some(0.4),
            record_lost=some(0.25),
            record_late=some(0.5),
            record_doubled=some(0.3),
            database_restarts=some(0.08),
            job_lost=some(0.2),
            job_doubled=some(0.2),
            dies_after_claim=some(0.4),
        )

    @classmethod
    def fair(cls) -> Weather:
        """Nothing goes wrong any more."""
        return cls(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class Move(NamedTuple):
    """One move that the database saw."""

    what: str
    before: str
    after: str


class World:
    """The clock, the chance, the queue, and transactions. Everything else hangs on to it."""

    def __init__(self, database: SimulationDatabase, seed: int, tell: Callable[[str], None] | None = None) -> None:
        """An empty world; `tell` gets the story, a line each."""
        self.database = database
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - the same chance every time is the point
        self.weather = Weather.drawn(self.random)
        self.now = EPOCH
        self.worker_ahead_s = 0.0
        self.operator_id = 0
        self.counts: Counter[str] = Counter()
        self.on_job: list[Action] = []
        self.on_revision: list[Action] = []
        self.while_open: list[Action] = []
        self._tell = tell
        self._queue: list[tuple[datetime, int, Action]] = []
        self._number = 0
        self._skipped = timedelta(0)
        self.revision = ""
        self.transactions = 0

    def say(self, line: str) -> None:
        """One line of the story."""
        if self._tell is not None:
            self._tell(f"{(self.now - EPOCH).total_seconds():10.3f}  {line}")

    @property
    def telling(self) -> bool:
        """Whether anybody listens, so that lines that cost something are only made then."""
        return self._tell is not None

    @property
    def now(self) -> datetime:
        """The time, which the database's clock tells too."""
        return self.database.clock.now

    @now.setter
    def now(self, moment: datetime) -> None:
        self.database.clock.now = moment

    @property
    def elapsed_s(self) -> float:
        """Seconds that were lived through; what was skipped does not count."""
        return (self.now - EPOCH - self._skipped).total_seconds()

    @property
    def worker_now(self) -> datetime:
        """The time by the worker's clock, which may be wrong."""
        return self.now + timedelta(seconds=self.worker_ahead_s)

    def chance(self, of_one: float) -> bool:
        """True in this share of cases."""
        return of_one > 0 and self.random.random() < of_one

    def between(self, least_s: float, most_s: float) -> float:
        """Some seconds."""
        return self.random.uniform(least_s, most_s)

    def after(self, delay_s: float, action: Action) -> None:
        """Let something happen later."""
        self._number += 1
        heapq.heappush(self._queue, (self.now + timedelta(seconds=delay_s), self._number, action))

    def run(self, until: datetime) -> None:
        """Let everything happen that is due before a moment, in order; then it is that moment."""
        before = self._skipped
        while self._queue and self._queue[0][0] <= until + self._skipped - before:
            moment, _, action = heapq.heappop(self._queue)
            self.now = max(self.now, moment)
            action()
        self.now = max(self.now, until + self._skipped - before)

    def skip(self, time: timedelta) -> None:
        """Time passes in which nothing happens; all that is to come comes so much later."""
        self._skipped += time
        self.now += time
        self._queue = [(moment + time, number, action) for moment, number, action in self._queue]

    def next_at(self) -> datetime | None:
        """When the next thing happens."""
        return self._queue[0][0] if self._queue else None

    def transact(self, role: Role, work: Callable[[Session], Result]) -> Result:
        """One transaction of the web or the worker. Raises DatabaseRestarted, or what `work` raises."""
        result = None
        try:
            with self.acting(role) as session:
                result = work(session)
        except DatabaseRestarted as news:
            news.result = result if news.committed else None
            raise
        return result

    @contextmanager
    def acting(self, role: Role) -> Iterator[Session]:
        """A transaction of the web or the worker, as `acting_for` gives one. Raises DatabaseRestarted at its end."""
        self.transactions += 1
        if self.transactions > TRANSACTIONS_MAXIMUM:
            raise Violation(f"{TRANSACTIONS_MAXIMUM} transactions, and still there is something to do")
        engine = self.database.worker if role == Role.WORKER else self.database.web
        restarts = self.chance(self.weather.database_restarts)
        heard = self.chance(0.5)
        with acting_for(engine, self.operator_id) as session:
            yield session
            session.flush()
            for action in self.while_open:
                action()
            if restarts and heard:
                self.say("the database restarts before the commit")
                self.counts["database restarts"] += 1
                raise DatabaseRestarted(committed=False)
        self.committed()
        if restarts:
            self.say("the database restarts after the commit, which nobody hears of")
            self.counts["database restarts"] += 1
            raise DatabaseRestarted(committed=True)

    def committed(self) -> None:
        """Somebody has committed: those who listen hear what it was about."""
        jobs, revision = self.database.news()
        for action in self.on_job if jobs else ():
            action()
        if revision != self.revision:
            self.revision = revision
            for action in self.on_revision:
                action()

    def stored(self, role: Role, work: Callable[[Session], Result]) -> Result | None:
        """The same for the simulation's own books: what was stored, None where it was rolled back."""
        try:
            return self.transact(role, work)
        except DatabaseRestarted as news:
            return news.result if news.committed else None  # type: ignore[return-value] # what `work` returned

    def on(self, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        """A driver's connection with the time of this moment."""
        return self.database.clock.set_on(connection)

    def begin(self, connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        """A driver's connection with a transaction of this moment."""
        return self.database.clock.begin(connection)

    def look(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What the watcher sees; it takes no part."""
        return list(self.database.watcher.execute(query.encode(), values).fetchall())
