"""What this connector can do, declared."""

from __future__ import annotations

from typing import Final

from network.contract import Offer

# `verbs` observes and applies, `undoing` takes back; planning and proving are `policy.routeros.difference`.
OFFERS: Final = frozenset(Offer)
