"""MikroTik's rate-limit grammar: parse, validate, render.

`rx[/tx] [rxburst[/txburst] [rxthr[/txthr] [rxtime[/txtime] [priority] [rxmin[/txmin]]]]]`, blank separated, seen from
the router: rx is the client's upload and stands first (help.mikrotik.com, RADIUS page, Mikrotik-Rate-Limit).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from policy.errors import PolicyError

# RouterOS v6 counts some rates in 32 bits, v7 in 64; 1 Tbit/s is above any port and below every overflow of ours.
RATE_MAXIMUM_BPS = 10**12
BURST_TIME_MAXIMUM_S = 3600
TEXT_MAXIMUM_BYTES = 253  # one RADIUS string attribute (RFC 2865 section 5)
PRIORITY_LOWEST = 8

_NUMBER = re.compile(r"([0-9]{1,13})([kM]?)")


@dataclass(frozen=True, slots=True)
class Pair:
    """One value for each direction, upload first, as RouterOS writes it."""

    up: int
    down: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """A rate limit in bits per second; 0 is unlimited. Burst times are seconds.

    `burst`, `threshold` and `burst_time_s` go together: without `burst` the other two are None.
    """

    rate_bps: Pair
    burst_bps: Pair | None = None
    threshold_bps: Pair | None = None
    burst_time_s: Pair | None = None
    priority: int = PRIORITY_LOWEST
    minimum_bps: Pair | None = None

    def __post_init__(self) -> None:
        """Refuse what a router would refuse, misread or silently change."""
        for name, pair in (("rate", self.rate_bps), ("burst", self.burst_bps), ("threshold", self.threshold_bps)):
            if pair is not None:
                _check_rate(name, pair)
        if not 1 <= self.priority <= PRIORITY_LOWEST:
            raise PolicyError(f"the priority {self.priority} is outside 1 (highest) to 8 (lowest)")
        if (self.burst_bps is None) != (self.threshold_bps is None) or (self.burst_bps is None) != (
            self.burst_time_s is None
        ):
            raise PolicyError("burst rate, burst threshold and burst time are given together or not at all")
        self._check_burst()
        self._check_minimum()

    def _check_burst(self) -> None:
        if self.burst_bps is None or self.burst_time_s is None:
            return
        if self.burst_bps == Pair(0, 0) or (self.threshold_bps == Pair(0, 0) != self.rate_bps):
            # 0/0 only keeps the place of a field: written, it would be read back as another rate limit.
            raise PolicyError("a burst rate or threshold of 0/0 means none; leave it out")
        for burst, rate in ((self.burst_bps.up, self.rate_bps.up), (self.burst_bps.down, self.rate_bps.down)):
            if burst and burst < rate:
                raise PolicyError(f"the burst rate {burst} bit/s is below the rate {rate} bit/s")
        for seconds in (self.burst_time_s.up, self.burst_time_s.down):
            if not 1 <= seconds <= BURST_TIME_MAXIMUM_S:
                raise PolicyError(f"the burst time {seconds} s is outside 1 to {BURST_TIME_MAXIMUM_S} s")

    def _check_minimum(self) -> None:
        if self.minimum_bps is None:
            return
        _check_rate("minimum", self.minimum_bps)
        for minimum, rate in ((self.minimum_bps.up, self.rate_bps.up), (self.minimum_bps.down, self.rate_bps.down)):
            if rate and minimum > rate:
                raise PolicyError(f"the minimum rate {minimum} bit/s exceeds the rate {rate} bit/s")

    def render(self) -> str:
        """The canonical text. Every rate carries k or M, since accel-ppp reads a bare number as kbit/s.

        All fields before the last one given are written, priority included: the grammar is positional.
        """
        words = [_render_pair(self.rate_bps)]
        extended = self.priority != PRIORITY_LOWEST or self.minimum_bps is not None
        if self.burst_bps and self.threshold_bps and self.burst_time_s:
            words += [_render_pair(self.burst_bps), _render_pair(self.threshold_bps)]
            words.append(f"{self.burst_time_s.up}/{self.burst_time_s.down}")
        elif extended:
            words += ["0/0", "0/0", "0/0"]
        if extended:
            words.append(str(self.priority))
        if self.minimum_bps is not None:
            words.append(_render_pair(self.minimum_bps))
        return " ".join(words)


def parse(text: str) -> RateLimit:
    """Read the grammar; what is left out takes RouterOS's own default.

    Raises PolicyError with the offending word for anything else, so that nothing is guessed.
    """
    if len(text.encode("utf-8", "surrogatepass")) > TEXT_MAXIMUM_BYTES:
        raise PolicyError(f"a rate limit is at most {TEXT_MAXIMUM_BYTES} bytes long")
    words = text.split()
    if not 1 <= len(words) <= 6:
        raise PolicyError(f"the rate limit {text!r} needs one to six words: rate burst threshold time priority minimum")
    rate = _parse_pair(words[0])
    burst = _parse_pair(words[1]) if len(words) > 1 else None
    if burst == Pair(0, 0):
        burst = None  # 0/0 only keeps the place of a burst that is not there
    threshold = _parse_pair(words[2]) if len(words) > 2 else None
    burst_time = _parse_times(words[3]) if len(words) > 3 else None
    if burst is not None:
        threshold = threshold if threshold not in (None, Pair(0, 0)) else rate
        burst_time = burst_time if burst_time not in (None, Pair(0, 0)) else Pair(1, 1)
    elif threshold not in (None, Pair(0, 0)) or burst_time not in (None, Pair(0, 0)):
        raise PolicyError(f"the rate limit {text!r} has a burst threshold or time but no burst rate")
    else:
        threshold = burst_time = None
    priority = _parse_priority(words[4]) if len(words) > 4 else PRIORITY_LOWEST
    minimum = _parse_pair(words[5]) if len(words) > 5 else None
    return RateLimit(rate, burst, threshold, burst_time, priority, minimum)


@lru_cache(maxsize=1024)
def canonical(text: str) -> str:
    """The one spelling of a rate limit; "" stays "" (no rate limit is sent). Raises PolicyError."""
    return parse(text).render() if text else ""


def _check_rate(name: str, pair: Pair) -> None:
    for rate in (pair.up, pair.down):
        if rate < 0 or rate > RATE_MAXIMUM_BPS:
            raise PolicyError(f"the {name} {rate} bit/s is outside 0 to {RATE_MAXIMUM_BPS} bit/s")
        if rate % 1000:
            raise PolicyError(f"the {name} {rate} bit/s is not a whole number of kbit/s; write it with k or M")


def _render_pair(pair: Pair) -> str:
    return f"{_render_rate(pair.up)}/{_render_rate(pair.down)}"


def _render_rate(rate_bps: int) -> str:
    if rate_bps == 0:
        return "0"
    if rate_bps % 1_000_000 == 0:
        return f"{rate_bps // 1_000_000}M"
    return f"{rate_bps // 1000}k"


def _split(word: str) -> tuple[str, str]:
    first, slash, second = word.partition("/")
    return first, second if slash else first


def _parse_pair(word: str) -> Pair:
    up, down = _split(word)
    return Pair(_parse_rate(up), _parse_rate(down))


def _parse_rate(word: str) -> int:
    match = _NUMBER.fullmatch(word)
    if match is None:
        raise PolicyError(f"{word!r} is not a rate: write a whole number with k or M, such as 512k or 10M")
    return int(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]]


def _parse_times(word: str) -> Pair:
    up, down = _split(word)
    if not (up.isascii() and up.isdigit() and down.isascii() and down.isdigit() and len(word) < 16):
        raise PolicyError(f"{word!r} is not a burst time: write whole seconds, such as 10/10")
    return Pair(int(up), int(down))


def _parse_priority(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) == 1):
        raise PolicyError(f"{word!r} is not a priority: write one digit from 1 (highest) to 8 (lowest)")
    return int(word)
