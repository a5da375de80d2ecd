"""How an access reaches a live session."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from policy_strategies import accesses

from policy.access import Access, Kind
from policy.attributes import reply_attributes
from policy.changes.route import ADDRESS_LIST, COA_ATTRIBUTES, LEFT_ALONE, Abilities, RouteKind, choose
from policy.reasons import Reason

# help.mikrotik.com, RADIUS page: "it is not possible to change IP address, pool or routes that way".
NEVER_BY_COA = {
    "Framed-IP-Address",
    "Framed-Pool",
    "Framed-Route",
    "Framed-IPv6-Prefix",
    "Framed-IPv6-Pool",
    "Delegated-IPv6-Prefix",
    "Mikrotik-Delegated-IPv6-Pool",
}
GRANT = Access(Kind.GRANT, Reason.PLAN, "10M/50M", ("home",), interim_interval_s=300)
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",), interim_interval_s=300)
WITH_LISTS, WITHOUT_LISTS = Abilities(coa_address_list=True), Abilities()
# The fields of an access that a CoA can change.
CHANGEABLE = (
    "rate_limit",
    "address_lists",
    "group",
    "filter_id",
    "idle_timeout_s",
    "plan_session_timeout_s",
    "port_limit",
)
all_abilities = st.builds(Abilities, st.booleans(), st.booleans())


@st.composite
def neighbours(draw):
    """Two accesses that share most fields, as before and after a change."""
    first, second = draw(accesses), draw(accesses)
    fields = draw(st.sampled_from([Access._fields, CHANGEABLE]))
    changed = draw(st.sets(st.sampled_from(fields), min_size=1, max_size=3))
    values = Access._field_defaults if draw(st.booleans()) else second._asdict()
    other = first._replace(**{name: values.get(name, getattr(second, name)) for name in changed})
    return possible(first), possible(other)


def possible(access):
    """As `decide` makes them: a plan with a session time gives every session some of it."""
    return access._replace(session_timeout_s=access.session_timeout_s or access.plan_session_timeout_s)


def grouped(pairs):
    """The values of each attribute, in order: what a router keeps of a session."""
    found = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def lasting(values):
    """What a router keeps that a change must have right."""
    return {name: value for name, value in values.items() if name not in LEFT_ALONE}


@given(neighbours(), all_abilities)
def test_a_coa_brings_the_session_to_its_target(two, abilities):
    """On a router that replaces what a CoA names and keeps the rest, nothing is left that differs."""
    applied, target = two
    route = choose(applied, target, abilities)
    if route.kind == RouteKind.COA:
        assert lasting(grouped(reply_attributes(applied)) | grouped(route.attributes)) == lasting(
            grouped(reply_attributes(target))
        )


@given(neighbours(), all_abilities)
def test_a_coa_names_only_what_coa_can_change(two, abilities):
    """Address, pool and routes never, address lists only where a router was seen changing them."""
    route = choose(*two, abilities)
    names = {name for name, _ in route.attributes}
    assert not names & NEVER_BY_COA
    assert names <= COA_ATTRIBUTES | {ADDRESS_LIST}
    assert abilities.coa_address_list or ADDRESS_LIST not in names
    assert bool(names) == (route.kind == RouteKind.COA)


STUBBORN = {
    "address": "100.64.0.7",
    "pool": "another",
    "routes": ("10.9.0.0/24 0.0.0.0 1",),
    "ipv6_prefix": "2001:db8:9::/64",
    "delegated_ipv6_prefix": "2001:db8:9::/56",
    "ipv6_pool": "another",
    "delegated_ipv6_pool": "another",
}


@pytest.mark.parametrize(("field", "value"), STUBBORN.items())
@given(two=neighbours(), lists=st.booleans())
def test_an_address_pool_or_route_needs_a_disconnect(two, lists, field, value):
    """Where one of them differs there is no CoA, whatever else differs."""
    applied, target = (access._replace(kind=Kind.GRANT, address="") for access in two)
    applied, target = applied._replace(**{field: () if field == "routes" else ""}), target._replace(**{field: value})
    abilities = Abilities(coa_address_list=lists)
    assert choose(applied, target, abilities).kind == RouteKind.DISCONNECT
    assert choose(target, applied, abilities).kind == RouteKind.DISCONNECT


@pytest.mark.parametrize("field", CHANGEABLE)
@settings(max_examples=20)
@given(access=accesses)
def test_what_must_vanish_needs_a_disconnect(access, field):
    """CoA replaces and never removes: left out, a list or speed would stay on the customer."""
    without = access._replace(**{"kind": Kind.GRANT, field: Access._field_defaults[field]})
    some = {"": "1M/1M", 0: 1, (): ("home",)}[getattr(without, field)]
    given_it = without._replace(**{field: some})
    assert choose(given_it, without, WITH_LISTS).kind == RouteKind.DISCONNECT
    assert choose(without, given_it, WITH_LISTS).kind == RouteKind.COA


@given(accesses, all_abilities)
def test_what_is_so_already_needs_nothing(access, abilities):
    """Sending a change twice is no second change."""
    access = access._replace(kind=Kind.RESTRICT)
    assert choose(access, access, abilities._replace(dynamic_authorization=True)).kind == RouteKind.NOTHING


@given(st.none() | accesses, accesses)
def test_a_router_without_incoming_waits_for_the_next_login(applied, target):
    """RouterOS ships with incoming switched off."""
    assert choose(applied, target, Abilities(dynamic_authorization=False)).kind == RouteKind.NEXT_LOGIN


@given(st.none() | accesses, accesses, all_abilities)
def test_who_gets_nothing_is_disconnected(applied, target, abilities):
    """No CoA says "go away"."""
    abilities = abilities._replace(dynamic_authorization=True)
    assert choose(applied, target._replace(kind=Kind.DENY), abilities).kind == RouteKind.DISCONNECT


@given(accesses, all_abilities)
@example(GRANT, WITH_LISTS)
def test_an_unknown_session_is_only_changed_where_all_can_be_set(target, abilities):
    """Where nobody knows what a session has, a CoA names all of its target, the list that it replaces too."""
    route = choose(None, target, abilities)
    if route.kind == RouteKind.COA:
        assert lasting(grouped(route.attributes)) == lasting(grouped(reply_attributes(target)))
        assert target.address_lists
    else:
        assert route.kind == (RouteKind.DISCONNECT if abilities.dynamic_authorization else RouteKind.NEXT_LOGIN)


@given(st.none() | accesses, accesses, all_abilities)
def test_every_route_says_why(applied, target, abilities):
    """One sentence, to read aloud."""
    why = choose(applied, target, abilities).why
    assert why.endswith(".")
    assert why[0].isupper()


@pytest.mark.parametrize(
    ("applied", "target", "abilities", "wanted"),
    [
        (GRANT, GRANT._replace(rate_limit="20M/100M"), WITHOUT_LISTS, RouteKind.COA),
        (GRANT, OVERDUE, WITH_LISTS, RouteKind.COA),
        (GRANT, OVERDUE, WITHOUT_LISTS, RouteKind.DISCONNECT),
        (GRANT, GRANT._replace(address="100.64.0.7"), WITH_LISTS, RouteKind.DISCONNECT),
        (OVERDUE, GRANT._replace(address_lists=()), WITH_LISTS, RouteKind.DISCONNECT),
        (GRANT, GRANT._replace(rate_limit=""), WITH_LISTS, RouteKind.DISCONNECT),
        (GRANT, GRANT._replace(interim_interval_s=60, total_limit_bytes=5), WITH_LISTS, RouteKind.NOTHING),
        (None, GRANT, WITH_LISTS, RouteKind.DISCONNECT),
        (None, GRANT._replace(address_lists=()), WITH_LISTS, RouteKind.DISCONNECT),
    ],
)
def test_the_gentlest_route_that_works_is_chosen(applied, target, abilities, wanted):
    """CoA where it reaches everything; a Disconnect where a list or speed would have to vanish."""
    assert choose(applied, target, abilities).kind == wanted


def test_restoring_sets_the_opposite():
    """A list set by CoA stays until another replaces it, so the plan's own list is named."""
    route = choose(OVERDUE, GRANT, WITH_LISTS)
    assert route.kind == RouteKind.COA
    assert grouped(route.attributes) == {"Mikrotik-Rate-Limit": ["10M/50M"], "Mikrotik-Address-List": ["home"]}


