"""Who may approve a change: a named rule by itself, or a person."""

from __future__ import annotations

from typing import NamedTuple

from policy.changes.intent import ChangeKind


class ApprovalTerms(NamedTuple):
    """The kinds of change that an operator lets a rule approve; everything else waits for a person."""

    automatic: frozenset[ChangeKind] = frozenset(
        {ChangeKind.OPEN, ChangeKind.RESTORE, ChangeKind.PLAN, ChangeKind.ADDRESS}
    )


RULES: dict[ChangeKind, str] = {
    ChangeKind.OPEN: "new services start by themselves",
    ChangeKind.SUSPEND: "suspensions run by themselves",
    ChangeKind.RESTORE: "payments restore by themselves",
    ChangeKind.PLAN: "plan changes run by themselves",
    ChangeKind.ADDRESS: "address changes run by themselves",
    ChangeKind.CLOSE: "closures run by themselves",
}


def approving_rule(kind: ChangeKind, terms: ApprovalTerms) -> str | None:
    """The name of the rule that approves this change, or None where a person must."""
    return RULES[kind] if kind in terms.automatic else None
