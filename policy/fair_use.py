"""Tiers of a plan: from so many bytes of a span on, a service is slower, restricted or stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from policy.errors import PolicyError
from policy.usage import SpanKind


class TierAction(StrEnum):
    """What a tier does: another rate, the look of a used-up quota, or no access."""

    THROTTLE = "throttle"
    RESTRICT = "restrict"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class FairUseTier:
    """From `from_bytes` of the span on, the action. `rate_limit` (canonical text) belongs to a throttle alone."""

    from_bytes: int
    rate_limit: str = ""
    span: SpanKind = SpanKind.PERIOD
    action: TierAction = TierAction.THROTTLE

    def __post_init__(self) -> None:
        """Refuse a tier that could never be told from the plan."""
        if self.from_bytes <= 0:
            raise PolicyError("a fair-use tier begins after at least one byte")
        if self.action == TierAction.THROTTLE and not self.rate_limit:
            raise PolicyError("a fair-use tier needs a rate limit")
        if self.action != TierAction.THROTTLE and self.rate_limit:
            raise PolicyError(f"a tier that is to {self.action} has no rate limit; the plan's look has one")

    @property
    def is_hard(self) -> bool:
        """Whether it ends what the plan gives, so that the router may count up to it by itself."""
        return self.action != TierAction.THROTTLE


class SpanUse(NamedTuple):
    """What counts in one span, up to `ends_at`. `extra_bytes`: topped up and carried over; they move every tier."""

    span: SpanKind
    ends_at: datetime
    used_bytes: int
    extra_bytes: int = 0

    @property
    def net_bytes(self) -> int:
        """The bytes that tiers are held against."""
        return self.used_bytes - self.extra_bytes
