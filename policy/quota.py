"""What the bytes of a span do: which tier holds and until when, how near the next is, how far beyond it one may get.

A state of usage is written only where a decision would change (`milestones`), so it does not hold the newest count.
Bytes of a span only grow, so no tier is taken back before its span ends; a top-up moves all tiers of its span at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from policy.errors import PolicyError
from policy.facts import INTERIM_INTERVAL_S, PlanFacts
from policy.fair_use import FairUseTier, SpanUse, TierAction
from policy.rate_limit import parse
from policy.usage import SpanKind
from policy.wording import megabytes

# RFC 2869 section 5.16: an interval is at least a minute.
SHORTEST_INTERIM_S = 60
# What may pass beyond the smallest limit between two reports, as a share of it.
OVERSHOOT_PERCENT = 5
# From a record's arrival to the router's answer to the CoA: the spool's write, ingestion, planning, one retransmission.
ACT_S = 5
# A plan without a rate limit, or one side of it, is taken for this fast.
UNLIMITED_BPS = 1_000_000_000
# At a hard limit the router may count the last tenth by itself.
HARD_NEAR_PERCENT = 10
NEAR_PERCENT_MAXIMUM = 50
# The router's own count runs over a whole session, so it is sent for long spans, and near the end of short ones.
LONG_SPANS = (SpanKind.MONTH, SpanKind.PERIOD)
_RANKS = {TierAction.THROTTLE: 0, TierAction.RESTRICT: 1, TierAction.STOP: 2}
# A state keeps no more spans than these while nobody settles those that have ended.
SPANS_MOST = 32
FOREVER = datetime.max.replace(tzinfo=UTC)


class Verdict(NamedTuple):
    """What usage makes of a plan at one moment. `left_bytes`: what a router may count down to a hard limit; 0: nothing.

    `until`: the next reset; None where no span counts yet.
    """

    tier: FairUseTier | None = None
    near: bool = False
    left_bytes: int = 0
    until: datetime | None = None


class SeenSession(NamedTuple):
    """An open session as logins must know it; from `fresh_until` on it has gone quiet and counts no more."""

    mac: str
    fresh_until: datetime


class UsageState(NamedTuple):
    """What logins know of a service beside its facts: spans that count, and its sessions where the plan limits them."""

    spans: tuple[SpanUse, ...] = ()
    sessions: tuple[SeenSession, ...] = ()


NO_USAGE = UsageState()


def limits(plan: PlanFacts) -> tuple[FairUseTier, ...]:
    """All limits of a plan, its quota among them."""
    if not plan.quota_bytes:
        return plan.tiers
    return (*plan.tiers, FairUseTier(plan.quota_bytes, span=SpanKind.PERIOD, action=TierAction.RESTRICT))


def spans(plan: PlanFacts) -> frozenset[SpanKind]:
    """The spans in which a plan's bytes must be counted."""
    return frozenset(limit.span for limit in limits(plan))


def judge(plan: PlanFacts, usage: tuple[SpanUse, ...], now: datetime) -> Verdict:
    """What usage makes of a plan that has limits. A span that has ended counts for nothing, so resets need nobody."""
    running = {use.span: use for use in usage if use.ends_at > now}
    strongest: FairUseTier | None = None
    near, left, until = False, 0, None
    for limit in limits(plan):
        use = running.get(limit.span)
        if use is not None:
            until = use.ends_at if until is None else min(until, use.ends_at)
        used = use.used_bytes - use.extra_bytes if use is not None else 0
        if used >= limit.from_bytes:
            strongest = limit if strongest is None or _strength(limit) > _strength(strongest) else strongest
            continue
        is_near = use is not None and used >= limit.from_bytes - near_bytes(plan, limit)
        near = near or is_near
        if limit.is_hard and (is_near or limit.span in LONG_SPANS) and not plan.usage_rules:
            # Bytes that count for more or less than themselves are nothing that a router can count.
            left = min(left or limit.from_bytes - used, limit.from_bytes - used)
    return Verdict(strongest, near, left, until)


def interim_s(plan: PlanFacts, *, near: bool = False) -> int:
    """How often a session of the plan is told to report, in seconds.

    Often enough that between two reports not more than OVERSHOOT_PERCENT of the smallest limit can pass, but not more
    often than once a minute; near a limit once a minute. Without limits it is what the plan says.
    """
    known = limits(plan)
    if not known:
        return plan.interim_interval_s
    if near:
        return min(SHORTEST_INTERIM_S, plan.interim_interval_s or SHORTEST_INTERIM_S)
    return _limited_interim_s(plan.interim_interval_s, _rates(plan), min(one.from_bytes for one in known))


