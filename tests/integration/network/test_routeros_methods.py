"""Every method of access in every style on a simulated router: given, restricted, denied and given back."""

import pytest
from routeros_peers import asynchronous, connected, simulated

from network.contract import Outcome
from network.routeros.verbs import Query, apply, observe
from policy.access import Access, Kind
from policy.facts import Method
from policy.reasons import Reason
from policy.routeros import menus, values
from policy.routeros.difference import difference, proved
from policy.routeros.style import HotspotDenial, Style, Way
from policy.routeros.wanted import Line, wanted_items

LINES = [
    Line(number, f'{method} "łódź"\n', method, "pa$$ word", f"10.0.0.{number}", f"02:00:00:00:00:{number:02X}")
    for number, method in enumerate(Method, 1)
]
LINES.append(Line(9, "anybody", Method.HOTSPOT, "x"))
STYLES = (
    Style(local_address="10.9.9.1", dns_servers=("1.1.1.1",), hotspot_denial=HotspotDenial.BINDING),
    Style(Way.QUEUE, Way.QUEUE, Way.QUEUE, list_timeout_s=3600),
)
READ = (
    *(menus.PPP_PROFILE, menus.PPP_SECRET, menus.HOTSPOT_PROFILE, menus.HOTSPOT_USER, menus.HOTSPOT_BINDING),
    *(menus.LEASE, menus.QUEUE, menus.ADDRESS_LIST),
)


def turns(line):
    """Accesses one after the other, each unlike the one before."""
    rate_limit = "10M/50M 20M/60M 8M/40M 10/12 5 1M/2M"
    paid = Access(Kind.GRANT, Reason.PLAN, rate_limit, ("paid",), address=line.address, idle_timeout_s=600)
    overdue = Access(Kind.RESTRICT, Reason.SUSPENDED, "256k/256k", ("overdue",), address=line.address)
    plain = Access(Kind.GRANT, Reason.PLAN, address=line.address)
    return (paid, overdue, Access(Kind.DENY, Reason.CLOSED), overdue, paid, plain, paid._replace(port_limit=1))


@pytest.mark.parametrize("style", STYLES, ids=["profile", "queue"])
@pytest.mark.parametrize("version", ["6.49.10", "7.20"])
@asynchronous
async def test_every_way_holds_on_a_router(version, style):
    """Each command is taken, and what is read back is what was wanted."""
    async with simulated(version=version) as router, connected(router) as connection:
        asked = [Query(menu=path, fields=menus.columns(path, values.version(version))) for path in READ]
        for line in LINES:
            for access in turns(line):
                wanted = wanted_items(line, access, style)
                done = await apply(connection, difference(wanted, await observe(connection, asked)))
                assert [step.result.explanation for step in done.steps if step.result.outcome != Outcome.APPLIED] == []
                assert proved(wanted, await observe(connection, asked)) == []
