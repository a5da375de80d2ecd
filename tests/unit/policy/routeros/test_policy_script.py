"""The bootstrap script, run by a strict terminal on a simulated router that is in use already."""

from typing import Any

import pytest
from routeros_terminal import FINGERPRINT, Terminal

from policy.errors import PolicyError
from policy.routeros import menus
from policy.routeros.bootstrap import Bootstrap
from policy.routeros.difference import difference
from policy.routeros.garden import garden_items, misplaced, placed, read_garden
from policy.routeros.objects import Item, Plan
from policy.routeros.script import connect_script, undo_script

SECRET = 'made-up $"secret\\?'
PASSWORD = "made-up {password} #1"
STYLE = {
    "garden": {
        "pay_address": "192.0.2.80",
        "pay_port": 8080,
        "hosts": ["pay.example.net", "198.51.100.0/24"],
        "dns_servers": ["192.0.2.53"],
    }
}
VERSIONS = ("7.24.1", "7.16.1", "7.14.3", "6.49.10")


def _wanted(version: str, **changes: Any) -> Bootstrap:
    wanted = Bootstrap(
        name="tower 1's łódź",
        release=int(version[0]),
        server="192.0.2.10",
        address="10.1.1.1",
        services=("ppp", "hotspot", "dhcp"),
        secret=SECRET,
        api_user="ispagents",
        password=PASSWORD,
        garden=read_garden(STYLE),
        ntp=("192.0.2.1", "192.0.2.2"),
        time_zone="Europe/Warsaw",
    )
    return wanted._replace(**changes)


def _used(version: str) -> Terminal:
    """A router that somebody has configured: fasttrack, names of all sorts, services and users of its own."""
    terminal = Terminal(version)

    def do(command: str, **fields: str) -> None:
        menu, _, verb = command.rpartition("/")
        items = fields.pop("item", None)
        terminal.command(menu, verb, items, {name.replace("_", "-"): text for name, text in fields.items()})

    state = {"chain": "forward", "connection_state": "established,related"}
    do("/ip/firewall/filter/add", chain="input", action="accept", connection_state="established")
    do("/ip/firewall/filter/add", chain="input", action="drop")
    do("/ip/firewall/filter/add", action="fasttrack-connection", **state)
    do("/ip/firewall/filter/add", action="accept", **state)
    do("/ip/firewall/filter/add", chain="forward", action="drop", src_address="10.66.0.0/16", comment="ispagents")
    do("/ip/firewall/nat/add", chain="srcnat", action="masquerade")
    do("/ip/firewall/nat/add", chain="dstnat", action="dst-nat", protocol="tcp", dst_port="80", to_addresses="10.0.0.5")
    do("/ip/firewall/address-list/add", list="overdue", address="10.0.0.9", comment="ispagents:service-12")
    do("/ip/firewall/address-list/add", list="ispagents-garden", address="203.0.113.7", comment="by hand")
    for number, name in enumerate(("no", "0123", 'łódź "$x" {')):
        do("/ip/hotspot/profile/add", name=name, **({"use_radius": "yes", "radius_accounting": "no"} if number else {}))
    do("/ip/pool/add", name="lan", ranges="10.0.0.2-10.0.0.99")
    do("/ip/dhcp-server/add", name="lan", interface="ether2", address_pool="lan", use_radius="accounting")
    do("/radius/add", service="login", address="10.4.4.4", secret="another secret")
    do("/radius/incoming/set", port="1700")
    do("/ppp/aaa/set", interim_update="1h")
    (service,) = terminal.device["/ip/service"].having(name="api-ssl")
    service.fields.update(address="10.5.0.0/16,10.6.0.0/16", disabled="true")
    terminal.device["/ip/service"].add({"name": "api-ssl", "port": "8729"}, dynamic=True)  # somebody's connection
    do("/ip/address/add", address="10.1.1.1/24", interface="ether1")
    old = {"primary_ntp": "10.9.9.9"} if version.startswith("6") else {"servers": "10.9.9.9,time.example.net"}
    do("/system/ntp/client/set", **old)
    return terminal


def _rows(terminal: Terminal, menu: str, **wanted: str) -> list[dict[str, str]]:
    return [row.printed() for row in terminal.device[menu].having(**wanted)]


