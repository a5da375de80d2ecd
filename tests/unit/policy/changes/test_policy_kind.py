"""What kind of change leads from one set of facts to another."""

import pytest
from hypothesis import given
from policy_strategies import NOW, services

from policy.changes.intent import ChangeKind
from policy.changes.kind import kind_of
from policy.facts import Method, ServiceFacts
from policy.standing import Standing

CURRENT = ServiceFacts(7, Method.PPPOE, Standing.CURRENT, 1)
SUSPENDED = CURRENT._replace(standing=Standing.SUSPENDED)
CLOSED = CURRENT._replace(standing=Standing.CLOSED)


@pytest.mark.parametrize(
    ("authorised", "wanted", "kind"),
    [
        (None, CURRENT, ChangeKind.OPEN),
        (None, CLOSED, ChangeKind.CLOSE),
        (CURRENT, SUSPENDED, ChangeKind.SUSPEND),
        (CLOSED, SUSPENDED, ChangeKind.SUSPEND),
        (SUSPENDED, CURRENT, ChangeKind.RESTORE),
        (CLOSED, CURRENT, ChangeKind.RESTORE),
        (SUSPENDED, CLOSED, ChangeKind.CLOSE),
        (CURRENT, CURRENT._replace(plan_version_id=2), ChangeKind.PLAN),
        (CURRENT, SUSPENDED._replace(plan_version_id=2), ChangeKind.SUSPEND),
        (CURRENT, CURRENT._replace(prepaid_until=NOW), ChangeKind.RESTORE),
        (CURRENT, CURRENT._replace(address="100.64.0.7"), ChangeKind.ADDRESS),
    ],
)
def test_the_weightiest_difference_names_the_change(authorised, wanted, kind):
    """Restrictions before everything that widens, a plan before an address."""
    assert kind_of(authorised, wanted) == kind


@given(services, services)
def test_no_restriction_hides_behind_another_kind(authorised, wanted):
    """A change that takes access away is a suspension or a closure, so its approval rule applies."""
    kind = kind_of(authorised, wanted)
    if wanted.standing == Standing.CLOSED:
        assert kind == ChangeKind.CLOSE
    elif wanted.standing == Standing.SUSPENDED != authorised.standing:
        assert kind == ChangeKind.SUSPEND
