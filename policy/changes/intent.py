"""The life of a change: wanted becomes authorised, for one service, with preview and approval."""

from __future__ import annotations

from enum import StrEnum


class Intent(StrEnum):
    """Where a change stands. Only `approved` ever reached the network."""

    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


class ChangeKind(StrEnum):
    """What a change is, for approval rules and for people."""

    OPEN = "open"
    SUSPEND = "suspend"
    RESTORE = "restore"
    PLAN = "plan"
    ADDRESS = "address"
    CLOSE = "close"


MOVES: dict[Intent, frozenset[Intent]] = {
    Intent.AWAITING_APPROVAL: frozenset({Intent.APPROVED, Intent.REJECTED, Intent.EXPIRED, Intent.SUPERSEDED}),
    Intent.APPROVED: frozenset(),
    # A person's no is over as soon as what it said no to is not wanted any more.
    Intent.REJECTED: frozenset({Intent.SUPERSEDED}),
    Intent.EXPIRED: frozenset(),
    Intent.SUPERSEDED: frozenset(),
}
