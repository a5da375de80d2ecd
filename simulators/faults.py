"""A bad line between a router and the rest of the world: seeded loss, duplication, delay and reordering."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from simulators.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFaults:
    """What one direction of a line does to packets. Shares are from 0 to 1, times in seconds."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0  # added to the delay, uniform from 0 to this
    reorder: float = 0.0  # this share of packets is held back, so that later ones overtake it
    reorder_hold_s: float = 0.05

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "reorder"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share and must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("delay_s", "jitter_s", "reorder_hold_s"):
            if getattr(self, name) < 0.0:
                raise ValueError(f"{name} must not be negative, it is {getattr(self, name)}")

    @property
    def none(self) -> bool:
        """Tell whether this line delivers everything at once."""
        return not (self.loss or self.duplication or self.delay_s or self.jitter_s or self.reorder)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSettings:
    """Both directions of a router's line, as the router sees them, and the seed of every choice."""

    inbound: LineFaults = field(default_factory=LineFaults)
    outbound: LineFaults = field(default_factory=LineFaults)
    seed: int = 0

    @classmethod
    def both_ways(cls, line: LineFaults, seed: int = 0) -> FaultSettings:
        """Return the same faults in each direction."""
        return cls(inbound=line, outbound=line, seed=seed)


class Line:
    """One direction of one socket's traffic. The same faults, seed and name make the same choices."""

    def __init__(self, faults: LineFaults, seed: int, name: str, clock: Clock) -> None:
        self._faults = faults
        self._random = random.Random(f"{seed}:{name}")
        self._clock = clock
        self.none = faults.none

    def plan(self) -> tuple[float, ...]:
        """Decide the fate of the next packet: the delay in seconds of each copy, nothing when it is lost.

        Every packet draws the same number of random values, so changing one fault does not move the others.
        """
        faults = self._faults
        lost, twice, first, second, held = (self._random.random() for _ in range(5))
        if lost < faults.loss:
            return ()
        hold_s = faults.reorder_hold_s if held < faults.reorder else 0.0
        delay_s = faults.delay_s + first * faults.jitter_s + hold_s
        if twice < faults.duplication:
            return (delay_s, faults.delay_s + second * faults.jitter_s)
        return (delay_s,)

    def carry(self, deliver: Callable[[], object]) -> None:
        """Deliver one packet as `plan` decides."""
        for delay_s in self.plan():
            if delay_s > 0.0:
                self._clock.call_later(delay_s, deliver)
            else:
                deliver()
