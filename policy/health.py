"""The state of a way to a router from checks in a row, and what a router tells of itself in sentences.

One check never makes a way degraded or offline, nor an offline one online: a lost packet or a lucky one is no news.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from policy.wording import short, span

# Failures in a row.
DEGRADED_AFTER = 2
OFFLINE_AFTER = 3
# Answers that come slowly, or from a router that is at its limit, in a row.
POOR_AFTER = 3
# Good answers in a row after which an offline or degraded way counts as online.
ONLINE_AFTER = 2
# The worst tunnel answers within a second; people at the phone notice what comes later.
SLOW_MS = 2000.0
BUSY_PERCENT = 95
# Certificates and one-time codes tolerate half a minute; logs of two machines cannot be compared beyond a few seconds.
SKEW_S = 30.0
CERTIFICATE_WARN = timedelta(days=30)
# Uptimes are read in whole seconds, and machines disagree a little about how long a minute is.
UPTIME_SLACK = timedelta(seconds=90)
# Of the share of a router's memory below which it begins to refuse things.
MEMORY_LEAST = 0.05
# Interims come every five minutes; two that are missed at once by everybody are no accident.
HEARD_WITHIN = timedelta(minutes=12)


class Path(StrEnum):
    """A way to a router, each with a state of its own."""

    RADIUS = "radius"
    COA = "coa"
    API = "api"


class State(StrEnum):
    """What is believed of a way. Unknown: nothing was expected of it yet."""

    UNKNOWN = "unknown"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


class Seen(StrEnum):
    """What one check saw."""

    GOOD = "good"
    POOR = "poor"
    """It answered, but slowly or at its limit."""
    FAILED = "failed"
    NOTHING = "nothing"
    """Nothing was to be expected, so nothing is learnt."""


class Known(NamedTuple):
    """What is known of a way: its state since when, and the checks in a row that ended alike."""

    state: State = State.UNKNOWN
    since: datetime | None = None
    failures: int = 0
    successes: int = 0
    poor: int = 0


def after(known: Known, seen: Seen, at: datetime) -> Known:
    """What is known after one more check."""
    if seen == Seen.NOTHING:
        return known
    if seen == Seen.FAILED:
        counted = known._replace(failures=known.failures + 1, successes=0, poor=0)
        return _become(counted, _failing(counted), at)
    if seen == Seen.POOR:
        counted = known._replace(failures=0, successes=0, poor=known.poor + 1)
        return _become(counted, _answering(counted), at)
    counted = known._replace(failures=0, successes=known.successes + 1, poor=0)
    return _become(counted, _answering(counted), at)


def _failing(known: Known) -> State:
    if known.failures >= OFFLINE_AFTER:
        return State.OFFLINE
    if known.failures >= DEGRADED_AFTER and known.state == State.ONLINE:
        return State.DEGRADED
    return known.state


def _answering(known: Known) -> State:
    if known.state == State.UNKNOWN:
        return State.ONLINE  # the first word of a new router; nothing was wrong before
    if known.poor >= POOR_AFTER:
        return State.DEGRADED
    if known.state == State.OFFLINE and known.poor >= ONLINE_AFTER:
        return State.DEGRADED
    if known.successes >= ONLINE_AFTER:
        return State.ONLINE
    return known.state


def _become(known: Known, state: State, at: datetime) -> Known:
    return known if state == known.state else known._replace(state=state, since=at)


class Counters(NamedTuple):
    """What a router has counted about one RADIUS server since it started; None where it does not tell."""

    address: str
    requests: int | None
    timeouts: int | None
    bad_replies: int | None


class Told(NamedTuple):
    """What a router told of itself. `skew_s`: how far its clock is ahead of the database's; None is not known."""

    version: str = ""
    board: str = ""
    uptime_s: int | None = None
    cpu_percent: int | None = None
    free_memory_bytes: int | None = None
    total_memory_bytes: int | None = None
    skew_s: float | None = None
    certificate_ends_at: datetime | None = None
    radius: tuple[Counters, ...] = ()


def how_it_is(told: Told, latency_ms: float | None) -> Seen:
    """Whether an answer is a good one."""
    busy = told.cpu_percent is not None and told.cpu_percent >= BUSY_PERCENT
    slow = latency_ms is not None and latency_ms >= SLOW_MS
    return Seen.POOR if busy or slow else Seen.GOOD


def rebooted(before: Mapping[str, Any], told: Told, at: datetime) -> datetime | None:
    """When the router started anew since it was looked at before, or None. `before` are the facts of then."""
    if told.uptime_s is None or not before.get("started_at"):
        return None
    started_at = at - timedelta(seconds=told.uptime_s)
    return started_at if started_at - datetime.fromisoformat(before["started_at"]) > UPTIME_SLACK else None


def facts_document(before: Mapping[str, Any], told: Told, at: datetime) -> dict[str, Any]:
    """What is kept of an answer, as JSON; counters also as differences to `before`, the facts that were kept last."""
    again = rebooted(before, told, at)
    started_at = at - timedelta(seconds=told.uptime_s) if told.uptime_s is not None else None
    if started_at is not None and again is None and before.get("started_at"):
        started_at = datetime.fromisoformat(before["started_at"])  # else it would wander with every rounding
    counted = _counted(before, told.radius, restarted=again is not None)
    return {
        "version": told.version,
        "board": told.board,
        "uptime_s": told.uptime_s,
        "started_at": _text(started_at),
        "rebooted_at": _text(again) or before.get("rebooted_at", ""),
        "cpu_percent": told.cpu_percent,
        "free_memory_bytes": told.free_memory_bytes,
        "total_memory_bytes": told.total_memory_bytes,
        "clock_skew_s": None if told.skew_s is None else round(told.skew_s, 1),
        "certificate_ends_at": _text(told.certificate_ends_at),
        "radius": [one._asdict() for one in told.radius],
        "radius_new": counted,
        "radius_hour": _of_the_hour(before, counted, at),
    }


