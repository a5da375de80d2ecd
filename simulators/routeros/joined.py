"""A router that is both: the simulated NAS with its RADIUS, and the RouterOS API over the same customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.companion import Companion, LocalTerms
from simulators.routeros.customers import PPP_PROFILES, USER_PROFILES, RefusedError
from simulators.routeros.fields import time_text
from simulators.routeros.online import Online
from simulators.services import is_hotspot
from simulators.settings import Client, TerminateCause

if TYPE_CHECKING:
    from simulators.nas import Nas
    from simulators.routeros.device import Device
    from simulators.sessions import Session


class JoinedNas(Companion):
    """Keeps the API's view of a NAS's sessions, and asks the API's own secrets and users before RADIUS is asked."""

    def __init__(self, device: Device, nas: Nas) -> None:
        self._device = device
        self._nas = nas
        self._online: dict[Session, Online] = {}
        nas.companion = self
        self._show_settings()
        for session in nas.sessions:
            self.came(session)

    # -- what the NAS says --------------------------------------------------------------------------------------------

    def terms(self, client: Client) -> LocalTerms | None:
        """Return what the router's own secret or user gives; None where it has none, and RADIUS is asked."""
        customers = self._device.customers
        try:
            if client.method == "pppoe":
                online = customers.ppp_terms(client.login_name, client.password, client.calling_station)
            elif is_hotspot(client):
                station = client.calling_station
                online = customers.hotspot_terms(client.login_name, client.password, station, client.service_name)
            else:
                online = None
            if online is None:
                return None
            address = customers.address_from(online.address) if online.address else ""
        except RefusedError as error:
            return LocalTerms(refused=str(error))
        reply = [("Mikrotik-Address-List", name) for name in online.address_lists]
        if online.rate_limit:
            reply.append(("Mikrotik-Rate-Limit", online.rate_limit))
        return LocalTerms(address=address, reply=tuple(reply))

    def came(self, session: Session) -> None:
        """Show a session that is online now."""
        client = session.client
        online = Online(
            name=client.login_name,
            service="hotspot" if is_hotspot(client) else client.method,
            address=session.address,
            caller_id=client.calling_station,
            session_id=f"0x{session.session_id}",
            server=client.service_name if client.method != "pppoe" else "",
            login_by="mac" if client.method == "hotspot_mac" else "http-chap",
            by_radius=not session.local,
            hang_up=lambda: self._nas.terminate(session, TerminateCause.ADMIN_RESET),
        )

        def octets() -> tuple[int, int]:
            session.settle()
            return session.upload_octets, session.download_octets

        online.octets = octets
        self._take_limits(online, session)
        self._online[session] = online
        self._device.customers.come(online)
        if client.method == "hotspot":
            self._device.customers.leave_cookie(online.name, online.caller_id)

    def went(self, session: Session) -> None:
        """Show a session no more."""
        online = self._online.pop(session, None)
        if online is not None:
            self._device.customers.go(online)

    def changed(self, session: Session) -> None:
        """Follow what CoA changed."""
        online = self._online.get(session)
        if online is not None:
            self._take_limits(online, session)
            self._device.customers.follow(online)

    def rebooted(self) -> None:
        """Lose everything as the NAS has lost it."""
        self._online.clear()
        self._device.went_down()

    # -- what the API says --------------------------------------------------------------------------------------------

    def reboot(self) -> None:
        """Reboot both."""
        self._nas.reboot()

    def incoming(self, accept: bool) -> None:
        """Follow /radius/incoming accept."""
        self._nas.switch(accept_incoming=accept)

    def counters(self) -> dict[str, int]:
        """Return what /radius/monitor shows."""
        counted = self._nas.counters
        return {
            "pending": 0,
            "requests": counted.requests,
            "accepts": counted.accepts,
            "rejects": counted.rejects,
            "resends": counted.resends,
            "timeouts": counted.timeouts,
            "bad-replies": counted.bad_replies,
        }

    def _take_limits(self, online: Online, session: Session) -> None:
        """Put the session's attributes in force; where RADIUS named none, the profile's stand (ROS-RADIUS page)."""
        path = USER_PROFILES if online.service == "hotspot" else PPP_PROFILES
        name = session.first("Mikrotik-Group") or "default"
        profile = None if online.service == "dhcp" or session.local else self._device[path].named(name)
        fields = profile.fields if profile is not None else {}
        online.rate_limit = session.rate_limit or fields.get("rate-limit", "")
        listed = [one for one in fields.get("address-list", "").split(",") if one]
        online.address_lists = tuple(dict.fromkeys((*session.address_lists, *listed)))

    def _show_settings(self) -> None:
        settings, store = self._nas.settings, self._device.store
        store.single("/system/identity").fields["name"] = settings.name
        aaa = {"use-radius": "true", "interim-update": time_text(settings.interim_update_s)}
        store.single("/ppp/aaa").fields.update(aaa)
        incoming = {"accept": "true" if settings.accept_incoming else "false", "port": str(self._nas.coa_port or 3799)}
        store.single("/radius/incoming").fields.update(incoming)
        for server in settings.servers:
            fields = {
                "service": "ppp,hotspot,dhcp",
                "address": server.address,
                "secret": settings.key.decode("utf-8", "surrogateescape"),
                "authentication-port": str(server.auth_port),
                "accounting-port": str(server.acct_port),
                "timeout": f"{int(settings.radius_timeout_s * 1000)}ms",
            }
            store["/radius"].add(fields)
