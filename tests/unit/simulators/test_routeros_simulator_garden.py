"""The walled garden of `policy.routeros` does on a simulated router what it is for, before an ISP's own fasttrack."""

from __future__ import annotations

import pytest

from policy.routeros.garden import Garden, garden_items
from policy.routeros.objects import tagged
from simulators.clock import HandClock
from simulators.routeros import RouterOsSettings
from simulators.routeros.device import Device
from simulators.routeros.store import Row

FILTER, LISTS, CONNECTIONS = "/ip/firewall/filter", "/ip/firewall/address-list", "/ip/firewall/connection"
GARDEN = Garden(
    address_list="overdue",
    denied_list="denied",
    pay_address="192.0.2.80",
    pay_port=8080,
    hosts=("198.51.100.7", "pay.example"),
    dns_servers=("192.0.2.53",),
)


def add(device: Device, menu: str, fields: dict[str, str], before: Row | None = None) -> Row:
    values, _ = device.store.read(device[menu], fields)
    return device.add(device[menu], values, before)


@pytest.fixture(params=["6.49.10", "7.16.1"])
def device(request: pytest.FixtureRequest) -> Device:
    """A router whose ISP lets open connections pass and fasttracks them, with our rules above."""
    device = Device(RouterOsSettings(version=request.param), HandClock())
    device.resolve("pay.example", "198.51.100.9")
    theirs = [
        add(device, FILTER, {"chain": "forward", "action": action, "connection-state": "established,related"})
        for action in ("fasttrack-connection", "accept")
    ]
    for wanted in garden_items(GARDEN):
        if wanted.present:
            fields = {**dict(wanted.key), **dict(wanted.fields), "comment": tagged(wanted.tag)}
            add(device, wanted.menu, fields, theirs[0] if wanted.menu == FILTER else None)
    return device


def test_a_restriction_needs_its_connections_cut(device: Device) -> None:
    """A fasttracked download outlives the list; with its connection removed it ends. Nobody else notices."""
    download = device.firewall.open("10.0.0.5", "203.0.113.1")
    assert device.firewall.goes_on(download)
    add(device, LISTS, {"list": "overdue", "address": "10.0.0.5"})
    assert device.firewall.goes_on(download)
    for row in device[CONNECTIONS]:
        device.remove(device[CONNECTIONS], row)
    assert not device.firewall.goes_on(download)
    assert device.firewall.open("10.0.0.6", "203.0.113.1").passed


def test_what_a_restricted_customer_reaches(device: Device) -> None:
    """The page to pay on, the hosts that are allowed, by name too, and the named DNS server; nothing else."""
    add(device, LISTS, {"list": "overdue", "address": "10.0.0.5"})

    def reaches(destination: str, port: int = 443, protocol: str = "tcp") -> bool:
        passage = device.firewall.open("10.0.0.5", destination, port=port, protocol=protocol)
        return passage.passed and device.firewall.goes_on(passage)

    assert device.firewall.open("10.0.0.5", "203.0.113.1", port=80).to == "192.0.2.80:8080"
    assert all((reaches("203.0.113.1", 80), reaches("198.51.100.7"), reaches("198.51.100.9"), reaches("192.0.2.80")))
    assert (reaches("192.0.2.53", 53, "udp"), reaches("192.0.2.54", 53, "udp"), reaches("203.0.113.1")) == (
        True, False, False,
    )  # fmt: skip


def test_who_is_denied_reaches_nothing(device: Device) -> None:
    """The denied list has no garden."""
    add(device, LISTS, {"list": "denied", "address": "10.0.0.5"})
    assert not device.firewall.open("10.0.0.5", "198.51.100.7").passed
