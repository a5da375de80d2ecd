"""Fair-use tiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import tiers

from policy.errors import PolicyError
from policy.fair_use import FairUseTier, tier_at


@given(st.lists(tiers, max_size=5).map(tuple), st.integers(0, 2**62))
def test_the_highest_tier_reached_applies(some, used_bytes):
    """Whatever their order, the tier with the most bytes that are used up is the one."""
    tier = tier_at(some, used_bytes)
    reached = [one.from_bytes for one in some if one.from_bytes <= used_bytes]
    assert (tier.from_bytes if tier else None) == max(reached, default=None)


def test_a_tier_begins_with_its_first_byte():
    """At exactly its bytes it applies, one byte before it does not."""
    tier = FairUseTier(100, "1M/1M")
    assert tier_at((tier,), 99) is None
    assert tier_at((tier,), 100) == tier


@pytest.mark.parametrize(("from_bytes", "rate_limit"), [(0, "1M/1M"), (-1, "1M/1M"), (1, "")])
def test_a_tier_that_is_no_tier_is_refused(from_bytes, rate_limit):
    """It begins somewhere, and it has a rate."""
    with pytest.raises(PolicyError):
        FairUseTier(from_bytes, rate_limit)
