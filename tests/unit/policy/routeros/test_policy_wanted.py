"""What an access means on a router."""

import pytest
from hypothesis import given, settings
from routeros_model import accesses, lines, styles

from policy.access import Access, Kind
from policy.errors import PolicyError
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.style import HotspotDenial, Style, Way
from policy.routeros.values import HIDDEN
from policy.routeros.wanted import Line, known_addresses, removal_items, wanted_items

MAC = "02:00:00:00:00:01"
ANNA = Line(12, "anna", Method.PPPOE, "secret", "10.0.0.5", MAC)
GRANT = Access(Kind.GRANT, Reason.PLAN, "10M/50M", ("paid",), address="10.0.0.5")
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",), address="10.0.0.5")
DENY = Access(Kind.DENY, Reason.CLOSED)


def found(items, menu):
    """The fields of the items of a menu, with their keys."""
    return [dict((*one.key, *one.fields)) for one in items if one.menu == menu and one.present]


def entries(items):
    """The lists and addresses that should be."""
    return [(one["list"], one["address"]) for one in found(items, menus.ADDRESS_LIST)]


@given(lines, accesses(), styles)
@settings(max_examples=60)
def test_everything_carries_the_tag_of_its_service(line, access, style):
    """But for profiles, whose names say that they are ours; and something always does, so that what is gone is seen."""
    items = wanted_items(line, access, style)
    assert line.tag in {one.tag for one in items}
    for one in items:
        assert one.tag == line.tag or dict(one.key)["name"].startswith(menus.OWN_NAME)
        assert all(menus.field_of(one.menu, name).written for name, _ in (*one.key, *one.fields))


@given(lines, accesses(), accesses(), styles)
@settings(max_examples=60)
def test_profiles_of_one_name_are_one_profile(line, one, other, style):
    """Whatever they hold; so a name never changes its meaning."""
    profiles = [
        item
        for access in (one, other)
        for item in wanted_items(line, access, style)
        if item.menu in (menus.PPP_PROFILE, menus.HOTSPOT_PROFILE)
    ]
    assert len({item.key for item in profiles}) == len({(item.key, item.fields) for item in profiles})


@given(lines, accesses(), accesses(), styles)
@settings(max_examples=60)
def test_restoring_names_everything_that_restricting_named(line, one, other, style):
    """The same fields of a secret, user or lease for every access that lets somebody in: none is left over."""
    if Kind.DENY in (one.kind, other.kind):
        return
    for menu in (menus.PPP_SECRET, menus.HOTSPOT_USER):
        names = [
            [field for field, _ in i.fields]
            for a in (one, other)
            for i in wanted_items(line, a, style)
            if i.menu == menu
        ]
        assert names == [] or names[0] == names[1]


def test_pppoe_by_profile():
    """The profile carries speed and list; restricting goes by address, at once, and the slow speed by profile."""
    items = wanted_items(ANNA, GRANT, Style(local_address="10.0.0.1"))
    (profile,), (secret,) = found(items, menus.PPP_PROFILE), found(items, menus.PPP_SECRET)
    assert profile["name"] == secret["profile"] == "ispagents-10M-50M-paid"
    assert (profile["rate-limit"], profile["address-list"], profile["local-address"]) == ("10M/50M", "paid", "10.0.0.1")
    assert (secret["disabled"], secret["remote-address"], secret["caller-id"]) == ("no", "10.0.0.5", MAC)
    items = wanted_items(ANNA, OVERDUE, Style(list_timeout_s=3600))
    assert found(items, menus.PPP_SECRET)[0]["profile"] == "ispagents-256k-256k"
    assert entries(items) == [("overdue", "10.0.0.5")]
    assert found(items, menus.ADDRESS_LIST)[0]["timeout"] == "1h"


def test_pppoe_by_queue():
    """The profile is the ISP's own, speed and lists go by address, burst and place as chosen."""
    style = Style(ppp=Way.QUEUE, parent_queue="all", queue_before="rest", queue_type="pcq")
    access = GRANT._replace(rate_limit="10M/50M 20M/60M 8M/40M 10/12 5 1M/2M")
    items = wanted_items(ANNA, access, style)
    assert found(items, menus.PPP_SECRET)[0]["profile"] == "default"
    (queue,) = (one for one in items if one.menu == menus.QUEUE)
    assert dict((*queue.key, *queue.fields)) == {
        "name": "ispagents-12-anna",
        "target": "10.0.0.5",
        "max-limit": "10M/50M",
        "burst-limit": "20M/60M",
        "burst-threshold": "8M/40M",
        "burst-time": "10s/12s",
        "priority": "5/5",
        "limit-at": "1M/2M",
        "parent": "all",
        "queue": "pcq/pcq",
        "disabled": "no",
    }
    assert queue.before == (("name", "rest"),)
    assert entries(items) == [("paid", "10.0.0.5")]


