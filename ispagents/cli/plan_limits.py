"""Limits of a plan as people say them: tiers such as `month:100G:2M/2M`, hours that count for less, when to warn."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from ispagents.cli.inputs import gigabytes
from ispagents.errors import Problem
from policy.documents import LIST_MAXIMUM
from policy.errors import PolicyError
from policy.facts import PlanFacts
from policy.fair_use import TierAction
from policy.quota import interim_s, limits, overshoot_bytes, overshoot_words
from policy.rate_limit import canonical
from policy.usage import PERCENT_MAXIMUM, SpanKind, UsageRule
from policy.windows import EVERY_DAY, MINUTES_A_DAY

NONE = "none"
_SIZE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)([MGT])")
_POWERS = {"M": 6, "G": 9, "T": 12}
_SPANS = ", ".join(SpanKind)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RULE = re.compile(r"(?:([a-z,-]+) +)?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})=([0-9]{1,4})(?:/([0-9]{1,4}))?")
_MINUTES = 60


def said_limits(
    tiers: list[str] | None, usage_rules: list[str] | None, carry_over_gb: str | None, warn_at: str | None
) -> dict[str, Any]:
    """The facts of a plan that were named. Raises Problem."""
    said: dict[str, Any] = {}
    if tiers:
        said["tiers"] = [_tier(one) for one in tiers if one != NONE]
    if usage_rules:
        said["usage_rules"] = _rules([one for one in usage_rules if one != NONE])
    if carry_over_gb is not None:
        said["carry_over_bytes"] = gigabytes(carry_over_gb)
    if warn_at is not None:
        said["warn_percents"] = [] if warn_at == NONE else [_percent(one.strip()) for one in warn_at.split(",")]
    return said


def limits_row(plan: PlanFacts) -> dict[str, Any]:
    """What counts for less or more, how often sessions report, and how far a limit can be passed; {} for neither."""
    row: dict[str, Any] = {}
    if plan.usage_rules:
        row["counts"] = [_rule_text(rule) for rule in plan.usage_rules]
        row["counts_by"] = plan.time_zone
    if limits(plan):
        row["reports_every_s"] = interim_s(plan)
        row["overshoot"] = overshoot_words(plan)
        row["overshoot_bytes"] = overshoot_bytes(plan)
    return row


def _tier(text: str) -> dict[str, Any]:
    parts = text.split(":", 2)
    size = _SIZE.fullmatch(parts[1]) if len(parts) == 3 else None
    if size is None or parts[0] not in set(SpanKind):
        raise Problem(
            f"{text[:60]!r} is not a tier; write one of {_SPANS}, the bytes and the rate: 'month:100G:2M/2M', "
            "or restrict or stop for the rate."
        )
    tier: dict[str, Any] = {"from_bytes": int(Decimal(size[1]).scaleb(_POWERS[size[2]])), "span": parts[0]}
    if parts[2] in (TierAction.RESTRICT, TierAction.STOP):
        return {**tier, "action": parts[2]}
    try:
        return {**tier, "rate_limit": canonical(parts[2])}
    except PolicyError as error:
        raise Problem(f"{text[:60]!r} is not a tier: {error}.") from error


def _rules(texts: list[str]) -> list[dict[str, Any]]:
    if len(texts) > LIST_MAXIMUM:
        raise Problem(f"A plan has at most {LIST_MAXIMUM} rules of usage; these are {len(texts)}.")
    rules = [_rule(one) for one in texts]
    for number, rule in enumerate(rules):
        hours = {name: rule.get(name) for name in ("days", "start_minute", "end_minute")}
        if any({name: other.get(name) for name in hours} == hours for other in rules[:number]):
            raise Problem(f"{texts[number][:60]!r} has the hours of a rule before it, so it would never hold.")
    return rules


def _rule(text: str) -> dict[str, Any]:
    found = _RULE.fullmatch(text.strip().lower())
    if found is None:
        raise Problem(
            f"{text[:60]!r} is no rule; write hours and what a byte counts for in percent, such as '01:00-06:00=0', "
            "'sat,sun 00:00-24:00=50', or for upload and download 'mon-fri 08:00-18:00=0/100'."
        )
    start, end = _minute(found[2], found[3]), _minute(found[4], found[5])
    shares = int(found[6]), int(found[7] or found[6])
    if start is None or end is None or start in (MINUTES_A_DAY, end):
        raise Problem(
            f"{text[:60]!r} has hours that no day has; the day is 00:00-24:00, and an earlier end is the next day's."
        )
    if max(shares) > PERCENT_MAXIMUM:
        raise Problem(f"{text[:60]!r} counts a byte for more than {PERCENT_MAXIMUM} percent; 200 is twice.")
    rule = {"start_minute": start, "end_minute": end, "upload_percent": shares[0], "download_percent": shares[1]}
    return {**rule, "days": _days(found[1], text)} if found[1] else rule


def _minute(hour: str, minute: str) -> int | None:
    number = int(hour) * _MINUTES + int(minute)
    return number if int(minute) < _MINUTES and number <= MINUTES_A_DAY else None


def _days(text: str, rule: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS or part.endswith("-"):
            raise Problem(f"{rule[:60]!r} has a day that is none of {', '.join(_DAYS)}.")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        found |= {day % len(_DAYS) for day in range(start, end + 1 + (len(_DAYS) if end < start else 0))}
    return sorted(found)


def _rule_text(rule: UsageRule) -> str:
    """A rule as it is typed."""
    days = "" if rule.days == EVERY_DAY else ",".join(_DAYS[day] for day in rule.days) + " "
    hours = "-".join(f"{one // _MINUTES:02}:{one % _MINUTES:02}" for one in (rule.start_minute, rule.end_minute))
    up, down = rule.upload_percent, rule.download_percent
    return f"{days}{hours}={up}" if up == down else f"{days}{hours}={up}/{down}"


def _percent(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100):
        raise Problem(f"{text[:60]!r} is not a share; write whole percents such as 80,100, or none.")
    return int(text)
