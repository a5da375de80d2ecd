"""What one entry of the catalogue consists of."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """Templates: `{router}`, `{where}` and `{detail}` are filled in. `next_step` "" where nothing is left to do."""

    happened: str
    likely: str
    next_step: str = ""
