"""Whatever stands on a router is shown, and what is called new is adopted by a mark alone."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.facts import Method
from policy.inspection.compare import Choices, Known, KnownService, Verdict, access_of, compare
from policy.inspection.found import Device
from policy.inspection.picture import picture
from policy.inspection.speeds import speed_of
from policy.routeros import menus
from policy.routeros.difference import difference
from policy.routeros.objects import Item, Verb
from policy.routeros.style import read_style
from policy.routeros.wanted import Line, wanted_items

PASSWORD = "made-up-by-nobody"
BAD_NAMES = ("0123", "", " ", "x" * 300, b"caf\xe9".decode("utf-8", "surrogateescape"), "\0")
COMMENTS = ("", "Mrs Anna", "ispagents:service-7", "ispagents:service-7 Anna", "\udce9", "a\nb")
BAD_RATES = ("10M/50M 20M/60M", "nonsense", "1/2")
RATES = ("", "10M/50M", "5M", "10M/50M 20M/60M 8M/40M 8/8 5 1M/1M")


def mostly(good: tuple[str, ...], *bad: str) -> Any:
    """One of the good values, and now and then a bad one, or none at all."""
    return st.sampled_from((*good * 8, *bad, None))


NAME = mostly(("anna", "bert", "no", "łódź", "a b"), *BAD_NAMES)
MAC = mostly(("", "02:00:00:00:00:01", "02-00-00-00-00-02"), "nobody", "00:00:00:00:00:00")
ADDRESS = mostly(("", "10.5.0.7", "10.5.0.9", "10.5.0.10/32"), "10.5.0.8", "10.5.0.0/24", "pool", "2001:db8::1", "x")
FLAG = mostly(("false",), "true")
COMMENT = mostly(COMMENTS[:2], *COMMENTS[2:])
PAIR = mostly(("0/0",), "5M/20M", "1/2", "x", "0/5M")
OBSERVED = {
    menus.PPP_PROFILE: {"name": mostly(("gold", "silver")), "rate-limit": mostly(RATES, *BAD_RATES), "default": FLAG},
    menus.PPP_SECRET: {
        "name": NAME,
        "password": mostly((PASSWORD,), "", "\0"),
        "service": mostly(("pppoe", "any"), "l2tp"),
        "profile": mostly(("gold", "default"), "gone"),
        "caller-id": MAC,
        "remote-address": ADDRESS,
        "routes": mostly(("", "10.1.2.0/24"), "x"),
        "disabled": FLAG,
        "dynamic": FLAG,
        "comment": COMMENT,
    },
    menus.HOTSPOT_PROFILE: {"name": mostly(("hour", "gold")), "rate-limit": mostly(RATES, *BAD_RATES)},
    menus.HOTSPOT_USER: {
        "name": NAME,
        "password": mostly((PASSWORD,), ""),
        "profile": mostly(("hour", "default"), "gone"),
        "server": mostly(("all", "hot"), "\udce9"),
        "mac-address": MAC,
        "address": ADDRESS,
        "disabled": FLAG,
        "comment": COMMENT,
    },
    menus.LEASE: {
        "address": ADDRESS,
        "mac-address": mostly(("02:00:00:00:00:01", "02-00-00-00-00-02"), "", "nobody"),
        "server": mostly(("lan", "all"), "\udce9"),
        "rate-limit": mostly(RATES, *BAD_RATES),
        "address-lists": mostly(("", "tv", "tv,paid")),
        "block-access": FLAG,
        "dynamic": FLAG,
        "comment": COMMENT,
    },
    menus.QUEUE: {
        "name": NAME,
        "target": mostly(("10.5.0.7/32", "10.5.0.9", "10.5.0.11"), "10.5.0.0/24", "ether1", "10.5.0.7,10.5.0.9", ""),
        "max-limit": mostly(("5000000/20000000", "5M/20M"), "0/0", "1/2", "x"),
        "limit-at": PAIR,
        "burst-limit": PAIR,
        "burst-threshold": PAIR,
        "burst-time": mostly(("0s/0s",), "8s/8s", "x"),
        "priority": mostly(("8/8", "5/5"), "5/6", "x"),
        "parent": mostly(("none",), "all", "\udce9"),
        "dynamic": FLAG,
        "comment": COMMENT,
    },
    menus.ADDRESS_LIST: {"list": mostly(("paid",), "ispagents-denied", "tv"), "address": ADDRESS, "comment": COMMENT},
    "/ip/service": {"name": mostly(("api", "api-ssl")), "address": NAME, "disabled": NAME},
    "/ip/pool": {"name": NAME, "ranges": mostly(("10.5.0.1-10.5.0.9", "10.0.0.0/8"), "x", "10.5.0.1-x")},
    "/ppp/aaa": {"use-radius": mostly(("yes", "no"), "x")},
}


def row(fields: dict[str, Any]) -> Any:
    """An item's fields; a value of None is a field that the router does not print."""
    return st.fixed_dictionaries(fields).map(
        lambda drawn: {name: text for name, text in drawn.items() if text is not None}
    )


