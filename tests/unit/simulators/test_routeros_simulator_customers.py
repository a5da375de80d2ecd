"""Customers of the simulated RouterOS: what they get at a login, when changes reach them, what a suspension stops."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from routeros_talk import Talk

from simulators.clock import HandClock
from simulators.routeros import RouterOs, RouterOsSettings
from simulators.routeros.customers import RefusedError
from simulators.settings import Client, TerminateCause

MAC = "02:00:5E:00:00:0A"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def router(clock: HandClock) -> Iterator[RouterOs]:
    with RouterOs(clock=clock) as router:
        router.add("/ip/pool", name="customers", ranges="10.0.0.10-10.0.0.12")
        router.add("/ppp/profile", name="gold", rate_limit="10M/50M", address_list="paid", remote_address="customers")
        router.add("/ppp/profile", name="silver", rate_limit="1M/5M 2M/10M 1M/5M 8/8 3 512k/1M")
        router.add("/ppp/secret", name="anna", password="made-up", profile="gold")
        yield router


@pytest.fixture
def talk(router: RouterOs) -> Iterator[Talk]:
    with Talk(router.address, router.port) as talk:
        talk.log_in("admin", "")
        yield talk


def dial(router: RouterOs):
    return router.do(lambda device: device.ppp_login("anna", "made-up", caller_id=MAC))


def rate(router: RouterOs, who: str = "anna") -> tuple[int, int]:
    standing = router.do(lambda device: device.standing(who))
    return standing.upload_bps, standing.download_bps


def lists(router: RouterOs, who: str = "anna") -> set[str]:
    return set(router.do(lambda device: device.standing(who)).lists)


def online(router: RouterOs, who: str = "anna") -> bool:
    return router.do(lambda device: device.standing(who)).online


def test_login_makes_the_rows_of_the_profile(router: RouterOs, clock: HandClock) -> None:
    """A secret's login shows as active, with the queue, the list entry and the interface that its profile asks for."""
    dial(router)
    clock.advance(3725)
    (active,) = router.rows("/ppp/active")
    assert (active["name"], active["address"], active["uptime"], active["radius"]) == (
        "anna", "10.0.0.10", "1h2m5s", "false",
    )  # fmt: skip
    (queue,) = router.rows("/queue/simple")
    assert (queue["name"], queue["target"], queue["max-limit"], queue["dynamic"]) == (
        "<pppoe-anna>", "<pppoe-anna>", "10000000/50000000", "true",
    )  # fmt: skip
    (entry,) = router.rows("/ip/firewall/address-list")
    assert (entry["list"], entry["address"], entry["dynamic"]) == ("paid", "10.0.0.10", "true")
    assert (rate(router), lists(router), online(router)) == ((10_000_000, 50_000_000), {"paid"}, True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"password": "other"}, "the password is wrong"),
        ({"disabled": "yes"}, "the secret is disabled"),
        ({"caller_id": "02:00:5e:00:00:0b"}, "the secret is for another caller-id"),
        ({"service": "l2tp"}, "no secret has this name"),
    ],
)
def test_refused_logins(router: RouterOs, fields: dict[str, str], why: str) -> None:
    """A login that the secret does not allow leaves nobody online."""
    router.set("/ppp/secret", "anna", **fields)
    with pytest.raises(RefusedError, match=why):
        dial(router)
    assert not online(router)


def test_secrets_and_profiles_apply_at_the_next_login(router: RouterOs, talk: Talk) -> None:
    """A changed secret leaves its session alone; removing the active row ends it, and the next login is as told."""
    dial(router)
    talk.ask("/ppp/secret/set", "=.id=anna", "=profile=silver", "=remote-address=10.9.9.9")
    talk.ask("/ppp/profile/set", "=.id=gold", "=rate-limit=1k/1k")
    assert rate(router) == (10_000_000, 50_000_000)
    (active,) = talk.rows("/ppp/active/print")
    talk.ask("/ppp/active/remove", f"=.id={active['.id']}")
    assert not online(router)
    assert router.rows("/queue/simple") == router.rows("/ip/firewall/address-list") == []
    dial(router)
    (queue,) = talk.rows("/queue/simple/print")
    wanted = {
        "max-limit": "1000000/5000000", "burst-limit": "2000000/10000000", "burst-threshold": "1000000/5000000",
        "burst-time": "8s/8s", "priority": "3/3", "limit-at": "512000/1000000",
    }  # fmt: skip
    assert {name: queue[name] for name in wanted} == wanted
    assert (rate(router, "10.9.9.9"), lists(router)) == ((1_000_000, 5_000_000), set())


