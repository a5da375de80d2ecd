"""Fair-use tiers, one by one; what they do together is in test_policy_quota.py."""

import pytest

from policy.errors import PolicyError
from policy.fair_use import FairUseTier, TierAction


@pytest.mark.parametrize(
    ("from_bytes", "rate_limit", "action"),
    [
        (0, "1M/1M", TierAction.THROTTLE),
        (-1, "1M/1M", TierAction.THROTTLE),
        (1, "", TierAction.THROTTLE),
        (1, "1M/1M", TierAction.STOP),
    ],
)
def test_a_tier_that_is_no_tier_is_refused(from_bytes, rate_limit, action):
    """It begins somewhere, a throttle has a rate, and nothing else has."""
    with pytest.raises(PolicyError):
        FairUseTier(from_bytes, rate_limit, action=action)
