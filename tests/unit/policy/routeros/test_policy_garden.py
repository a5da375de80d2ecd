"""The walled garden: which rules it is made of, in which order, and when they stand where they do not help."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import PolicyError
from policy.routeros import menus
from policy.routeros.difference import difference
from policy.routeros.garden import (
    Garden,
    garden_document,
    garden_items,
    misplaced,
    placed,
    read_garden,
    removal_items,
)
from policy.routeros.objects import Item, Verb

STYLE = {
    "garden": {
        "pay_address": "192.0.2.80",
        "pay_port": 8080,
        "hosts": ["pay.example.net", "198.51.100.0/24", "192.0.2.80", "203.0.113.1-203.0.113.9"],
        "dns_servers": ["192.0.2.53"],
    }
}


class Network:
    """Where a packet of somebody in the list `overdue` or `ispagents-denied` ends, by the rules as they are printed."""

    def __init__(self, rules: list[Item], lists: dict[str, set[str]]) -> None:
        self._rules, self._lists = rules, lists

    def verdict(self, chain: str = "forward", **packet: str) -> str:
        """What the first rule with a verdict says; accept where none does."""
        for rule in self._rules:
            fields = rule.fields
            if fields["chain"] != chain or fields.get("disabled") == "yes" or not self._matches(fields, packet):
                continue
            action = fields["action"]
            if action == "jump":
                inside = self.verdict(fields["jump-target"], **packet)
                if inside != "return":
                    return inside
            elif action in ("accept", "fasttrack-connection", "reject", "dst-nat"):
                return {"reject": fields.get("reject-with", "")}.get(action, action)
            elif action == "return":
                return "return"
        return "return" if chain not in ("forward", "dstnat") else "accept"

    def _matches(self, fields: dict[str, str], packet: dict[str, str]) -> bool:
        for side in ("src", "dst"):
            wanted = fields.get(f"{side}-address-list", "")
            if wanted and (packet[side] in self._lists.get(wanted.lstrip("!"), ())) == wanted.startswith("!"):
                return False
            port = fields.get(f"{side}-port", "")
            if port and packet.get(f"{side}_port") != port:
                return False
        protocol, state = fields.get("protocol", ""), fields.get("connection-state", "")
        return protocol in ("", packet["protocol"]) and (not state or packet.get("state", "new") in state.split(","))


def _items(menu: str, wanted: Any) -> list[Item]:
    """What a router has after everything wanted was made, by the change engine."""
    rows: list[Item] = []
    for change in difference(wanted, {menu: []}).changes:
        if change.command.menu == menu:
            fields = {name: text for name, text in (*change.command.key, *change.command.fields) if text}
            rows.append(Item(menu, f"*{len(rows) + 1}", fields))
    return rows


def _foreign(number: int, **fields: str) -> Item:
    return Item(menus.FILTER, f"*F{number}", {name.replace("_", "-"): text for name, text in fields.items()})


FASTTRACK = _foreign(1, chain="forward", action="fasttrack-connection", connection_state="established,related")
ACCEPT = _foreign(2, chain="forward", action="accept", connection_state="established,related,untracked")
DROP = _foreign(3, chain="forward", action="drop", connection_state="invalid")


def _network(style: dict[str, Any], *after: Item) -> Network:
    garden = read_garden(style)
    items = garden_items(garden)
    lists = {"overdue": {"10.0.0.9"}, "ispagents-denied": {"10.0.0.8"}}
    for entry in _items(menus.ADDRESS_LIST, items):
        lists.setdefault(entry.fields["list"], set()).add(entry.fields["address"])
    return Network([*_items(menus.FILTER, items), *after, *_items(menus.NAT, items)], lists)


def test_only_what_is_allowed_is_reached_in_both_directions() -> None:
    """The pay page, the hosts and the named DNS servers; all else is refused at once, and open downloads too."""
    network = _network(STYLE, FASTTRACK, ACCEPT)
    out = {"src": "10.0.0.9", "protocol": "tcp", "dst_port": "443", "state": "established"}
    back = {"dst": "10.0.0.9", "protocol": "tcp", "src_port": "443", "state": "established"}
    for host in ("192.0.2.80", "pay.example.net", "198.51.100.0/24"):
        assert network.verdict(**out, dst=host) == network.verdict(**back, src=host) == "fasttrack-connection"
    assert network.verdict(**out, dst="8.8.4.4") == network.verdict(**back, src="8.8.4.4") == "tcp-reset"
    for protocol in ("udp", "tcp"):
        asked = {"src": "10.0.0.9", "protocol": protocol, "dst_port": "53"}
        assert network.verdict(**asked, dst="192.0.2.53") == "accept"
        assert network.verdict(**asked, dst="8.8.8.8") in ("tcp-reset", "icmp-admin-prohibited")
        answer = {"dst": "10.0.0.9", "protocol": protocol, "src_port": "53"}
        assert network.verdict(**answer, src="192.0.2.53") == "accept"
    assert network.verdict(src="10.0.0.9", dst="8.8.8.8", protocol="icmp") == "icmp-admin-prohibited"
    assert network.verdict(src="10.0.0.7", dst="8.8.8.8", protocol="tcp", state="established") == "fasttrack-connection"
    web = {"src": "10.0.0.9", "protocol": "tcp", "dst_port": "80"}
    assert network.verdict("dstnat", **web, dst="8.8.8.8") == "dst-nat"
    assert network.verdict("dstnat", **web, dst="pay.example.net") == "accept"


def test_who_is_denied_gets_nothing_with_or_without_a_garden() -> None:
    """Not even what others may reach; and without a garden nobody else is restricted by us."""
    for style in (STYLE, {}):
        network = _network(style, FASTTRACK)
        assert network.verdict(src="10.0.0.8", dst="192.0.2.80", protocol="tcp", dst_port="80") == "tcp-reset"
        assert network.verdict(src="192.0.2.53", dst="10.0.0.8", protocol="udp") == "icmp-admin-prohibited"
    assert network.verdict(src="10.0.0.9", dst="8.8.8.8", protocol="tcp") == "accept"


def test_with_no_dns_server_named_any_may_be_asked_but_none_speaks_first() -> None:
    """A packet from port 53 that nobody asked for does not come in."""
    network = _network({"garden": {}})
    assert network.verdict(src="10.0.0.9", dst="8.8.8.8", protocol="udp", dst_port="53") == "accept"
    answer = {"src": "8.8.8.8", "dst": "10.0.0.9", "protocol": "udp", "src_port": "53"}
    assert network.verdict(**answer, state="established") == "accept"
    assert network.verdict(**answer) == "icmp-admin-prohibited"


def test_the_engine_puts_the_rules_before_the_isps_own_and_then_finds_nothing_to_do() -> None:
    """On a router with fasttrack: every rule of forward goes before the first that is not ours, in order."""
    garden = read_garden(STYLE)
    observed: dict[str, list[Item]] = {menus.FILTER: [DROP, FASTTRACK, ACCEPT], menus.NAT: [], menus.ADDRESS_LIST: []}
    wanted = placed(garden_items(garden), observed)
    plan = difference(wanted, observed)
    assert not plan.conflicts
    rules = [change.command for change in plan.changes if change.command.menu == menus.FILTER]
    forward = [one for one in rules if dict(one.fields).get("chain") == "forward"]
    assert [one.place_before for one in forward] == [DROP.id] * 4
    assert all(one.verb == Verb.ADD for one in rules)
    made = {menu: _items(menu, garden_items(garden)) for menu in observed}
    made[menus.FILTER] += [DROP, FASTTRACK, ACCEPT]
    assert misplaced(made) == []
    assert difference(placed(garden_items(garden), made), made).changes == ()
    gone = difference(removal_items(), made).changes
    assert {change.command.verb for change in gone} == {Verb.REMOVE}
    assert len(gone) == sum(len(items) for items in made.values()) - 3


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (FASTTRACK, "fasttrack-connection"),
        (ACCEPT, "accept"),
        (_foreign(4, chain="forward", action="accept", comment="everybody"), "everybody"),
        (_foreign(4, chain="forward", action="jump", jump_target="inside"), "jump"),
        (DROP, ""),
        (_foreign(4, chain="forward", action="accept", src_address="10.9.0.0/16"), ""),
        (_foreign(4, chain="forward", action="accept", connection_state="new", protocol="icmp"), ""),
        (_foreign(4, chain="input", action="accept"), ""),
        (_foreign(4, chain="forward", action="accept", disabled="true"), ""),
        (_foreign(4, chain="forward", action="passthrough", dynamic="true"), ""),
        (_foreign(4, chain="forward", action="jump", jump_target="loop"), ""),
    ],
)
def test_what_lets_packets_pass_before_us_is_told(first: Item, told: str) -> None:
    """One sentence that names the rule; what cannot let a restricted customer pass is left alone."""
    inside = [
        _foreign(5, chain="inside", action="accept", connection_state="established"),
        _foreign(6, chain="loop", action="jump", jump_target="loop"),
    ]
    ours = _items(menus.FILTER, garden_items(read_garden(STYLE)))
    said = misplaced({menus.FILTER: [first, *inside, *ours, FASTTRACK]})
    assert len(said) == bool(told)
    assert told in "".join(said)


@given(st.permutations(range(4)))
def test_our_own_order_is_told_wherever_it_is_wrong(order: list[int]) -> None:
    """Sorted is right, and anything else is one or more sentences."""
    ours = _items(menus.FILTER, garden_items(read_garden(STYLE)))
    mixed = [ours[place] for place in order] + ours[4:]
    assert (misplaced({menus.FILTER: mixed}) == []) == (list(order) == sorted(order))


@pytest.mark.parametrize(
    ("garden", "words"),
    [
        ([], "group of named values"),
        ({"page": "x"}, "'page' is not known"),
        ({"pay_address": "pay.example.net"}, "one IPv4 address"),
        ({"pay_address": "10.0.0.0/8"}, "one IPv4 address"),
        ({"pay_port": True}, "port"),
        ({"pay_port": 0}, "port"),
        ({"hosts": "pay.example.net"}, "list of at most 256"),
        ({"hosts": ["2001:db8::1"]}, "neither"),
        ({"hosts": ["*.example.net"]}, "neither"),
        ({"hosts": [None]}, "neither"),
        ({"hosts": ["0.0.0.0/0"]}, "allow everything"),
        ({"hosts": ["10.0.0.9-10.0.0.1"]}, "ends before"),
        ({"hosts": ["1"] * 257}, "at most 256"),
        ({"dns_servers": ["dns.example.net"]}, "IPv4 addresses"),
        ({"address_list": "!overdue"}, "address list"),
        ({"address_list": ""}, "address list"),
        ({"address_list": "x" * 254}, "address list"),
        ({"address_list": "ispagents-denied"}, "get nothing"),
    ],
)
def test_nonsense_is_refused_with_its_place(garden: Any, words: str) -> None:
    """The key, and what would be right."""
    with pytest.raises(PolicyError, match="garden: ") as refused:
        read_garden({"garden": garden})
    assert words in str(refused.value)


def test_a_garden_reads_back_from_its_document() -> None:
    """As it was, also in the smallest form; without one there is none."""
    odd = Garden('łódź "no"', "ispagents-denied", "", 80, ("no",), ())
    for garden in (read_garden(STYLE), read_garden({"garden": {}}), read_garden({}), odd):
        assert read_garden(garden_document(garden)) == garden
    assert garden_document(read_garden({})) == {}
    assert read_garden({"garden": {"hosts": ["PAY.example.net", "10.1.2.3/32", "10.1.2.3/8"]}}).hosts == (
        "pay.example.net",
        "10.1.2.3",
        "10.0.0.0/8",
    )


def test_a_place_keeps_its_meaning_whatever_is_chosen() -> None:
    """The same tags in every garden, so that what is not needed any more goes by itself."""
    gardens = [read_garden(style) for style in (STYLE, {"garden": {}}, {}, {"denied_list": "łódź"})]
    tags = [{(one.menu, one.tag) for one in garden_items(garden)} for garden in gardens]
    assert all(one == other for one, other in itertools.pairwise(tags))
