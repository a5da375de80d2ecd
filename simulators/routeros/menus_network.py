"""Menus of the network: queues, address lists, firewall, connections, interfaces."""

from __future__ import annotations

from dataclasses import replace

from simulators.routeros.fields import (
    Field,
    addresses,
    choice,
    flag,
    list_address,
    negatable,
    number,
    or_empty,
    pair,
    ports,
    rate,
    target,
    text,
    time,
)
from simulators.routeros.menus import COMMENT, COMMON, DISABLED, DYNAMIC, INVALID, Menu, Unique, field_of, shown

_RATES = pair(rate)

QUEUES = (
    Menu(
        path="/queue/simple",
        fields=(
            field_of("name", required=True),
            field_of("target", target, required=True),
            field_of("dst"),
            field_of("parent", default="none", refers="/queue/simple", refers_also=("none",)),
            field_of("packet-marks", default=""),
            field_of("priority", pair(number(1, 8)), "8/8"),
            field_of("queue", default="default-small/default-small"),
            field_of("limit-at", _RATES, "0/0"),
            field_of("max-limit", _RATES, "0/0"),
            field_of("burst-limit", _RATES, "0/0"),
            field_of("burst-threshold", _RATES, "0/0"),
            field_of("burst-time", pair(time()), "0s/0s"),
            field_of("bucket-size", default="0.1/0.1"),
            field_of("time"),
            field_of("total-queue", since=(7, 15)),
            field_of("total-max-limit", rate, since=(7, 15)),
            *shown("bytes", "total-bytes", "packets", "total-packets", "dropped", "rate", "packet-rate"),
            *shown("queued-bytes", "queued-packets"),
            INVALID,
            DYNAMIC,
            *COMMON,
        ),
        unique=(Unique(("name",), "failure: already have such name"),),
        ordered=True,
        cannot_change_dynamic="failure: can not change dynamic queue",
        cannot_remove_dynamic="failure: can not remove dynamic queue",
    ),
    Menu(
        path="/queue/type",
        fields=(field_of("name", required=True), field_of("kind", required=True), field_of("default", read_only=True)),
        unique=(Unique(("name",), "failure: already have such name"),),
        at_start=(
            {"name": "default", "kind": "pfifo", "default": "true"},
            {"name": "default-small", "kind": "pfifo", "default": "true"},
            {"name": "pcq-upload-default", "kind": "pcq", "default": "true"},
            {"name": "pcq-download-default", "kind": "pcq", "default": "true"},
        ),
        builtin=frozenset({"default", "default-small", "pcq-upload-default", "pcq-download-default"}),
    ),
    Menu(
        path="/queue/tree",
        fields=(
            field_of("name", required=True),
            field_of("parent", required=True),
            field_of("packet-mark", default=""),
            field_of("limit-at", rate, "0"),
            field_of("queue", default="default-small"),
            field_of("priority", number(1, 8), "8"),
            field_of("max-limit", rate, "0"),
            field_of("burst-limit", rate, "0"),
            field_of("burst-threshold", rate, "0"),
            field_of("burst-time", time(), "0s"),
            field_of("bucket-size", default="0.1"),
            INVALID,
            *COMMON,
        ),
        unique=(Unique(("name",), "failure: already have such name"),),
    ),
)


def _rule_fields(*more: Field) -> tuple[Field, ...]:
    """Return what filter, nat and mangle have in common, and what the one has besides."""
    whom = negatable(addresses)
    return (
        field_of("chain", required=True),
        *more,
        field_of("src-address", or_empty(whom)),
        field_of("dst-address", or_empty(whom)),
        field_of("src-address-list"),
        field_of("dst-address-list"),
        field_of("src-address-type"),
        field_of("dst-address-type"),
        field_of("src-mac-address"),
        field_of("protocol"),
        field_of("src-port", or_empty(negatable(ports))),
        field_of("dst-port", or_empty(negatable(ports))),
        field_of("port", or_empty(negatable(ports))),
        field_of("in-interface"),
        field_of("out-interface"),
        field_of("in-interface-list"),
        field_of("out-interface-list"),
        field_of("connection-state"),
        field_of("connection-nat-state"),
        field_of("connection-mark"),
        field_of("packet-mark"),
        field_of("hotspot"),
        field_of("layer7-protocol"),
        field_of("content"),
        field_of("tls-host"),
        field_of("limit"),
        field_of("jump-target"),
        field_of("address-list"),
        field_of("address-list-timeout"),
        # Since 7 these are printed only where somebody has written them, whatever they say (measured by others on 7.23)
        field_of("log", flag, "false", until=(7,)),
        field_of("log-prefix", default="", until=(7,)),
        field_of("disabled", flag, "false", until=(7,)),
        field_of("log", flag, since=(7,)),
        field_of("log-prefix", since=(7,)),
        field_of("disabled", flag, since=(7,)),
        *shown("bytes", "packets"),
        INVALID,
        DYNAMIC,
        COMMENT,
    )


