"""The plans that a town may sell; three of them a seed."""

from __future__ import annotations

from typing import Any

PLANS: dict[str, dict[str, Any]] = {
    "listed": {"rate_limit": "10M/50M", "address_lists": ["paid"]},
    "bare": {"rate_limit": "20M/80M"},
    "denied": {"rate_limit": "5M/10M", "address_lists": ["paid"], "suspended": {"look": "deny"}},
    "pooled": {"rate_limit": "7M/7M", "suspended": {"look": "pool", "pool": "debtors"}},
    "evening": {
        "rate_limit": "10M/50M",
        "address_lists": ["paid"],
        "windows": [{"start_minute": 723, "end_minute": 727, "rate_limit": "2M/5M"}],
    },
}
