"""What policy wants of a router, carried out on a simulated one: made, changed, seen, and taken back."""

import pytest
from routeros_peers import asynchronous, connected, simulated

from network.contract import Outcome
from network.routeros.undoing import undo_all
from network.routeros.verbs import Query, apply_all, observe
from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus, values
from policy.routeros.difference import difference, proved
from policy.routeros.style import Style, Way
from policy.routeros.wanted import Line, wanted_items

PAID = Access(Kind.GRANT, Reason.PLAN, rate_limit="10M/50M", address_lists=("paid",))
OVERDUE = Access(Kind.RESTRICT, Reason.SUSPENDED, rate_limit="512k/512k", address_lists=("overdue",))
NAMES = ("no", "0123", "łódź", 'a "b"\nc')
LINES = [
    Line(number, name, Method.PPPOE, password=f"pass {name}", address=f"10.0.0.{number}")
    for number, name in enumerate(NAMES, 1)
]
LINES.append(Line(9, "static", Method.STATIC, address="10.0.9.9"))


async def seen(connection, version):
    release = values.version(version)
    paths = (menus.PPP_PROFILE, menus.PPP_SECRET, menus.QUEUE, menus.ADDRESS_LIST)
    return await observe(connection, [Query(menu=path, fields=menus.columns(path, release)) for path in paths])


def contents(router):
    """What stands there. The order of list entries and secrets means nothing, that of queues does."""
    rows = {
        path: [sorted((name, text) for name, text in row.items() if name != ".id") for row in router.rows(path)]
        for path in (menus.PPP_SECRET, menus.QUEUE, menus.ADDRESS_LIST)
    }
    return {path: found if path == menus.QUEUE else sorted(found) for path, found in rows.items()}


@pytest.mark.parametrize("style", [Style(), Style(ppp=Way.QUEUE)])
@pytest.mark.parametrize("version", ["6.49.10", "7.20"])
@asynchronous
async def test_a_town_is_provisioned_restricted_and_given_back(version, style):
    """Every service is as wanted after its plan, a second look wants nothing, and undo leaves what was there before."""
    async with simulated(version=version) as router, connected(router) as connection:
        for access in (PAID, OVERDUE):
            before = contents(router)
            wanted = [wanted_items(line, access, style) for line in LINES]
            shown = await seen(connection, version)
            # They share a profile: whichever plan is first makes it, and the others find it there just so.
            done = await apply_all(connection, [difference(items, shown) for items in wanted])
            shown = await seen(connection, version)
            assert [proved(items, shown) for items in wanted] == [[]] * len(LINES)
            assert {one.outcome for one in done} <= {Outcome.APPLIED}
        for one in await undo_all(connection, done):
            assert one.outcome in (Outcome.APPLIED, Outcome.ALREADY_SO)
        assert contents(router) == before
