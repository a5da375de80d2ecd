"""Who may approve a change, and what holds a rule back."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.changes.approval import (
    AUTOMATIC,
    DEFAULT_RULES,
    RULES_MAXIMUM,
    TAKES_AWAY,
    UNBRAKED,
    ApprovalRule,
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
        ({"hours": [22, 6], "people": 2}, Asked(ChangeKind.PLAN, hour=22), 2),
        ({"hours": [22, 6], "people": 2}, Asked(ChangeKind.PLAN, hour=21), 0),
        ({"hours": [24, 6], "people": 2}, Asked(ChangeKind.PLAN, hour=0), 2),
        ({"more_than": 0, "people": 2}, Asked(ChangeKind.PLAN, today=1), 2),
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


@given(KINDS, st.booleans(), st.booleans(), st.sampled_from(["", "tower"]), st.sampled_from(["", "It waits."]))
def test_nobody_is_cut_off_while_nobody_can_know(kind, silent, mute, down, waits):
    """Without payments or standings coming in, behind a router that is down, or on a day that is not allowed, only what
    takes away is held back.
    """
    asked = Asked(kind, feed_silent=silent, standings_silent=mute, router_down=down, waits=waits)
    why = hindrance(asked)
    assert bool(why) == (kind in TAKES_AWAY and (silent or mute or bool(down) or bool(waits)))
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


SHOULD = {
    "must be an object with name and people": "text",
    "has 'when', which is not known here": {"name": "x", "people": 1, "who": "me", "when": 7},
    "needs a name of 1 to 200 letters": {"name": "x" * 201, "people": 1},
    "needs people: 0 (it runs by itself), 1 or 2": {"name": "x", "people": 3},
    "has a more_than that is no whole number": {"name": "x", "people": 1, "more_than": 1.5},
    "has kinds that are none of open, suspend, restore, plan, address, close": {
        "name": "x",
        "people": 1,
        "kinds": ["plan", "nonsense"],
    },
    "has plans that are no names": {"name": "x", "people": 1, "plans": ["Home", 7]},
    "has hours that are not two whole numbers from 0 to 24, such as [8, 18]": {
        "name": "x",
        "people": 1,
        "hours": [8, 18, 20],
    },
    "has hours that begin and end at the same hour": {"name": "x", "people": 1, "hours": [0, 24]},
}


@pytest.mark.parametrize(("said", "wrong"), SHOULD.items())
def test_what_is_wrong_with_a_rule_is_one_sentence(said, wrong):
    """Whole, with the rule's number."""
    with pytest.raises(PolicyError) as raised:
        read_rules([{"name": "good", "people": 1}, wrong])
    assert str(raised.value) == f"approval rule 2 {said}"


def test_a_rule_is_read_whole():
    """Everything that it may hold, up to the limits; hours count from midnight."""
    document = {
        "name": "x" * 200,
        "people": 2,
        "kinds": ["plan"],
        "plans": ["Home"],
        "hours": [24, 6],
        "more_than": 10**9,
    }
    assert read_rules([document]) == (
        ApprovalRule("x" * 200, 2, frozenset({ChangeKind.PLAN}), frozenset({"Home"}), (0, 6), 10**9),
    )
    assert read_rules([{"name": "x", "people": 0}]) == (ApprovalRule("x", 0),)
    assert read_rules([{"name": "x", "people": 0, "kinds": list(ChangeKind)}])[0].kinds == set(ChangeKind)
    with pytest.raises(PolicyError):
        read_rules([document | {"more_than": 10**9 + 1}])


def test_there_is_a_limit_of_rules():
    """Fifty are read, and one more is one sentence."""
    assert len(read_rules([{"name": "x", "people": 1}] * RULES_MAXIMUM)) == RULES_MAXIMUM
    with pytest.raises(PolicyError) as raised:
        read_rules([{"name": "x", "people": 1}] * (RULES_MAXIMUM + 1))
    assert str(raised.value) == "there can be at most 50 approval rules"


def test_the_verdict_names_its_rule_and_what_held_it_back():
    """As it stands in the audit and on the page of those that wait."""
    assert verdict(Asked(ChangeKind.SUSPEND), ApprovalTerms()) == (1, "a person approves", "")
    everything = ApprovalTerms(frozenset(ChangeKind), brakes=BrakeTerms(number=3, free=0))
    assert verdict(Asked(ChangeKind.PLAN, ran=3, active=1000), everything).held_back == (
        "Rules have approved 3 of these today, and the brake lets 3 run by themselves."
    )
    assert hindrance(Asked(ChangeKind.SUSPEND, feed_silent=True, router_down="tower")) == (
        "No payment has come in for longer than is usual here, so nobody is cut off until one does."
    )
    assert hindrance(Asked(ChangeKind.SUSPEND, standings_silent=True, router_down="tower")) == (
        "The other billing system has been silent for longer than is set, so nobody is cut off until it speaks."
    )
    assert hindrance(Asked(ChangeKind.CLOSE, router_down="tower")) == (
        "The router tower is down, so nobody on it is cut off until it answers again."
    )


def test_the_brake_in_numbers():
    """Five in a hundred of those in use, twenty at least, five hundred at most."""
    assert [allowed(active, BrakeTerms()) for active in (0, 400, 1000, 10_000, 100_000)] == [20, 20, 50, 500, 500]
