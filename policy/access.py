"""The one decision: what a service gets, and why. FreeRADIUS, previews, CoA and every page call `decide`."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from policy.facts import AtLimit, Facts, Login, PlanFacts, RestrictedLook, ServiceFacts, SuspendedLook
from policy.fair_use import TierAction
from policy.quota import Verdict, interim_s, judge
from policy.reasons import Reason
from policy.standing import Standing
from policy.windows import active, next_edge

SESSION_TIMEOUT_MAXIMUM_S = 2**32 - 1
_UNLIMITED = Verdict()


class Kind(StrEnum):
    """What the network does: grant the plan, restrict to the walled garden, or deny."""

    GRANT = "grant"
    RESTRICT = "restrict"
    DENY = "deny"


class Access(NamedTuple):
    """The decision. Text fields are "" and numbers 0 where nothing is sent.

    `session_timeout_s` and `total_limit_bytes` run down by themselves and never enter the stamp;
    `valid_until` is the next moment at which the answer may change by itself.
    """

    kind: Kind
    reason: Reason
    rate_limit: str = ""
    address_lists: tuple[str, ...] = ()
    pool: str = ""
    address: str = ""
    ipv6_prefix: str = ""
    delegated_ipv6_prefix: str = ""
    ipv6_pool: str = ""
    delegated_ipv6_pool: str = ""
    routes: tuple[str, ...] = ()
    group: str = ""
    filter_id: str = ""
    idle_timeout_s: int = 0
    interim_interval_s: int = 0
    port_limit: int = 0
    plan_session_timeout_s: int = 0
    session_timeout_s: int = 0
    total_limit_bytes: int = 0
    valid_until: datetime | None = None


def decide(facts: Facts, login: Login, now: datetime) -> Access:
    """What this login gets at `now` (aware); rules in the order of the design, first match wins.

    Unknown or closed; method and binding; standing; prepaid end; simultaneous use; quota and fair use; time window;
    plan. Never raises for facts made by this package's own readers.
    """
    service, plan = facts.service, facts.plan
    if service is None or plan is None:
        return _refuse(facts, Reason.UNKNOWN_USER)
    if service.standing == Standing.CLOSED:
        return _refuse(facts, Reason.CLOSED)
    mismatch = binding_mismatch(facts, login)
    if mismatch is not None:
        return _refuse(facts, mismatch)
    if service.standing == Standing.SUSPENDED:
        return _restricted(plan.suspended, Reason.SUSPENDED, service, plan, None)
    if service.prepaid_until is not None and service.prepaid_until <= now:
        return _restricted(plan.suspended, Reason.PREPAID_ENDED, service, plan, None)
    if _too_many(facts, login):
        return _refuse(facts, Reason.TOO_MANY_SESSIONS)._replace(valid_until=service.prepaid_until)
    return _by_plan(facts, service, plan, now)


def binding_mismatch(facts: Facts, login: Login) -> Reason | None:
    """The reason why this device, router or port may not use the service, or None. What is not learnt yet fits."""
    service, bindings = facts.service, facts.bindings
    if service is not None and login.method is not None and service.method != login.method:
        return Reason.WRONG_METHOD
    if bindings.bind_mac and bindings.mac and bindings.mac != login.mac:
        return Reason.WRONG_DEVICE
    if bindings.bind_router and bindings.router_id and bindings.router_id != login.router_id:
        return Reason.WRONG_ROUTER
    if bindings.bind_port and bindings.port and bindings.port != login.port:
        return Reason.WRONG_PORT
    return None


def refusal_by_wrong_password(facts: Facts) -> Access:
    """What a login gets whose password proved wrong: refused, or restricted where the operator chose so."""
    return _refuse(facts, Reason.WRONG_PASSWORD)


def _refuse(facts: Facts, reason: Reason) -> Access:
    look = facts.operator.look(reason)
    if look is None:
        return Access(Kind.DENY, reason)
    return _restricted(look, reason, None, None, None)


def _restricted(
    look: RestrictedLook,
    reason: Reason,
    service: ServiceFacts | None,
    plan: PlanFacts | None,
    valid_until: datetime | None,
) -> Access:
    if look.look == SuspendedLook.DENY:
        return Access(Kind.DENY, reason, valid_until=valid_until)
    in_pool = look.look == SuspendedLook.POOL
    keep = service is not None and not in_pool
    return Access(
        Kind.RESTRICT,
        reason,
        rate_limit=look.rate_limit,
        address_lists=(look.address_list,) if look.address_list else (),
        pool=look.pool if in_pool else (plan.pool if plan is not None else ""),
        address=service.address if keep and service is not None else "",
        ipv6_prefix=service.ipv6_prefix if keep and service is not None else "",
        delegated_ipv6_prefix=service.delegated_ipv6_prefix if keep and service is not None else "",
        interim_interval_s=plan.interim_interval_s if plan is not None else 0,
        plan_session_timeout_s=look.session_timeout_s,
        session_timeout_s=look.session_timeout_s,
        valid_until=valid_until,
    )


def _too_many(facts: Facts, login: Login) -> bool:
    plan = facts.plan
    if plan is None or not plan.simultaneous_use or plan.at_limit != AtLimit.REFUSE:
        return False
    # A session of the same device, or one that has gone quiet, never locks anyone out: after a power cut the whole
    # town would stand before its own ghosts.
    others = [session for session in facts.sessions if session.fresh and session.mac != login.mac]
    return len(others) >= plan.simultaneous_use


def _by_plan(facts: Facts, service: ServiceFacts, plan: PlanFacts, now: datetime) -> Access:
    valid_until = service.prepaid_until
    rate_limit, reason = plan.rate_limit, Reason.PLAN
    if plan.windows:
        edge = next_edge(plan.windows, plan.time_zone, now)
        valid_until = _earlier(valid_until, edge)
    usage, interim_interval_s = _UNLIMITED, plan.interim_interval_s
    if plan.tiers or plan.quota_bytes:
        usage = judge(plan, facts.usage, now)
        valid_until, interim_interval_s = _earlier(valid_until, usage.until), interim_s(plan, near=usage.near)
    tier = usage.tier
    if tier is not None and tier.action == TierAction.STOP:
        return _refuse(facts, Reason.QUOTA_USED)._replace(valid_until=valid_until)
    if tier is not None and tier.action == TierAction.RESTRICT:
        return _restricted(plan.quota_look or plan.suspended, Reason.QUOTA_USED, service, plan, valid_until)
    window = active(plan.windows, plan.time_zone, now) if plan.windows else None
    if window is not None and window.closed:
        return _restricted(plan.suspended, Reason.OUTSIDE_HOURS, service, plan, valid_until)
    if tier is not None:
        rate_limit, reason = tier.rate_limit, Reason.FAIR_USE
    elif window is not None and window.rate_limit:
        rate_limit, reason = window.rate_limit, Reason.WINDOW
    return Access(
        Kind.GRANT,
        reason,
        rate_limit,
        plan.address_lists,
        "" if service.address else plan.pool,
        service.address,
        service.ipv6_prefix,
        service.delegated_ipv6_prefix,
        plan.ipv6_pool,
        plan.delegated_ipv6_pool,
        service.routes,
        plan.group,
        plan.filter_id,
        plan.idle_timeout_s,
        interim_interval_s,
        plan.simultaneous_use,
        plan.session_timeout_s,
        _session_timeout(service, plan, now),
        usage.left_bytes,
        valid_until,
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return min(one, other)


def _session_timeout(service: ServiceFacts, plan: PlanFacts, now: datetime) -> int:
    """Seconds until the session must end: the plan's own limit, and a prepaid end whose next access needs a new login.

    A window's edge is no reason: the worker changes the live session there, or everybody would drop every evening.
    """
    if service.prepaid_until is None:
        return min(plan.session_timeout_s, SESSION_TIMEOUT_MAXIMUM_S)
    return session_timeout_s(plan.session_timeout_s, (service.prepaid_until - now).total_seconds())


def session_timeout_s(plan_session_timeout_s: int, left_s: float) -> int:
    """The Session-Timeout with so much prepaid time left (more than 0) and the plan's own limit, 0 for none."""
    left = min(max(1, int(left_s)), SESSION_TIMEOUT_MAXIMUM_S)
    return min(left, plan_session_timeout_s) if plan_session_timeout_s else left
