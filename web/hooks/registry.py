"""Which schemes there are: ours, and those that other distributions bring by entry point."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points
from typing import Final, cast

from web.hooks import signed, stripe
from web.hooks.contract import GROUP, Verify

BUILT_IN: Final[dict[str, Verify]] = {"signed": signed.verify, "stripe": stripe.verify}


def kinds() -> list[str]:
    """The names of all schemes."""
    return sorted({*BUILT_IN, *(one.name for one in entry_points(group=GROUP))})


@cache
def scheme(kind: str) -> Verify | None:
    """The plugin of a scheme; ours cannot be replaced. None where there is none any more."""
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    found = next(iter(entry_points(group=GROUP, name=kind)), None)
    return cast("Verify", found.load()) if found is not None else None
