"""The menus of RouterOS that we touch: what finds an item, what each field is, and what it means when it is absent.

From the RouterOS documentation and the schema of community.routeros (`mikrotik-facts.md`, 4.3). A field that is not
listed is text and never written by us.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

from policy.routeros.objects import Fields, Item
from policy.routeros.values import HIDDEN, Kind, Version, canonical
from policy.routeros.values import same as same_value

PPP_PROFILE = "/ppp/profile"
PPP_SECRET = "/ppp/secret"  # noqa: S105 # a menu's name
PPP_ACTIVE = "/ppp/active"
QUEUE = "/queue/simple"
ADDRESS_LIST = "/ip/firewall/address-list"
ADDRESS_LIST_V6 = "/ipv6/firewall/address-list"
FILTER = "/ip/firewall/filter"
NAT = "/ip/firewall/nat"
CONNECTION = "/ip/firewall/connection"
CONNECTION_V6 = "/ipv6/firewall/connection"
LEASE = "/ip/dhcp-server/lease"
HOTSPOT_USER = "/ip/hotspot/user"
HOTSPOT_PROFILE = "/ip/hotspot/user/profile"
HOTSPOT_ACTIVE = "/ip/hotspot/active"
HOTSPOT_COOKIE = "/ip/hotspot/cookie"
HOTSPOT_BINDING = "/ip/hotspot/ip-binding"
WALLED_GARDEN = "/ip/hotspot/walled-garden"
WALLED_GARDEN_IP = "/ip/hotspot/walled-garden/ip"

# Where comments are no place for a mark, because many services share the item, its name says that it is ours.
OWN_NAME = "ispagents-"
# What a hotspot user has who may come with any device and gets an address from the pool (Hotspot user page).
ANY_DEVICE = "00:00:00:00:00:00"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 # nothing is bound to it

_TEXT = Kind.TEXT


class Field(NamedTuple):
    """What a field holds. `default` is what its absence means; `since` the first release that has it.

    `unset`: the router takes no empty value, the field is taken away by `!name` instead. `written` False: read only.
    """

    kind: Kind = _TEXT
    default: str = ""
    unset: bool = False
    written: bool = True
    since: tuple[int, int] = (6, 0)


class Menu(NamedTuple):
    """A menu. `key` finds an item, `rank` orders work across menus: what others refer to comes first.

    `comments`: items can carry our tag; else they are ours by name, and shared. `ordered`: the order of items means
    something; `sequence`: also among our own. `rows` are live: the router makes them, one can only end them.
    `renamed`: an item whose key changes is the same item, changed in place. `noun` is what people call an item. An item
    of others with the same `rivals` stands in our way, whatever its key.
    """

    path: str
    key: tuple[str, ...]
    fields: Mapping[str, Field]
    rank: int
    comments: bool = True
    ordered: bool = False
    sequence: bool = False
    live: bool = False
    renamed: bool = True
    noun: str = ""
    rivals: tuple[str, ...] = ()
    # What refers to an item of this menu by its name: menu and field.
    used_by: tuple[tuple[str, str], ...] = ()


_DISABLED = Field(Kind.BOOLEAN, "false")
_READ = Field(written=False)
_COMMON = {"disabled": _DISABLED, "comment": Field(), "dynamic": Field(Kind.BOOLEAN, "false", written=False)}


def _named(*names: str, field: Field) -> dict[str, Field]:
    return dict.fromkeys(names, field)


_OPTIONAL = Field(unset=True)
_OPTIONAL_HOST = Field(Kind.HOST, unset=True)
_UNLIMITED = Field(Kind.INTEGER, "0")

_PPP_PROFILE = {
    "name": Field(),
    "rate-limit": Field(Kind.RATE_LIMIT),
    "address-list": Field(),
    "dns-server": Field(Kind.LIST),
    "session-timeout": Field(Kind.DURATION, "0s"),
    "idle-timeout": Field(Kind.DURATION, "0s"),
    "dhcpv6-pd-pool": _OPTIONAL,
    "remote-ipv6-prefix-pool": _OPTIONAL,
    "on-up": Field(),
    "on-down": Field(),
    "comment": Field(),
    **_named("local-address", "remote-address", field=_OPTIONAL_HOST),
    **_named("parent-queue", "queue-type", "insert-queue-before", field=_OPTIONAL),
    **_named("incoming-filter", "outgoing-filter", field=_OPTIONAL),
    **_named(
        "only-one", "use-ipv6", "use-compression", "use-encryption", "change-tcp-mss", field=Field(default="default")
    ),
}
_PPP_SECRET = {
    **_COMMON,
    "name": Field(),
    "password": Field(Kind.SECRET, HIDDEN),
    "service": Field(default="any"),
    "profile": Field(default="default"),
    "caller-id": Field(Kind.MAC),
    "local-address": _OPTIONAL_HOST,
    "remote-address": _OPTIONAL_HOST,
    "remote-ipv6-prefix": Field(Kind.ADDRESS, unset=True),
    "routes": Field(Kind.LIST),
    "ipv6-routes": Field(Kind.LIST, since=(7, 0)),
    **_named("limit-bytes-in", "limit-bytes-out", field=_UNLIMITED),
}
_QUEUE = {
    **_COMMON,
    "name": Field(),
    "target": Field(Kind.ADDRESSES),
    "dst": Field(Kind.ADDRESS, unset=True),
    "parent": Field(default="none"),
    "queue": Field(Kind.TEXTS, "default-small/default-small"),
    "priority": Field(Kind.INTEGERS, "8/8"),
    "packet-marks": Field(Kind.LIST),
    "time": _OPTIONAL,
    "burst-time": Field(Kind.DURATIONS, "0s/0s"),
    **_named("max-limit", "limit-at", "burst-limit", "burst-threshold", field=Field(Kind.RATES, "0/0")),
}
_ADDRESS_LIST = {
    **_COMMON,
    "list": Field(),
    "address": Field(Kind.ADDRESS),
    "timeout": Field(Kind.COUNTDOWN, "0s"),
}
_LEASE = {
    **_COMMON,
    "address": _OPTIONAL_HOST,
    "mac-address": Field(Kind.MAC),
    "client-id": Field(),
    "server": Field(default="all"),
    "address-lists": Field(Kind.LIST),
    "rate-limit": Field(Kind.RATE_LIMIT),
    "block-access": Field(Kind.BOOLEAN, "false"),
    "lease-time": Field(Kind.DURATION, "0s"),
    "always-broadcast": Field(Kind.BOOLEAN, "false"),
    "dhcp-option": Field(Kind.LIST),
    "routes": Field(Kind.LIST, since=(7, 0)),
    **_named("dhcp-option-set", "parent-queue", "queue-type", "insert-queue-before", field=_OPTIONAL),
    **_named("active-address", "active-mac-address", "status", "host-name", field=_READ),
}
_HOTSPOT_USER = {
    **_COMMON,
    "name": Field(),
    "password": Field(Kind.SECRET, HIDDEN),
    "profile": Field(default="default"),
    "server": Field(default="all"),
    "mac-address": Field(Kind.MAC, ANY_DEVICE),
    "address": Field(Kind.HOST, ANY_ADDRESS),
    "routes": Field(Kind.LIST),
    "email": Field(),
    "limit-uptime": Field(Kind.DURATION, "0s"),
    **_named("limit-bytes-in", "limit-bytes-out", "limit-bytes-total", field=_UNLIMITED),
    "default": Field(Kind.BOOLEAN, "false", written=False),
}
_HOTSPOT_PROFILE = {
    "name": Field(),
    "rate-limit": Field(Kind.RATE_LIMIT),
    "address-list": Field(),
    "address-pool": Field(default="none"),
    "session-timeout": Field(Kind.DURATION, "0s"),
    "idle-timeout": Field(Kind.DURATION, "none"),
    "keepalive-timeout": Field(Kind.DURATION, "2m"),
    "shared-users": Field(Kind.INTEGER, "1"),
    "add-mac-cookie": Field(Kind.BOOLEAN, "true"),
    "mac-cookie-timeout": Field(Kind.DURATION, "3d"),
    "default": Field(Kind.BOOLEAN, "false", written=False),
    **_named("parent-queue", "queue-type", "insert-queue-before", field=_OPTIONAL),
    **_named("incoming-filter", "outgoing-filter", field=_OPTIONAL),
}
_HOTSPOT_BINDING = {
    **_COMMON,
    "mac-address": Field(Kind.MAC, unset=True),
    "address": _OPTIONAL_HOST,
    "to-address": _OPTIONAL_HOST,
    "server": Field(default="all"),
    "type": Field(default="regular"),
}
_RULE = {
    **_COMMON,
    "chain": Field(),
    "action": Field(default="accept"),
    "protocol": _OPTIONAL,
    "log": Field(Kind.BOOLEAN, "false"),
    **_named("src-address", "dst-address", field=Field(Kind.ADDRESS, unset=True)),
    **_named("src-address-list", "dst-address-list", "src-port", "dst-port", field=_OPTIONAL),
    **_named("in-interface", "out-interface", "in-interface-list", "out-interface-list", field=_OPTIONAL),
    **_named("hotspot", "content", "tls-host", "jump-target", "log-prefix", "reject-with", field=_OPTIONAL),
    "connection-state": Field(Kind.LIST, unset=True),
    "connection-nat-state": Field(Kind.LIST, unset=True),
    "to-addresses": Field(Kind.ADDRESS, unset=True),
    "to-ports": _OPTIONAL,
    "address-list": _OPTIONAL,
    "address-list-timeout": Field(Kind.DURATION, unset=True),
}
_GARDEN = {
    **_COMMON,
    "action": Field(default="allow"),
    "server": _OPTIONAL,
    **_named("src-address", "dst-address", field=Field(Kind.ADDRESS, unset=True)),
    **_named("dst-host", "dst-port", "path", "method", field=_OPTIONAL),
}
_GARDEN_IP = {**_GARDEN, "action": Field(default="accept"), "protocol": _OPTIONAL}
_CONNECTION = _named(
    "src-address", "dst-address", "reply-src-address", "reply-dst-address", "protocol", "timeout", field=_READ
)


def _live(path: str, key: tuple[str, ...], *columns: str) -> Menu:
    """A menu of what is running: sessions, cookies, connections."""
    return Menu(path, key, _named(*key, *columns, field=_READ), 9, comments=False, live=True)


MENUS: dict[str, Menu] = {
    menu.path: menu
    for menu in (
        Menu(
            PPP_PROFILE,
            ("name",),
            _PPP_PROFILE,
            0,
            comments=False,
            noun="PPP profile",
            used_by=((PPP_SECRET, "profile"),),
        ),
        Menu(
            HOTSPOT_PROFILE,
            ("name",),
            _HOTSPOT_PROFILE,
            0,
            comments=False,
            noun="hotspot profile",
            used_by=((HOTSPOT_USER, "profile"),),
        ),
        Menu(PPP_SECRET, ("name",), _PPP_SECRET, 1, noun="PPP secret"),
        Menu(HOTSPOT_USER, ("name",), _HOTSPOT_USER, 1, noun="hotspot user"),
        Menu(LEASE, ("mac-address", "server"), _LEASE, 1, noun="DHCP lease", rivals=("address",)),
        Menu(HOTSPOT_BINDING, ("mac-address",), _HOTSPOT_BINDING, 2, noun="hotspot binding"),
        Menu(QUEUE, ("name",), _QUEUE, 3, ordered=True, noun="queue", rivals=("target",)),
        Menu(ADDRESS_LIST, ("list", "address"), _ADDRESS_LIST, 4, renamed=False, noun="list entry"),
        Menu(ADDRESS_LIST_V6, ("list", "address"), _ADDRESS_LIST, 4, renamed=False, noun="list entry"),
        Menu(WALLED_GARDEN, (), _GARDEN, 5, ordered=True, sequence=True, noun="walled-garden host"),
        Menu(WALLED_GARDEN_IP, (), _GARDEN_IP, 5, ordered=True, sequence=True, noun="walled-garden address"),
        Menu(NAT, (), _RULE, 5, ordered=True, sequence=True, noun="NAT rule"),
        Menu(FILTER, (), _RULE, 5, ordered=True, sequence=True, noun="filter rule"),
        _live(PPP_ACTIVE, ("name",), "address", "caller-id", "service", "uptime", "session-id"),
        _live(HOTSPOT_ACTIVE, ("user",), "address", "mac-address", "server", "uptime", "login-by"),
        _live(HOTSPOT_COOKIE, ("user",), "mac-address", "expires-in"),
        Menu(CONNECTION, ("src-address", "dst-address"), _CONNECTION, 9, comments=False, live=True),
        Menu(CONNECTION_V6, ("src-address", "dst-address"), _CONNECTION, 9, comments=False, live=True),
    )
}
_UNKNOWN = Field(written=False)


def menu_of(path: str) -> Menu:
    """The menu, or one of plain text without a key where we do not know it."""
    return MENUS.get(path) or Menu(path, (), {}, 8)


def field_of(path: str, name: str) -> Field:
    """What a field is; one that we do not know is text."""
    return menu_of(path).fields.get(name, _UNKNOWN)


def same(path: str, name: str, one: str, other: str) -> bool:
    """Whether two texts mean the same in this field of this menu."""
    return same_value(field_of(path, name).kind, one, other)


def value(path: str, fields: Mapping[str, str], name: str) -> str:
    """What an item has in a field; where the router prints none, what that means."""
    found = fields.get(name)
    return field_of(path, name).default if found is None else found


def canonical_key(path: str, key: Fields) -> tuple[Hashable, ...]:
    """A key as values, so that two spellings of one address are one key."""
    return tuple((name, canonical(field_of(path, name).kind, text)) for name, text in key)


def agrees(item: Item, fields: Fields) -> bool:
    """Whether an item has all these fields."""
    return all(same(item.menu, name, value(item.menu, item.fields, name), text) for name, text in fields)


def columns(path: str, release: Version) -> tuple[str, ...]:
    """The fields to ask a router of this release for, `.id` first. Others are left out: some are slow to read."""
    menu = menu_of(path)
    known = (name for name, field in menu.fields.items() if field.since <= (release.major, release.minor))
    return (".id", *known)


def as_sent(path: str, fields: Fields) -> Fields:
    """The fields as the API takes them: one that has no empty value is taken away as `!name`."""
    return tuple((f"!{name}", "") if not text and field_of(path, name).unset else (name, text) for name, text in fields)


def ours(item: Item) -> bool:
    """Whether an item is marked as ours: by tag, or by name where many services share it."""
    if menu_of(item.menu).comments:
        return bool(item.tag)
    return item.fields.get("name", "").startswith(OWN_NAME)


def touchable(item: Item) -> bool:
    """Whether an item is kept configuration. What the router made itself for a session goes with it.

    An entry of an address list with a timeout is dynamic as well; with our tag it is ours all the same.
    """
    if not item.dynamic:
        return True
    return item.menu in (ADDRESS_LIST, ADDRESS_LIST_V6) and bool(item.tag) and bool(item.fields.get("timeout"))
