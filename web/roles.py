"""Who may see and do what: one table from the name of a route to the roles that may use it.

A route that is not in the table is refused to everybody, so a new page cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sql.people import PersonRole

PUBLIC: Final = None  # no sign-in needed
NOBODY: Final[frozenset[PersonRole]] = frozenset()
EVERYBODY: Final = frozenset(PersonRole)
DECIDES: Final = frozenset({PersonRole.OWNER, PersonRole.OPERATOR, PersonRole.APPROVER})
READS_AUDIT: Final = frozenset({PersonRole.OWNER, PersonRole.AUDITOR})
# An approver judges what happens to a line; what its customer owes is shown to those whose work it is.
SEES_MONEY: Final = EVERYBODY - {PersonRole.APPROVER}

RULES: Final[dict[str, frozenset[PersonRole] | None]] = {
    "static": PUBLIC,
    "health.show": PUBLIC,
    "hooks.receive": PUBLIC,  # whoever signs (web/hooks)
    "api.payments": PUBLIC,  # whoever has a token (web/api)
    "api.standings": PUBLIC,  # the same
    "security.login": PUBLIC,
    "security.logout": EVERYBODY,
    "security.verify": NOBODY,  # Flask-Security brings it along; no page of ours asks for a password again
    "home.show": EVERYBODY,
    "changes.list_all": EVERYBODY,
    "changes.show": EVERYBODY,
    "changes.approve": DECIDES,
    "changes.reject": DECIDES,
    "batches.list_all": EVERYBODY,
    "batches.show": EVERYBODY,
    "batches.approve": DECIDES,
    "batches.reject": DECIDES,
    "customers.list_all": EVERYBODY,
    "customers.show": EVERYBODY,
    "audit.list_all": READS_AUDIT,
}


def is_public(endpoint: str) -> bool:
    """Whether a route answers without a sign-in."""
    return RULES.get(endpoint, NOBODY) is PUBLIC


def may_use(roles: Collection[str], endpoint: str) -> bool:
    """Whether somebody of these roles may use a route."""
    rule = RULES.get(endpoint, NOBODY)
    return rule is PUBLIC or not rule.isdisjoint(roles)


def sees_money(roles: Collection[str]) -> bool:
    """Whether somebody of these roles is shown amounts."""
    return not SEES_MONEY.isdisjoint(roles)
