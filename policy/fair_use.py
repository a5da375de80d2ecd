"""Quota and fair-use tiers: what the bytes of a period do to the access."""

from __future__ import annotations

from dataclasses import dataclass

from policy.errors import PolicyError


@dataclass(frozen=True, slots=True)
class FairUseTier:
    """From `from_bytes` of the period on, the plan has `rate_limit` (canonical text) instead of its own."""

    from_bytes: int
    rate_limit: str

    def __post_init__(self) -> None:
        """Refuse a tier that could never be told from the plan."""
        if self.from_bytes <= 0:
            raise PolicyError("a fair-use tier begins after at least one byte")
        if not self.rate_limit:
            raise PolicyError("a fair-use tier needs a rate limit")


def tier_at(tiers: tuple[FairUseTier, ...], used_bytes: int) -> FairUseTier | None:
    """The highest tier that `used_bytes` has reached, or None."""
    reached = [tier for tier in tiers if tier.from_bytes <= used_bytes]
    return max(reached, key=lambda tier: tier.from_bytes, default=None)
