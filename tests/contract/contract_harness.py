"""What a connector brings along for the contract suite: a simulated device with customers, and its verbs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager
from enum import Enum, auto
from functools import wraps
from typing import NamedTuple

from network.contract import NetworkError, Offer, Outcome, Result
from policy.errors import PolicyError

HERE = "127.0.0.1"
# The secret between us and the device, and a customer's password: nobody may read either anywhere.
SECRET = "hush-hush 'łódź' \"quoted\""
PASSWORD = "a customer's very own password"
FAST, SLOW = "10M/50M", "256k/256k"
RATES = {FAST: (10_000_000, 50_000_000), SLOW: (256_000, 256_000)}
# No verb may take longer, whatever the device does; the harnesses' own patience is a fraction of it.
DEADLINE_S = 10.0
GOOD = (Outcome.APPLIED, Outcome.ALREADY_SO)


class Trouble(Enum):
    """How a device goes wrong; all but `REFUSES` pass."""

    SILENT = auto()
    """It is there, and nothing gets through."""
    DEAD = auto()
    """Nobody listens."""
    UNHEARD = auto()
    """It does what it is told, and the answer is lost."""
    BREAKS_OFF = auto()
    """It dies before it does anything."""
    REFUSES = auto()
    """It says no."""


class Ending(NamedTuple):
    """How a verb ended: `sent` counts what left this side."""

    outcome: Outcome
    may_retry: bool
    sent: int


class Harness(AbstractAsyncContextManager["Harness"], ABC):
    """One connector and one device. `results` and `errors` are all that it ever said."""

    offers: frozenset[Offer]

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.errors: list[Exception] = []

    @abstractmethod
    async def customer(self, name: str) -> None:
        """A customer of this name has the fast access."""

    @abstractmethod
    async def bring(self, name: str, rate: str) -> Ending:
        """Bring a customer from whatever access it has to this one."""

    @abstractmethod
    async def end(self, name: str) -> Ending:
        """End what the customer has."""

    @abstractmethod
    def has(self, name: str) -> tuple[int, int] | None:
        """What the device itself says: rates in bits a second, upload first; None: nothing of this customer is left."""

    @abstractmethod
    def others(self) -> object:
        """All that the device has of others."""

    @abstractmethod
    async def begin(self, trouble: Trouble) -> None:
        """Things go wrong from now on."""

    @abstractmethod
    async def heal(self) -> None:
        """The device is well again; what it had stays."""

    @abstractmethod
    async def babble(self, nonsense: bytes) -> None:
        """Whatever is asked from now on is answered with this."""

    async def shows(self, name: str, rate: str) -> bool:
        """Whether the connector itself sees it; only where it offers to."""
        raise NotImplementedError

    async def undo(self) -> Ending:
        """Take back what `bring` did last; only where the connector offers to."""
        raise NotImplementedError

    async def told(self, verb: Awaitable[Sequence[Result]]) -> Ending:
        """Wait for a verb, within the deadline, and put into one what it said. An error is no change."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                results = await verb
        except (NetworkError, PolicyError) as error:
            self.errors.append(error)
            may_retry = isinstance(error, NetworkError) and error.may_retry
            return Ending(Outcome.NO_ANSWER if may_retry else Outcome.REFUSED, may_retry, 0)
        self.results += results
        outcomes = [one.outcome for one in results]
        sent = sum(one.attempts for one in results)
        first = next((one for one in results if one.outcome not in GOOD), None)
        if first is not None:
            return Ending(first.outcome, first.may_retry, sent)
        return Ending(Outcome.APPLIED if Outcome.APPLIED in outcomes else Outcome.ALREADY_SO, False, sent)


def asynchronous(test):
    """Run an async test in a loop of its own."""

    @wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run