def test_the_sentence_names_what_coa_cannot_change():
    """An operator reads why the customer drops."""
    assert "the address list" in choose(GRANT, OVERDUE, WITHOUT_LISTS).why
    assert "the routes" in choose(GRANT, GRANT._replace(routes=("10.1.0.0/24 0.0.0.0 1",)), WITH_LISTS).why


@pytest.mark.parametrize(
    ("applied", "changes", "abilities", "why"),
    [
        (GRANT, {"rate_limit": "1M/1M"}, WITHOUT_LISTS, "CoA can change the speed on this router, so {stays}"),
        (GRANT, {"group": "g"}, WITHOUT_LISTS, "CoA can change Mikrotik-Group on this router, so {stays}"),
        (GRANT, {"pool": "p"}, WITH_LISTS, "CoA cannot change the address pool on this router, so {redials}"),
        (GRANT, {"address": "100.64.0.7"}, WITH_LISTS, "CoA cannot change the address on this router, so {redials}"),
        (
            GRANT,
            {"address_lists": (), "rate_limit": ""},
            WITH_LISTS,
            "CoA can replace the address list and the speed but not remove it, {none} so {redials}",
        ),
        (
            GRANT,
            {"routes": ("10.1.0.0/24 0.0.0.0 1",), "address_lists": ("other",)},
            WITHOUT_LISTS,
            "CoA cannot change the routes and the address list on this router, so {redials}",
        ),
        (
            GRANT,
            {"plan_session_timeout_s": 60, "session_timeout_s": 60},
            WITHOUT_LISTS,
            "CoA can change the session time on this router, so {stays}",
        ),
        (GRANT, {}, WITHOUT_LISTS, "The session already has this access."),
        (None, {}, WITH_LISTS, "What this session was given is not known, so it is disconnected; {client}"),
        (
            GRANT,
            {"kind": Kind.DENY},
            WITH_LISTS,
            "The service gets no access any more, so the session is disconnected.",
        ),
        (
            GRANT,
            {},
            Abilities(dynamic_authorization=False),
            "This router takes no CoA or Disconnect, so the change waits for the next login.",
        ),
    ],
)
def test_why_in_words(applied, changes, abilities, why):
    """Whole sentences: they stand in previews that people approve."""
    client = "the client redials with the new access."
    words = {
        "stays": "the session stays up.",
        "redials": f"the session is disconnected; {client}",
        "client": client,
        "none": "and the new access has none,",
    }
    assert choose(applied, GRANT._replace(**changes), abilities).why == why.format(**words)


def test_what_is_left_of_the_session_time_is_sent():
    """The time that is left now; where it is not known, the plan's own."""
    target = GRANT._replace(rate_limit="1M/1M", plan_session_timeout_s=3600)
    for left_s, sent in ((50, "50"), (0, "3600")):
        route = choose(GRANT, target._replace(session_timeout_s=left_s), WITHOUT_LISTS)
        assert route.attributes == (("Mikrotik-Rate-Limit", "1M/1M"), ("Session-Timeout", sent))


def test_what_runs_down_by_itself_is_no_difference():
    """Less time and fewer bytes left than at the login are no change."""
    had = GRANT._replace(plan_session_timeout_s=3600, session_timeout_s=3600, total_limit_bytes=10)
    assert choose(had, had._replace(session_timeout_s=7, total_limit_bytes=3), WITHOUT_LISTS).kind == RouteKind.NOTHING