def near_bytes(plan: PlanFacts, limit: FairUseTier) -> int:
    """So many bytes before a limit it is near: what two reports may bring, and at a hard limit the last tenth."""
    interval_s = interim_s(plan)
    reports = 2 * interval_s * speed_bytes_s(plan) if interval_s > SHORTEST_INTERIM_S else 0
    tenth = limit.from_bytes * HARD_NEAR_PERCENT // 100 if limit.is_hard else 0
    return min(max(reports, tenth), limit.from_bytes * NEAR_PERCENT_MAXIMUM // 100)


def speed_bytes_s(plan: PlanFacts) -> int:
    """The most bytes a second that a plan lets through, both ways, by what they count for; bursts and windows too."""
    return _speed_bytes_s(_rates(plan))


def overshoot_bytes(plan: PlanFacts, told_s: int | None = None) -> int:
    """The most that can be used beyond a limit: full speed from one report to the next, and until the router was told.

    `told_s`: how often the session was told to report; without it, what a login is told today.
    """
    return speed_bytes_s(plan) * ((interim_s(plan) if told_s is None else told_s) + ACT_S)


def overshoot_words(plan: PlanFacts, told_s: int | None = None) -> str:
    """How far a limit can be passed, in words and numbers; "" for a plan without limits. `told_s` as above."""
    known = limits(plan)
    if not known:
        return ""
    most, smallest = overshoot_bytes(plan, told_s), min(limit.from_bytes for limit in known)
    share = f"{100 * most / smallest:.1f} %" if most < smallest else f"{most / smallest:.1f} times"
    speed = megabytes(speed_bytes_s(plan))
    every_s = interim_s(plan) if told_s is None else told_s
    return (
        f"at most {megabytes(most)} beyond a limit ({share} of the smallest, {megabytes(smallest)}): {speed} "
        f"a second at full speed, up and down together, for the {every_s} s from one report to the next and {ACT_S} s "
        "until the router has acted"
    )


def milestones(plan: PlanFacts, span: SpanKind) -> tuple[int, ...]:
    """The bytes of a span at which a decision may change, in order: near each limit, and at it."""
    mine = [limit for limit in limits(plan) if limit.span == span]
    near = {limit.from_bytes - near_bytes(plan, limit) for limit in mine}
    return tuple(sorted(near | {limit.from_bytes for limit in mine}))


def reached(plan: PlanFacts, use: SpanUse) -> int:
    """How many of the plan's limits of this span are reached."""
    return sum(limit.span == use.span and use.net_bytes >= limit.from_bytes for limit in limits(plan))


def main_limit(plan: PlanFacts, span: SpanKind) -> FairUseTier | None:
    """The first hard limit of a span, or else its first tier: what customers take for their quota."""
    mine = [limit for limit in limits(plan) if limit.span == span]
    hard = [limit for limit in mine if limit.is_hard]
    # Of two that begin at the same byte the one that gives less holds.
    return min(hard or mine, key=lambda limit: (limit.from_bytes, -_RANKS[limit.action]), default=None)


def allowance(plan: PlanFacts, span: SpanKind) -> int:
    """What a span has before its main limit; 0 without any."""
    limit = main_limit(plan, span)
    return limit.from_bytes if limit is not None else 0


def carried(plan: PlanFacts, span: SpanKind, used_before: int, carried_before: int) -> int:
    """What of the span before is left for the next one. What was carried is used first, and never carried again."""
    if span not in LONG_SPANS:
        return 0
    own = max(0, used_before - carried_before)
    return min(plan.carry_over_bytes, max(0, allowance(plan, span) - own))


def taken(topups: Iterable[int], beyond_bytes: int) -> list[int]:
    """What a span that has ended took of each top-up (what was left of each, oldest first)."""
    shares = []
    for left in topups:
        share = min(left, max(0, beyond_bytes))
        beyond_bytes -= share
        shares.append(share)
    return shares


def warning(plan: PlanFacts, use: SpanUse, warned_percent: int) -> int:
    """The highest share, in percent, that the customer is to be told of and was not yet; 0 for none."""
    whole = allowance(plan, use.span) + use.extra_bytes
    due = [one for one in plan.warn_percents if one > warned_percent and use.used_bytes * 100 >= one * whole]
    return max(due, default=0) if whole else 0


def lesser_limit(plan: PlanFacts, use: SpanUse) -> FairUseTier | None:
    """The last tier that is reached before the main limit is: its customer is slower already."""
    main = main_limit(plan, use.span)
    if main is None or use.net_bytes >= main.from_bytes:
        return None
    mine = [one for one in limits(plan) if one.span == use.span and one.from_bytes <= use.net_bytes]
    return max(mine, key=lambda one: one.from_bytes, default=None)


def matters_from(plan: PlanFacts, span: SpanKind) -> int:
    """From so many bytes of a span on, what was carried into it matters: near the first limit, or at a warning."""
    shares = [allowance(plan, span) * min(plan.warn_percents) // 100] if plan.warn_percents else []
    return min([*milestones(plan, span), *shares], default=0)


def refreshed(plan: PlanFacts, known: tuple[SpanUse, ...], counted: Iterable[SpanUse]) -> tuple[SpanUse, ...]:
    """The spans of a state by the newest counts: only what would change a decision is taken over.

    Spans that have ended stay as they are, until what they took of top-ups is settled.
    """
    before = {(use.span, use.ends_at): use for use in known}
    for use in counted:
        key, old = (use.span, use.ends_at), before.get((use.span, use.ends_at))
        marks = milestones(plan, use.span)
        if old is None:
            if use.extra_bytes or (marks and use.net_bytes >= marks[0]):
                before[key] = use
            continue
        # Whoever read the counts earlier never takes back what was found later.
        newer = use._replace(used_bytes=max(use.used_bytes, old.used_bytes))
        if old.extra_bytes != newer.extra_bytes or _passed(marks, old) != _passed(marks, newer):
            before[key] = newer
    return tuple(sorted(before.values(), key=lambda use: (use.ends_at, use.span))[-SPANS_MOST:])


def outcomes(plan: PlanFacts) -> list[tuple[SpanUse, ...]]:
    """Usages, one for each tier and one for none: what a plan may give by itself."""
    found: list[tuple[SpanUse, ...]] = [()]
    found += [(SpanUse(limit.span, FOREVER, limit.from_bytes),) for limit in limits(plan)]
    return found


def state_document(state: UsageState) -> dict[str, Any]:
    """The document of a state, as it is stored and as the replica carries it."""
    document: dict[str, Any] = {}
    if state.spans:
        document["spans"] = [
            [use.span.value, use.ends_at.astimezone(UTC).isoformat(), use.used_bytes, use.extra_bytes]
            for use in state.spans
        ]
    if state.sessions:
        document["sessions"] = [[one.mac, one.fresh_until.astimezone(UTC).isoformat()] for one in state.sessions]
    return document


def read_state(document: Mapping[str, Any]) -> UsageState:
    """A state from its document. Raises PolicyError."""
    try:
        return UsageState(
            tuple(
                SpanUse(SpanKind(span), datetime.fromisoformat(ends_at), int(used), int(extra))
                for span, ends_at, used, extra in document.get("spans", ())
            ),
            tuple(SeenSession(mac, datetime.fromisoformat(until)) for mac, until in document.get("sessions", ())),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise PolicyError(f"the state of usage cannot be read: {error}") from error


def read_state_text(text: str) -> UsageState:
    """A state from the text that the replica has of it, "" for none. Raises PolicyError."""
    if not text:
        return NO_USAGE
    try:
        return read_state(json.loads(text))
    except ValueError as error:
        raise PolicyError(f"the state of usage cannot be read: {error}") from error


def _strength(limit: FairUseTier) -> tuple[int, int]:
    """Of two limits that are reached the one that gives less holds."""
    return _RANKS[limit.action], -_bps(limit.rate_limit) if limit.rate_limit else 0


def _passed(marks: tuple[int, ...], use: SpanUse) -> int:
    return sum(use.net_bytes >= mark for mark in marks)


def _rates(plan: PlanFacts) -> tuple[tuple[str, ...], int, int]:
    """What a plan's speed hangs on: rate limits, and what an uploaded and a downloaded byte count for at most."""
    rates = (plan.rate_limit, *[window.rate_limit for window in plan.windows if window.rate_limit])
    if not plan.usage_rules:
        return rates, 100, 100
    # Hours that no rule names count in full.
    up = max(100, *[rule.upload_percent for rule in plan.usage_rules])
    down = max(100, *[rule.download_percent for rule in plan.usage_rules])
    return rates, up, down


@lru_cache(maxsize=1024)
def _speed_bytes_s(rates: tuple[tuple[str, ...], int, int]) -> int:
    texts, up_percent, down_percent = rates
    fastest = 0
    for text in texts:
        up, down = _fastest(text)
        fastest = max(fastest, (up * up_percent + down * down_percent) // 100)
    return fastest // 8


@lru_cache(maxsize=1024)
def _fastest(text: str) -> tuple[int, int]:
    """The highest rates of a rate limit, upload first, in bits a second; bursts with it."""
    if not text:
        return UNLIMITED_BPS, UNLIMITED_BPS
    limit = parse(text)
    burst = limit.burst_bps or limit.rate_bps
    up = max(limit.rate_bps.up, burst.up) if limit.rate_bps.up else 0
    down = max(limit.rate_bps.down, burst.down) if limit.rate_bps.down else 0
    return up or UNLIMITED_BPS, down or UNLIMITED_BPS


def _bps(text: str) -> int:
    return sum(_fastest(text))


@lru_cache(maxsize=1024)
def _limited_interim_s(plan_s: int, rates: tuple[tuple[str, ...], int, int], smallest_bytes: int) -> int:
    share_s = smallest_bytes * OVERSHOOT_PERCENT // 100 // max(1, _speed_bytes_s(rates))
    asked = plan_s or INTERIM_INTERVAL_S
    return min(asked, max(SHORTEST_INTERIM_S, share_s))
