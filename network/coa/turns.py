"""One at a time per key, first come first served, within one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final

from network.coa.errors import TooManyWaitingError

MAX_WAITING_PER_KEY: Final = 64  # changes queued for one session; more means that a caller loops


class Turns:
    """A lock per key that costs one dictionary entry while it is held and nothing otherwise."""

    __slots__ = ("_busy",)

    def __init__(self) -> None:
        self._busy: dict[Hashable, deque[asyncio.Future[None]] | None] = {}

    def take_free(self, key: Hashable) -> bool:
        """Take the turn of `key` if nobody has it; False if `take` would wait."""
        if key in self._busy:
            return False
        self._busy[key] = None
        return True

    async def take(self, key: Hashable) -> None:
        """Wait for the turn of `key`; every return is to be followed by one `give_back`.

        Raises TooManyWaitingError.
        """
        if self.take_free(key):
            return
        waiting = self._busy[key]
        if waiting is None:
            waiting = self._busy[key] = deque()
        if len(waiting) >= MAX_WAITING_PER_KEY:
            raise TooManyWaitingError(f"{len(waiting)} requests wait for this session already; wait for them first.")
        mine = asyncio.get_running_loop().create_future()
        waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.cancelled():
                waiting.remove(mine)
            else:
                # The turn arrived in the same moment as the cancellation: pass it on.
                self.give_back(key)
            raise

    def give_back(self, key: Hashable) -> None:
        """End the turn of `key` and wake the next."""
        waiting = self._busy.pop(key)
        while waiting:
            following = waiting.popleft()
            if not following.done():
                self._busy[key] = waiting
                following.set_result(None)
                return
