"""Findings as values: keys that change with what was observed, and nothing secret in them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from policy.access import Access
from policy.access import Kind as AccessKind
from policy.drift.finding import CAUSE_LETTERS_MOST, COMMANDS_MOST, cause_text, key_of, proposal_document
from policy.drift.held import Held, held_findings, orphan_findings
from policy.drift.online import Customer, Known, online_findings
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.objects import Item, Verb
from policy.routeros.reading import Reading
from policy.routeros.style import Style, Way
from policy.routeros.wanted import Line, wanted_items

ACCESS = Access(AccessKind.GRANT, Reason.PLAN, rate_limit="10M/50M")
LINE = Line(7, "anna", Method.PPPOE, "made up", address="10.5.0.7")
ITEMS = wanted_items(LINE, ACCESS, Style(ppp=Way.QUEUE))
HELD = Held(7, "anna", LINE.tag, ITEMS)
NOBODY = Known({}, {}, (), frozenset(), is_radius=True)


def _as_wanted() -> dict[str, list[Item]]:
    """A router on which everything is as it should be."""
    found: dict[str, list[Item]] = {menu: [] for menu in (menus.PPP_SECRET, menus.QUEUE, menus.ADDRESS_LIST)}
    for number, one in enumerate(ITEMS):
        fields = dict((*one.key, *one.fields, ("comment", f"ispagents:{one.tag}")))
        found[one.menu].append(Item(one.menu, f"*{number:X}", fields))
    return found


def test_a_router_as_wanted_has_no_findings():
    """Nothing is told where nothing is wrong, whatever else stands there."""
    observed = _as_wanted()
    observed[menus.QUEUE].append(Item(menus.QUEUE, "*FF", {"name": "theirs", "target": "10.0.0.1/32"}))
    reading = Reading(observed)
    assert held_findings([HELD], reading) == []
    assert orphan_findings(reading, {7}, {}) == []
    assert [one.service_id for one in orphan_findings(reading, set(), {7: "anna"})] == [7]


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_key_is_short_printable_and_tells_observations_apart(name, other):
    """Any name, also one that a terminal or a database would choke on."""
    assert len(key_of(name, other).encode()) <= 1024
    assert key_of(name, other).isprintable()
    assert (key_of(name, other) == key_of(name, name)) == (other == name)


@given(st.sampled_from(["max-limit", "target", "disabled"]), st.integers(1, 99))
def test_another_change_by_hand_is_another_finding(field, number):
    """The key is of what was observed: the same twice is one, the `.id` is no part of it, and passwords never are."""
    value = {"max-limit": f"{number}k/{number}k", "target": f"10.9.0.{number}/32", "disabled": "true"}[field]

    def found(value, item_id):
        observed = _as_wanted()
        (queue,) = observed[menus.QUEUE]
        observed[menus.QUEUE] = [Item(menus.QUEUE, item_id, {**queue.fields, field: value})]
        (one,) = held_findings([HELD], Reading(observed))
        return one

    assert found(value, "*1").key == found(value, "*2").key
    other = {"max-limit": "1G/1G", "target": "10.8.0.1/32", "disabled": "no"}[field]
    if field != "disabled":
        assert found(value, "*1").key != found(other, "*1").key
    said = json.dumps(proposal_document(found(value, "*1")))
    assert "made up" not in said
    assert LINE.password not in found(value, "*1").cause


def test_many_customers_of_one_lost_router_are_a_finding_each_and_bounded():
    """A router that lost everything: each is told with few words, and what is stored has an end."""
    empty = Reading({menus.PPP_SECRET: [], menus.QUEUE: [], menus.ADDRESS_LIST: [], menus.PPP_PROFILE: []})
    held = [HELD._replace(service_id=number, tag=f"service-{number}") for number in range(300)]
    found = held_findings(held, empty)
    assert [one.kind.value for one in found] == ["not_provisioned"] * 300
    assert all(len(cause_text(one)) <= CAUSE_LETTERS_MOST for one in found)
    many = {
        menus.QUEUE: [
            Item(menus.QUEUE, f"*{n:X}", {"name": f"q{n}", "comment": "ispagents:service-5"}) for n in range(90)
        ]
    }
    (orphan,) = orphan_findings(Reading(many), set(), {})
    document = proposal_document(orphan)
    assert (len(document["commands"]), document["more"]) == (COMMANDS_MOST, 90 - COMMANDS_MOST)


def test_who_is_online_is_judged_by_what_is_authorised():
    """Denied, closed, not authorised: each is said; settling ones and trial users of a hotspot are not."""
    active = Item(menus.PPP_ACTIVE, "*1", {"name": "anna", "address": "10.5.0.7", "uptime": "1h", "radius": "true"})
    reading = Reading({menus.PPP_ACTIVE: [active]})

    def kinds(**values):
        customer = Customer(7, "anna", ACCESS)._replace(**values)
        known = NOBODY._replace(by_name={"anna": customer}, by_id={7: customer})
        return [one.kind.value for one in online_findings(reading, known)]

    assert kinds() == ["not_accounted"]
    assert kinds(radius=False, held_here=True) == []
    assert kinds(settling=True) == []
    assert kinds(access=None) == ["online_denied"]
    assert kinds(closed=True) == ["online_denied"]
    assert kinds(access=Access(AccessKind.DENY, Reason.CLOSED)) == ["online_denied"]
    assert kinds(access=ACCESS._replace(kind=AccessKind.RESTRICT, address_lists=("overdue",))) == [
        "online_unrestricted"
    ]
    trial = Item(menus.HOTSPOT_ACTIVE, "*2", {"user": "T-02:00:00:00:00:01", "login-by": "trial"})
    assert online_findings(Reading({menus.HOTSPOT_ACTIVE: [trial]}), NOBODY) == []
    (one,) = online_findings(Reading({menus.PPP_ACTIVE: [active]}), NOBODY)
    assert one.plan.changes[0].command.verb == Verb.REMOVE
