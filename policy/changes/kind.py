"""What kind of change leads from one set of facts to another."""

from __future__ import annotations

from policy.changes.intent import ChangeKind
from policy.facts import ServiceFacts
from policy.standing import Standing

_OUT = (Standing.SUSPENDED, Standing.CLOSED)


def kind_of(authorised: ServiceFacts | None, wanted: ServiceFacts) -> ChangeKind:
    """The weightiest kind that the difference amounts to; restrictions before everything that widens."""
    if wanted.standing == Standing.CLOSED:
        return ChangeKind.CLOSE
    if authorised is None:
        return ChangeKind.OPEN
    if wanted.standing == Standing.SUSPENDED and authorised.standing != Standing.SUSPENDED:
        return ChangeKind.SUSPEND
    if authorised.standing in _OUT and wanted.standing not in _OUT:
        return ChangeKind.RESTORE
    if authorised.plan_version_id != wanted.plan_version_id:
        return ChangeKind.PLAN
    if authorised.prepaid_until != wanted.prepaid_until:
        return ChangeKind.RESTORE
    return ChangeKind.ADDRESS
