"""Menus of customers' access: PPP, DHCP, pools, RADIUS; the hotspot's are in menus_hotspot.

Names and defaults as the public schema of community.routeros and tik4net's entities list them; the texts of refusals
as public logs and forum posts show them, where they differ between releases the longer one.
"""

from __future__ import annotations

from simulators.routeros.fields import (
    address,
    choice,
    choices,
    flag,
    list_address,
    mac,
    number,
    or_empty,
    ranges,
    rate_limit,
    text,
    time,
)
from simulators.routeros.menus import COMMENT, COMMON, DISABLED, DYNAMIC, NO_ADDRESS, Menu, Unique, field_of, shown
from simulators.routeros.menus_hotspot import HOTSPOT

_YES_NO_DEFAULT = choice("yes", "no", "default")
_QUEUE_PLACE = field_of("insert-queue-before")

PPP = (
    Menu(
        path="/ppp/secret",
        fields=(
            field_of("name", required=True),
            field_of("service", choice("any", "async", "l2tp", "ovpn", "pppoe", "pptp", "sstp"), "any"),
            field_of("caller-id", default=""),
            field_of("password", default="", secret=True),
            field_of("profile", default="default", refers="/ppp/profile"),
            field_of("local-address", or_empty(address), refers="/ip/pool"),
            field_of("remote-address", or_empty(address), refers="/ip/pool"),
            field_of("remote-ipv6-prefix"),
            field_of("routes", default=""),
            field_of("ipv6-routes", default=""),
            field_of("limit-bytes-in", number(), "0"),
            field_of("limit-bytes-out", number(), "0"),
            *shown("last-logged-out", "last-caller-id", "last-disconnect-reason"),
            *COMMON,
        ),
        unique=(Unique(("name",), "failure: secret with the same name already exists"),),
    ),
    Menu(
        path="/ppp/profile",
        fields=(
            field_of("name", required=True),
            field_of("local-address", or_empty(address), refers="/ip/pool"),
            field_of("remote-address", or_empty(address), refers="/ip/pool"),
            field_of("bridge-learning", _YES_NO_DEFAULT, "default"),
            field_of("session-timeout", time("none"), None),
            field_of("idle-timeout", time("none"), None),
            field_of("use-mpls", _YES_NO_DEFAULT, "default"),
            field_of("use-compression", _YES_NO_DEFAULT, "default"),
            field_of("use-encryption", choice("yes", "no", "default", "required"), "default"),
            field_of("use-ipv6", choice("yes", "no", "default", "required"), "yes", since=(7,)),
            field_of("use-upnp", _YES_NO_DEFAULT, "default"),
            field_of("only-one", _YES_NO_DEFAULT, "default"),
            field_of("change-tcp-mss", _YES_NO_DEFAULT, "default"),
            field_of("rate-limit", rate_limit),
            field_of("address-list", default=""),
            field_of("incoming-filter"),
            field_of("outgoing-filter"),
            field_of("dns-server"),
            field_of("wins-server"),
            field_of("parent-queue", choice("none"), None, refers="/queue/simple", refers_also=("none",)),
            field_of("queue-type"),
            _QUEUE_PLACE,
            field_of("interface-list"),
            field_of("bridge"),
            field_of("dhcpv6-pd-pool"),
            field_of("remote-ipv6-prefix-pool"),
            field_of("on-up", default=""),
            field_of("on-down", default=""),
            field_of("default", flag, "false", read_only=True),
            COMMENT,
        ),
        unique=(Unique(("name",), "failure: profile with the same name already exists"),),
        at_start=(
            {"name": "default", "default": "true"},
            {"name": "default-encryption", "use-encryption": "yes", "default": "true"},
        ),
        builtin=frozenset({"default", "default-encryption"}),
    ),
    Menu(
        path="/interface/pppoe-server/server",
        fields=(
            field_of("service-name", required=True),
            field_of("interface", required=True, refers="/interface"),
            field_of("max-mtu", default="auto"),
            field_of("max-mru", default="auto"),
            field_of("authentication", choices("pap", "chap", "mschap1", "mschap2"), "pap,chap,mschap1,mschap2"),
            field_of("keepalive-timeout", default="10"),
            field_of("one-session-per-host", flag, "false"),
            field_of("max-sessions", default="unlimited"),
            field_of("default-profile", default="default", refers="/ppp/profile"),
            *shown("invalid"),
            field_of("disabled", flag, "true"),
            COMMENT,
        ),
        name_field="service-name",
    ),
    Menu(
        path="/ppp/active",
        fields=(
            *shown("name", "service", "caller-id", "address", "uptime", "encoding", "session-id"),
            *shown("limit-bytes-in", "limit-bytes-out", "radius", "bytes", "packets"),
            COMMENT,
        ),
        addable=False,
        editable=False,
    ),
    Menu(
        path="/ppp/aaa",
        single=True,
        fields=(
            field_of("use-radius", flag, "false"),
            field_of("accounting", flag, "true"),
            field_of("interim-update", time(), "0s"),
            field_of("use-circuit-id-in-nas-port-id", flag, "false"),
            field_of("enable-ipv6-accounting", flag, "false", since=(7, 15)),
        ),
    ),
)

