"""From what a router has to what it should have, and back."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from routeros_model import READ, Router, accesses, lines, routers, styles

from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.difference import difference, proved, removal, undo_commands
from policy.routeros.images import after_commands, after_image
from policy.routeros.leftovers import leftovers, service_of
from policy.routeros.objects import Item, Verb, Wanted, tagged
from policy.routeros.reading import asked_by
from policy.routeros.state import observed_state, wanted_state
from policy.routeros.style import Style, Way
from policy.routeros.values import HIDDEN
from policy.routeros.wanted import Line, removal_items, wanted_items

SHARED = (menus.PPP_PROFILE, menus.HOTSPOT_PROFILE)
GRANT = Access(Kind.GRANT, Reason.PLAN, "10M/50M", address="10.0.0.5")
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",), address="10.0.0.5")
DENY = Access(Kind.DENY, Reason.CLOSED)
ANNA = Line(12, "anna", Method.PPPOE, "secret", "10.0.0.5", "02:00:00:00:00:01")


@st.composite
def situations(draw):
    """A service, what it should have, and a router."""
    line, style = draw(lines), draw(styles)
    return line, wanted_items(line, draw(accesses()), style), draw(routers(line, style))


def foreign(router):
    """Everything that is not this system's, by id."""
    return {
        (item.menu, item.id): dict(item.fields)
        for items in router.menus.values()
        for item in items
        if not menus.ours(item)
    }


def apply(plan, router):
    """Every command, in order."""
    for change in plan.changes:
        router.execute(change.command)


@given(situations())
@settings(max_examples=60)
def test_a_plan_leads_to_what_is_wanted_and_to_nothing_else(situation):
    """After it nothing is left to do, the rest is untouched, and reading back proves it."""
    _, wanted, router = situation
    plan = difference(wanted, router.shown())
    before = foreign(router)
    was = observed_state(wanted, router.shown())
    assert (was == wanted_state(wanted)) == (plan.changes == () and plan.conflicts == ())
    assume(not plan.conflicts)
    apply(plan, router)
    assert foreign(router) == before
    assert difference(wanted, router.shown()).changes == ()
    assert proved(wanted, router.shown()) == []
    assert observed_state(wanted, router.shown()) == wanted_state(wanted)


@given(situations())
@settings(max_examples=60)
def test_undo_leads_back_to_what_was(situation):
    """All but profiles, which others may use by then."""
    _, wanted, router = situation
    before = router.state()
    plan = difference(wanted, router.shown(), adopt=True)
    assert plan.conflicts == ()
    apply(plan, router)
    for command in undo_commands(plan):
        router.execute(command)
    after = router.state()
    assert {path: after[path] for path in READ if path not in SHARED} == {
        path: before[path] for path in READ if path not in SHARED
    }


@given(situations())
@settings(max_examples=60)
def test_adopting_makes_everything_ours(situation):
    """With a person's consent there are no conflicts, and afterwards there is nothing to do without it either."""
    _, wanted, router = situation
    apply(difference(wanted, router.shown(), adopt=True), router)
    assert difference(wanted, router.shown()) == difference(wanted, router.shown(), adopt=True)
    assert proved(wanted, router.shown()) == []


@given(situations())
@settings(max_examples=60)
def test_the_computed_image_is_what_the_router_shows(situation):
    """Previews and checks may rely on it."""
    _, wanted, router = situation
    plan = difference(wanted, router.shown(), adopt=True)
    image = after_image(plan, router.shown())
    apply(plan, router)
    assert difference(wanted, image, adopt=True).changes == ()
    for path, items in router.menus.items():
        assert [item.tag for item in image[path]] == [item.tag for item in items]
        for one, other in zip(image[path], items, strict=True):
            names = one.fields.keys() | other.fields.keys()
            assert all(
                menus.same(path, name, menus.value(path, one.fields, name), menus.value(path, other.fields, name))
                for name in names
            )