def notes(facts: Mapping[str, Any], now: datetime) -> list[str]:
    """What a person should look at, a sentence each; `facts` as `facts_document` made them."""
    said = [_rebooted_lately(facts, now), _skewed(facts), _certificate(facts, now), _load(facts), _memory(facts)]
    hour = facts.get("radius_hour") or {}
    if hour.get("bad_replies"):
        said.append(
            f"The router rejected {hour['bad_replies']} RADIUS answers in this hour: its secret is another than ours, "
            "or it wants signed answers; `ispagents router script` sets both."
        )
    if hour.get("timeouts"):
        said.append(
            f"{hour['timeouts']} RADIUS requests of the router got no answer in time in this hour: look at the way to "
            "our RADIUS server and at its load, and set the router's timeout to 3 s."
        )
    return [one for one in said if one]


def heard_lately(open_sessions: int, heard_at: datetime | None, now: datetime) -> tuple[Seen, str]:
    """What accounting and logins tell about a router: `heard_at` is when anything of it came last."""
    if heard_at is not None and now - heard_at <= HEARD_WITHIN:
        return Seen.GOOD, ""
    if not open_sessions:
        return Seen.NOTHING, ""
    since = "" if heard_at is None else f" for {span(now - heard_at)}"
    return Seen.FAILED, (
        f"{open_sessions} sessions are open there and no accounting has come{since}: the router or the way from it is "
        "down, or its accounting goes elsewhere; see `/radius print` and `/ppp aaa print` on it."
    )


def answers_coa(misses: int, answered_at: datetime | None, *, takes_coa: bool) -> tuple[State, str]:
    """What the breaker's count of missed answers in a row tells about CoA."""
    if not takes_coa:
        return State.UNKNOWN, "It is set as taking no CoA, so sessions change at their next login."
    if misses:
        said = (
            f"{misses} CoA or Disconnect packets in a row got no answer: see that `/radius incoming` accepts, its port "
            "and secret; `ispagents router test` finds out which."
        )
        state = State.OFFLINE if misses >= OFFLINE_AFTER else State.DEGRADED
        return (state if misses >= DEGRADED_AFTER else State.ONLINE if answered_at else State.UNKNOWN), said
    return (State.ONLINE if answered_at is not None else State.UNKNOWN), ""


def _rebooted_lately(facts: Mapping[str, Any], now: datetime) -> str:
    text = facts.get("rebooted_at")
    at = datetime.fromisoformat(text) if text else None
    if at is None or now - at > timedelta(days=1):
        return ""
    return f"The router started anew {span(now - at)} ago; sessions of before sent no Stop, and lists are read again."


def _skewed(facts: Mapping[str, Any]) -> str:
    skew_s = facts.get("clock_skew_s")
    if skew_s is None or abs(skew_s) < SKEW_S:
        return ""
    side = "ahead" if skew_s > 0 else "behind"
    return (
        f"The router's clock is {span(timedelta(seconds=abs(skew_s)))} {side}: its log and certificates go wrong; "
        "turn on `/system ntp client`."
    )


def _certificate(facts: Mapping[str, Any], now: datetime) -> str:
    text = facts.get("certificate_ends_at")
    if not text:
        return ""
    left = datetime.fromisoformat(text) - now
    if left > CERTIFICATE_WARN:
        return ""
    when = f"ends in {span(left)}" if left > timedelta() else "has ended"
    return (
        f"The certificate of the router's API {when}: renew it, and where it is pinned, give its new fingerprint with "
        "`ispagents router api set`."
    )


def _load(facts: Mapping[str, Any]) -> str:
    percent = facts.get("cpu_percent")
    return f"The router's processor is busy ({percent} %)." if percent is not None and percent >= BUSY_PERCENT else ""


def _memory(facts: Mapping[str, Any]) -> str:
    free, total = facts.get("free_memory_bytes"), facts.get("total_memory_bytes")
    if free is None or not total or free / total >= MEMORY_LEAST:
        return ""
    return f"The router has {free // 2**20} of {total // 2**20} MiB of memory left; lists that are too long fill it."


def _counted(before: Mapping[str, Any], radius: Iterable[Counters], *, restarted: bool) -> dict[str, int]:
    """How much each counter has grown. One that fell began anew, so all that it shows is new."""
    known = {} if restarted else {one["address"]: one for one in before.get("radius", ())}
    grown = {"requests": 0, "timeouts": 0, "bad_replies": 0}
    if not before:
        return grown  # nobody knows how old these are
    for one in radius:
        earlier = known.get(one.address, {})
        for name in grown:
            value, was = getattr(one, name), earlier.get(name)
            if value is not None and (was is not None or restarted):
                grown[name] += value - was if was is not None and value >= was else value
    return grown


def _of_the_hour(before: Mapping[str, Any], counted: Mapping[str, int], at: datetime) -> dict[str, Any]:
    hour = at.strftime("%Y-%m-%dT%H")
    last = before.get("radius_hour") or {}
    if last.get("hour") != hour:
        return {"hour": hour, **counted}
    return {"hour": hour, **{name: last.get(name, 0) + count for name, count in counted.items()}}


def _text(at: datetime | None) -> str:
    return "" if at is None else short(at.isoformat())