DHCP = (
    Menu(
        path="/ip/dhcp-server",
        fields=(
            field_of("name", required=True),
            field_of("interface", required=True, refers="/interface"),
            field_of("address-pool", default="static-only", refers="/ip/pool", refers_also=("static-only",)),
            field_of("lease-time", time(), "30m"),
            field_of("use-radius", choice("yes", "no", "accounting"), "no"),
            field_of("authoritative", text, "yes"),
            field_of("add-arp", flag, None),
            field_of("insert-queue-before"),
            field_of("parent-queue"),
            *shown("invalid", "dynamic"),
            DISABLED,
            COMMENT,
        ),
        unique=(Unique(("name",), "failure: server with such name already exists"),),
    ),
    Menu(
        path="/ip/dhcp-server/lease",
        fields=(
            field_of("address", or_empty(list_address)),
            field_of("mac-address", or_empty(mac)),
            field_of("client-id"),
            field_of("address-lists", default=""),
            field_of("server", refers="/ip/dhcp-server", means_unset=("all",)),
            field_of("dhcp-option", default=""),
            field_of("dhcp-option-set"),
            field_of("rate-limit", rate_limit),
            field_of("block-access", flag, None),
            field_of("always-broadcast", flag, None),
            field_of("use-src-mac", flag, None),
            field_of("lease-time", time(), None),
            field_of("parent-queue"),
            field_of("queue-type"),
            field_of("routes"),
            _QUEUE_PLACE,
            field_of("status", default="waiting", read_only=True),
            field_of("last-seen", default="never", read_only=True),
            field_of("blocked", flag, "false", read_only=True),
            field_of("radius", flag, "false", read_only=True),
            *shown("expires-after", "active-address", "active-mac-address", "active-client-id"),
            *shown("active-server", "host-name"),
            DYNAMIC,
            *COMMON,
        ),
        unique=(
            Unique(("address",), "failure: already have static lease with this IP address"),
            Unique(("mac-address", "server"), "failure: already have static lease for this client", among_enabled=True),
        ),
        cannot_change_dynamic="failure: can not change dynamic lease",
        name_field="address",
    ),
    Menu(
        path="/ip/dhcp-server/config",
        single=True,
        fields=(
            field_of("store-leases-disk", time("never", "immediately"), "5m"),
            field_of("accounting", flag, "true"),
            field_of("interim-update", time(), "0s"),
            field_of("radius-password", text, "empty", secret=True),
        ),
    ),
    Menu(
        path="/ip/dhcp-server/network",
        fields=(
            field_of("address", list_address, required=True),
            field_of("gateway", default=""),
            field_of("netmask"),
            field_of("dns-server", default=""),
            field_of("domain"),
            COMMENT,
        ),
        unique=(Unique(("address",), "failure: such network already exists"),),
        name_field="address",
    ),
    Menu(
        path="/ip/pool",
        fields=(
            field_of("name", required=True),
            field_of("ranges", ranges, required=True),
            field_of("next-pool", refers="/ip/pool", refers_also=("none",)),
            COMMENT,
        ),
        unique=(Unique(("name",), "failure: pool with such name exists"),),
    ),
)

RADIUS = (
    Menu(
        path="/radius",
        fields=(
            field_of("service", choices("ppp", "login", "hotspot", "wireless", "dhcp", "ipsec", "dot1x"), ""),
            field_of("called-id", default=""),
            field_of("domain", default=""),
            field_of("address", text, NO_ADDRESS),
            field_of("secret", default="", secret=True),
            field_of("authentication-port", number(0, 65535), "1812"),
            field_of("accounting-port", number(0, 65535), "1813"),
            field_of("timeout", text, "300ms"),
            field_of("accounting-backup", flag, "false"),
            field_of("realm", default=""),
            field_of("src-address", or_empty(text), None),
            field_of("protocol", choice("udp", "radsec"), "udp"),
            field_of("certificate", default="none", refers="/certificate", refers_also=("none",)),
            field_of(
                "require-message-auth", choice("no", "yes-for-request-resp"), "yes-for-request-resp", since=(7, 15)
            ),
            *COMMON,
        ),
        ordered=True,
        name_field="address",
    ),
    Menu(
        path="/radius/incoming",
        single=True,
        fields=(
            field_of("accept", flag, "false"),
            field_of("port", number(1, 65535), "3799"),
            field_of("vrf", default="main", since=(7, 4)),
        ),
    ),
)

ACCESS = (*PPP, *HOTSPOT, *DHCP, *RADIUS)
