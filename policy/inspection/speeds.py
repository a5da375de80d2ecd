"""Speeds as routers write them, in profiles, leases and queues, read into rate limits."""

from __future__ import annotations

from policy.errors import PolicyError
from policy.rate_limit import Pair, RateLimit, canonical
from policy.routeros import menus
from policy.routeros.menus import value
from policy.routeros.objects import Item
from policy.routeros.values import duration, integer, pair, rates_bps
from policy.wording import short


def speed_of(item: Item) -> tuple[str, str, str]:
    """The rate limit of a profile, lease or queue: canonical ("" for none), as it was written, and what is wrong."""
    shown = _queue_shown(item) if item.menu == menus.QUEUE else item.fields.get("rate-limit", "")
    try:
        return _queue_limit(item) if item.menu == menus.QUEUE else _whole_bits(shown), shown, ""
    except PolicyError as error:
        return "", shown, f"Its rate limit {short(shown)!r} cannot be read: {error}."


def _whole_bits(text: str) -> str:
    return canonical(" ".join(text.split()))


def _queue_limit(item: Item) -> str:
    """A queue's limits in the grammar of a rate limit. Raises PolicyError where that cannot say them."""
    rate, burst, threshold, minimum = (
        Pair(*rates_bps(value(item.menu, item.fields, name)))
        for name in ("max-limit", "burst-limit", "burst-threshold", "limit-at")
    )
    up, down = pair(value(item.menu, item.fields, "burst-time"))
    times = Pair(int(duration(up).total_seconds()), int(duration(down).total_seconds()))
    priority, other = (integer(part) for part in pair(value(item.menu, item.fields, "priority")))
    if priority != other:
        raise PolicyError("upload and download have different priorities")
    none = Pair(0, 0)
    if rate == burst == minimum == none:
        return ""
    has_burst = burst != none
    limit = RateLimit(
        rate,
        burst if has_burst else None,
        (threshold if threshold != none else rate) if has_burst else None,
        (times if times != none else Pair(1, 1)) if has_burst else None,
        priority,
        minimum if minimum != none else None,
    )
    return limit.render()


def _queue_shown(item: Item) -> str:
    words = [value(item.menu, item.fields, "max-limit")]
    for name in ("burst-limit", "burst-threshold", "burst-time", "priority", "limit-at"):
        text = value(item.menu, item.fields, name)
        if text not in ("0/0", "0s/0s", "8/8"):
            words.append(f"{name}={text}")
    return " ".join(words)
