"""Everything that can be set on a simulated router, and what its verbs take and give.

What MikroTik does not document is a switch here, off on the unkind side where a side can be told.
"""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from simulators.faults import FaultSettings

Method = Literal["pppoe", "hotspot", "hotspot_mac", "dhcp"]
Protocol = Literal["pap", "chap", "mschapv2"]
METHODS: tuple[str, ...] = get_args(Method)
PROTOCOLS: tuple[str, ...] = get_args(Protocol)

IDENTIFIERS_PER_SOCKET = 256  # RFC 2865 section 3: the identifier is one octet
SOCKETS_MAX = 64  # a process of 50 routers stays below the usual 4,096 open files
RECEIVED_KEPT_MAX = 10_000  # one full bench run of CoA requests
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-]?[0-9A-Fa-f]{2}){5}")


class RadiusServer(NamedTuple):
    """One ``/radius`` entry."""

    address: str
    auth_port: int = 1812
    acct_port: int = 1813


class UnsupportedByCoA(enum.Enum):
    """What a router does with a change it cannot make; RouterOS does not say."""

    IGNORE = "ignore"  # answers ACK and leaves the session as it was
    NAK = "nak"  # answers NAK with Error-Cause 401


class IdentifyBy(enum.Enum):
    """How several session identifiers in one CoA or Disconnect are read; RouterOS does not say."""

    ALL = "all"
    ANY = "any"


class AccountingOutcome(enum.Enum):
    """How one accounting record ended."""

    ACKNOWLEDGED = "acknowledged"
    GIVEN_UP = "given up"


class TerminateCause(enum.Enum):
    """Acct-Terminate-Cause (RFC 2866 section 5.10), by the names of the dictionary."""

    USER_REQUEST = "User-Request"
    LOST_CARRIER = "Lost-Carrier"
    IDLE_TIMEOUT = "Idle-Timeout"
    SESSION_TIMEOUT = "Session-Timeout"
    ADMIN_RESET = "Admin-Reset"
    NAS_REQUEST = "NAS-Request"  # a byte limit was reached