@given(situations())
@settings(max_examples=60)
def test_a_new_access_is_there_before_the_old_one_goes(situation):
    """Removing comes last, and what others refer to is made first: the model refuses a profile that is not there."""
    _, wanted, router = situation
    plan = difference(wanted, router.shown(), adopt=True)
    verbs = [change.command.verb for change in plan.changes]
    assert verbs == sorted(verbs, key=lambda verb: verb == Verb.REMOVE)
    apply(plan, router)


@given(situations())
@settings(max_examples=60)
def test_a_service_that_leaves_takes_all_of_its_own_along(situation):
    """And nothing else."""
    line, wanted, router = situation
    assume(not difference(wanted, router.shown()).conflicts)
    apply(difference(wanted, router.shown()), router)
    before = foreign(router)
    apply(difference(removal_items(line), router.shown()), router)
    assert not [item for items in router.menus.values() for item in items if item.tag == line.tag]
    assert foreign(router) == before


@given(situations(), st.sets(st.sampled_from([12, 13, 99])))
@settings(max_examples=60)
def test_leftovers_are_ours_and_of_nobody(situation, known):
    """Removing them, in the order given, leaves everybody else alone."""
    _, wanted, router = situation
    apply(difference(wanted, router.shown(), adopt=True), router)
    before = foreign(router)
    found = leftovers(router.shown(), known)
    assert all(service_of(item) not in known for item in found if item.tag)
    apply(removal(found, router.shown()), router)
    assert foreign(router) == before
    assert leftovers(router.shown(), known) == ()
    used = {item.fields.get("profile", "default") for item in router.menus[menus.PPP_SECRET]}
    assert used <= {item.fields["name"] for item in router.menus[menus.PPP_PROFILE]}


def test_many_services_of_one_plan_share_a_profile():
    """It is made once, and stays when one of them leaves."""
    others = [ANNA._replace(service_id=number, username=f"user{number}") for number in range(5)]
    style = Style(ppp=Way.PROFILE)
    wanted = [item for line in others for item in wanted_items(line, GRANT, style)]
    plan = difference(wanted, {})
    assert Counter(change.command.menu for change in plan.changes) == {menus.PPP_PROFILE: 1, menus.PPP_SECRET: 5}
    router = Router()
    apply(plan, router)
    apply(difference(removal_items(others[0]), router.shown()), router)
    assert "ispagents-10M-50M" in [item.fields["name"] for item in router.menus[menus.PPP_PROFILE]]


def test_what_is_not_ours_is_a_conflict_that_says_what_to_do():
    """A secret of the same name was there before us."""
    router = Router([(menus.PPP_SECRET, {"name": "anna", "password": "x"})])
    plan = difference(wanted_items(ANNA, GRANT, Style()), router.shown())
    assert [conflict.why for conflict in plan.conflicts] == [
        "The PPP secret 'anna' is there already and is not ours; adopt it, or rename or remove it on the router."
    ]
    assert [change.command.menu for change in plan.changes] == [menus.PPP_PROFILE]


def test_a_queue_of_others_on_the_same_address_is_a_conflict():
    """The first queue that fits counts, so ours would do nothing. Adopted it is ours; undo gives it back."""
    line = ANNA._replace(method=Method.STATIC)
    router = Router([(menus.QUEUE, {"name": "Anna", "target": "10.0.0.5/32", "max-limit": "1/1", "comment": "flat 5"})])
    before = router.state()
    (conflict,) = difference(wanted_items(line, GRANT, Style()), router.shown()).conflicts
    assert conflict.why.startswith("The queue 'Anna' is there already and is not ours")
    plan = difference(wanted_items(line, GRANT, Style()), router.shown(), adopt=True)
    apply(plan, router)
    assert [item.fields["name"] for item in router.menus[menus.QUEUE]] == ["ispagents-12-anna"]
    assert [item.fields["comment"] for item in router.menus[menus.QUEUE]] == ["ispagents:service-12 flat 5"]
    for command in undo_commands(plan):
        router.execute(command)
    assert router.state() == before


