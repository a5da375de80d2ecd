"""The time a simulated router runs on: the event loop's, or one that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen once, unless it is cancelled."""

    def cancel(self) -> None:
        """Make it never happen. Cancelling twice does no harm."""


class Clock(Protocol):
    """Monotonic time, wall time and timers, all in seconds."""

    def now(self) -> float:
        """Return monotonic seconds; only differences mean anything."""

    def wall(self) -> float:
        """Return seconds since 1970 in UTC."""

    def call_later(self, delay_s: float, action: Callable[[], object]) -> Timer:
        """Run `action` once, `delay_s` from now, on the event loop."""


class LoopClock:
    """The running event loop's clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_later(self, delay_s: float, action: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(delay_s, action)


class _HandTimer:
    __slots__ = ("action",)

    def __init__(self, action: Callable[[], object]) -> None:
        self.action: Callable[[], object] | None = action

    def cancel(self) -> None:
        self.action = None


class HandClock:
    """A clock that stands still until `advance` moves it; for tests that must not wait."""

    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._now_s = 1_000.0
        self._wall_offset_s = wall_s - self._now_s
        self._order = itertools.count()
        self._timers: list[tuple[float, int, _HandTimer]] = []

    def now(self) -> float:
        return self._now_s

    def wall(self) -> float:
        return self._now_s + self._wall_offset_s

    def call_later(self, delay_s: float, action: Callable[[], object]) -> Timer:
        timer = _HandTimer(action)
        heapq.heappush(self._timers, (self._now_s + max(delay_s, 0.0), next(self._order), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move time forward and run everything that falls due, in order, each at its own moment.

        Sockets are not read meanwhile: a longer step than the RADIUS timeout sends again what is on its way.
        """
        end_s = self._now_s + seconds
        while self._timers and self._timers[0][0] <= end_s:
            due_s, _, timer = heapq.heappop(self._timers)
            self._now_s = due_s
            if timer.action is not None:
                timer.action()
        self._now_s = end_s


class Wheel:
    """Many coarse timers behind one clock timer: interims and timeouts of 10,000 sessions.

    Actions run up to `tick_s` late, never early. There is no cancel: an action looks whether it still applies.
    """

    def __init__(self, clock: Clock, tick_s: float = 0.05) -> None:
        self._clock = clock
        self._tick_s = tick_s
        self._spokes: dict[int, list[Callable[[], object]]] = {}
        self._due: list[int] = []
        self._timer: Timer | None = None
        self._timer_spoke = 0

    def add(self, delay_s: float, action: Callable[[], object]) -> None:
        """Run `action` once, at the first tick after `delay_s`."""
        spoke = int((self._clock.now() + max(delay_s, 0.0)) / self._tick_s) + 1
        actions = self._spokes.get(spoke)
        if actions is not None:
            actions.append(action)
            return
        self._spokes[spoke] = [action]
        heapq.heappush(self._due, spoke)
        if self._timer is None or spoke < self._timer_spoke:
            self._arm()

    def clear(self) -> None:
        """Forget everything that has not happened yet."""
        self._spokes.clear()
        self._due.clear()
        self._disarm()

    def _arm(self) -> None:
        self._disarm()
        if self._due:
            self._timer_spoke = self._due[0]
            delay_s = self._timer_spoke * self._tick_s - self._clock.now()
            self._timer = self._clock.call_later(max(delay_s, 0.0), self._turn)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self) -> None:
        self._timer = None
        now_s = self._clock.now()
        while self._due and self._due[0] * self._tick_s <= now_s:
            for action in self._spokes.pop(heapq.heappop(self._due)):
                action()
        self._arm()
