"""Threads for database work, a few for each kind of it: what a payment needs never waits for one that a batch has.

They share Python's lock, so more of them would only make each slower; the database is busy on other cores meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Lane(Enum):
    """A kind of work."""

    HURRY = "hurry"
    """What somebody waits for: reviews, and every step up to the packet of a restoration."""
    BATCH = "batch"
    """Planning of what many wait for together."""
    NIGHT = "night"
    """The billing cycle, which takes minutes."""
    ROUTERS = "routers"
    """Claims and answers of everything else."""
    DRIFT = "drift"
    """Comparing a router with billing, which takes seconds where it has thousands of customers."""


# Together with the threads of the clock, the sealer and the notices no more than the worker's connections.
THREADS = {Lane.HURRY: 3, Lane.BATCH: 1, Lane.NIGHT: 1, Lane.ROUTERS: 2, Lane.DRIFT: 1}
_POOLS = {lane: ThreadPoolExecutor(count, thread_name_prefix=lane.value) for lane, count in THREADS.items()}


async def in_lane(lane: Lane, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run `work` in a thread of this lane, as `asyncio.to_thread` would in any."""
    return await asyncio.get_running_loop().run_in_executor(_POOLS[lane], partial(work, *arguments, **options))
