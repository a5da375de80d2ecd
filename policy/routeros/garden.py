"""The walled garden: what a router does with addresses in the restricted list, and with those that are denied.

Our rules stand at the top of the chain `forward`. Usual firewalls let the packets of open connections pass first, and
fasttrack takes such connections past every later rule: a download would go on for hours. For the same reason the rules
look at both directions, and do not ask for the state of a connection. What is allowed *returns* to the ISP's own rules
and is not accepted here, so that those still judge it.

Refusing answers at once (a TCP reset, ICMP "administratively prohibited"): browsers give up and show their page about
captive portals, instead of waiting a minute for nothing. Actions and matchers: Filter, NAT of help.mikrotik.com.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from policy.documents import TEXT_MAXIMUM_BYTES, Document
from policy.errors import PolicyError
from policy.routeros.menus import ADDRESS_LIST, FILTER, NAT, menu_of
from policy.routeros.objects import Fields, Item, Wanted
from policy.routeros.style import read_style
from policy.wording import short

KEY = "garden"  # of a router's style
HOSTS_LIST = "ispagents-garden"
DNS_LIST = "ispagents-dns"
CHAIN = "ispagents-garden"
REFUSING = "ispagents-refuse"
HOSTS_TAG = "garden-hosts"
DNS_TAG = "garden-dns"
# Each host is an entry of a list, and names are asked for by the router again and again.
HOSTS_MAXIMUM = 256
DNS_MAXIMUM = 8

_NAME = re.compile(r"(?=.{1,253}\Z)(?=.*[a-z])[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*", re.ASCII)
_RULE_TAG = re.compile(r"garden-([0-9]{1,3})")
_LIST_FIELDS = ("src-address-list", "dst-address-list")
_WHO_FIELDS = ("src-address", "dst-address", *_LIST_FIELDS, "src-mac-address")


class Garden(NamedTuple):
    """What restricted addresses may reach. Texts are "" where nothing is chosen.

    `address_list` holds those who are restricted ("": there is no walled garden here), `denied_list` those who get
    nothing. `pay_address` (IPv4) and `pay_port`: where their plain HTTP is led. `hosts`: addresses, networks, ranges
    and names that are allowed. `dns_servers`: those that may be asked; with none named, any may, and then a tunnel over
    DNS leads out.
    """

    address_list: str = ""
    denied_list: str = ""
    pay_address: str = ""
    pay_port: int = 80
    hosts: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()


def read_garden(style: Mapping[str, Any]) -> Garden:
    """The garden of a router's style document: its key `garden`. Raises PolicyError with what is wrong.

    Without that key nobody is restricted by rules of ours, but those who are denied still get nothing.
    """
    denied = read_style(style).denied_list
    document = style.get(KEY)
    if document is None:
        return Garden(denied_list=denied)
    if not isinstance(document, Mapping):
        raise PolicyError(
            f'{KEY}: {short(repr(document))} should be a group of named values, such as {{"pay_port": 80}}'
        )
    values: dict[str, Any] = {}
    for name, value in document.items():
        if name not in _READERS:
            raise PolicyError(f"{KEY}: {name!r} is not known; known are {', '.join(sorted(_READERS))}")
        try:
            values[name] = _READERS[name](value)
        except PolicyError as error:
            raise PolicyError(f"{KEY}: {name}: {error}") from error
    garden = Garden(**{"address_list": "overdue", **values, "denied_list": denied})
    if garden.address_list == denied:
        raise PolicyError(f"{KEY}: address_list: {short(denied)!r} is the list of those who get nothing")
    return garden


def garden_document(garden: Garden) -> Document:
    """The key `garden` of a style document, without what is as usual; empty where there is no walled garden."""
    if not garden.address_list:
        return {}
    usual = Garden(address_list="overdue", denied_list=garden.denied_list)
    said = {name: value for name, value in garden._asdict().items() if value != getattr(usual, name)}
    return {KEY: {name: list(value) if isinstance(value, tuple) else value for name, value in said.items()}}


def garden_items(garden: Garden) -> tuple[Wanted, ...]:
    """The rules and list entries, in the order in which rules have to stand; those that are not needed as absent."""
    rules = [
        _rule(number, menu, fields) if fields else Wanted(menu, (), (), f"{KEY}-{number}", present=False)
        for number, (menu, fields) in enumerate(_rules(garden), start=1)
    ]
    allowed = tuple(dict.fromkeys((garden.pay_address, *garden.hosts) if garden.address_list else ()))
    servers = garden.dns_servers if garden.address_list else ()
    return (*_entries(HOSTS_LIST, HOSTS_TAG, allowed), *_entries(DNS_LIST, DNS_TAG, servers), *rules)


def placed(items: Sequence[Wanted], observed: Mapping[str, Sequence[Item]]) -> tuple[Wanted, ...]:
    """The same items with their place on this router: before the first rule of their chain that is not ours."""
    firsts: dict[tuple[str, str], Fields] = {}
    for menu in (FILTER, NAT):
        for rule in observed.get(menu, ()):
            if not rule.dynamic and not _number(rule):
                known = menu_of(menu).fields
                fields = tuple((name, text) for name, text in rule.fields.items() if name in known)
                firsts.setdefault((menu, _chain(rule)), fields)
    return tuple(one._replace(before=firsts.get((one.menu, dict(one.fields).get("chain", "")), ())) for one in items)


def removal_items() -> tuple[Wanted, ...]:
    """What is wanted of a garden that leaves a router: nothing of its tags."""
    nothing = Garden()
    return tuple(one._replace(key=(), fields=(), present=False) for one in garden_items(nothing))


def misplaced(observed: Mapping[str, Sequence[Item]]) -> list[str]:
    """Sentences about rules of ours that stand where they do not help: behind what lets packets pass, or out of order.

    `observed`: the items of the menus of rules, in the router's order. Rules that are missing are not told here.
    """
    said = []
    for menu, items in observed.items():
        active = [item for item in items if item.fields.get("disabled") not in ("true", "yes")]
        said += _out_of_order(menu, active)
    rules = [item for item in observed.get(FILTER, ()) if item.fields.get("disabled") not in ("true", "yes")]
    ours = [place for place, item in enumerate(rules) if _number(item) and _chain(item) == "forward"]
    before = rules[: max(ours)] if ours else []
    said += [
        f"A rule of the chain forward ({_words(rule)}) stands before {rules[max(ours)].tag}: what it lets pass is not "
        "restricted, and downloads go on; move it below ours."
        for rule in before
        if not _number(rule) and _chain(rule) == "forward" and _passes(rule, rules, frozenset({"forward"}))
    ]
    return said


def _rules(garden: Garden) -> list[tuple[str, Fields]]:
    """Each rule by its place; without fields it is not needed. A place never changes its meaning: tags stay."""
    walled, denied = garden.address_list, garden.denied_list
    dns = DNS_LIST if garden.dns_servers else ""
    # Anybody may answer where any server may be asked: but then only somebody who was asked.
    answered = (("connection-state", "" if dns else "established"),)
    web = (
        ("protocol", "tcp"),
        ("dst-port", "80"),
        ("src-address-list", walled),
        ("dst-address-list", f"!{HOSTS_LIST}"),
    )
    page = (("to-addresses", garden.pay_address), ("to-ports", str(garden.pay_port)))
    return [
        (FILTER, _jump("forward", REFUSING, "src-address-list", denied)),
        (FILTER, _jump("forward", REFUSING, "dst-address-list", denied)),
        (FILTER, _jump("forward", CHAIN, "src-address-list", walled)),
        (FILTER, _jump("forward", CHAIN, "dst-address-list", walled)),
        (FILTER, _allow(walled, ("dst-address-list", HOSTS_LIST))),
        (FILTER, _allow(walled, ("src-address-list", HOSTS_LIST))),
        (FILTER, _allow(walled, ("protocol", "udp"), ("dst-port", "53"), ("dst-address-list", dns))),
        (FILTER, _allow(walled, ("protocol", "tcp"), ("dst-port", "53"), ("dst-address-list", dns))),
        (FILTER, _allow(walled, ("protocol", "udp"), ("src-port", "53"), ("src-address-list", dns), *answered)),
        (FILTER, _allow(walled, ("protocol", "tcp"), ("src-port", "53"), ("src-address-list", dns), *answered)),
        (FILTER, _when(walled, ("chain", CHAIN), ("action", "jump"), ("jump-target", REFUSING))),
        (
            FILTER,
            _when(
                walled or denied,
                ("chain", REFUSING),
                ("protocol", "tcp"),
                ("action", "reject"),
                ("reject-with", "tcp-reset"),
            ),
        ),
        (
            FILTER,
            _when(
                walled or denied, ("chain", REFUSING), ("action", "reject"), ("reject-with", "icmp-admin-prohibited")
            ),
        ),
        (NAT, _when(walled and garden.pay_address, ("chain", "dstnat"), *web, ("action", "dst-nat"), *page)),
    ]


def _when(needed: str, *fields: tuple[str, str]) -> Fields:
    return fields if needed else ()


def _jump(chain: str, target: str, side: str, address_list: str) -> Fields:
    return _when(address_list, ("chain", chain), (side, address_list), ("action", "jump"), ("jump-target", target))


def _allow(needed: str, *matchers: tuple[str, str]) -> Fields:
    return _when(needed, ("chain", CHAIN), *matchers, ("action", "return"))


def _rule(number: int, menu: str, fields: Fields) -> Wanted:
    return Wanted(menu, (), (*fields, ("disabled", "no")), f"{KEY}-{number}")


def _entries(name: str, tag: str, addresses: Sequence[str]) -> list[Wanted]:
    entries = [
        Wanted(ADDRESS_LIST, (("list", name), ("address", address)), (("disabled", "no"),), tag)
        for address in addresses
        if address
    ]
    return entries or [Wanted(ADDRESS_LIST, (), (), tag, present=False)]


def _out_of_order(menu: str, items: Sequence[Item]) -> list[str]:
    said = []
    last: dict[str, Item] = {}
    for item in items:
        number, chain = _number(item), _chain(item)
        if not number:
            continue
        if chain in last and _number(last[chain]) > number:
            said.append(
                f"Our rules {last[chain].tag} and {item.tag} in {menu} stand the wrong way round; the first that "
                "matches decides."
            )
        else:
            last[chain] = item
    return said


def _passes(rule: Item, rules: Sequence[Item], seen: frozenset[str]) -> bool:
    """Whether a rule lets those pass whom we restrict: by fasttrack, as a connection, or whoever they are."""
    fields = rule.fields
    action = fields.get("action", "accept")
    if action == "fasttrack-connection":
        return True
    if action == "accept":
        state = fields.get("connection-state", "")
        open_ones = "established" in state.removeprefix("!").split(",") and not state.startswith("!")
        return open_ones or not any(fields.get(name) for name in (*_WHO_FIELDS, "protocol", "connection-state"))
    target = fields.get("jump-target", "")
    if action != "jump" or target in seen:
        return False
    inside = [one for one in rules if _chain(one) == target and not _number(one)]
    return any(_passes(one, rules, seen | {target}) for one in inside)


def _number(item: Item) -> int:
    match = _RULE_TAG.fullmatch(item.tag)
    return int(match[1]) if match else 0


def _chain(item: Item) -> str:
    return item.fields.get("chain", "")


def _words(rule: Item) -> str:
    comment = rule.fields.get("comment", "")
    action = rule.fields.get("action", "accept")
    return f"{short(action)}, {short(comment)!r}" if comment else short(action)


def _address_list(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value.encode("utf-8", "surrogatepass")) > TEXT_MAXIMUM_BYTES:
        raise PolicyError(f"{short(repr(value))} should be the name of an address list, of at most 253 bytes")
    # RouterOS reads `!` before a list as "not in it".
    if value.startswith("!") or "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise PolicyError(f"{short(repr(value))} cannot be the name of an address list")
    return value


def _pay_address(value: Any) -> str:
    if value == "":
        return ""
    found = _host(value)
    if "/" in found or "-" in found or _NAME.fullmatch(found):
        raise PolicyError(f"{short(repr(value))} should be one IPv4 address, to which HTTP is led")
    return found


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise PolicyError(f"{short(repr(value))} should be a port, 1 to 65535")
    return value


def _several(value: Any, most: int, what: str) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) > most:
        raise PolicyError(f"{short(repr(value))} should be a list of at most {most} {what}")
    return list(value)


def _hosts(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_host(one) for one in _several(value, HOSTS_MAXIMUM, "addresses and names")))


def _dns_servers(value: Any) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_host(one) for one in _several(value, DNS_MAXIMUM, "addresses")))
    if any(_NAME.fullmatch(one) for one in found):
        raise PolicyError(f"{short(repr(value))} should hold IPv4 addresses: a name would have to be asked for first")
    return found


def _host(value: Any) -> str:
    """An IPv4 address, network or range, or a DNS name, as an address list takes it (since RouterOS 6.36)."""
    text = value if isinstance(value, str) else ""
    try:
        first, dash, last = text.partition("-")
        if dash:
            return _range(ipaddress.IPv4Address(first), ipaddress.IPv4Address(last))
        network = ipaddress.IPv4Network(text, strict=False)
    except ipaddress.AddressValueError:
        if _NAME.fullmatch(text.lower()):
            return text.lower()
    except ipaddress.NetmaskValueError:  # of what has a slash
        pass
    else:
        if network.prefixlen == 0:
            raise PolicyError(f"{short(text)!r} would allow everything")
        return str(network.network_address) if network.prefixlen == 32 else str(network)
    raise PolicyError(
        f"{short(repr(value))} is neither an IPv4 address, network or range nor a name such as pay.example.net"
    )


def _range(first: ipaddress.IPv4Address, last: ipaddress.IPv4Address) -> str:
    if last < first:
        raise PolicyError(f"the range {first}-{last} ends before it begins")
    return f"{first}-{last}"


_READERS = {
    "address_list": _address_list,
    "pay_address": _pay_address,
    "pay_port": _port,
    "hosts": _hosts,
    "dns_servers": _dns_servers,
}