def _items(terminal: Terminal, menu: str) -> list[Item]:
    return [Item(menu, row.id, row.printed()) for row in terminal.device[menu]]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_router_is_connected(version: str) -> None:
    """RADIUS, CoA, accounting, a user who may do no more than needed, the API for us beside others, the clock."""
    terminal = _used(version)
    terminal.run(connect_script(_wanted(version)))
    (radius,) = _rows(terminal, "/radius", address="192.0.2.10")
    assert (radius["secret"], radius["service"], radius["src-address"]) == (SECRET, "ppp,hotspot,dhcp", "10.1.1.1")
    assert radius.get("require-message-auth") == ("yes-for-request-resp" if version in ("7.24.1", "7.16.1") else None)
    assert _rows(terminal, "/radius/incoming")[0]["port"] == "3799"
    assert _rows(terminal, "/ppp/aaa")[0]["interim-update"] == "5m"
    assert {row["radius-interim-update"] for row in _rows(terminal, "/ip/hotspot/profile")} == {"received"}
    (user,) = _rows(terminal, "/user", name="ispagents")
    assert (user["password"], user["address"], user["group"]) == (PASSWORD, "192.0.2.10/32", "ispagents")
    (group,) = _rows(terminal, "/user/group", name="ispagents")
    assert {one for one in group["policy"].split(",") if not one.startswith("!")} == {"api", "read", "write"}
    service = _rows(terminal, "/ip/service", name="api-ssl")[0]
    assert (service["disabled"], service["certificate"]) == ("false", "ispagents-api")
    assert set(service["address"].split(",")) == {"192.0.2.10/32", "10.5.0.0/16", "10.6.0.0/16"}
    assert [row["dst-port"] for row in _rows(terminal, menus.FILTER, chain="input")[:2]] == ["3799", "8729"]
    ntp = _rows(terminal, "/system/ntp/client")[0]
    assert (ntp["enabled"], ntp.get("servers") or ntp["primary-ntp"][:9]) in (
        ("true", "192.0.2.1,192.0.2.2"),
        ("true", "192.0.2.1"),
    )
    assert terminal.said[-1] == rf"ispagents router api set 'tower 1'\''s łódź' --fingerprint {FINGERPRINT}"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_walled_garden_stands_before_what_lets_pass(version: str) -> None:
    """On a router with fasttrack: open connections of a restricted customer end, allowed ones are opened.

    And what the script made is what the change engine wants: it finds nothing to do.
    """
    terminal = _used(version)
    firewall = terminal.device.firewall
    download = firewall.open("10.0.0.9", "203.0.113.99")
    assert download.passed
    terminal.run(connect_script(_wanted(version)))
    observed = {menu: _items(terminal, menu) for menu in (menus.FILTER, menus.NAT, menus.ADDRESS_LIST)}
    assert misplaced(observed) == []
    assert difference(placed(garden_items(read_garden(STYLE)), observed), observed) == Plan()
    assert not firewall.goes_on(download)
    assert not firewall.open("10.0.0.9", "203.0.113.99").passed
    assert firewall.open("10.0.0.9", "203.0.113.99", port=80).to == "192.0.2.80:8080"
    for allowed in ("198.51.100.7", "203.0.113.7"):
        assert firewall.goes_on(firewall.open("10.0.0.9", allowed))
    assert firewall.open("10.0.0.9", "192.0.2.53", protocol="udp", port=53).passed
    assert not firewall.open("10.0.0.9", "192.0.2.54", protocol="udp", port=53).passed
    assert firewall.open("10.0.0.7", "203.0.113.99").passed


@pytest.mark.parametrize("version", VERSIONS)
def test_running_it_again_changes_nothing(version: str) -> None:
    """Nor does the same without secrets: those that were made stay."""
    terminal = _used(version)
    terminal.run(connect_script(_wanted(version)))
    once = terminal.state()
    for wanted in (_wanted(version), _wanted(version, secret=None, password=None)):
        terminal.run(connect_script(wanted))
        assert terminal.state() == once


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("runs", [1, 2])
def test_the_undo_takes_away_what_is_ours_and_nothing_else(version: str, runs: int) -> None:
    """Every setting is as it was before the first run; customers' own items and the ISP's rules stay."""
    terminal = _used(version)
    before = terminal.state()
    for _ in range(runs):
        terminal.run(connect_script(_wanted(version)))
    terminal.run(undo_script("tower", int(version[0])))
    after = terminal.state()
    for profile in after["/ip/hotspot/profile"]:  # what had no value has its default now
        assert profile.pop("radius-interim-update") == "received"
        if profile["name"] in ("default", "no"):
            assert profile.pop("radius-accounting") == "true"
    assert {menu for menu in before if before[menu] != after[menu]} == set()
    terminal.run(undo_script("tower", int(version[0])))
    assert terminal.state()["scripts"] == {}


