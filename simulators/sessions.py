"""Live sessions: what the router applies to each, what it counts, and how a request finds one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from simulators import rate_limit
from simulators.attributes import key_of
from simulators.clock import Clock
from simulators.services import Call
from simulators.settings import Client, IdentifyBy, TerminateCause

USER_NAME = key_of("User-Name")
SESSION_ID = key_of("Acct-Session-Id")
FRAMED_IP = key_of("Framed-IP-Address")
CALLING_STATION = key_of("Calling-Station-Id")
PACKET_BYTES = 1000  # what an average packet carries, for Acct-Input-Packets and Acct-Output-Packets

Applied = dict[str, tuple[str, ...]]


class Session:
    """One client online. `attributes` is what is in force now: the Access-Accept, then what CoA changed in it."""

    __slots__ = (
        "_carry_down",
        "_carry_up",
        "_clock",
        "_download_bps",
        "_moved",
        "_settled_s",
        "_upload_bps",
        "accounting",
        "address",
        "attributes",
        "call",
        "class_values",
        "client",
        "deadline_s",
        "download_octets",
        "ended_by",
        "identifiers",
        "identity",
        "idle_watched",
        "last_traffic_s",
        "leases",
        "local",
        "online",
        "started_s",
        "upload_octets",
    )

    def __init__(self, client: Client, call: Call, identity: bytes, clock: Clock, *, address: str) -> None:
        self.client = client
        self.call = call
        self.identity = identity  # the attributes common to all its packets, ready to send
        self.address = address
        self.attributes: Applied = {}
        self.class_values: tuple[bytes, ...] = ()
        self.leases: list[tuple[str, str]] = []  # (pool, address) to give back at the end
        self.accounting = True
        self.local = False  # let in by the router's own secret or user, RADIUS was not asked
        self.online = True
        self.ended_by: TerminateCause | None = None  # None also after a reboot: nobody was told
        self.deadline_s: float | None = None
        self.idle_watched = False
        self.upload_octets = 0
        self.download_octets = 0
        self.identifiers = {
            SESSION_ID: call.session_id.encode(),
            USER_NAME: client.login_name.encode("utf-8", "surrogateescape"),
            FRAMED_IP: bytes(map(int, address.split("."))),
            CALLING_STATION: client.calling_station.encode(),
        }
        self._clock = clock
        self._upload_bps = client.upload_bps
        self._download_bps = client.download_bps
        self._carry_up = 0.0
        self._carry_down = 0.0
        self._moved: Callable[[Session], None] | None = None
        self.started_s = self.last_traffic_s = self._settled_s = clock.now()

    def __repr__(self) -> str:
        state = "online" if self.online else "ended"
        return f"<Session {self.session_id} {self.username!r} {self.address} {state}>"

    @property
    def session_id(self) -> str:
        """Return Acct-Session-Id."""
        return self.call.session_id

    @property
    def username(self) -> str:
        """Return User-Name as sent."""
        return self.client.login_name

    @property
    def rate_limit(self) -> str:
        """Return Mikrotik-Rate-Limit in force, upload first; "" for the profile's default."""
        return self.first("Mikrotik-Rate-Limit")

    @property
    def address_lists(self) -> tuple[str, ...]:
        """Return the firewall address lists the session's address is in."""
        return self.attributes.get("Mikrotik-Address-List", ())

    @property
    def session_timeout_s(self) -> int | None:
        """Return Session-Timeout in force."""
        return self._seconds("Session-Timeout")

    @property
    def idle_timeout_s(self) -> int | None:
        """Return Idle-Timeout in force."""
        return self._seconds("Idle-Timeout")

    @property
    def age_s(self) -> int:
        """Return whole seconds since the login: Acct-Session-Time."""
        return int(self._clock.now() - self.started_s)

    def first(self, name: str) -> str:
        """Return the first value of an attribute in force, "" without one."""
        return self.attributes.get(name, ("",))[0]

    def change(self, name: str, values: tuple[str, ...]) -> None:
        """Put an attribute in force; traffic so far is counted under the old one."""
        self.settle()
        self.attributes[name] = values

    def watch(self, moved: Callable[[Session], None]) -> None:
        """Call `moved` whenever traffic has been counted, so that limits bite."""
        self._moved = moved

    def set_traffic(self, upload_bps: int, download_bps: int) -> None:
        """From now on move this much, as far as the session's rate limit allows."""
        self.settle()
        self._upload_bps, self._download_bps = upload_bps, download_bps

    def add_traffic(self, upload_bytes: int, download_bytes: int) -> None:
        """Count this many bytes at once. ValueError when negative: counters only grow."""
        if upload_bytes < 0 or download_bytes < 0:
            raise ValueError("traffic cannot be negative")
        self.settle()
        self.upload_octets += upload_bytes
        self.download_octets += download_bytes
        self.last_traffic_s = self._clock.now()
        if self._moved is not None:
            self._moved(self)

    def settle(self) -> None:
        """Bring the counters up to this moment."""
        now_s = self._clock.now()
        elapsed_s, self._settled_s = now_s - self._settled_s, now_s
        if not self.online or elapsed_s <= 0.0 or not (self._upload_bps or self._download_bps):
            return
        limit_up, limit_down = self.limits_bps()
        up = min(self._upload_bps, limit_up or self._upload_bps) * elapsed_s / 8.0 + self._carry_up
        down = min(self._download_bps, limit_down or self._download_bps) * elapsed_s / 8.0 + self._carry_down
        self.upload_octets += int(up)
        self.download_octets += int(down)
        self._carry_up, self._carry_down = up - int(up), down - int(down)
        self.last_traffic_s = now_s

    def limits_bps(self) -> tuple[int, int]:
        """Return (upload, download), 0 for none: Rate-Limit before Ascend before WISPr (RouterOS RADIUS page)."""
        if "Mikrotik-Rate-Limit" in self.attributes:
            try:
                return rate_limit.limits_bps(self.rate_limit)
            except ValueError:
                return (0, 0)  # only where the router ignores what it cannot read
        data = [int(value) for value in self.attributes.get("Ascend-Data-Rate", ())]
        send = int(self.first("Ascend-Xmit-Rate") or 0)
        if send:
            return (data[0] if data else 0, send)
        if data:
            return (data[1] if len(data) > 1 else 0, data[0])
        return (int(self.first("WISPr-Bandwidth-Max-Up") or 0), int(self.first("WISPr-Bandwidth-Max-Down") or 0))

    def limit_reached(self) -> bool:
        """Tell whether a byte limit is used up: Recv is upload, Xmit download, Total both."""
        used = {
            "Recv": self.upload_octets,
            "Xmit": self.download_octets,
            "Total": self.upload_octets + self.download_octets,
        }
        return any(0 < self._limit_bytes(name) <= octets for name, octets in used.items())

    def _limit_bytes(self, which: str) -> int:
        low = int(self.first(f"Mikrotik-{which}-Limit") or 0)
        return int(self.first(f"Mikrotik-{which}-Limit-Gigawords") or 0) << 32 | low

    def _seconds(self, name: str) -> int | None:
        text = self.first(name)
        return int(text) if text else None


