"""Limits of a plan as people say them: tiers such as `month:100G:2M/2M`, what is carried over, when to warn."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ispagents.cli.inputs import gigabytes
from ispagents.cli.output import bytes_text
from ispagents.errors import Problem
from policy.errors import PolicyError
from policy.facts import PlanFacts
from policy.fair_use import TierAction
from policy.quota import interim_s, limits, overshoot_bytes
from policy.rate_limit import canonical
from policy.usage import SpanKind

NONE = "none"
_SIZE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([MGT])")
_POWERS = {"M": 6, "G": 9, "T": 12}
_SPANS = ", ".join(SpanKind)


def said_limits(tiers: list[str] | None, carry_over_gb: str | None, warn_at: str | None) -> dict[str, Any]:
    """The facts of a plan that were named. Raises Problem."""
    said: dict[str, Any] = {}
    if tiers:
        said["tiers"] = [_tier(one) for one in tiers if one != NONE]
    if carry_over_gb is not None:
        said["carry_over_bytes"] = gigabytes(carry_over_gb)
    if warn_at is not None:
        said["warn_percents"] = [] if warn_at == NONE else [_percent(one.strip()) for one in warn_at.split(",")]
    return said


def limits_row(plan: PlanFacts) -> dict[str, Any]:
    """How often sessions report, and how far a limit can be passed, for people and programs; {} without limits."""
    if not limits(plan):
        return {}
    most = overshoot_bytes(plan)
    return {
        "reports_every_s": interim_s(plan),
        "overshoot": f"at most {bytes_text(most)}: full speed from one report to the next",
        "overshoot_bytes": most,
    }


def _tier(text: str) -> dict[str, Any]:
    parts = text.split(":", 2)
    size = _SIZE.fullmatch(parts[1]) if len(parts) == 3 else None
    if size is None or parts[0] not in set(SpanKind):
        raise Problem(
            f"{text[:60]!r} is not a tier; write one of {_SPANS}, the bytes and the rate: 'month:100G:2M/2M', "
            "or restrict or stop for the rate."
        )
    tier: dict[str, Any] = {"from_bytes": int(Decimal(size[1]).scaleb(_POWERS[size[2]])), "span": parts[0]}
    if parts[2] in (TierAction.RESTRICT, TierAction.STOP):
        return {**tier, "action": parts[2]}
    try:
        return {**tier, "rate_limit": canonical(parts[2])}
    except PolicyError as error:
        raise Problem(f"{text[:60]!r} is not a tier: {error}.") from error


def _percent(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise Problem(f"{text[:60]!r} is not a share; write whole percents such as 80,100, or none.")
    return int(text)
