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
    """A kind of work, and how many threads it has."""

    HURRY = 3
    """What somebody waits for: reviews, and every step up to the packet of a restoration."""
    BATCH = 1
    """Planning of what many wait for together."""
    ROUTERS = 2
    """Claims and answers of everything else."""


# Together with the clock's and the sealer's threads no more than the worker's connections.
_POOLS = {lane: ThreadPoolExecutor(lane.value, thread_name_prefix=lane.name.lower()) for lane in Lane}


async def in_lane(lane: Lane, work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run `work` in a thread of this lane, as `asyncio.to_thread` would in any."""
    return await asyncio.get_running_loop().run_in_executor(_POOLS[lane], partial(work, *arguments, **options))
