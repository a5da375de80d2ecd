"""A simulated router that is in use already, with customers of every kind and what is odd about some of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from simulators.routeros import ApiUser, RouterOs, RouterOsSettings

API_PASSWORD = "made-up for the api"
PASSWORD = "made-up of anna"
BROKEN = b"caf\xe9".decode("utf-8", "surrogateescape")
MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"


@contextmanager
def used_router(group: str = "full", **settings: Any) -> Iterator[RouterOs]:
    """The router, running. Its API's user is `ispagents`."""
    user = ApiUser(name="ispagents", password=API_PASSWORD, group=group)
    with RouterOs(RouterOsSettings(users=(user,), identity="Hill", **settings)) as router:
        router.add("/ip/pool", name="customers", ranges="10.20.0.2-10.20.0.200")
        router.add("/ppp/profile", name="gold", rate_limit="10M/50M", remote_address="customers")
        secret(router, "anna", profile="gold", comment="Anna Kowalska, Lipowa 3")
        yield router


def secret(router: RouterOs, name: str, **fields: str) -> None:
    """A PPP secret."""
    router.add("/ppp/secret", name=name, **{"password": PASSWORD, "service": "pppoe", **fields})


def fill(router: RouterOs) -> None:
    """Customers of the other kinds, and oddities."""
    secret(router, "no", profile="gold", remote_address="10.5.0.7", routes="10.1.2.0/24")
    secret(router, "off", profile="gold", disabled="yes")
    secret(router, BROKEN)
    secret(router, "tunnel", service="l2tp")
    router.add("/queue/simple", name="queue of no", target="10.5.0.7/32", max_limit="5M/20M")
    router.add("/queue/simple", name="office", target="10.6.0.9", max_limit="20M/20M")
    router.add("/queue/simple", name="odd", target="10.6.0.10", max_limit="1234567/20M")
    router.add("/queue/simple", name="village", target="10.7.0.0/24", max_limit="100M/100M")
    router.add("/ip/hotspot", name="hot", interface="ether2")
    router.add("/ip/hotspot/user/profile", name="hour", rate_limit="1M/4M")
    router.add("/ip/hotspot/user", name="guest", password="made-up", profile="hour", comment="Room 4")
    router.add("/ip/hotspot/user", name="anna", password="made-up", profile="hour")
    router.add("/ip/dhcp-server", name="lan", interface="ether3")
    router.add("/ip/dhcp-server/lease", address="10.8.0.5", mac_address=MAC, server="lan", rate_limit="2M/8M")
    router.add("/ip/firewall/address-list", list="paid", address="10.5.0.7")
    router.set("/ppp/aaa", "", use_radius="yes")
