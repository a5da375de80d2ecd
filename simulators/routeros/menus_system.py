"""Menus of the router itself: users, services, clock, certificates."""

from __future__ import annotations

from simulators.routeros.fields import choice, flag, networks, number, or_empty, text
from simulators.routeros.menus import COMMENT, COMMON, DISABLED, NO_ADDRESS, Menu, Unique, field_of, shown
from simulators.routeros.traps import no_match

POLICIES = (
    "local",
    "telnet",
    "ssh",
    "ftp",
    "reboot",
    "read",
    "write",
    "policy",
    "test",
    "winbox",
    "password",
    "web",
    "sniff",
    "sensitive",
    "api",
    "romon",
    "rest-api",
)
_READS = "local,telnet,ssh,reboot,read,test,winbox,password,web,sniff,api,romon"


def policies(argument: str, value: str) -> str:
    """Take the policies of a group; all are read back, those that are not given with an exclamation mark."""
    given = [part for part in value.split(",") if part and not part.startswith("!")]
    if any(part not in POLICIES for part in given):
        raise no_match(argument)
    return ",".join(name if name in given else f"!{name}" for name in POLICIES)


def _policies(value: str) -> str:
    return policies("policy", value)


SYSTEM = (
    Menu(path="/system/identity", single=True, fields=(field_of("name"),)),
    Menu(
        path="/system/resource",
        single=True,
        editable=False,
        fields=shown(
            "uptime",
            "version",
            "build-time",
            "free-memory",
            "total-memory",
            "cpu",
            "cpu-count",
            "cpu-frequency",
            "cpu-load",
            "free-hdd-space",
            "total-hdd-space",
            "architecture-name",
            "board-name",
            "platform",
        ),
    ),
    Menu(
        path="/system/routerboard",
        single=True,
        editable=False,
        fields=shown("routerboard", "model", "serial-number", "current-firmware"),
    ),
    Menu(
        path="/system/clock",
        single=True,
        fields=(
            field_of("time"),
            field_of("date"),
            field_of("time-zone-autodetect", flag, "true"),
            field_of("time-zone-name", default="UTC"),
            *shown("gmt-offset", "dst-active"),
        ),
    ),
    Menu(
        path="/system/ntp/client",
        single=True,
        fields=(
            field_of("enabled", flag, "false"),
            field_of("primary-ntp", default=NO_ADDRESS, until=(7,)),
            field_of("secondary-ntp", default=NO_ADDRESS, until=(7,)),
            field_of("server-dns-names", default="", until=(7,)),
            field_of("mode", text, "unicast", since=(7,)),
            field_of("servers", default="", since=(7,)),
            field_of("vrf", default="main", since=(7,)),
            *shown("status", "synced-server", "system-offset"),
        ),
    ),
    Menu(
        path="/ip/dns",
        single=True,
        fields=(
            field_of("servers", default=""),
            *shown("dynamic-servers"),
            field_of("allow-remote-requests", flag, "false"),
            field_of("cache-size", default="2048"),
            field_of("use-doh-server", default=""),
        ),
    ),
    Menu(
        path="/ip/service",
        fields=(
            *shown("name"),
            field_of("proto", default="tcp", read_only=True, since=(7,)),
            field_of("dynamic", flag, "false", read_only=True, since=(7,)),
            *shown("connection", "local", "remote"),
            field_of("max-sessions", number(1, 1000), "20", since=(7,)),
            field_of("port", number(1, 65535)),
            field_of("address", or_empty(networks), ""),
            field_of("certificate", refers="/certificate", refers_also=("none", "*0")),
            field_of("tls-version", choice("any", "only-1.2"), None),
            field_of("vrf", since=(7,)),
            *shown("invalid"),
            DISABLED,
        ),
        addable=False,
        removable=False,
        write_policy="write",
        at_start=(
            {"name": "telnet", "port": "23"},
            {"name": "ftp", "port": "21"},
            {"name": "www", "port": "80"},
            {"name": "ssh", "port": "22"},
            {"name": "www-ssl", "port": "443", "certificate": "none", "disabled": "true"},
            {"name": "api", "port": "8728"},
            {"name": "winbox", "port": "8291"},
            {"name": "api-ssl", "port": "8729", "certificate": "none"},
        ),
    ),
    Menu(
        path="/user/group",
        fields=(
            field_of("name", required=True),
            field_of("policy", policies, _policies("")),
            field_of("skin", default="default"),
            COMMENT,
        ),
        unique=(Unique(("name",), "failure: group with the same name already exists"),),
        write_policy="policy",
        at_start=(
            {"name": "read", "policy": _policies(_READS)},
            {"name": "write", "policy": _policies(_READS + ",write")},
            {"name": "full", "policy": ",".join(POLICIES)},
        ),
        builtin=frozenset({"read", "write", "full"}),
    ),
    Menu(
        path="/user",
        fields=(
            field_of("name", required=True),
            field_of("group", required=True, refers="/user/group"),
            field_of("address", or_empty(networks), ""),
            field_of("password", hidden=True),
            *shown("last-logged-in", "expired"),
            *COMMON,
        ),
        unique=(Unique(("name",), "failure: user with the same name already exists"),),
        write_policy="policy",
    ),
    Menu(
        path="/certificate",
        fields=(
            field_of("name", required=True),
            *shown("common-name", "subject-alt-name", "issuer", "serial-number", "fingerprint", "invalid-before"),
            *shown("invalid-after", "expires-after", "key-type", "private-key", "trusted", "expired", "issued"),
        ),
        unique=(Unique(("name",), "failure: already have certificate with such name"),),
        addable=False,
    ),
)
