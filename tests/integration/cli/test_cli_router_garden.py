"""`ispagents router garden` on a simulated router: previewed, written before fasttrack, read back, taken away again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.routeros import ApiUser, RouterOs, RouterOsSettings

FILTER = "/ip/firewall/filter"
STYLE = '{"garden": {"address_list": "overdue", "dns_servers": ["9.9.9.9"]}}'


@pytest.fixture
def hill(isp: Any, tmp_path: Path) -> Iterator[RouterOs]:
    """A simulated router `hill` in use, whose API the installation knows."""
    style = tmp_path / "style.json"
    style.write_text(STYLE)
    with RouterOs(RouterOsSettings(users=(ApiUser(name="api", password="made-up"),))) as device:
        device.add(FILTER, chain="forward", action="fasttrack-connection")
        device.add(FILTER, chain="forward", action="accept", comment="theirs")
        device.add("/ip/firewall/address-list", list="overdue", address="10.5.0.7")
        isp.ok("router", "add", "hill", "--address", "127.0.0.1", "--generate-secret")
        where = ("--address", device.address, "--port", str(device.port), "--security", "plain")
        options = ("--user", "api", "--password-stdin", "--style", str(style))
        isp.ok("router", "api", "set", "hill", *where, *options, typed=b"made-up\n")
        yield device


def comments(device: RouterOs) -> list[str]:
    """The rules' comments, in order."""
    return [row.get("comment", "") for row in device.rows(FILTER)]


def test_the_garden_is_written_in_its_place_and_taken_away_again(isp: Any, hill: RouterOs) -> None:
    """Restricted customers reach what they may and nothing else; what others wrote stays as it was, in its order."""
    before = comments(hill)
    seen = isp.ok("router", "garden", "hill", "--preview")
    assert seen["commands"]
    assert not seen["written"]
    assert comments(hill) == before

    assert isp.ok("router", "garden", "hill", "--yes") == {**seen, "written": True}

    def passes(address: str) -> bool:
        return hill.do(lambda device: device.firewall.open(address, "203.0.113.1").passed)

    assert (passes("10.5.0.7"), passes("10.5.0.8")) == (False, True)
    assert "nothing to write" in isp("router", "garden", "hill", "--yes").out
    isp.ok("router", "garden", "hill", "--remove", "--yes")
    assert comments(hill) == before
    assert passes("10.5.0.7")


def test_nothing_is_written_while_writes_are_stopped(isp: Any, hill: RouterOs) -> None:
    """The switch stops this too, in one sentence; and without a yes nothing is written either."""
    before = comments(hill)
    assert "no terminal to ask on; say --yes, or --preview" in isp.refused("router", "garden", "hill")
    assert "no terminal to ask on" in isp("router", "garden", "hill", "--json").err
    isp.ok("network", "stop")
    assert "Network writes are stopped" in isp.refused("router", "garden", "hill", "--yes")
    assert comments(hill) == before
