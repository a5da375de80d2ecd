"""What has to be ended on a router for a change to hold."""

from hypothesis import given, settings
from routeros_model import accesses, lines, styles

from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus
from policy.routeros.cuts import cut_changes, cuts, removal_cuts
from policy.routeros.objects import Item
from policy.routeros.style import Style, Way
from policy.routeros.wanted import Line

ANNA = Line(12, "anna", Method.PPPOE, "secret", "10.0.0.5", "02:00:00:00:00:01")
GRANT = Access(Kind.GRANT, Reason.PLAN, "10M/50M", address="10.0.0.5")
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",), address="10.0.0.5")
DENY = Access(Kind.DENY, Reason.CLOSED)
CONNECTIONS = {(menus.CONNECTION, "src-address"), (menus.CONNECTION, "dst-address")}


def ended(found):
    """Menus and fields."""
    return {(cut.menu, cut.fields[0][0]) for cut in found}


@given(lines, accesses(), styles)
@settings(max_examples=60)
def test_nothing_changed_ends_nothing(line, access, style):
    """Unless nobody knows what the session has, or it must not be there."""
    if access.kind != Kind.DENY:
        assert cuts(line, access, access, style) == ()
    else:
        assert not any(cut.drops for cut in cuts(line, access, access, style))


@given(lines, accesses(), accesses(), styles)
@settings(max_examples=60)
def test_every_cut_says_why(line, before, after, style):
    """A sentence, and whether the customer drops."""
    for cut in cuts(line, before, after, style):
        assert cut.why.endswith(".")
        assert cut.drops == (cut.menu in (menus.PPP_ACTIVE, menus.HOTSPOT_ACTIVE))


def test_a_profile_is_taken_at_the_login():
    """So a new one ends the session; a queue does not."""
    (cut,) = cuts(ANNA, GRANT, GRANT._replace(rate_limit="20M/90M"), Style())
    assert (cut.menu, cut.fields, cut.drops) == (menus.PPP_ACTIVE, (("name", "anna"),), True)
    assert cut.why == (
        "A router gives the profile at the login, so the session is ended; the client comes back with the new access."
    )
    assert cuts(ANNA, GRANT, GRANT._replace(rate_limit="20M/90M"), Style(ppp=Way.QUEUE)) == ()


def test_restricting_ends_open_connections_both_ways():
    """Or downloads go on; the customer stays online where queues and lists do it."""
    found = cuts(ANNA, GRANT, OVERDUE, Style(ppp=Way.QUEUE))
    assert ended(found) == CONNECTIONS
    assert not any(cut.drops for cut in found)
    assert cuts(ANNA, GRANT, OVERDUE, Style(ppp=Way.QUEUE, cut_connections=False)) == ()
    assert cuts(ANNA, OVERDUE, GRANT, Style(ppp=Way.QUEUE)) == ()


def test_denying_ends_the_session_and_its_cookies():
    """By user and by device, since a hotspot knows both."""
    line = ANNA._replace(method=Method.HOTSPOT)
    keys = {(menu, name) for menu in (menus.HOTSPOT_ACTIVE, menus.HOTSPOT_COOKIE) for name in ("user", "mac-address")}
    assert ended(cuts(line, GRANT, DENY, Style())) == keys | CONNECTIONS
    assert ended(removal_cuts(line)) == keys
    assert ended(cuts(ANNA, GRANT, DENY, Style())) == {(menus.PPP_ACTIVE, "name")} | CONNECTIONS


def test_what_is_not_known_is_ended():
    """A session may have anything."""
    assert cuts(ANNA, None, GRANT, Style())[0].why.startswith("What this session was given is not known")


def test_only_rows_that_are_meant_are_ended():
    """Whatever port a connection has; no other address that begins alike; each row once."""
    rows = [
        {"src-address": "10.0.0.5:4443", "dst-address": "192.0.2.1:443"},
        {"src-address": "10.0.0.50:4443", "dst-address": "192.0.2.1:443"},
        {"src-address": "192.0.2.7:53", "dst-address": "10.0.0.5"},
        {"src-address": "10.0.0.5:1", "dst-address": "10.0.0.5:2"},
    ]
    six = [{"src-address": "[2001:db8:5::9]:443", "dst-address": "2001:db8::1"}, {"src-address": "2001:db8:6::1"}]
    observed = {
        menus.CONNECTION: [Item(menus.CONNECTION, f"*{place}", row) for place, row in enumerate(rows)],
        menus.CONNECTION_V6: [Item(menus.CONNECTION_V6, f"*{place}", row) for place, row in enumerate(six)],
        menus.PPP_ACTIVE: [
            Item(menus.PPP_ACTIVE, "*F", {"name": "Anna"}),
            Item(menus.PPP_ACTIVE, "*E", {"name": "anna"}),
        ],
    }
    line = ANNA._replace(ipv6_prefix="2001:db8:5::/64")
    changes = cut_changes(cuts(line, GRANT, OVERDUE, Style()), observed)
    assert [(change.command.menu, change.command.id) for change in changes] == [
        (menus.PPP_ACTIVE, "*E"),
        (menus.CONNECTION, "*0"),
        (menus.CONNECTION, "*3"),
        (menus.CONNECTION, "*2"),
        (menus.CONNECTION_V6, "*0"),
    ]
    assert all(change.undo is None for change in changes)
