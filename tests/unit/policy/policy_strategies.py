"""Hypothesis strategies for facts, logins and accesses, shared by the tests of `policy`."""

import ipaddress
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from policy.access import Access, Kind
from policy.facts import (
    AtLimit,
    Bindings,
    Facts,
    Login,
    Method,
    OpenSession,
    OperatorFacts,
    PlanFacts,
    RestrictedLook,
    ServiceFacts,
    SuspendedLook,
)
from policy.fair_use import FairUseTier, SpanUse, TierAction
from policy.rate_limit import RATE_MAXIMUM_BPS, Pair, RateLimit
from policy.reasons import Reason
from policy.standing import Standing
from policy.usage import SpanKind
from policy.windows import EVERY_DAY, MINUTES_A_DAY, TimeWindow

NOW = datetime(2026, 11, 22, 15, 0, tzinfo=UTC)
ZONES = ("UTC", "Europe/Warsaw", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu")

moments = st.integers(-700 * 86400, 900 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds, microseconds=1))
# Moments within two days of daylight saving's ends in Warsaw and Santiago, where hours are skipped or happen twice.
_turns = st.sampled_from([datetime(2026, month, day, tzinfo=UTC) for month, day in ((3, 29), (4, 5), (9, 6), (10, 25))])
moments_near_turns = st.builds(
    lambda turn, minutes: turn + timedelta(minutes=minutes), _turns, st.integers(-MINUTES_A_DAY, MINUTES_A_DAY)
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
maybe_names = st.just("") | names
rates = st.integers(0, RATE_MAXIMUM_BPS // 1000).map(lambda kbps: kbps * 1000) | st.integers(0, 900).map(
    lambda mbps: mbps * 1_000_000
)
pairs = st.builds(Pair, rates, rates)


def _filled(pair: Pair) -> Pair:
    return pair if pair != Pair(0, 0) else Pair(1000, 0)


@st.composite
def rate_limits(draw: st.DrawFn) -> RateLimit:
    """Any valid rate limit."""
    rate = draw(pairs)
    burst = threshold = times = minimum = None
    if draw(st.booleans()):
        higher = draw(pairs)
        burst = _filled(Pair(max(rate.up, higher.up), max(rate.down, higher.down)))
        threshold = draw(st.just(rate) | pairs.map(_filled))
        times = Pair(draw(st.integers(1, 3600)), draw(st.integers(1, 3600)))
    if draw(st.booleans()):
        lower = draw(pairs)
        minimum = Pair(*(min(one, two) if one else two for one, two in ((rate.up, lower.up), (rate.down, lower.down))))
    return RateLimit(rate, burst, threshold, times, draw(st.integers(1, 8)), minimum)


rate_texts = rate_limits().map(RateLimit.render)
maybe_rate_texts = st.just("") | rate_texts


@st.composite
def windows(draw: st.DrawFn) -> TimeWindow:
    """Any valid window, also past midnight."""
    start = draw(st.integers(0, MINUTES_A_DAY - 1))
    end = draw(st.integers(0, MINUTES_A_DAY).filter(lambda minute: minute != start))
    days = draw(st.lists(st.sampled_from(EVERY_DAY), min_size=1, unique=True).map(tuple))
    return TimeWindow(start, end, days, draw(maybe_rate_texts), draw(st.booleans()))


@st.composite
def looks(draw: st.DrawFn) -> RestrictedLook:
    """Any valid restricted look."""
    look = draw(st.sampled_from(SuspendedLook))
    lists = names if look == SuspendedLook.RESTRICT else maybe_names
    pools = names if look == SuspendedLook.POOL else maybe_names
    return RestrictedLook(look, draw(lists), draw(pools), draw(maybe_rate_texts), draw(st.integers(0, 2**31)))


tiers = st.builds(FairUseTier, st.integers(1, 2**62), rate_texts, st.sampled_from(SpanKind)) | st.builds(
    FairUseTier,
    st.integers(1, 2**62),
    span=st.sampled_from(SpanKind),
    action=st.sampled_from((TierAction.RESTRICT, TierAction.STOP)),
)
plans = st.builds(
    PlanFacts,
    plan_version_id=st.integers(1, 2**62),
    name=names,
    rate_limit=maybe_rate_texts,
    address_lists=st.lists(names, max_size=3).map(tuple),
    pool=maybe_names,
    ipv6_pool=maybe_names,
    delegated_ipv6_pool=maybe_names,
    group=maybe_names,
    filter_id=maybe_names,
    session_timeout_s=st.integers(0, 2**32 - 1),
    idle_timeout_s=st.integers(0, 2**31),
    interim_interval_s=st.integers(0, 3600),
    simultaneous_use=st.integers(0, 3),
    at_limit=st.sampled_from(AtLimit),
    quota_bytes=st.just(0) | st.integers(1, 2**62),
    quota_look=st.none() | looks(),
    tiers=st.lists(tiers, max_size=3).map(tuple),
    carry_over_bytes=st.just(0) | st.integers(1, 2**62),
    warn_percents=st.lists(st.integers(1, 100), max_size=3).map(tuple),
    windows=st.lists(windows(), max_size=3).map(tuple),
    time_zone=st.sampled_from(ZONES),
    suspended=looks(),
)
addresses = st.just("") | st.integers(1, 2**24 - 2).map(lambda number: str(ipaddress.IPv4Address("100.0.0.0") + number))
prefixes = st.just("") | st.integers(0, 2**16).map(lambda number: f"2001:db8:{number % 65536:x}::/56").map(
    lambda text: str(ipaddress.IPv6Network(text))
)
services = st.builds(
    ServiceFacts,
    service_id=st.integers(1, 2**62),
    method=st.sampled_from(Method),
    standing=st.sampled_from(Standing),
    plan_version_id=st.integers(1, 2**62),
    prepaid_until=st.none() | moments,
    address=addresses,
    ipv6_prefix=prefixes,
    delegated_ipv6_prefix=prefixes,
    routes=st.lists(names, max_size=3).map(tuple),
)
macs = st.sampled_from(["", "02:00:00:00:00:01", "02:00:00:00:00:02"])
ports = st.sampled_from(["", "ether1", "ether2"])
bindings = st.builds(Bindings, st.booleans(), macs, st.booleans(), st.integers(0, 2), st.booleans(), ports) | st.just(
    Bindings()
)
operators = st.dictionaries(st.sampled_from(Reason), looks(), max_size=3).map(
    lambda choices: OperatorFacts(1, tuple(sorted(choices.items())))
)
usages = st.lists(
    st.builds(SpanUse, st.sampled_from(SpanKind), moments, st.integers(0, 2**62), st.integers(0, 2**62)),
    max_size=3,
    unique_by=lambda use: use.span,
).map(tuple)
facts = st.builds(
    Facts,
    operator=operators,
    service=st.none() | services,
    plan=st.none() | plans,
    bindings=bindings,
    usage=usages,
    sessions=st.lists(st.builds(OpenSession, macs, st.booleans()), max_size=4).map(tuple),
)
logins = st.builds(Login, st.none() | st.sampled_from(Method), macs, st.integers(0, 2), ports)
accesses = st.builds(
    Access,
    kind=st.sampled_from(Kind),
    reason=st.sampled_from(Reason),
    rate_limit=maybe_rate_texts,
    address_lists=st.lists(names, max_size=3).map(tuple),
    pool=maybe_names,
    address=addresses,
    ipv6_prefix=prefixes,
    delegated_ipv6_prefix=prefixes,
    ipv6_pool=maybe_names,
    delegated_ipv6_pool=maybe_names,
    routes=st.lists(names, max_size=2).map(tuple),
    group=maybe_names,
    filter_id=maybe_names,
    idle_timeout_s=st.integers(0, 2**31),
    interim_interval_s=st.integers(0, 3600),
    port_limit=st.integers(0, 9),
    plan_session_timeout_s=st.integers(0, 2**31),
    session_timeout_s=st.integers(0, 2**31),
    total_limit_bytes=st.integers(0, 2**62),
    valid_until=st.none() | moments,
)
