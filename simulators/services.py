"""What each service puts into its requests (RouterOS RADIUS page, attributes sent; hotspot also by a public log)."""

from __future__ import annotations

from dataclasses import dataclass

from simulators.attributes import Pair
from simulators.settings import Client, NasSettings

SESSIONS_PER_BOOT = 1 << 20  # five hex digits of Acct-Session-Id; RouterOS promises about a million
_PREFIX = {"hotspot": 0x80, "hotspot_mac": 0x80, "pppoe": 0x81, "dhcp": 0x82}


@dataclass(frozen=True, slots=True)
class Call:
    """The numbers RouterOS gives to one login: NAS-Port, and the same in hex as Acct-Session-Id."""

    nas_port: int
    host_ip: str = ""

    @property
    def session_id(self) -> str:
        """Return Acct-Session-Id: two symbols of service, one of boot, the rest of the session."""
        return f"{self.nas_port:08x}"


class Calls:
    """Counts logins per service within one boot."""

    def __init__(self, boot: int) -> None:
        self._boot = boot
        self._counts: dict[int, int] = {}

    def next_port(self, method: str) -> int:
        """Return the next NAS-Port number of the service."""
        prefix = _PREFIX[method]
        count = self._counts.get(prefix, 0)
        self._counts[prefix] = (count + 1) % SESSIONS_PER_BOOT
        return prefix << 24 | (self._boot & 0xF) << 20 | count

    def reboot(self) -> None:
        """Move the boot digit; after 16 reboots it repeats, as on the real router."""
        self._boot += 1
        self._counts.clear()

    @property
    def boot(self) -> int:
        """Return how often this router has booted."""
        return self._boot


def is_hotspot(client: Client) -> bool:
    """Tell whether the client logs in to a hotspot, by form or by MAC."""
    return client.method in {"hotspot", "hotspot_mac"}


def identity(settings: NasSettings, client: Client, call: Call) -> list[Pair]:
    """Return what Access-Request and every accounting record of a session have in common."""
    pairs: list[Pair] = []
    if client.method == "pppoe":
        pairs += [("Service-Type", "Framed-User"), ("Framed-Protocol", "PPP")]
    elif is_hotspot(client):
        pairs += [("Service-Type", "Login-User")]
    port_type = settings.hotspot_port_type if is_hotspot(client) else "Ethernet"
    pairs += [
        ("NAS-Port", call.nas_port),
        ("NAS-Port-Type", port_type),
        ("User-Name", client.login_name),
        ("Calling-Station-Id", client.calling_station),
        ("Called-Station-Id", client.service_name),
        ("NAS-Port-Id", client.interface),
        ("Acct-Session-Id", call.session_id),
    ]
    if is_hotspot(client):
        pairs.append(("Mikrotik-Host-IP", call.host_ip))
    pairs += [("NAS-Identifier", settings.name), ("NAS-IP-Address", settings.nas_ip)]
    return pairs