def test_a_part_of_a_menu_is_asked_for_by_name_and_by_what_would_be_in_the_way():
    """Spelled as a router prints it, since it compares texts."""
    queue = wanted_items(ANNA._replace(method=Method.STATIC, ipv6_prefix="2001:db8:5::/64"), GRANT, Style())[0]
    assert asked_by(queue) == (("name", "ispagents-12-anna"), ("target", "10.0.0.5/32,2001:db8:5::/64"))
    lease = wanted_items(ANNA._replace(method=Method.DHCP), GRANT, Style())[0]
    assert asked_by(lease) == (("mac-address", "02:00:00:00:00:01"), ("address", "10.0.0.5"))
    assert asked_by(removal_items(ANNA)[0]) == ()


def test_what_is_exactly_so_already_is_no_conflict():
    """Nothing is to do, whoever made it."""
    entry = (menus.ADDRESS_LIST, {"list": "overdue", "address": "10.0.0.5"})
    secret = {"name": "anna", "password": "secret", "service": "pppoe", "profile": "ispagents-256k-256k"}
    secret |= {"caller-id": "02:00:00:00:00:01", "remote-address": "10.0.0.5", "disabled": "false"}
    profile = {"name": "ispagents-256k-256k", "rate-limit": "256000/256000"}
    router = Router([entry, (menus.PPP_PROFILE, profile), (menus.PPP_SECRET, secret)])
    assert difference(wanted_items(ANNA, OVERDUE, Style()), router.shown()) == ((), ())


def test_restoring_names_an_entry_that_a_person_made():
    """It would keep the customer out, so it is said and not passed over."""
    style = Style()
    line = ANNA._replace(method=Method.STATIC)
    router = Router([(menus.ADDRESS_LIST, {"list": style.denied_list, "address": "10.0.0.5"})])
    plan = difference(wanted_items(line, GRANT, style), router.shown())
    assert "should not be there, but is not ours" in plan.conflicts[0].why


def test_a_new_name_changes_the_item_in_place():
    """Nobody loses the old login before the new one is there, and the words of a person stay."""
    router = Router([(menus.PPP_SECRET, {"name": "old", "password": "secret", "comment": tagged("service-12", "2nd")})])
    plan = difference(wanted_items(ANNA, GRANT, Style()), router.shown())
    apply(plan, router)
    (secret,) = [item for item in router.menus[menus.PPP_SECRET] if item.tag]
    assert (secret.fields["name"], secret.fields["comment"]) == ("anna", "ispagents:service-12 2nd")


def test_adopting_keeps_the_words_of_the_comment():
    """And undo gives them back without our mark."""
    router = Router([(menus.PPP_SECRET, {"name": "anna", "comment": "flat 5"})])
    plan = difference(wanted_items(ANNA, GRANT, Style()), router.shown(), adopt=True)
    apply(plan, router)
    assert router.menus[menus.PPP_SECRET][0].fields["comment"] == "ispagents:service-12 flat 5"
    for command in undo_commands(plan):
        router.execute(command)
    assert router.menus[menus.PPP_SECRET][0].fields["comment"] == "flat 5"


def test_an_entry_with_a_timeout_is_ours_though_the_router_calls_it_dynamic():
    """Or restoring would have to wait until it ends by itself."""
    fields = {"list": "overdue", "address": "10.0.0.5", "timeout": "3h2m", "dynamic": "true"}
    router = Router([(menus.ADDRESS_LIST, fields | {"comment": tagged("service-12")})])
    wanted = wanted_items(ANNA, OVERDUE, Style(list_timeout_s=86400))
    assert not [
        change for change in difference(wanted, router.shown()).changes if change.command.menu == fields["list"]
    ]
    apply(difference(wanted_items(ANNA, GRANT, Style()), router.shown()), router)
    assert router.menus[menus.ADDRESS_LIST] == []