def test_queues_and_lists_apply_at_once(router: RouterOs, talk: Talk, clock: HandClock) -> None:
    """The first queue for an address decides, within its parent; list entries count until they are disabled or over."""
    talk.ask("/queue/simple/add", "=name=all", "=target=10.0.0.0/24", "=max-limit=100M/100M")
    talk.ask("/queue/simple/add", "=name=bert", "=target=10.0.0.5", "=parent=all", "=max-limit=5M/200M")
    assert rate(router, "10.0.0.5") == (5_000_000, 100_000_000)
    talk.ask("/queue/simple/disable", "=.id=bert")
    assert rate(router, "10.0.0.5") == (100_000_000, 100_000_000)
    talk.ask("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.0/24", "=timeout=1h")
    clock.advance(3599)
    (entry,) = talk.rows("/ip/firewall/address-list/print")
    assert (entry["timeout"], entry["dynamic"], lists(router, "10.0.0.5")) == ("1s", "true", {"late"})
    clock.advance(1)
    assert (talk.rows("/ip/firewall/address-list/print"), lists(router, "10.0.0.5")) == ([], set())


def test_names_in_lists_are_resolved(router: RouterOs, talk: Talk) -> None:
    """A DNS name in a list has a dynamic entry for each address, which follow the answers and the entry."""

    def addresses() -> list[str]:
        return [row["address"] for row in talk.rows("/ip/firewall/address-list/print", "?comment=pay.example")]

    router.do(lambda device: device.resolve("pay.example", "192.0.2.1", "192.0.2.2"))
    talk.ask("/ip/firewall/address-list/add", "=list=garden", "=address=pay.example", "=comment=ours")
    assert addresses() == ["192.0.2.1", "192.0.2.2"]
    router.do(lambda device: device.resolve("pay.example", "192.0.2.3"))
    assert (addresses(), lists(router, "192.0.2.3")) == (["192.0.2.3"], {"garden"})
    router.reboot()
    assert [row["address"] for row in router.rows("/ip/firewall/address-list")] == ["pay.example", "192.0.2.3"]
    router.remove("/ip/firewall/address-list", "*1")
    assert router.rows("/ip/firewall/address-list") == []


def test_rows_of_a_session_are_the_routers_own(router: RouterOs, talk: Talk) -> None:
    """Nobody changes or removes what the router made for a session."""
    dial(router)
    (queue,) = talk.rows("/queue/simple/print")
    (entry,) = talk.rows("/ip/firewall/address-list/print")
    assert talk.refusal("/queue/simple/set", f"=.id={queue['.id']}", "=max-limit=1M/1M") == (
        "failure: can not change dynamic queue"
    )
    assert talk.refusal("/ip/firewall/address-list/remove", f"=.id={entry['.id']}") == (
        "failure: can not remove dynamic object"
    )
    assert talk.refusal("/ip/firewall/address-list/add", "=list=paid", "=address=10.0.0.10") == (
        "failure: already have such entry"
    )
    assert (rate(router), lists(router)) == ((10_000_000, 50_000_000), {"paid"})


def test_hotspot_cookie_outlives_the_user(router: RouterOs, talk: Talk) -> None:
    """Thrown out and disabled, a device comes back by its cookie until that is removed too."""
    talk.ask("/ip/hotspot/user/add", "=name=h", "=password=made-up")
    router.do(lambda device: device.hotspot_login("h", "made-up", MAC))
    talk.ask("/ip/hotspot/user/disable", "=.id=h")
    (active,) = talk.rows("/ip/hotspot/active/print")
    talk.ask("/ip/hotspot/active/remove", f"=.id={active['.id']}")
    assert (online(router, "h"), talk.rows("/ip/hotspot/host/print")) == (False, [])
    router.do(lambda device: device.hotspot_return(MAC))
    assert online(router, "h")
    for menu in ("active", "cookie"):
        (row,) = talk.rows(f"/ip/hotspot/{menu}/print")
        talk.ask(f"/ip/hotspot/{menu}/remove", f"=.id={row['.id']}")
    with pytest.raises(RefusedError, match="no cookie"):
        router.do(lambda device: device.hotspot_return(MAC))
    talk.ask("/ip/hotspot/user/enable", "=.id=h")
    talk.ask("/ip/hotspot/ip-binding/add", f"=mac-address={MAC}", "=type=blocked")
    with pytest.raises(RefusedError, match="IP binding"):
        router.do(lambda device: device.hotspot_login("h", "made-up", MAC))


