"""Everything that can be set on a simulated RouterOS API. What MikroTik does not document is a switch here."""

from __future__ import annotations

import enum
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from simulators.routeros.fields import Version

PLAIN_LOGIN_SINCE: Version = (6, 43)
CHALLENGE_LOGIN_UNTIL: Version = (6, 45, 1)  # its release note: the old API login no longer works
PORT_MAX = 65_535
EMPTY_SINCE: Version = (7, 18)
_VERSION = re.compile(r"\d+(\.\d+){1,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiUser:
    """A user of the router. `group` is read, write, full or one of `RouterOsSettings.groups`."""

    name: str
    password: str = field(default="", repr=False)
    group: str = "full"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The certificate (PEM) and key of api-ssl."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Return what a server needs; OSError (ssl.SSLError too) for files that are no certificate and key."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Break(enum.Enum):
    """How one command goes wrong."""

    BEFORE = "before"  # the connection drops before the command is carried out
    AFTER = "after"  # it is carried out, then the connection drops without a word
    MID_REPLY = "mid reply"  # it is carried out, and half of the answer arrives
    SILENT = "silent"  # it is carried out, no answer comes and the connection stays
    FATAL = "fatal"  # it is not carried out: !fatal, then the connection closes
    TRAP = "trap"  # it is not carried out: !trap with `failure: interrupted`
    REBOOT = "reboot"  # it is carried out, then the router reboots


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFaults:
    """Seeded trouble. Shares are from 0 to 1 and apply to each command, times are in seconds."""

    latency_s: float = 0.0  # between a command's arrival and the router seeing it; commands sent together overlap
    jitter_s: float = 0.0  # added to it, uniform from 0 to this; order is kept
    breaks: Mapping[Break, float] = field(default_factory=dict)
    slow: Mapping[str, float] = field(default_factory=dict)  # seconds that print takes, by menu
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.latency_s, self.jitter_s, *self.slow.values()) < 0:
            raise ValueError("latency_s, jitter_s and the times of slow menus must not be negative")
        if any(share < 0 for share in self.breaks.values()) or sum(self.breaks.values()) > 1:
            raise ValueError("the shares of breaks lie between 0 and 1, and so does their sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOsSettings:
    """One router's API. Ports of 0 take any free one."""

    version: str = "7.16.1"
    identity: str = "MikroTik"
    board: str = "CCR2004-1G-12S+2XS"
    address: str = "127.0.0.1"
    port: int = 0  # api
    tls: TlsFiles | None = None  # None: no api-ssl
    tls_port: int = 0
    users: tuple[ApiUser, ...] = (ApiUser(name="admin"),)
    groups: Mapping[str, str] = field(default_factory=dict)  # policies of groups beside read, write and full
    interfaces: tuple[str, ...] = ("ether1", "ether2", "ether3", "ether4", "ether5")
    rows_max: Mapping[str, int] = field(default_factory=dict)  # a menu with this many rows takes no more
    boot_s: float = 0.0  # how long a rebooting router refuses connections
    shows_connections: bool = True  # version 7: /ip/service has a dynamic row of the same name for each connection
    clock_skew_s: float = 0.0  # what /system/clock is ahead of the world
    dynamic_removable: bool = False  # whether removing a session's queue or list entry is allowed
    timeout_changeable: bool = False  # whether the timeout of a list entry can be set anew; False: remove and add
    cookie_checks_user: bool = False  # whether coming back by cookie looks at the user again
    sensitive_shown_as: Literal["stars", "nothing"] = "stars"  # what users without "sensitive" see of a password
    faults: ApiFaults = field(default_factory=ApiFaults)

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version):
            raise ValueError(f"{self.version!r} is no RouterOS version, write it like 7.16.1")
        if self.release < (6,):
            raise ValueError("versions before 6 are not simulated")
        ipaddress.IPv4Address(self.address)
        if not all(0 <= port <= PORT_MAX for port in (self.port, self.tls_port)):
            raise ValueError(f"a port lies between 0 and {PORT_MAX}, these are {self.port} and {self.tls_port}")
        if not self.users:
            raise ValueError("a router needs at least one user")

    @property
    def release(self) -> Version:
        """Return the version as numbers."""
        return tuple(int(part) for part in self.version.split("."))
