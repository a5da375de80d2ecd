"""Whether the spool's disk has room: rlm_detail does not notice a write that the disk refused, and acknowledges it."""

from __future__ import annotations

import os
from collections.abc import Callable

# Below this no accounting is acknowledged, so that routers send again: it holds some ten thousand records, more than
# can come in between two looks.
RESERVED_BYTES = 16 * 1024 * 1024
LOOK_EVERY_S = 0.05


class SpoolSpace:
    """The room on the disk of a folder; `clock` is monotonic, in seconds."""

    def __init__(self, folder: str, clock: Callable[[], float]) -> None:
        """Looks at nothing yet."""
        self._folder = folder
        self._clock = clock
        self._looked_at = -LOOK_EVERY_S
        self._enough = True

    def enough(self) -> bool:
        """Whether records may be written. A folder that cannot be looked at is left to the writer's own error."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            try:
                disk = os.statvfs(self._folder)
            except OSError:
                return True
            self._enough = disk.f_bavail * disk.f_frsize >= RESERVED_BYTES and (disk.f_favail > 0 or disk.f_files == 0)
        return self._enough