@st.composite
def routers(draw: Any) -> dict[str, tuple[Item, ...] | None]:
    """A router with a few items in each menu, and now and then a menu missing."""
    found: dict[str, tuple[Item, ...] | None] = {}
    for path, fields in OBSERVED.items():
        rows = draw(st.lists(row(fields), max_size=3))
        missing = draw(st.sampled_from((False,) * 9 + (True,)))
        found[path] = None if missing else tuple(Item(path, f"*{n}", one) for n, one in enumerate(rows, 1))
    gold = Item(menus.PPP_PROFILE, "*F", {"name": "gold", "rate-limit": "10M/50M"})
    found[menus.PPP_PROFILE] = (*(found[menus.PPP_PROFILE] or ()), gold)
    return found


def shown(observed: dict[str, tuple[Item, ...] | None]) -> dict[str, tuple[Item, ...]]:
    """The menus that are there."""
    return {path: items for path, items in observed.items() if items is not None}


KNOWN = Known({"0123": KnownService(7, "0123", "hill", closed=False)}, {"10.5.0.8": "eve"}, {"anna"}, {})


@settings(max_examples=60)
@given(routers(), st.booleans())
def test_everything_is_shown_and_nothing_told(observed: Any, sold: bool) -> None:
    """No router makes it fail; each kept secret, user and lease is a customer; no password is in the picture."""
    found = picture(Device(), observed, ("paid",) if sold else ())
    assert PASSWORD not in repr(found)
    kept = shown(observed)
    for path in (menus.PPP_SECRET, menus.HOTSPOT_USER, menus.LEASE):
        there = [one for one in kept.get(path, ()) if not one.dynamic]
        assert [one.id for one in found.services if one.menu == path] == [one.id for one in there]
    plans = {one.name for one in found.plans}
    assert {one.found_plan for one in found.services} <= plans
    assert len(plans) == len(found.plans)
    json.dumps(found.style, ensure_ascii=False).encode()


@settings(max_examples=60)
@given(routers(), st.booleans())
def test_what_is_new_is_adopted_by_a_mark_alone(observed: Any, sold: bool) -> None:
    """The engine's own difference writes nothing but comments for all new rows together."""
    found = picture(Device(), observed, ("paid",) if sold else ())
    choices = Choices("hill", frozenset(Method), read_style(found.style), {})
    compared = compare(found, shown(observed), KNOWN, choices)
    assert len(compared.rows) == len(found.services)
    new = [row for row in compared.rows if row.verdict == Verdict.NEW]
    assert all(row.reason for row in compared.rows if row.verdict in (Verdict.CONFLICTING, Verdict.PERSON))
    for one in new:
        told = (one.plan, one.subscriber, one.name, one.service.username, one.service.server, one.service.queue)
        json.dumps(told, ensure_ascii=False).encode()
    assert len({row.service.username for row in new}) == len(new)
    wanted = []
    for number, row in enumerate(new, 10**6):
        one = row.service
        line = Line(
            number, one.username, one.method, PASSWORD if one.method != Method.DHCP else "", one.address, one.mac
        )
        line = line._replace(routes=one.routes, server=one.server, queue=one.queue)
        wanted += wanted_items(line, access_of(one, compared.new_plans[row.plan]), choices.style)
    plan = difference(wanted, shown(observed), adopt=True)
    for change in plan.changes:
        assert change.command.verb == Verb.SET
        assert [name for name, _ in change.command.fields] == ["comment"], change
    assert plan.conflicts == ()
    touched = {change.command.fields[0][1].split()[0] for change in plan.changes}
    assert len(touched) == len(new)


@pytest.mark.parametrize(
    ("fields_", "rate"),
    [
        ({"max-limit": "5000000/20000000"}, "5M/20M"),
        ({"max-limit": "0/0"}, ""),
        ({"max-limit": "0/5M"}, "0/5M"),
        ({"max-limit": "5M/20M", "priority": "5/5"}, "5M/20M 0/0 0/0 0/0 5"),
        ({"max-limit": "5M/20M", "limit-at": "1M/2M"}, "5M/20M 0/0 0/0 0/0 8 1M/2M"),
        (
            {"max-limit": "5M/20M", "burst-limit": "6M/30M", "burst-threshold": "4M/15M", "burst-time": "8s/10s"},
            "5M/20M 6M/30M 4M/15M 8/10",
        ),
    ],
)
def test_a_queue_is_read_as_a_rate_limit(fields_: dict[str, str], rate: str) -> None:
    """In the grammar of profiles, upload first."""
    assert speed_of(Item(menus.QUEUE, "*1", fields_))[::2] == (rate, "")