def test_each_secret_stands_there_once_and_only_when_it_was_made() -> None:
    """In no comment, no note on the router, no undo, and not in what Python says of it."""
    wanted = _wanted("7.16.1", secret="Made4RadiusOnly", password="Made4TheApi")
    for secret in (wanted.secret, wanted.password):
        assert secret is not None
        assert connect_script(wanted).count(secret) == 1
        assert secret not in repr(wanted)
    terminal = _used("7.16.1")
    terminal.run(connect_script(wanted))
    assert "Made4" not in str(terminal.scripts) + str(terminal.said) + undo_script("x", 7)
    without = connect_script(wanted._replace(secret=None, password=None))
    assert "Made4" not in without
    assert "sealed" in without


def test_without_secrets_a_new_router_is_told_what_is_missing() -> None:
    """No RADIUS entry without a secret, no user without a password."""
    terminal = Terminal("7.16.1")
    terminal.run(connect_script(_wanted("7.16.1", secret=None, password=None)))
    assert _rows(terminal, "/radius") == []
    assert _rows(terminal, "/user", name="ispagents") == []
    assert "--new-secrets" in str(terminal.said)
    assert "--new-password" in str(terminal.said)


def test_what_is_not_ours_is_left_alone_and_told() -> None:
    """A user of the same name, another RADIUS entry for the same address, a certificate that is in use."""
    terminal = _used("7.16.1")
    terminal.command("/user", "add", None, {"name": "ispagents", "group": "full", "password": "x"})
    terminal.command("/radius", "add", None, {"address": "192.0.2.10", "secret": "by hand", "service": "ppp"})
    terminal.device["/certificate"].add({"name": "own", "private-key": "true", "fingerprint": "aa" * 32})
    terminal.command("/ip/service", "set", "api-ssl", {"certificate": "own"})
    terminal.run(connect_script(_wanted("7.16.1")))
    assert _rows(terminal, "/user", name="ispagents")[0]["group"] == "full"
    assert "left alone" in terminal.said[1]
    assert "Another RADIUS entry" in terminal.said[0]
    assert terminal.said[-1].endswith("aa" * 32)
    assert _rows(terminal, "/ip/service", name="api-ssl")[0]["certificate"] == "own"
    terminal.run(undo_script("tower", 7))
    assert _rows(terminal, "/user", name="ispagents")[0]["password"] == "x"
    assert [row["secret"] for row in _rows(terminal, "/radius")] == ["another secret", "by hand"]


def test_pieces_can_be_left_out() -> None:
    """A router without RADIUS, one without an API, one whose API is plain, one that may read passwords."""
    terminal = Terminal("6.49.10")
    bare = Bootstrap("łódź\n/system reset-configuration", 6, "192.0.2.10")
    terminal.run(connect_script(bare._replace(services=())))
    assert (_rows(terminal, "/radius"), len(_rows(terminal, "/user"))) == ([], 1)
    assert "Nothing keeps the clock" in terminal.said[-1]
    plain = bare._replace(services=(), api_user="no", password="x", api_plain=True, api_port=8728, read_passwords=True)
    terminal.run(connect_script(plain))
    assert "sensitive" in _rows(terminal, "/user/group", name="ispagents")[0]["policy"].replace("!sensitive", "")
    assert _rows(terminal, "/ip/service", name="api")[0]["address"] == "192.0.2.10/32"
    assert "/certificate" not in connect_script(plain)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"release": 8}, "known are 6 and 7"),
        ({"server": "radius.example.net"}, "not an address"),
        ({"address": "10.0.0.0/8"}, "not an address"),
        ({"services": ("ppp", "login")}, "'login' is no service"),
        ({"ntp": ("a", "b", "c")}, "at most 2"),
        ({"ntp": ("time server",)}, "time server"),
        ({"ntp": ("time.example.net",), "release": 6}, "takes no names"),
        ({"time_zone": "Mars/Olympus"}, "Mars"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], words: str) -> None:
    """In a sentence that says what would be right."""
    with pytest.raises(PolicyError) as refused:
        connect_script(_wanted("7.16.1", **changes))
    assert words in str(refused.value)