@dataclass(frozen=True, slots=True, kw_only=True)
class NasSettings:
    """One router. Times in seconds; `address` is what it binds to and sends from."""

    name: str  # /system identity, sent as NAS-Identifier
    address: str
    radius: tuple[RadiusServer | tuple[str, int, int], ...]
    secret: bytes | str = field(repr=False)
    nas_ip_address: str = ""  # sent as NAS-IP-Address; "" sends `address`. Behind NAT the two differ
    radius_timeout_s: float = 3.0
    radius_tries: int = 3  # sends to one server before the next one is asked
    radius_sockets: int = 4
    radius_in_flight_max: int = 128  # requests without an answer; a server's usual socket buffer holds about 200
    signs_access_requests: bool = True  # Message-Authenticator in Access-Request
    require_message_auth: bool = True  # /radius require-message-auth=yes-for-request-resp, default since 7.15
    interim_update_s: float = 0.0  # /ppp aaa interim-update; 0 sends none unless the server asks
    hotspot_interim_received: bool = True  # hotspot profile radius-interim-update=received
    hotspot_port_type: str = "Wireless-802.11"  # hotspot profile nas-port-type
    pool: str = "10.64.0.0/14"  # addresses for logins whose reply names none
    pools: Mapping[str, str] = field(default_factory=dict)  # /ip pool: Framed-Pool names it by these
    refuses_malformed_rate_limit: bool = True  # the login fails; False ignores the attribute
    accept_incoming: bool = True  # /radius incoming accept; RouterOS ships it off
    coa_port: int = 3799  # 0 takes any free port
    check_coa_source: bool = True  # requests from other addresses are dropped in silence
    coa_sources: tuple[str, ...] | None = None  # None: the addresses of `radius`
    coa_identify_by: IdentifyBy = IdentifyBy.ALL
    coa_requires: tuple[str, ...] = ()  # attributes without which a request is answered with NAK 402
    coa_address_list: bool = False  # whether CoA applies Mikrotik-Address-List
    coa_unsupported: UnsupportedByCoA = UnsupportedByCoA.IGNORE
    session_timeout_restarts_on_coa: bool = False  # False counts the new timeout from the login
    ack_without_effect: bool = False  # answers ACK and does nothing
    require_message_authenticator_on_coa: bool = False
    class_changes_by_coa: bool = field(default=False, init=False)  # Class is the login's, always
    boot: int = 1  # the digit of Acct-Session-Id that moves with every reboot
    clock_skew_s: float = 0.0  # added to Event-Timestamp: a router without NTP
    received_kept: int = RECEIVED_KEPT_MAX
    faults: FaultSettings = field(default_factory=FaultSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        ipaddress.IPv4Address(self.address)
        if self.nas_ip_address:
            ipaddress.IPv4Address(self.nas_ip_address)
        for pool in (self.pool, *self.pools.values()):
            ipaddress.IPv4Network(pool)
        if not self.radius:
            raise ValueError("a router needs at least one RADIUS server")
        if not self.secret:
            raise ValueError("the RADIUS secret must not be empty")
        if not 1 <= self.radius_sockets <= SOCKETS_MAX:
            raise ValueError(f"radius_sockets must be from 1 to {SOCKETS_MAX}, it is {self.radius_sockets}")
        if self.radius_timeout_s <= 0 or self.radius_tries < 1 or self.radius_in_flight_max < 1:
            raise ValueError("radius_timeout_s, radius_tries and radius_in_flight_max must be above zero")
        if self.interim_update_s < 0:
            raise ValueError("interim_update_s must not be negative")

    @property
    def key(self) -> bytes:
        """Return the secret as bytes."""
        return self.secret if isinstance(self.secret, bytes) else self.secret.encode()

    @property
    def nas_ip(self) -> str:
        """Return what NAS-IP-Address says."""
        return self.nas_ip_address or self.address

    @property
    def servers(self) -> tuple[RadiusServer, ...]:
        """Return the RADIUS servers in the order they are asked."""
        return tuple(RadiusServer(*server) for server in self.radius)

    @property
    def allowed_coa_sources(self) -> frozenset[str]:
        """Return the addresses whose CoA and Disconnect are looked at."""
        if self.coa_sources is not None:
            return frozenset(self.coa_sources)
        return frozenset(server.address for server in self.servers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A subscriber's device. Traffic is in bits a second, seen from the subscriber."""

    username: str = ""  # for hotspot_mac and dhcp an empty name means the MAC address
    password: str = field(default="", repr=False)
    mac: str
    method: Method = "pppoe"
    protocol: Protocol = "pap"
    interface: str = "ether2"
    service_name: str = "service1"  # PPPoE service, hotspot server or DHCP server
    host_ip: str = ""  # hotspot: the address before translation; "" takes one from the pool
    redial_s: float | None = None  # dials again by itself this long after it was thrown out
    upload_bps: int = 0
    download_bps: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"{self.method!r} is no method, use one of {', '.join(METHODS)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"{self.protocol!r} is no protocol, use one of {', '.join(PROTOCOLS)}")
        if not _MAC.fullmatch(self.mac):
            raise ValueError(f"{self.mac!r} is no MAC address, write it like 02:00:00:00:00:01")
        if not self.username and self.method in {"pppoe", "hotspot"}:
            raise ValueError(f"a {self.method} client needs a user name")

    @property
    def calling_station(self) -> str:
        """Return the MAC address as RouterOS writes it: upper case with colons."""
        digits = self.mac.replace(":", "").replace("-", "").upper()
        return ":".join(digits[start : start + 2] for start in range(0, 12, 2))

    @property
    def login_name(self) -> str:
        """Return what is sent as User-Name."""
        return self.username or self.calling_station


@dataclass(slots=True)
class Counters:
    """``/radius monitor`` and what a bench wants to know beside it. They survive a reboot."""

    requests: int = 0  # distinct requests, without resends
    resends: int = 0
    timeouts: int = 0
    bad_replies: int = 0
    late_replies: int = 0  # to nobody who still waits
    accepts: int = 0
    rejects: int = 0
    acct_acked: int = 0
    acct_given_up: int = 0
    coa_received: int = 0
    coa_acked: int = 0
    coa_naked: int = 0
    coa_dropped: int = 0
    coa_duplicates: int = 0
