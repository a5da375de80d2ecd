"""Quotas: which tier holds and until when, what a session is told, how far beyond a limit one gets."""

import json
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_strategies import NOW, plans, usages

from policy.access import Kind, decide
from policy.documents import plan_document, read_plan
from policy.facts import Facts, Login, Method, OperatorFacts, PlanFacts, ServiceFacts
from policy.fair_use import FairUseTier, SpanUse, TierAction
from policy.quota import (
    ACT_S,
    SHORTEST_INTERIM_S,
    UsageState,
    allowance,
    carried,
    interim_s,
    judge,
    limits,
    milestones,
    overshoot_bytes,
    read_state_text,
    refreshed,
    speed_bytes_s,
    state_document,
    taken,
    warning,
)
from policy.reasons import Reason
from policy.standing import Standing
from policy.usage import SpanKind, bounds, local_day

GB = 10**9
END = NOW + timedelta(days=3)
DAY, MONTH = SpanKind.DAY, SpanKind.MONTH
PLAN = PlanFacts(
    1,
    "Fair",
    "10M/50M",
    tiers=(
        FairUseTier(100 * GB, "2M/2M", MONTH),
        FairUseTier(5 * GB, "4M/4M", DAY),
        FairUseTier(200 * GB, "", MONTH, TierAction.STOP),
    ),
)
SERVICE = ServiceFacts(7, Method.PPPOE, Standing.CURRENT, 1)
BYTES = st.integers(0, 300 * GB)


def access(*usage, plan=PLAN, now=NOW):
    """What the plan gives with this usage."""
    return decide(Facts(OperatorFacts(1), SERVICE, plan, usage=usage), Login(), now)


def use(span, used, extra=0, ends_at=END):
    """A span that runs."""
    return SpanUse(span, ends_at, used, extra)


def test_the_tier_that_gives_the_least_holds():
    """Of the tiers that are reached in all spans: the slower one, and a stop before any of them."""
    assert access().rate_limit == "10M/50M"
    assert access(use(DAY, 5 * GB))[1:3] == (Reason.FAIR_USE, "4M/4M")
    assert access(use(DAY, 5 * GB), use(MONTH, 100 * GB)).rate_limit == "2M/2M"
    assert access(use(MONTH, 100 * GB - 1)).rate_limit == "10M/50M"
    assert access(use(MONTH, 200 * GB))[:2] == (Kind.DENY, Reason.QUOTA_USED)


def test_a_reset_needs_nobody():
    """At the end of its span a count is worth nothing any more, whoever is asleep."""
    slow = access(use(DAY, 9 * GB, ends_at=NOW + timedelta(hours=1)))
    assert (slow.rate_limit, slow.valid_until) == ("4M/4M", NOW + timedelta(hours=1))
    assert access(use(DAY, 9 * GB, ends_at=NOW)).rate_limit == "10M/50M"


def test_a_top_up_moves_every_tier():
    """More bytes are more before each of them."""
    assert access(use(MONTH, 100 * GB, extra=1)).rate_limit == "10M/50M"
    assert access(use(MONTH, 150 * GB, extra=50 * GB)).rate_limit == "2M/2M"


@given(st.lists(BYTES, min_size=2, max_size=6), st.sampled_from([DAY, MONTH]))
def test_a_state_says_what_the_counts_say(counts, span):
    """A state that is written at milestones alone leads to the same tier as the newest count, and never goes back."""
    known, highest = (), 0
    for count in counts:
        highest = max(highest, count)
        known = refreshed(PLAN, known, [use(span, count)])
        assert judge(PLAN, known, NOW).tier == judge(PLAN, (use(span, highest),), NOW).tier
        assert judge(PLAN, known, NOW).near == judge(PLAN, (use(span, highest),), NOW).near


