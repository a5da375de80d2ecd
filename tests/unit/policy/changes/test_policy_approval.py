"""Who may approve a change, and what holds a rule back."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.changes.approval import (
    AUTOMATIC,
    DEFAULT_RULES,
    TAKES_AWAY,
    UNBRAKED,
    ApprovalTerms,
    Asked,
    hindrance,
    read_rules,
    verdict,
)
from policy.changes.brakes import BrakeTerms, allowed
from policy.changes.intent import ChangeKind
from policy.errors import PolicyError

KINDS = st.sampled_from(ChangeKind)
BRAKES = st.builds(BrakeTerms, st.floats(0, 100), st.integers(0, 10_000), st.integers(0, 100))


def terms(*rules: dict[str, Any], **more: Any) -> ApprovalTerms:
    """Terms with these rules."""
    return ApprovalTerms(rules=read_rules(rules), **more)


def test_by_default_nothing_that_takes_access_away_runs_by_itself():
    """Every kind has a rule's name, and a person approves suspensions and closures."""
    assert DEFAULT_RULES.keys() == set(ChangeKind)
    by_itself = {kind for kind in ChangeKind if verdict(Asked(kind), ApprovalTerms()).people == 0}
    assert by_itself == AUTOMATIC == set(ChangeKind) - TAKES_AWAY


@pytest.mark.parametrize(
    ("rule", "asked", "people"),
    [
        ({"kinds": ["suspend"], "people": 2}, Asked(ChangeKind.SUSPEND), 2),
        ({"kinds": ["suspend"], "people": 2}, Asked(ChangeKind.RESTORE), 0),
        ({"plans": ["Office"], "people": 2}, Asked(ChangeKind.PLAN, plan="Office"), 2),
        ({"plans": ["Office"], "people": 2}, Asked(ChangeKind.PLAN, plan="Home"), 0),
        ({"more_than": 10, "people": 2}, Asked(ChangeKind.PLAN, today=10), 0),
        ({"more_than": 10, "people": 2}, Asked(ChangeKind.PLAN, today=11), 2),
        ({"hours": [8, 18], "people": 0}, Asked(ChangeKind.SUSPEND, hour=8), 0),
        ({"hours": [8, 18], "people": 0}, Asked(ChangeKind.SUSPEND, hour=18), 1),
        ({"hours": [22, 6], "people": 2}, Asked(ChangeKind.PLAN, hour=3), 2),
        ({"hours": [22, 6], "people": 2}, Asked(ChangeKind.PLAN, hour=6), 0),
        ({"hours": [18, 24], "people": 2}, Asked(ChangeKind.PLAN, hour=23), 2),
    ],
)
def test_a_rule_is_for_what_it_names(rule, asked, people):
    """By kind, plan, size and hour; what no rule names goes by the defaults."""
    assert verdict(asked, terms({"name": "mine", **rule})).people == people


def test_the_first_rule_that_matches_decides():
    """And its name is what stands in the audit."""
    both = terms({"name": "first", "people": 2, "kinds": ["plan"]}, {"name": "second", "people": 0})
    assert verdict(Asked(ChangeKind.PLAN), both) == (2, "first", "")
    assert verdict(Asked(ChangeKind.OPEN), both) == (0, "second", "")


@given(KINDS, st.integers(0, 100_000), st.integers(0, 10_000), BRAKES)
def test_beyond_the_brake_people_approve(kind, active, ran, brakes):
    """A rule lets through what the brake allows and then needs a person; who paid never waits."""
    said = verdict(Asked(kind, active=active, ran=ran), ApprovalTerms(frozenset(ChangeKind), brakes=brakes))
    if kind in UNBRAKED or ran < allowed(active, brakes):
        assert (said.people, said.held_back) == (0, "")
    else:
        assert said.people == 1
        assert str(ran) in said.held_back


@given(st.integers(0, 10**7), BRAKES)
def test_the_brake_is_within_its_terms(active, brakes):
    """Never less than what is always free, never more than the number unless that is less than the free ones."""
    most = allowed(active, brakes)
    assert brakes.free <= most <= max(brakes.free, brakes.number)
    assert most <= max(brakes.free, active * brakes.percent / 100)


@given(KINDS, st.booleans(), st.sampled_from(["", "tower"]))
def test_nobody_is_cut_off_while_nobody_can_know(kind, silent, down):
    """Without payments coming in, or behind a router that is down, only what takes away is held back."""
    asked = Asked(kind, feed_silent=silent, router_down=down)
    why = hindrance(asked)
    assert bool(why) == (kind in TAKES_AWAY and (silent or bool(down)))
    said = verdict(asked, ApprovalTerms(frozenset(ChangeKind)))
    assert said == ((1, DEFAULT_RULES[kind], why) if why else (0, DEFAULT_RULES[kind], ""))


@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        {},
        {"name": "x"},
        {"name": "", "people": 1},
        {"name": "x" * 201, "people": 1},
        {"name": "x", "people": 3},
        {"name": "x", "people": True},
        {"name": "x", "people": "1"},
        {"name": "x", "people": 1, "kinds": "suspend"},
        {"name": "x", "people": 1, "kinds": ["nonsense"]},
        {"name": "x", "people": 1, "plans": [7]},
        {"name": "x", "people": 1, "hours": [8]},
        {"name": "x", "people": 1, "hours": [8, 25]},
        {"name": "x", "people": 1, "hours": [8, 8]},
        {"name": "x", "people": 1, "hours": "8-18"},
        {"name": "x", "people": 1, "more_than": -1},
        {"name": "x", "people": 1, "who": "me"},
    ],
)
def test_nonsense_is_said_with_the_rule_it_is_in(wrong):
    """One sentence, with the rule's number."""
    with pytest.raises(PolicyError, match="approval rule 2 "):
        read_rules([{"name": "good", "people": 1}, wrong])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_is_rules_or_one_sentence(document):
    """Whatever a person types."""
    with contextlib.suppress(PolicyError):
        assert read_rules([document]) == ()
