"""What goes wrong between a client and the router: seeded, or ordered by a test for one command."""

from __future__ import annotations

import random
from collections import deque

from simulators.clock import Clock
from simulators.routeros.commands import Request
from simulators.routeros.settings import Break, RouterOsSettings


class Trouble:
    """Decides the fate of each command. The same seed and the same commands make the same choices."""

    def __init__(self, settings: RouterOsSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.faults = settings.faults  # may be replaced while the router runs
        self._random = random.Random(f"{settings.faults.seed}:{settings.identity}:trouble")
        # How bytes arrive in portions is the kernel's: it must not move the choices above
        self._jitter = random.Random(f"{settings.faults.seed}:{settings.identity}:jitter")
        self._ordered: deque[tuple[str, Break]] = deque()
        self._boots_until_s = 0.0

    def order(self, command: str, broken: Break) -> None:
        """Have the next command that begins so go wrong; orders are taken one after the other."""
        self._ordered.append((command, broken))

    def next_break(self, request: Request) -> Break | None:
        """Return how this command goes wrong, None for not at all."""
        if self._ordered and request.command.startswith(self._ordered[0][0]):
            return self._ordered.popleft()[1]
        breaks = self.faults.breaks
        if not breaks:
            return None
        drawn = self._random.random()
        for broken, share in breaks.items():
            drawn -= share
            if drawn < 0.0:
                return broken
        return None

    def delay_s(self) -> float:
        """Return how long what has just arrived is on its way."""
        jitter_s = self.faults.jitter_s
        return self.faults.latency_s + (self._jitter.random() * jitter_s if jitter_s else 0.0)

    def slow_s(self, request: Request) -> float:
        """Return how long this command takes by itself."""
        return self.faults.slow.get(request.menu, 0.0) if request.verb in {"print", "getall"} else 0.0

    def rebooted(self) -> None:
        """Refuse connections for as long as the router boots."""
        self._boots_until_s = self._clock.now() + self._settings.boot_s

    def booting(self) -> bool:
        """Tell whether connections are refused."""
        return self._clock.now() < self._boots_until_s