def test_a_secret_that_the_router_hides_counts_as_right():
    """Its API user may not read it; its undo says that somebody has to put it in."""
    fields = {"name": "anna", "service": "pppoe", "profile": "default", "comment": tagged("service-12")}
    router = Router([(menus.PPP_SECRET, fields)])
    plan = difference(wanted_items(ANNA, DENY, Style()), router.shown())
    assert [change.command.fields for change in plan.changes] == [(("disabled", "yes"),)]
    plan = difference(removal_items(ANNA), router.shown())
    assert ("password", HIDDEN) in plan.changes[0].undo.fields


def test_proof_says_what_is_wrong_and_tells_no_secret():
    """A sentence for everything."""
    router = Router([(menus.PPP_PROFILE, {"name": "ispagents-256k-256k", "rate-limit": "1M/1M"})])
    apply(difference(wanted_items(ANNA, GRANT, Style()), router.shown()), router)
    said = proved(wanted_items(ANNA._replace(password="tops3cret"), OVERDUE, Style()), router.shown())
    assert said == [
        "The PPP profile 'ispagents-256k-256k' has rate-limit='1M/1M' where it should be '256k/256k'.",
        "The password of the PPP secret 'anna' is another.",
        "The PPP secret 'anna' has profile='ispagents-10M-50M' where it should be 'ispagents-256k-256k'.",
        "There is no list entry 'overdue' '10.0.0.5'.",
    ]


def rules(*names):
    """Wanted rules in this order, before fasttrack."""
    before = (("action", "fasttrack-connection"),)
    return [Wanted(menus.FILTER, (), (("chain", "forward"),), f"garden-{name}", before=before) for name in names]


@given(st.permutations(["garden-1", "garden-2", "garden-3", "fasttrack", "by hand"]), st.sets(st.integers(1, 3)))
@settings(max_examples=60)
def test_rules_stand_in_order_before_what_they_must_precede(order, missing):
    """Whatever was moved or removed by hand; the rules of others keep their order, and undo puts all back."""
    items = [Item(menus.FILTER, f"*{place}", rule(name)) for place, name in enumerate(order, 1) if rule(name)]
    items = [item for item in items if item.tag not in {f"garden-{number}" for number in missing}]
    router = Router()
    router.menus[menus.FILTER], router.count = items, 10
    before = [item.id for item in items]
    plan = difference(rules(1, 2, 3), router.shown())
    apply(plan, router)
    after = [item.tag or item.fields["comment"] for item in router.menus[menus.FILTER]]
    assert [one for one in after if one != "by hand"] == ["garden-1", "garden-2", "garden-3", "fasttrack"]
    assert difference(rules(1, 2, 3), router.shown()).changes == ()
    assert after_commands((change.command for change in plan.changes), {menus.FILTER: items})
    for command in undo_commands(plan):
        router.execute(command)
    assert [item.id for item in router.menus[menus.FILTER]] == before


def rule(name):
    """A rule of ours, or another one."""
    if name.startswith("garden"):
        return {"chain": "forward", "comment": f"ispagents:{name}"}
    return {"chain": "forward", "action": "fasttrack-connection" if name == "fasttrack" else "drop", "comment": name}


def test_a_queue_stands_before_the_one_that_was_named():
    """Simple queues are matched from the top, so one below the rest would do nothing."""
    line, style = ANNA._replace(method=Method.STATIC), Style(queue_before="rest")
    rest = (menus.QUEUE, {"name": "rest", "target": "10.0.0.0/8"})
    mine = (menus.QUEUE, {"name": "ispagents-12-anna", "target": "10.0.0.5/32", "comment": tagged("service-12")})
    for items in ([rest], [rest, mine], [mine, rest]):
        router = Router(items)
        apply(difference(wanted_items(line, GRANT, style), router.shown()), router)
        assert [item.fields["name"] for item in router.menus[menus.QUEUE]] == ["ispagents-12-anna", "rest"]


@pytest.mark.parametrize("adopt", [False, True])
def test_nothing_to_do_is_an_empty_plan(adopt):
    """For nothing wanted, and for what is there."""
    assert difference([], {}, adopt=adopt) == ((), ())