def test_without_a_fixed_address_the_profile_carries_everything():
    """A queue or an entry of a list would need one; a pool stands in the profile."""
    line = ANNA._replace(address="")
    access = OVERDUE._replace(address="", pool="walled")
    for way in (Way.PROFILE, Way.QUEUE):
        items = wanted_items(line, access, Style(ppp=way))
        (profile,), (secret,) = found(items, menus.PPP_PROFILE), found(items, menus.PPP_SECRET)
        assert (profile["remote-address"], profile["address-list"]) == ("walled", "overdue")
        assert secret["remote-address"] == ""
        assert entries(items) == []
    with pytest.raises(PolicyError, match="one address list"):
        wanted_items(line, access._replace(address_lists=("a", "b")), Style())


def test_ipv6_is_restricted_as_well():
    """Or the customer would go on there."""
    line = ANNA._replace(ipv6_prefix="2001:db8:5::/64", delegated_ipv6_prefix="2001:db8:6::/56")
    items = wanted_items(line, OVERDUE, Style(ppp=Way.QUEUE))
    assert [one["address"] for one in found(items, menus.ADDRESS_LIST_V6)] == ["2001:db8:5::/64", "2001:db8:6::/56"]
    assert found(items, menus.QUEUE)[0]["target"] == "10.0.0.5,2001:db8:5::/64,2001:db8:6::/56"


def test_a_group_is_a_profile_of_the_isps_own():
    """Where nothing else is wanted of a profile."""
    access = Access(Kind.GRANT, Reason.PLAN, address="10.0.0.5", group="business")
    items = wanted_items(ANNA, access, Style())
    assert [one.menu for one in items] == [menus.PPP_SECRET]
    assert found(items, menus.PPP_SECRET)[0]["profile"] == "business"


def test_denying_disables_the_login():
    """And leaves the rest of it as it is."""
    assert found(wanted_items(ANNA, DENY, Style()), menus.PPP_SECRET) == [
        {"name": "anna", "password": "secret", "service": "pppoe", "disabled": "yes"}
    ]


def test_hotspot_by_profile_and_binding():
    """A blocked binding comes and goes with the denial."""
    line, style = ANNA._replace(method=Method.HOTSPOT), Style(hotspot_denial=HotspotDenial.BINDING)
    items = wanted_items(line, GRANT, style)
    assert found(items, menus.HOTSPOT_USER)[0]["profile"] == "ispagents-10M-50M-paid"
    assert found(items, menus.HOTSPOT_BINDING) == []
    items = wanted_items(line, DENY, style)
    assert found(items, menus.HOTSPOT_USER)[0]["disabled"] == "yes"
    assert found(items, menus.HOTSPOT_BINDING) == [{"mac-address": MAC, "type": "blocked", "disabled": "no"}]


def test_dhcp_by_lease():
    """Speed and lists stand in the lease; restricting goes by address; denying blocks lease and address."""
    line, style = ANNA._replace(method=Method.DHCP, server="shop"), Style()
    (lease,) = found(wanted_items(line, GRANT, style), menus.LEASE)
    assert (lease["rate-limit"], lease["address-lists"], lease["block-access"]) == ("10M/50M", "paid", "no")
    assert (lease["mac-address"], lease["server"], lease["address"]) == (MAC, "shop", "10.0.0.5")
    items = wanted_items(line, OVERDUE, style)
    assert (found(items, menus.LEASE)[0]["address-lists"], entries(items)) == ("", [("overdue", "10.0.0.5")])
    items = wanted_items(line, DENY, style)
    assert (found(items, menus.LEASE)[0]["block-access"], entries(items)) == ("yes", [("ispagents-denied", "10.0.0.5")])
    with pytest.raises(PolicyError, match="needs a MAC address"):
        wanted_items(line._replace(mac=""), GRANT, style)


def test_static_by_queue_and_list():
    """All by address, also where the plan has a pool for others."""
    line = ANNA._replace(method=Method.STATIC)
    items = wanted_items(line, OVERDUE._replace(address="", pool="walled"), Style())
    assert found(items, menus.QUEUE)[0]["max-limit"] == "256k/256k"
    assert entries(items) == [("overdue", "10.0.0.5")]
    assert entries(wanted_items(line, DENY, Style())) == [("ispagents-denied", "10.0.0.5")]
    with pytest.raises(PolicyError, match="needs an address"):
        wanted_items(line._replace(address=""), DENY, Style())


def test_addresses_from_a_pool_are_not_known():
    """So nothing is made by them."""
    assert known_addresses(ANNA, OVERDUE._replace(address="", pool="walled")) == ()
    assert known_addresses(ANNA, DENY) == ("10.0.0.5",)


def test_a_password_is_never_shown_and_may_be_unknown():
    """A line's repr has none, and what is not known is not compared."""
    assert "secret" not in repr(ANNA)
    line = Line(12, "anna", Method.PPPOE)
    assert found(wanted_items(line, DENY, Style()), menus.PPP_SECRET)[0]["password"] == HIDDEN


def test_a_service_that_leaves_wants_nothing_of_its_tag():
    """Wherever it is found."""
    for method in Method:
        (item,) = removal_items(ANNA._replace(method=method))
        assert (item.tag, item.present, item.key) == ("service-12", False, ())