_VERDICTS = (
    "accept",
    "drop",
    "return",
    "jump",
    "log",
    "passthrough",
    "add-src-to-address-list",
    "add-dst-to-address-list",
)
_FILTER = choice(*_VERDICTS, "reject", "tarpit", "fasttrack-connection")
_NAT = choice(*_VERDICTS, "dst-nat", "src-nat", "masquerade", "redirect", "netmap", "same")
_MANGLE = choice(*_VERDICTS, "mark-connection", "mark-packet", "mark-routing", "change-mss", "set-priority")

_ADDRESS_LIST = Menu(
    path="/ip/firewall/address-list",
    fields=(
        field_of("list", required=True),
        field_of("address", list_address, required=True),
        *shown("creation-time"),
        field_of("timeout", time(), None),
        DYNAMIC,
        *COMMON,
    ),
    unique=(Unique(("address", "list"), "failure: already have such entry", among_enabled=True),),
    name_field="",
)
_LIST_FIELDS_6 = tuple(
    field_of("address", text, required=True) if one.name == "address" else one for one in _ADDRESS_LIST.fields
)
_CONNECTIONS = Menu(
    path="/ip/firewall/connection",
    fields=shown(
        "protocol",
        "src-address",
        "dst-address",
        "reply-src-address",
        "reply-dst-address",
        "icmp-type",
        "tcp-state",
        "timeout",
        "connection-mark",
        "connection-type",
        "orig-bytes",
        "repl-bytes",
        "orig-rate",
        "repl-rate",
        "orig-packets",
        "repl-packets",
        "seen-reply",
        "assured",
        "confirmed",
        "dying",
        "fasttrack",
        "srcnat",
        "dstnat",
        "expected",
        "hw-offload",
    ),
    addable=False,
    editable=False,
    name_field="",
)

FIREWALL = (
    _ADDRESS_LIST,
    replace(_ADDRESS_LIST, path="/ipv6/firewall/address-list", fields=_LIST_FIELDS_6),
    Menu(
        path="/ip/firewall/filter",
        fields=_rule_fields(
            field_of("action", _FILTER, "accept"),
            field_of("reject-with"),
            field_of("hw-offload", flag, None, since=(7,)),
        ),
        ordered=True,
        cannot_change_dynamic="failure: cannot change builtin",
        cannot_remove_dynamic="failure: cannot remove builtin",
        name_field="",
    ),
    Menu(
        path="/ip/firewall/nat",
        fields=_rule_fields(
            field_of("action", _NAT, "accept"),
            field_of("to-addresses", or_empty(addresses)),
            field_of("to-ports"),
        ),
        ordered=True,
        cannot_change_dynamic="failure: cannot change builtin",
        cannot_remove_dynamic="failure: cannot remove builtin",
        name_field="",
    ),
    Menu(
        path="/ip/firewall/mangle",
        fields=_rule_fields(
            field_of("action", _MANGLE, "accept"),
            field_of("new-connection-mark"),
            field_of("new-packet-mark"),
            field_of("new-routing-mark"),
            field_of("new-mss"),
            field_of("passthrough", flag, None),
        ),
        ordered=True,
        cannot_change_dynamic="failure: cannot change builtin",
        cannot_remove_dynamic="failure: cannot remove builtin",
        name_field="",
    ),
    _CONNECTIONS,
    replace(_CONNECTIONS, path="/ipv6/firewall/connection"),
)

INTERFACES = (
    Menu(
        path="/interface",
        fields=(
            field_of("name", required=True),
            *shown("default-name", "type"),
            field_of("mtu", text, "auto"),
            *shown("actual-mtu", "l2mtu", "mac-address", "running", "dynamic", "rx-byte", "tx-byte"),
            DISABLED,
            COMMENT,
        ),
        unique=(Unique(("name",), "failure: already have interface with such name"),),
        addable=False,
        removable=False,
    ),
    Menu(
        path="/ip/address",
        fields=(
            field_of("address", required=True),
            *shown("network"),
            field_of("interface", required=True, refers="/interface"),
            *shown("actual-interface"),
            INVALID,
            DYNAMIC,
            *COMMON,
        ),
        unique=(Unique(("address", "interface"), "failure: already have such address"),),
        name_field="address",
    ),
)

NETWORK = (*QUEUES, *FIREWALL, *INTERFACES)
