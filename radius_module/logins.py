"""A login from request to answer, without FreeRADIUS's own types: what `entry` passes in and hands back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from policy.access import Access, Kind, decide, refusal_by_wrong_password, session_timeout_s
from policy.attributes import reply_attributes
from policy.facts import Facts, Login, Method, OpenSession, OperatorFacts
from policy.mac import canonical_mac
from policy.quota import NO_USAGE, UsageState
from policy.reasons import Reason
from policy.stamp import class_of, parts_of_stamp, stamp, stamp_with_address
from radius_module.pairs import ADD, Pair, checked
from radius_module.records import (
    HAS_OWN,
    HAS_PASSWORD,
    HAS_PREPAID,
    HAS_SPECIAL,
    KIND_BYTES,
    address_alone,
    password_at,
    prepaid_until_s,
    without_binding,
)
from radius_module.replica import Generation, LoginRow, Replica, login_row

Request = Mapping[str, str]

# Kinds of services that the answer is kept for: plans times standings times ways of asking. More means that plans were
# edited.
STANDARD_ANSWERS = 4096
# A prepaid end that lies behind every other moment at which an access may change.
LATEST = datetime.max.replace(tzinfo=UTC)

# The password is not known or not wanted; the decision alone accepts.
ACCEPT_ALONE = None
# In a note: what edge may learn from this login, once its password has proved right.
LEARN = " learn="


class Answer(NamedTuple):
    """What to answer. `password` is what the client must prove; ACCEPT_ALONE where the decision itself accepts.

    `note` goes to the spool; "" writes none.
    """

    accepted: bool
    reply: tuple[Pair, ...] = ()
    password: str | None = ACCEPT_ALONE
    note: str = ""

    def __repr__(self) -> str:
        """Never shows the password."""
        return f"Answer(accepted={self.accepted}, reply={self.reply!r}, note={self.note!r})"


class _Standard(NamedTuple):
    """What every service of a kind is answered: the attributes without Class, and the stamp in Class.

    What a service may have of its own is left out: the address (then the stamp is in two parts, and the address belongs
    between them), and the Session-Timeout of prepaid time (`plan_session_timeout_s` is the plan's part of it).
    """

    reply: tuple[Pair, ...]
    stamp: str | tuple[str, str]
    plan_session_timeout_s: int


class UnknownRouter(Exception):  # noqa: N818 - reads as what happened
    """The packet's source is no router (any more): silence, since any answer would be signed with a secret gone."""


class Logins:
    """Answers logins from a replica. `clock` gives the local time in seconds of the epoch."""

    def __init__(self, replica: Replica, clock: Callable[[], float]) -> None:
        """Makes the prefix of this process's login ids: 64 random bits, so that restarts never repeat one."""
        self._replica = replica
        self._clock = clock
        self._prefix = os.urandom(8).hex()
        self._numbers = count(1)

    def authorize(self, request: Request, source: str) -> Answer:
        """The answer to an Access-Request from `source`. Raises NoReplica, UnknownRouter or UnfitValue."""
        usual = self.usual(request, source)
        return self.decided(request, source) if usual is None else Answer(True, *usual)

    def usual(self, request: Request, source: str) -> tuple[tuple[Pair, ...], str] | None:
        """Reply and password of a login whose kind was decided before; None for every other. Raises as `authorize`.

        A service that has nothing of its own but its password gets what all of its kind get, so that is decided once.
        Its kind is all that KIND holds, and the way of asking. Another address or prepaid end makes no other kind;
        services that have more of their own are decided each time.
        """
        generation = self._replica.generation()
        found = generation.find(source, request.get("User-Name", ""))
        if found is None:
            raise UnknownRouter(source)
        _, service_id, value = found
        if value is None:
            return None
        address: str | None = ""
        if value[0] & HAS_SPECIAL:
            value = without_binding(value, canonical_mac(request.get("Calling-Station-Id", "")))
            address = address_alone(value)
        standard: _Standard | None = generation.derived.get(_kind(request, value))
        if standard is None or address is None:
            return None
        reply, access_stamp, plan_session_timeout_s = standard
        if type(access_stamp) is not str:
            reply = (*reply, checked("Framed-IP-Address", address))
            access_stamp = stamp_with_address(access_stamp, address)
        at = KIND_BYTES
        if value[0] & HAS_OWN:
            at = password_at(value)
            if value[0] & HAS_PREPAID:
                left_s = prepaid_until_s(value) - max(self._clock(), generation.table.time())
                if left_s <= 0:
                    return None
                reply = (*reply, ("Session-Timeout", ADD, str(session_timeout_s(plan_session_timeout_s, left_s))))
        return (*reply, self._class(service_id, access_stamp)), value[at:].decode()

    def decided(self, request: Request, source: str) -> Answer:
        """As `authorize`, whatever was decided before."""
        generation = self._replica.generation()
        found = generation.find(source, request.get("User-Name", ""))
        if found is None:
            raise UnknownRouter(source)
        row = login_row(found)
        login = read_login(request, row.router_id)
        facts, now = self._facts(row)
        access = decide(facts, login, now)
        if access.kind == Kind.DENY:
            if facts.operator.refusals == ():
                # The operator's choices are only read where a refusal is at hand.
                facts = facts._replace(operator=self._replica.operator(row.operator_id))
                access = decide(facts, login, now)
            if access.kind == Kind.DENY:
                return Answer(accepted=False, note=note(row, access.reason))
        elif (kind := _common_kind(request, found[2])) is not None:
            _keep(generation, kind, _for_its_kind(facts, login, now))
        return self._accept(request, row, login, access)

    def wrong_password(self, request: Request, source: str) -> Answer:
        """The answer once the password proved wrong: a refusal, or a restricted login where the operator chose so."""
        row = self._replica.login(source, request.get("User-Name", ""))
        if row is None:
            raise UnknownRouter(source)
        facts = Facts(self._replica.operator(row.operator_id))
        access = refusal_by_wrong_password(facts)
        if access.kind == Kind.DENY or _is_mschap(request):
            return Answer(accepted=False, note=note(row, Reason.WRONG_PASSWORD))
        return Answer(accepted=True, reply=self._reply(access, 0), note=note(row, Reason.WRONG_PASSWORD))

    def annotate(self, request: Request, source: str) -> str:
        """The note for an accounting record: router, operator, service, and the stamp that is authorised now."""
        row = self._replica.login(source, request.get("User-Name", ""))
        if row is None:
            raise UnknownRouter(source)
        if row.service is None:
            return f"operator={row.operator_id} router={row.router_id}"
        facts, now = self._facts(row)
        # The session that is told of is no other one.
        access = decide(facts._replace(sessions=()), read_login(request, row.router_id), now)
        return (
            f"operator={row.operator_id} router={row.router_id} service={row.service.service_id} stamp={stamp(access)}"
        )

    def now(self, facts: Facts, usage: UsageState = NO_USAGE) -> datetime:
        """The later of the local clock and the newest time that edge has seen; the latter only where time matters."""
        moment = self._clock()
        if (
            usage is not NO_USAGE
            or (facts.service and facts.service.prepaid_until)
            or (facts.plan and facts.plan.windows)
        ):
            moment = max(moment, self._replica.newest_time())
        return datetime.fromtimestamp(moment, UTC)

    def _facts(self, row: LoginRow) -> tuple[Facts, datetime]:
        """What is known of the service, and the moment at which it is decided on."""
        facts = Facts(_without_choices(row.operator_id))
        if row.service is not None:
            facts = facts._replace(
                service=row.service, plan=self._replica.plan(row.service.plan_version_id), bindings=row.bindings
            )
        now = self.now(facts, row.usage)
        if row.usage is not NO_USAGE:
            others = tuple([OpenSession(one.mac, one.fresh_until > now) for one in row.usage.sessions])
            facts = facts._replace(usage=row.usage.spans, sessions=others)
        return facts, now

    def _accept(self, request: Request, row: LoginRow, login: Login, access: Access) -> Answer:
        service_id = row.service.service_id if row.service is not None else 0
        if row.service is None:
            # Restricted although unknown: there is no password to prove, and MS-CHAPv2 makes the server prove it too.
            if _is_mschap(request):
                return Answer(accepted=False, note=note(row, access.reason))
            return Answer(accepted=True, reply=self._reply(access, 0))
        if row.password is None and not _logs_in_by_mac(request, row, login):
            return Answer(accepted=False, note=note(row, Reason.WRONG_PASSWORD))
        learn = _to_learn(row, login)
        return Answer(
            accepted=True,
            reply=self._reply(access, service_id),
            password=row.password,
            note=f"{note(row, access.reason)}{LEARN}{learn}" if learn else "",
        )

    def _reply(self, access: Access, service_id: int) -> tuple[Pair, ...]:
        return (*_static_reply(access), self._class(service_id, stamp(access)))

    def _class(self, service_id: int, access_stamp: str) -> Pair:
        # Octets that do not begin with 0x are taken as they stand; as hexadecimal text both sides would convert them.
        return ("Class", ADD, class_of(f"{self._prefix}{next(self._numbers):016x}", service_id, access_stamp))


# A frozen dataclass costs as much to make as the decision.
_without_choices = lru_cache(maxsize=256)(OperatorFacts)


def _kind(request: Request, value: bytes) -> object:
    return value[:KIND_BYTES], request.get("Framed-Protocol"), request.get("Service-Type")


def _common_kind(request: Request, value: bytes | None) -> object | None:
    """What `_kind` says of a service that is answered as all of its kind; None for one that has more of its own."""
    if value is None or not value[0] & HAS_PASSWORD:
        return None
    value = without_binding(value, canonical_mac(request.get("Calling-Station-Id", "")))
    return None if address_alone(value) is None else _kind(request, value)


def _for_its_kind(facts: Facts, login: Login, now: datetime) -> _Standard | None:
    """The answer for every service of this kind, or None where it changes by itself.

    Only what the replica's one generation says of plan and standing may enter it, and no clock: a prepaid end is taken
    to lie behind everything else, and whoever uses the answer looks whether it has come.
    """
    service = facts.service
    if service is None:
        return None
    facts = facts._replace(service=service._replace(prepaid_until=service.prepaid_until and LATEST))
    access = decide(facts, login, now)
    if access.kind == Kind.DENY or access.valid_until != (service.prepaid_until and LATEST):
        return None
    plain = access._replace(session_timeout_s=0) if service.prepaid_until else access
    if not access.address:
        return _Standard(_static_reply(plain), stamp(access), access.plan_session_timeout_s)
    reply = tuple(pair for pair in _static_reply(plain) if pair[0] != "Framed-IP-Address")
    return _Standard(reply, parts_of_stamp(access), access.plan_session_timeout_s)


def _keep(generation: Generation, kind: object, standard: _Standard | None) -> None:
    if standard is None:
        return
    if len(generation.derived) >= STANDARD_ANSWERS:
        generation.derived.clear()
    generation.derived[kind] = standard


def _static_reply(access: Access) -> tuple[Pair, ...]:
    return tuple([checked(name, value) for name, value in reply_attributes(access)])


def read_login(request: Request, router_id: int) -> Login:
    """What a request says of device, place and method (RouterOS formats: Calling-Station-Id upper case, colons)."""
    mac = canonical_mac(request.get("Calling-Station-Id", ""))
    return Login(_method(request), mac, router_id, request.get("NAS-Port-Id", ""))


def _method(request: Request) -> Method | None:
    if request.get("Framed-Protocol") == "PPP":
        return Method.PPPOE
    return Method.HOTSPOT if request.get("Service-Type") == "Login-User" else None


def note(row: LoginRow, reason: Reason) -> str:
    """The note that tells edge of whom a record speaks, and why a login was refused."""
    service_id = row.service.service_id if row.service is not None else 0
    return f"operator={row.operator_id} router={row.router_id} service={service_id} reason={reason.value}"


def _is_mschap(request: Request) -> bool:
    return "MS-CHAP-Challenge" in request


def _logs_in_by_mac(request: Request, row: LoginRow, login: Login) -> bool:
    """A service without password is let in by its MAC alone: the name is a MAC, and the device has it."""
    mac = canonical_mac(request.get("User-Name", ""))
    if not mac or _is_mschap(request):
        return False
    if row.service is not None and row.service.method == Method.DHCP:
        return True
    return login.mac == mac


def _to_learn(row: LoginRow, login: Login) -> str:
    bindings = row.bindings
    names = []
    if bindings.bind_mac and not bindings.mac and login.mac:
        names.append("mac")
    if bindings.bind_router and not bindings.router_id:
        names.append("router")
    if bindings.bind_port and not bindings.port and login.port:
        names.append("port")
    return ",".join(names)
