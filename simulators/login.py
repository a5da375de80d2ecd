"""One login: the Access-Request, and what the router makes of the reply (RouterOS RADIUS page)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from simulators import attributes, packets, rate_limit
from simulators.attributes import Pair
from simulators.clock import Clock
from simulators.packets import Proof, Reply
from simulators.pools import DEFAULT_POOL, PoolEmptyError, Pools, UnknownPoolError
from simulators.radius_client import Build
from simulators.services import Call, Calls, identity, is_hotspot
from simulators.sessions import Applied, Session
from simulators.settings import Client, NasSettings

Lease = tuple[str, str]  # (pool, address)


@dataclass(frozen=True, slots=True)
class LoginResult:
    """How a login ended. Accepted means online; `problem` says in words why it is not, where no server said so."""

    accepted: bool
    timed_out: bool = False
    attributes: tuple[tuple[str, str], ...] = ()
    reply_message: str = ""
    round_trip_ms: float = 0.0
    session: Session | None = None
    problem: str = ""

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of one reply attribute."""
        return tuple(value for found, value in self.attributes if found == name)


class NotAdmittedError(Exception):
    """The server said yes, but this router or its client could not use the answer."""


class Attempt:
    """A client at the door: everything that belongs to one Access-Request."""

    def __init__(self, settings: NasSettings, client: Client, calls: Calls, pools: Pools, random: Random) -> None:
        """Take a session id and, for a hotspot, the host address; ValueError for a value that fits no attribute."""
        self.client = client
        self._settings = settings
        self._pools = pools
        self.leases: list[Lease] = []
        host_ip = ""
        if is_hotspot(client):
            host_ip = client.host_ip or self.lease(DEFAULT_POOL)
        self.call = Call(calls.next_port(client.method), host_ip)
        self._authenticator = random.randbytes(16)
        try:
            self.identity = attributes.encode_all(identity(settings, client, self.call))
            self._proof = self._prove(random)
        except ValueError:
            self.give_back()
            raise

    def _prove(self, random: Random) -> Proof:
        return packets.prove(
            self.client.protocol,
            self.client.login_name.encode("utf-8", "surrogateescape"),
            self.client.password,
            authenticator=self._authenticator,
            secret=self._settings.key,
            random=random,
        )

    def lease(self, pool: str) -> str:
        """Take an address from a pool; it goes back when the session ends or the login fails."""
        address = self._pools.take(pool)
        self.leases.append((pool, address))
        return address

    def give_back(self) -> None:
        """Return what was leased, after a login that led nowhere."""
        for pool, address in self.leases:
            self._pools.give_back(pool, address)
        self.leases.clear()

    def request(self) -> Build:
        """Return how to write the Access-Request; every resend is the same packet."""
        extra: list[Pair] = list(self._proof.pairs)
        if is_hotspot(self.client):
            extra.append(("Framed-IP-Address", self.call.host_ip))
        body = self.identity + attributes.encode_all(extra)
        settings, authenticator = self._settings, self._authenticator
        key, signed = settings.key, settings.signs_access_requests

        def build(identifier: int, _delay_s: int) -> bytes:
            return packets.access_request(identifier, authenticator, body, key, signed=signed)

        return build

    def admit(self, reply: Reply, clock: Clock) -> Session:
        """Turn an Access-Accept into a session; raises NotAdmittedError."""
        if not self._proof.server_is_genuine(reply):
            raise NotAdmittedError("the server did not prove that it knows the password (MS-CHAP2-Success, RFC 2759)")
        applied = grouped(attributes.describe(reply.pairs))
        self._check_rate_limit(applied)
        session = Session(self.client, self.call, self.identity, clock, address=self._address(applied))
        session.attributes = applied
        session.class_values = reply.all("Class")
        session.leases = self.leases
        return session

    def _check_rate_limit(self, applied: Applied) -> None:
        for text in applied.get("Mikrotik-Rate-Limit", ()):
            try:
                rate_limit.limits_bps(text)
            except ValueError as error:
                if self._settings.refuses_malformed_rate_limit:
                    raise NotAdmittedError(str(error)) from error

    def _address(self, applied: Applied) -> str:
        framed = applied.get("Framed-IP-Address", ("",))[0]
        if framed and _is_usable(framed):
            return framed
        pool = "" if framed else applied.get("Framed-Pool", (DEFAULT_POOL,))[0]
        if pool == DEFAULT_POOL and self.call.host_ip:
            return self.call.host_ip  # a hotspot host keeps the address it came with
        try:
            return self.lease(pool)
        except (UnknownPoolError, PoolEmptyError) as error:
            raise NotAdmittedError(str(error)) from error


def _is_usable(address: str) -> bool:
    """Tell a real address from 127.0.0.0/8 and 224.0.0.0/3, which mean "use the profile's pool"."""
    first = int(address.partition(".")[0])
    return first != 127 and first < 224


def grouped(pairs: tuple[tuple[str, str], ...]) -> Applied:
    """Return the values of each attribute by its name, in order."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(name, []).append(text)
    return {name: tuple(values) for name, values in found.items()}


def result_of(reply: Reply, round_trip_ms: float, session: Session | None, problem: str = "") -> LoginResult:
    """Return the result of a login that was answered."""
    pairs = attributes.describe(reply.pairs)
    return LoginResult(
        accepted=session is not None,
        attributes=pairs,
        reply_message="".join(text for name, text in pairs if name == "Reply-Message"),
        round_trip_ms=round_trip_ms,
        session=session,
        problem=problem,
    )
