"""What must hold and what is aimed at, by bench and key: section 10 of the design, and nothing else decides."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table."""

    key: str
    what: str
    must: float
    aim: float
    more_is_better: bool

    def verdict(self, value: float | None) -> str:
        """`aim`, `must` or `missed`; `-` when nothing was measured."""
        if value is None:
            return "-"
        sign = 1 if self.more_is_better else -1
        if value * sign >= self.aim * sign:
            return "aim"
        return "must" if value * sign >= self.must * sign else "missed"


def _more(key: str, what: str, must: float, aim: float) -> Target:
    return Target(key, what, must, aim, more_is_better=True)


def _less(key: str, what: str, must: float, aim: float) -> Target:
    return Target(key, what, must, aim, more_is_better=False)


TARGETS: Final[dict[str, tuple[Target, ...]]] = {
    "auth": (
        _more("throughput_vs_rlm_sql", "logins/s against rlm_sql + PostgreSQL", 10, 16),
        _more("throughput_vs_files", "logins/s against the files floor", 0.6, 0.9),
        _less("p99_ms", "p99 at window 64, ms", 10, 5),
        _more("rate_1m_vs_10k", "login rate, 1,000,000 services against 10,000", 0.9, 1),
        _less("extra_memory_mib_1m", "memory more for 1,000,000 services, MiB", 64, 16),
    ),
    "acct": (_more("throughput_vs_rlm_sql", "accounting against rlm_sql", 5, 10),),
    "coa": (
        _more("rate_vs_radclient", "CoA/s against radclient", 0.7, 1),
        _less("seconds_10k_50_routers", "10,000 sessions on 50 routers, s", 10, 3),
    ),
    "changes": (
        _less("payment_to_coa_p50_ms", "payment to CoA, p50 ms", 300, 100),
        _less("payment_to_coa_p99_ms", "payment to CoA, p99 ms", 1000, 300),
    ),
    "routeros": (_more("speedup_20ms", "1,000 list changes against a plain librouteros loop", 10, 30),),
    "pages": (_less("worst_p95_ms", "slowest page, p95 ms", 150, 50),),
    "billing": (
        _less("nightly_1m_s", "nightly run of 1,000,000 services, s", 600, 180),
        _less("nightly_peak_mib", "its peak memory, MiB", 500, 300),
    ),
}