def test_few_counts_change_a_state():
    """A hundred thousand interims of a month write a handful of states."""
    known, writes = (), 0
    for count in range(0, 250 * GB, GB // 100):
        newer = refreshed(PLAN, known, [use(MONTH, count)])
        writes += newer != known
        known = newer
    assert writes == len(milestones(PLAN, MONTH)) == 3


def test_a_span_that_has_ended_stays_beside_the_new_one():
    """Until the clock has settled it, what it took of top-ups is not known yet."""
    old = use(MONTH, 150 * GB, 60 * GB, ends_at=NOW)
    assert refreshed(PLAN, (old,), [use(MONTH, 99 * GB)]) == (old,)
    assert refreshed(PLAN, (old,), [use(MONTH, 100 * GB)]) == (old, use(MONTH, 100 * GB))


@given(plans, usages)
def test_every_state_is_read_as_it_was_written(plan, usage):
    """The replica's text says what the database's document says."""
    state = UsageState(tuple(usage))
    assert read_state_text(json.dumps(state_document(state))) == state
    assert read_plan(plan_document(plan), plan.plan_version_id, plan.name) == plan


@given(plans)
def test_the_overshoot_is_bounded(plan):
    """By a share of the smallest limit, or by what full speed brings in a minute; whichever is more."""
    if not limits(plan):
        assert interim_s(plan) == plan.interim_interval_s
        return
    smallest = min(one.from_bytes for one in limits(plan))
    speed = speed_bytes_s(plan)
    assert overshoot_bytes(plan) <= max(smallest * 5 // 100, speed * SHORTEST_INTERIM_S) + speed * ACT_S
    assert interim_s(plan, near=True) <= SHORTEST_INTERIM_S


def test_what_sessions_are_told():
    """A slow plan reports as ever, and often near its limit; a fast one with a small quota always once a minute."""
    slow = PlanFacts(1, "Slow", "10M/50M", quota_bytes=100 * GB)
    assert (
        access(plan=slow).interim_interval_s,
        access(use(SpanKind.PERIOD, 95 * GB), plan=slow).interim_interval_s,
    ) == (300, 60)
    fast = PlanFacts(1, "Fast", "1000M/1000M", quota_bytes=100 * GB)
    assert access(plan=fast).interim_interval_s == 60
    assert overshoot_bytes(fast) == 250_000_000 * 65


def test_the_router_counts_what_is_left():
    """Of a hard limit of a long span always, of a short one near its end; never where bytes have another weight."""
    plan = PlanFacts(1, "Day", "10M/50M", tiers=(FairUseTier(10 * GB, span=DAY, action=TierAction.RESTRICT),))
    assert access(plan=plan).total_limit_bytes == 0
    assert access(use(DAY, 9 * GB), plan=plan).total_limit_bytes == GB
    assert access(use(DAY, 9 * GB, extra=GB), plan=plan).total_limit_bytes == 0


@pytest.mark.parametrize(
    ("used", "carried_before", "left"),
    [
        (0, 0, 20 * GB),
        (95 * GB, 0, 5 * GB),
        (150 * GB, 0, 0),
        (100 * GB, 20 * GB, 20 * GB),
        (110 * GB, 20 * GB, 10 * GB),
    ],
)
def test_what_is_carried_over(used, carried_before, left):
    """Of a month's own bytes what is left, up to the plan's most; what was carried is used first and goes."""
    plan = PlanFacts(1, "Carry", tiers=(FairUseTier(100 * GB, "1M/1M", MONTH),), carry_over_bytes=20 * GB)
    assert carried(plan, MONTH, used, carried_before) == left
    assert carried(plan, DAY, used, carried_before) == 0


def test_what_a_span_took_of_top_ups():
    """The oldest first, and none of them more than it had."""
    assert taken([5, 5, 5], 7) == [5, 2, 0]
    assert taken([5], -3) == [0]


def test_warnings_are_told_once_each():
    """The highest share that is passed and was not told; with a top-up it is a share of more."""
    plan = PlanFacts(1, "Warn", quota_bytes=100, warn_percents=(50, 80, 100))
    assert allowance(plan, SpanKind.PERIOD) == 100
    assert [
        warning(plan, use(SpanKind.PERIOD, used), told)
        for used, told in ((49, 0), (50, 0), (85, 0), (85, 80), (100, 80))
    ] == [0, 50, 80, 0, 100]
    assert warning(plan, use(SpanKind.PERIOD, 85, extra=100), 0) == 0


@given(st.sampled_from(["1000M/1000M", "10M/50M", ""]), st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_a_simulated_user_passes_a_quota_by_no_more_than_the_bound(rate, quota_gb, phase, share):
    """At full speed both ways, or a part of it: from the limit to the first report after it, and to the CoA after that.

    With 1 Gbit/s down alone and 100 GB, the worst phase is 8.1 GB beyond; both ways at once 16.3 GB.
    """
    plan = PlanFacts(1, "Fast", rate, quota_bytes=quota_gb * GB)
    told_s, speed = interim_s(plan), speed_bytes_s(plan) * max(share, 0.01)
    limit_at_s = quota_gb * GB / speed
    first_s = phase * told_s
    reports = max(0, -(-(limit_at_s - first_s) // told_s))
    acted_at_s = first_s + reports * told_s + ACT_S
    assert (acted_at_s - limit_at_s) * speed <= overshoot_bytes(plan) * 1.000001


def test_the_overshoot_of_a_gigabit_user():
    """The figure that is told: 100 GB, a gigabit line, reports each minute."""
    plan = PlanFacts(1, "Fast", "1000M/1000M", quota_bytes=100 * GB)
    assert overshoot_bytes(plan) == 16_250_000_000
    assert overshoot_bytes(PlanFacts(1, "Down", "1M/1000M", quota_bytes=100 * GB)) == 8_133_125_000


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_begins_anew_at_the_operators_midnight(day, hours):
    """Also on the days on which its clocks change: the tier holds up to that very moment and not beyond."""
    noon = datetime.fromisoformat(f"{day}T12:00:00+02:00")
    span = bounds(DAY, local_day(noon, "Europe/Warsaw"), "Europe/Warsaw")
    assert span.ends_at - span.starts_at == timedelta(hours=hours)
    used = use(DAY, 9 * GB, ends_at=span.ends_at)
    last = access(used, now=span.ends_at - timedelta(seconds=1))
    assert (last.rate_limit, last.valid_until) == ("4M/4M", span.ends_at)
    assert access(used, now=span.ends_at).rate_limit == "10M/50M"