def test_leases_apply_at_renewal(router: RouterOs, talk: Talk) -> None:
    """A lease's limit, lists and blocking reach the device when it renews."""
    talk.ask("/ip/dhcp-server/lease/add", f"=mac-address={MAC}", "=address=10.1.0.5", "=rate-limit=2M/8M")
    router.do(lambda device: device.dhcp_bind(MAC))
    assert rate(router, "10.1.0.5") == (2_000_000, 8_000_000)
    assert talk.refusal("/ip/dhcp-server/lease/set", "=.id=10.1.0.5", "=rate-limit=fast") == (
        "invalid value for argument rate-limit"
    )
    talk.ask("/ip/dhcp-server/lease/set", "=.id=10.1.0.5", "=rate-limit=1M/4M", "=address-lists=a,b")
    assert (rate(router, "10.1.0.5"), lists(router, "10.1.0.5")) == ((2_000_000, 8_000_000), set())
    router.do(lambda device: device.dhcp_bind(MAC))
    assert (rate(router, "10.1.0.5"), lists(router, "10.1.0.5")) == ((1_000_000, 4_000_000), {"a", "b"})
    talk.ask("/ip/dhcp-server/lease/set", "=.id=10.1.0.5", "=block-access=yes")
    with pytest.raises(RefusedError, match="blocked"):
        router.do(lambda device: device.dhcp_bind(MAC))
    assert router.rows("/queue/simple") == []


def test_fasttrack_and_tracked_connections_outlive_a_list(router: RouterOs, talk: Talk) -> None:
    """Restricting an address stops what is new; a fasttracked download goes on until its connection is removed."""

    def opened(destination: str, port: int = 443):
        return router.do(lambda device: device.firewall.open("10.0.0.5", destination, port=port))

    def goes_on(passage) -> bool:
        return router.do(lambda device: device.firewall.goes_on(passage))

    for words in (
        ["filter", "=chain=forward", "=action=fasttrack-connection", "=connection-state=established,related"],
        ["filter", "=chain=forward", "=action=accept", "=src-address-list=late", "=dst-address=192.0.2.80"],
        ["filter", "=chain=forward", "=action=drop", "=src-address-list=late"],
        ["nat", "=chain=dstnat", "=action=dst-nat", "=src-address-list=late", "=protocol=tcp", "=dst-port=80",
         "=to-addresses=192.0.2.80", "=to-ports=8080"],
    ):  # fmt: skip
        assert talk.refusal(f"/ip/firewall/{words[0]}/add", *words[1:]) == ""
    (dummy,) = talk.rows("/ip/firewall/filter/print", "?dynamic=true")
    assert talk.refusal("/ip/firewall/filter/add", "=chain=forward", f"=place-before={dummy['.id']}") == (
        "failure: can not move builtin"
    )
    download = opened("198.51.100.1")
    assert goes_on(download)
    assert talk.rows("/ip/firewall/connection/print")[0]["fasttrack"] == "true"
    talk.ask("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.5")
    assert goes_on(download)
    assert not opened("198.51.100.2").passed
    assert opened("198.51.100.2", port=80).to == "192.0.2.80:8080"
    for row in talk.rows("/ip/firewall/connection/print", "?dst-address=198.51.100.1:443"):
        talk.ask("/ip/firewall/connection/remove", f"=.id={row['.id']}")
    assert not goes_on(download)


