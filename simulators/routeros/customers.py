"""Customers of a router: they log in against its own secrets, users and leases, stay online, and are thrown out."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from simulators.routeros.fields import time_text
from simulators.routeros.online import Online, Rows
from simulators.routeros.store import Fields, Row

if TYPE_CHECKING:
    from simulators.routeros.device import Device

SECRETS, PPP_PROFILES, PPP_ACTIVE = "/ppp/secret", "/ppp/profile", "/ppp/active"
USERS, USER_PROFILES = "/ip/hotspot/user", "/ip/hotspot/user/profile"
HOTSPOT_ACTIVE, HOSTS, COOKIES = "/ip/hotspot/active", "/ip/hotspot/host", "/ip/hotspot/cookie"
BINDINGS, LEASES, POOLS = "/ip/hotspot/ip-binding", "/ip/dhcp-server/lease", "/ip/pool"
COOKIE_LIFETIME_S = 3 * 86_400.0  # the default of mac-cookie-timeout


class RefusedError(Exception):
    """The router does not let this customer in. The message says why."""


class Customers:
    """Everybody online at a router."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._rows = Rows(device)
        self._online: dict[Online, None] = {}
        self._calls = itertools.count(1)

    def __iter__(self) -> Iterator[Online]:
        return iter(list(self._online))

    def named(self, name: str) -> list[Online]:
        """Return the sessions of a name, oldest first."""
        return [online for online in self._online if online.name == name]

    def at(self, address: str) -> Online | None:
        """Return who has this address."""
        return next((online for online in self._online if online.address == address), None)

    # -- logins ------------------------------------------------------------------------------------------------------

    def ppp_terms(self, name: str, password: str, caller_id: str = "", service: str = "pppoe") -> Online | None:
        """Return what a secret gives, without bringing anybody online; None where no secret has this name.

        Raises RefusedError where the secret does not let this customer in.
        """
        secret = self._device[SECRETS].named(name)
        if secret is None or secret.fields["service"] not in {"any", service}:
            return None
        fields = secret.fields
        if fields["disabled"] == "true":
            raise RefusedError("the secret is disabled")
        if fields["password"] != password:
            raise RefusedError("the password is wrong")
        if fields["caller-id"] and fields["caller-id"].upper() != caller_id.upper():
            raise RefusedError("the secret is for another caller-id")
        profile = self._profile(PPP_PROFILES, fields["profile"])
        if profile.get("only-one") == "yes" and self.named(name):
            raise RefusedError("the profile allows one session only")
        online = Online(name=name, service=service, address="", caller_id=caller_id)
        online.address = fields.get("remote-address") or profile.get("remote-address", "")
        return self._with_profile(online, profile)

    def ppp_login(self, name: str, password: str, caller_id: str = "", service: str = "pppoe") -> Online:
        """Log a PPP customer in by its secret; raises RefusedError."""
        online = self.ppp_terms(name, password, caller_id, service)
        if online is None:
            raise RefusedError("no secret has this name")
        online.address = self.address_from(online.address)
        return self.come(online)

    def hotspot_terms(self, name: str, password: str | None, mac: str, server: str = "") -> Online | None:
        """Return what a hotspot user gets (a password of None is a cookie's); None where no user has this name.

        Raises RefusedError where the user does not let this customer in.
        """
        if self._binding(mac, "").get("type") == "blocked":
            raise RefusedError("the device is blocked by an IP binding")
        user = next((row for row in self._device[USERS].having(name=name) if _serves(row, server)), None)
        if user is None:
            return None
        fields = user.fields
        if fields["disabled"] == "true":
            raise RefusedError("the user is disabled")
        if password is not None and fields.get("password", "") != password:
            raise RefusedError("the password is wrong")
        if fields.get("mac-address") and fields["mac-address"] != mac.upper():
            raise RefusedError("the user is for another MAC address")
        profile = self._profile(USER_PROFILES, fields["profile"])
        shared = profile.get("shared-users", "1")
        if shared.isdecimal() and len(self.named(name)) >= int(shared):
            raise RefusedError("no more sessions are allowed for the user")
        online = Online(name=name, service="hotspot", address=fields.get("address", ""), caller_id=mac, server=server)
        return self._with_profile(online, profile)

    def hotspot_login(self, name: str, password: str, mac: str, address: str = "", server: str = "hotspot1") -> Online:
        """Log a hotspot customer in by its user, and leave it a cookie; raises RefusedError."""
        online = self.hotspot_terms(name, password, mac, server)
        if online is None:
            raise RefusedError("no user has this name")
        online.address = online.address or address or self.address_from("")
        self.leave_cookie(name, mac)
        return self.come(online)

    def hotspot_return(self, mac: str, address: str = "", server: str = "hotspot1") -> Online:
        """Come back with nothing but a cookie; raises RefusedError without one.

        By `cookie_checks_user` the user is looked at again or, unkindly, not.
        """
        cookie = next(iter(self._device[COOKIES].having(mac_address=mac.upper())), None)
        if cookie is None:
            raise RefusedError("there is no cookie")
        name = cookie.fields["user"]
        online: Online | None = None
        if self._device.settings.cookie_checks_user:
            online = self.hotspot_terms(name, None, mac, server)
            if online is None:
                raise RefusedError("the cookie's user is gone")
        else:
            online = Online(name=name, service="hotspot", address="", caller_id=mac, server=server)
            user = next(iter(self._device[USERS].having(name=name)), None)
            profile = user.fields["profile"] if user is not None else "default"
            self._with_profile(online, self._profile(USER_PROFILES, profile))
        online.address = online.address or address or self.address_from("")
        online.login_by = "mac-cookie"
        return self.come(online)

    def dhcp_bind(self, mac: str, server: str = "") -> Online:
        """Ask for a lease or renew it: only now its rate limit, lists and blocking apply; raises RefusedError."""
        leases = self._device[LEASES]
        before = next((one for one in self._online if one.service == "dhcp" and one.name == mac.upper()), None)
        lease = next((row for row in leases.having(mac_address=mac.upper()) if row.fields["disabled"] != "true"), None)
        if before is not None:
            self.go(before)
        if lease is None or (before is not None and before.row is lease and lease.dynamic):
            online = Online(
                name=mac.upper(), service="dhcp", address=self.address_from(""), caller_id=mac, server=server
            )
            return self.come(online)
        if lease.fields.get("block-access") == "true":
            lease.fields["status"] = "waiting"
            raise RefusedError("the lease is blocked")
        online = Online(name=mac.upper(), service="dhcp", address="", caller_id=mac, server=server, row=lease)
        online.address = self.address_from(lease.fields.get("address", ""))
        online.rate_limit = lease.fields.get("rate-limit", "")
        online.address_lists = tuple(name for name in lease.fields["address-lists"].split(",") if name)
        return self.come(online)

    # -- coming and going --------------------------------------------------------------------------------------------

    def come(self, online: Online) -> Online:
        """Bring somebody online: the row, and what follows from it."""
        online.started_s = self._device.clock.now()
        online.session_id = online.session_id or f"0x{0x81000000 | self._device.boot << 20 | next(self._calls):x}"
        self._online[online] = None
        {"hotspot": self._hotspot_row, "dhcp": self._lease_row}.get(online.service, self._ppp_row)(online)
        self._rows.make(online)
        return online

    def go(self, online: Online) -> None:
        """Take somebody offline; somebody who is gone does no harm."""
        if online not in self._online:
            return
        del self._online[online]
        self._rows.unmake(online)
        row = online.row
        if row is None:
            return
        if online.service == "dhcp":
            self._device[LEASES].remove(row) if row.dynamic else row.fields.update(status="waiting")
            return
        self._device[PPP_ACTIVE if online.service != "hotspot" else HOTSPOT_ACTIVE].remove(row)

    def throw_out(self, online: Online) -> None:
        """End a session as removing its row does: with a Stop where the session belongs to RADIUS."""
        if online.hang_up is not None:
            online.hang_up()
        self.go(online)

    def follow(self, online: Online) -> None:
        """Follow limits that were changed by CoA."""
        if online in self._online:
            self._rows.remake(online)

    def forget(self) -> None:
        """Lose everybody, as a reboot does; the rows are the tables' own affair."""
        self._online.clear()
        for lease in self._device[LEASES]:
            lease.fields.pop("status", None)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _profile(self, path: str, name: str) -> Fields:
        row = self._device[path].named(name) or self._device[path].named("default")
        return row.fields if row is not None else {}

    def _with_profile(self, online: Online, profile: Fields) -> Online:
        online.rate_limit = profile.get("rate-limit", "")
        online.address_lists = tuple(name for name in profile.get("address-list", "").split(",") if name)
        online.parent_queue = profile.get("parent-queue", "none")
        online.queue_place = profile.get("insert-queue-before", "")
        return online

    def address_from(self, text: str) -> str:
        """Return an address as it is, or a free one of the pool of this name (of the first pool for "").

        Raises RefusedError when there is none.
        """
        pool = self._device[POOLS].named(text) if text else next(iter(self._device[POOLS]), None)
        if pool is None:
            if text:
                return text
            raise RefusedError(
                "there is no address: neither the customer nor the profile names one, and no pool exists"
            )
        taken = {online.address for online in self._online}
        for part in pool.fields["ranges"].split(","):
            for address in _range(part):
                if address not in taken:
                    return address
        raise RefusedError(f"the pool {pool.fields['name']} has no free address")

    def _binding(self, mac: str, address: str) -> Fields:
        for row in self._device[BINDINGS]:
            fields = row.fields
            mine = fields.get("mac-address", "") in {"", mac.upper()} and fields.get("address", "") in {"", address}
            if fields["disabled"] != "true" and mine and (fields.get("mac-address") or fields.get("address")):
                return fields
        return {}

    def bypasses(self, mac: str, address: str) -> bool:
        """Tell whether an IP binding lets a device through the hotspot without a login."""
        return self._binding(mac.upper(), address).get("type") == "bypassed"

    def _uptime(self, online: Online) -> str:
        return time_text(self._device.clock.now() - online.started_s)

    def _ppp_row(self, online: Online) -> None:
        fields = {
            "name": online.name,
            "service": online.service,
            "caller-id": online.caller_id,
            "address": online.address,
            "encoding": "",
            "session-id": online.session_id,
            "limit-bytes-in": "0",
            "limit-bytes-out": "0",
            "radius": "true" if online.by_radius else "false",
        }
        row = self._device[PPP_ACTIVE].add(fields, dynamic=True, live=lambda: {"uptime": self._uptime(online)})
        row.on_removed = lambda: self.throw_out(online)
        online.row = row

    def _hotspot_row(self, online: Online) -> None:
        def live() -> Fields:
            up, down = online.octets()
            return {"uptime": self._uptime(online), "bytes-in": str(up), "bytes-out": str(down), "idle-time": "0s"}

        fields = {
            "server": online.server,
            "user": online.name,
            "address": online.address,
            "mac-address": online.caller_id,
            "login-by": online.login_by,
            "radius": "true" if online.by_radius else "false",
        }
        online.row = self._device[HOTSPOT_ACTIVE].add(fields, dynamic=True, live=live)
        host = {"mac-address": online.caller_id, "address": online.address, "server": online.server}
        host_row = self._device[HOSTS].add({**host, "authorized": "true"}, dynamic=True)
        online.made.append((self._device[HOSTS], host_row))
        for row in (online.row, host_row):
            row.on_removed = lambda: self.throw_out(online)

    def _lease_row(self, online: Online) -> None:
        bound = {
            "status": "bound",
            "active-address": online.address,
            "active-mac-address": online.name,
            "active-server": online.server,
            "radius": "true" if online.by_radius else "false",
        }
        if online.row is None:
            fields = {"address": online.address, "mac-address": online.name, **bound}
            if online.server:
                fields["server"] = online.server
            online.row = self._device[LEASES].add(fields, dynamic=True)
        online.row.fields.update(bound)
        online.row.on_removed = lambda: self._remove_lease(online)

    def _remove_lease(self, online: Online) -> None:
        if online.hang_up is not None:
            online.hang_up()
        self.go(online)
        if online.row is not None:
            online.row.on_removed = None
            self._device[LEASES].remove(online.row)

    def leave_cookie(self, name: str, mac: str) -> None:
        """Leave a hotspot customer's device a cookie, by which it comes back without a password."""
        table = self._device[COOKIES]
        if not table.having(user=name, mac_address=mac.upper()):
            row = table.add({"user": name, "mac-address": mac.upper(), "mac-cookie": "true"}, dynamic=True)
            table.end_at(row, self._device.clock.now() + COOKIE_LIFETIME_S)


def _serves(row: Row, server: str) -> bool:
    return row.fields.get("server", "all") in {"all", "", server}


def _range(text: str) -> Iterator[str]:
    if "-" in text:
        first, _, last = text.partition("-")
        numbers = range(int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last)) + 1)
    else:
        network = ipaddress.IPv4Network(text)
        numbers = range(int(network.network_address), int(network.broadcast_address) + 1)
    return (str(ipaddress.IPv4Address(number)) for number in numbers)