class SessionTable:
    """All live sessions of a router, found by what CoA and Disconnect may name."""

    def __init__(self) -> None:
        self._by_value: dict[int, dict[bytes, list[Session]]] = {SESSION_ID: {}, FRAMED_IP: {}, USER_NAME: {}}
        self._all: dict[Session, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._all))

    def add(self, session: Session) -> None:
        """Put a session in."""
        self._all[session] = None
        for key, index in self._by_value.items():
            index.setdefault(session.identifiers[key], []).append(session)

    def remove(self, session: Session) -> None:
        """Take a session out; one that is not in does no harm."""
        if session not in self._all:
            return
        del self._all[session]
        for key, index in self._by_value.items():
            value = session.identifiers[key]
            index[value].remove(session)
            if not index[value]:
                del index[value]

    def clear(self) -> None:
        """Forget all of them."""
        self._all.clear()
        for index in self._by_value.values():
            index.clear()

    def by_username(self, username: str) -> tuple[Session, ...]:
        """Return the live sessions of one user, oldest first."""
        return tuple(self._by_value[USER_NAME].get(username.encode("utf-8", "surrogateescape"), ()))

    def by_session_id(self, session_id: str) -> Session | None:
        """Return the live session with this Acct-Session-Id."""
        found = self._by_value[SESSION_ID].get(session_id.encode())
        return found[0] if found else None

    def find(self, wanted: dict[int, bytes], by: IdentifyBy) -> list[Session]:
        """Return the sessions that all (or any) of the given identifiers name."""
        if by is IdentifyBy.ANY:
            return self._find_any(wanted)
        for key, index in self._by_value.items():
            if key in wanted:
                candidates = index.get(wanted[key], [])
                if len(wanted) == 1:
                    return list(candidates)
                return [
                    session
                    for session in candidates
                    if all(session.identifiers[other] == value for other, value in wanted.items())
                ]
        return [session for session in self._all if session.identifiers[CALLING_STATION] == wanted[CALLING_STATION]]

    def _find_any(self, wanted: dict[int, bytes]) -> list[Session]:
        found: dict[Session, None] = {}
        for key, index in self._by_value.items():
            if key in wanted:
                found.update(dict.fromkeys(index.get(wanted[key], ())))
        if CALLING_STATION in wanted:
            station = wanted[CALLING_STATION]
            found.update(dict.fromkeys(one for one in self._all if one.identifiers[CALLING_STATION] == station))
        return list(found)