def test_reboot_loses_what_was_dynamic(router: RouterOs, talk: Talk, clock: HandClock) -> None:
    """After a reboot nobody is online, timed entries are gone, configuration keeps its ids and dynamic rows do not."""
    dial(router)
    talk.ask("/ip/firewall/address-list/add", "=list=late", "=address=10.0.0.5", "=timeout=1d")
    kept = talk.rows("/ppp/secret/print")
    before = talk.rows("/ppp/active/print")[0][".id"]
    clock.advance(100)
    talk.say("/system/reboot")
    assert talk.gone()
    with Talk(router.address, router.port) as again:
        again.log_in("admin", "")
        assert again.rows("/ppp/active/print") == again.rows("/ip/firewall/address-list/print") == []
        assert again.rows("/ppp/secret/print") == kept
        assert again.rows("/system/resource/print")[0]["uptime"] == "0s"
    dial(router)
    assert router.rows("/ppp/active")[0][".id"] != before


async def test_joined_to_a_nas(town) -> None:
    """RADIUS sessions are the API's too: their rows, CoA, and an end by hand with a Stop."""
    async with town() as (nas, server):
        server.accept(Mikrotik_Rate_Limit="10M/50M", Mikrotik_Address_List="paid", Framed_IP_Address="10.7.0.1")
        async with RouterOs(nas=nas) as router:
            session = (await nas.login(Client(username="anna", mac=MAC))).session
            session.add_traffic(1000, 5000)
            (active,), (queue,) = router.rows("/ppp/active"), router.rows("/queue/simple")
            assert (active["radius"], active["address"], queue["bytes"]) == ("true", "10.7.0.1", "1000/5000")
            assert (rate(router), lists(router)) == ((10_000_000, 50_000_000), {"paid"})
            session.change("Mikrotik-Rate-Limit", ("1M/2M",))
            nas.changed(session, frozenset({"Mikrotik-Rate-Limit"}))
            assert rate(router) == (1_000_000, 2_000_000)
            router.remove("/ppp/active", active[".id"])
            assert (session.online, session.ended_by, online(router)) == (False, TerminateCause.ADMIN_RESET, False)
            await nas.idle()
            assert [record["Acct-Status-Type"] for record in server.records] == [["Start"], ["Stop"]]
            assert router.rows("/queue/simple") == []


async def test_a_joined_hotspot(town) -> None:
    """A hotspot login by RADIUS shows as active with a host and a cookie; removing the host ends it."""
    async with town() as (nas, server), RouterOs(nas=nas) as router:
        server.accept(Mikrotik_Rate_Limit="1M/2M")
        client = Client(username="h", mac=MAC, method="hotspot", host_ip="10.5.0.2")
        session = (await nas.login(client)).session
        assert [router.rows(f"/ip/hotspot/{menu}")[0]["mac-address"] for menu in ("active", "host", "cookie")] == [
            MAC
        ] * 3
        assert router.rows("/queue/simple")[0]["target"] == "10.5.0.2/32"
        router.remove("/ip/hotspot/host", router.rows("/ip/hotspot/host")[0][".id"])
        assert (session.online, router.rows("/ip/hotspot/active"), router.rows("/queue/simple")) == (False, [], [])
        assert router.rows("/ip/hotspot/cookie")


async def test_a_local_secret_wins_over_radius(town) -> None:
    """A secret of the same name decides alone, and RADIUS hears nothing; a disabled one refuses."""
    async with town() as (nas, server), RouterOs(RouterOsSettings(), nas=nas) as router:
        router.add("/ppp/profile", name="gold", rate_limit="3M/4M", address_list="paid")
        router.add("/ppp/secret", name="anna", password="made-up", profile="gold", remote_address="10.7.0.9")
        result = await nas.login(Client(username="anna", password="made-up", mac=MAC))
        assert (result.accepted, router.rows("/ppp/active")[0]["radius"]) == (True, "false")
        assert (rate(router), lists(router)) == ((3_000_000, 4_000_000), {"paid"})
        assert result.session.address == "10.7.0.9"
        router.set("/ppp/secret", "anna", disabled="yes")
        assert not (await nas.login(Client(username="anna", password="made-up", mac=MAC))).accepted
        nas.reboot()
        assert (len(nas.sessions), router.rows("/ppp/active")) == (0, [])
        await nas.idle()
        assert server.access == server.records == []
