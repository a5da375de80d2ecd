"""The facts that a decision rests on, as frozen values.

`ServiceFacts` is what an approval binds: *wanted* and *authorised* are two values of this type, and only the
authorised one reaches the replica and the network. Plans come by version, so a plan's edit is a change like any other.
Named tuples, not dataclasses, where a login builds them: a frozen dataclass costs several times as much to make.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from policy.fair_use import FairUseTier, SpanUse
from policy.reasons import Reason
from policy.standing import Standing
from policy.usage import UsageRule
from policy.windows import TimeWindow

INTERIM_INTERVAL_S = 300
# The shares of a quota at which its customer is told, unless the plan says otherwise.
WARN_PERCENTS = (80, 100)


class Method(StrEnum):
    """How a service reaches the router."""

    PPPOE = "pppoe"
    HOTSPOT = "hotspot"
    DHCP = "dhcp"
    STATIC = "static"


class SuspendedLook(StrEnum):
    """How a suspended service looks: online in a list, in a pool of its own, or not at all."""

    RESTRICT = "restrict"
    POOL = "pool"
    DENY = "deny"


class AtLimit(StrEnum):
    """What happens to one session more than the plan allows."""

    END_OLDEST = "end_oldest"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class RestrictedLook:
    """What a restricted login gets. `session_timeout_s` brings it back by itself; 0 sends none."""

    look: SuspendedLook = SuspendedLook.RESTRICT
    address_list: str = "overdue"
    pool: str = ""
    rate_limit: str = "256k/256k"
    session_timeout_s: int = 0


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """One version of a plan, everything that the network is told of it. Rate limits are canonical text, "" for none."""

    plan_version_id: int
    name: str
    rate_limit: str = ""
    address_lists: tuple[str, ...] = ()
    pool: str = ""
    ipv6_pool: str = ""
    delegated_ipv6_pool: str = ""
    group: str = ""
    filter_id: str = ""
    session_timeout_s: int = 0
    idle_timeout_s: int = 0
    interim_interval_s: int = INTERIM_INTERVAL_S
    simultaneous_use: int = 0
    at_limit: AtLimit = AtLimit.END_OLDEST
    quota_bytes: int = 0
    quota_look: RestrictedLook | None = None
    tiers: tuple[FairUseTier, ...] = ()
    carry_over_bytes: int = 0
    warn_percents: tuple[int, ...] = WARN_PERCENTS
    windows: tuple[TimeWindow, ...] = ()
    time_zone: str = "UTC"
    suspended: RestrictedLook = RestrictedLook()
    usage_rules: tuple[UsageRule, ...] = ()


class ServiceFacts(NamedTuple):
    """What is wanted of, or authorised for, one service. Addresses are text in their canonical form, "" for none."""

    service_id: int
    method: Method
    standing: Standing
    plan_version_id: int
    prepaid_until: datetime | None = None
    address: str = ""
    ipv6_prefix: str = ""
    delegated_ipv6_prefix: str = ""
    routes: tuple[str, ...] = ()


class Bindings(NamedTuple):
    """The device and place a service is tied to. An empty value with its flag set is learnt at the next login."""

    bind_mac: bool = False
    mac: str = ""
    bind_router: bool = False
    router_id: int = 0
    bind_port: bool = False
    port: str = ""


class OpenSession(NamedTuple):
    """Another session of the same service. `fresh` is false once it has missed two interims."""

    mac: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """What an operator has chosen for refused logins: a restricted look per reason, or nothing, which refuses."""

    operator_id: int
    refusals: tuple[tuple[Reason, RestrictedLook], ...] = ()

    def look(self, reason: Reason) -> RestrictedLook | None:
        """The restricted look for a refusal, or None where it stays a refusal."""
        for known, look in self.refusals:
            if known == reason:
                return look
        return None


class Facts(NamedTuple):
    """Everything a decision may look at. Without `service` the user name is unknown."""

    operator: OperatorFacts
    service: ServiceFacts | None = None
    plan: PlanFacts | None = None
    bindings: Bindings = Bindings()
    usage: tuple[SpanUse, ...] = ()
    sessions: tuple[OpenSession, ...] = ()


class Login(NamedTuple):
    """What a login says of itself. `mac` is in the canonical form of `policy.mac`, "" where there is none.

    `method` is None where the packet does not tell; then it is not held against the service.
    """

    method: Method | None = None
    mac: str = ""
    router_id: int = 0
    port: str = ""
