"""`ispagents bench auth`: logins with a billing decision, against rlm_sql and the `files` floor, side by side.

All servers run at once and are asked in turn (A B C, A B C, ...), so that whatever else the machine does falls on all
of them alike. Each ratio is the median of the ratios of the rounds; other figures are medians of the rounds.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import bench
from bench import report
from bench.load import Load, LoadError, Outcome
from bench.servers import process
from bench.servers.constant import Constant
from bench.servers.contract import DISTRIBUTION_POOL, Endpoint, LoginServer
from bench.servers.echo import Echo
from bench.servers.files import Files
from bench.servers.own import THREADS as OWN_THREADS
from bench.servers.own import own_server
from bench.servers.postgres import ThrowAwayPostgres
from bench.servers.rlm_sql import RlmSql

WINDOW: Final = 64
FASTEST_EXPECTED_PER_S: Final = 60_000  # how many requests to encode before the clock starts
LOAD_PATIENCE_S: Final = 60.0  # for encoding and the last answers, beside the run itself

# Thread pools that compete for each baseline on two cores: few threads suit what never waits, more suit what waits for
# a database. They run in the same rounds, since a short trial beforehand picks by luck.
FILES_POOLS: Final = (2, 4, DISTRIBUTION_POOL)
SIGNING_POOL: Final = 2  # for reference: the floor with signed answers, as ours gives them
CONSTANT_POOLS: Final = (2, 4)
RLM_SQL_POOLS: Final = (4, 8, DISTRIBUTION_POOL)
RLM_SQL_LARGE_POOL: Final = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    users_small: int
    users_large: int
    rounds: int
    seconds: float
    warm_up_seconds: float


FULL: Final = Size(10_000, 1_000_000, rounds=7, seconds=2.0, warm_up_seconds=0.5)
QUICK: Final = Size(2_000, 50_000, rounds=3, seconds=0.4, warm_up_seconds=0.1)


class BenchError(Exception):
    """A server answered wrongly or not at all, so that its speed means nothing."""


@dataclass(slots=True)
class Entrant:
    """One server with one number of users and one thread pool, and what its rounds gave."""

    key: str
    server: LoginServer
    users: int
    threads: int
    endpoint: Endpoint | None = None
    rounds: list[Outcome] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    database_cpu_us: list[float] = field(default_factory=list)
    rss_mib: float = 0.0
    pss_mib: float = 0.0

    def __str__(self) -> str:
        return f"{self.key}/{self.pool()}"

    def pool(self) -> str:
        return "5-32" if self.threads == DISTRIBUTION_POOL else str(self.threads)

    def medians(self) -> dict[str, Any]:
        return {
            "users": self.users,
            "threads": self.pool(),
            "logins_per_s": round(self.rate()),
            "p50_ms": round(median(one.p50_ms for one in self.rounds), 2),
            "p99_ms": round(self.p99_ms(), 2),
            "cpu_us_per_login": round(median(self.cpu_us), 1),
            "database_cpu_us_per_login": round(median(self.database_cpu_us), 1),
            "rss_mib": round(self.rss_mib, 1),
            "pss_mib": round(self.pss_mib, 1),
            "resent": sum(one.resent for one in self.rounds),
            "signed_share": round(sum(one.signed for one in self.rounds) / max(1, self.verified()), 3),
        }

    def rate(self) -> float:
        return median(one.logins_per_s for one in self.rounds)

    def p99_ms(self) -> float:
        return median(one.p99_ms for one in self.rounds)

    def verified(self) -> int:
        return sum(one.verified for one in self.rounds)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises BenchError, LoadError or ServerError with what to do. Needs about 5 minutes, or
    under 45 s when `quick`. While our own server is not built, its keys hold None.
    """
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    with process.orderly_end() as stack:
        alone = _generator_alone(stack, size)
        say(f"generator alone: {alone.logins_per_s:,.0f} logins/s, {alone.generator_us:.1f} us each")
        entrants = _entrants(stack, size)
        for entrant in entrants:
            entrant.endpoint = entrant.server.start(entrant.users, entrant.threads)
            say(f"{entrant}: running with {entrant.users:,} users")
        for number in range(size.rounds):
            for entrant in entrants:
                _measure(entrant, size, seed=100 + number)
            last = ", ".join(f"{entrant} {entrant.rounds[-1].logins_per_s:,.0f}" for entrant in entrants)
            say(f"round {number + 1} of {size.rounds}: {last}")
        for entrant in entrants:
            if entrant.endpoint is not None:
                usage = process.usage(entrant.endpoint)
                entrant.rss_mib, entrant.pss_mib = usage.rss_mib, usage.pss_mib
        return _results(entrants, alone, size)


def _entrants(stack: ExitStack, size: Size) -> list[Entrant]:
    database = ThrowAwayPostgres()
    stack.callback(database.stop)
    database.start()
    small, large = size.users_small, size.users_large
    entrants = [Entrant("files", Files(), small, threads) for threads in FILES_POOLS]
    entrants += [Entrant("files_signing", Files(signing=True), small, SIGNING_POOL)]
    entrants += [Entrant("python_constant", Constant(), small, threads) for threads in CONSTANT_POOLS]
    entrants += [Entrant("rlm_sql", RlmSql(database), small, threads) for threads in RLM_SQL_POOLS]
    entrants += [Entrant("rlm_sql_1m", RlmSql(database), large, RLM_SQL_LARGE_POOL)]
    if (own := own_server()) is not None and (own_large := own_server()) is not None:
        entrants += [
            Entrant("ispagents", own, small, OWN_THREADS),
            Entrant("ispagents_1m", own_large, large, OWN_THREADS),
        ]
    for entrant in entrants:
        stack.callback(entrant.server.stop)
    return entrants


def _generator_alone(stack: ExitStack, size: Size) -> Outcome:
    echo = Echo()
    stack.callback(echo.stop)
    entrant = Entrant("generator", echo, size.users_small, 1)
    entrant.endpoint = echo.start(size.users_small, 1)
    outcome = _put_on(entrant, size, seconds=size.seconds, seed=1)
    echo.stop()
    return outcome


def _measure(entrant: Entrant, size: Size, seed: int) -> None:
    if entrant.endpoint is None:
        raise BenchError(f"{entrant.key} was not started")
    before = process.usage(entrant.endpoint)
    outcome = _put_on(entrant, size, seconds=size.seconds, seed=seed)
    after = process.usage(entrant.endpoint)
    entrant.rounds.append(outcome)
    entrant.cpu_us.append((after.server_cpu_s - before.server_cpu_s) / outcome.answered * 1e6)
    entrant.database_cpu_us.append((after.helpers_cpu_s - before.helpers_cpu_s) / outcome.answered * 1e6)


def _put_on(entrant: Entrant, size: Size, *, seconds: float, seed: int) -> Outcome:
    """One load run by a process of its own; an answer that is wrong or missing ends the bench."""
    if entrant.endpoint is None:
        raise BenchError(f"{entrant.key} was not started")
    load = Load(
        port=entrant.endpoint.port,
        secret=entrant.endpoint.secret,
        users=entrant.users,
        address=entrant.endpoint.address,
        seconds=seconds,
        warm_up_seconds=size.warm_up_seconds,
        window=WINDOW,
        packets=int((seconds + size.warm_up_seconds) * _expected_rate(entrant)),
        seed=seed,
        rate=entrant.server.rate,
    )
    options = [part for name, value in asdict(load).items() for part in (f"--{name.replace('_', '-')}", str(value))]
    done = subprocess.run(
        [sys.executable, "-m", "bench.load", *options],
        capture_output=True,
        check=False,
        start_new_session=True,
        timeout=seconds + LOAD_PATIENCE_S,
        cwd=Path(bench.__file__).parent.parent,
    )
    if done.returncode:
        told = done.stderr.decode(errors="replace").strip()
        raise LoadError(f"{entrant.key}: {told}; {process.fate(entrant.endpoint)}")
    outcome = Outcome(**json.loads(done.stdout))
    problems = {"wrong": outcome.wrong, "rejected": outcome.rejected, "lost": outcome.lost}
    if any(problems.values()) or not outcome.measured:
        told = f"{outcome.measured} answers, {problems}. {outcome.first_wrong}".strip()
        raise BenchError(f"{entrant.key}: {told}; {process.fate(entrant.endpoint)}")
    return outcome


def _expected_rate(entrant: Entrant) -> float:
    """Half as much again as it ever did; packets beyond that would be encoded for nothing."""
    seen = max((one.logins_per_s for one in entrant.rounds), default=0.0)
    return seen * 1.5 or FASTEST_EXPECTED_PER_S


def _results(entrants: Sequence[Entrant], alone: Outcome, size: Size) -> dict[str, Any]:
    best: dict[str, Entrant] = {}
    for entrant in entrants:  # of each server, the pool that was the fastest in these rounds
        if entrant.key not in best or entrant.rate() > best[entrant.key].rate():
            best[entrant.key] = entrant
    results: dict[str, Any] = {
        "throughput_vs_rlm_sql": _ratio(best, "ispagents", "rlm_sql"),
        "throughput_vs_files": _ratio(best, "ispagents", "files"),
        "p99_ms": None,
        "rate_1m_vs_10k": _ratio(best, "ispagents_1m", "ispagents"),
        "extra_memory_mib_1m": None,
        "throughput_1m_vs_rlm_sql_1m": _ratio(best, "ispagents_1m", "rlm_sql_1m"),
        "throughput_vs_files_signing": _ratio(best, "ispagents", "files_signing"),
        "python_constant_vs_files": _ratio(best, "python_constant", "files"),
        "rlm_sql_vs_files": _ratio(best, "rlm_sql", "files"),
        "generator_logins_per_s": round(alone.logins_per_s),
        "generator_cpu_us_per_login": round(alone.generator_us, 1),
        "users_small": size.users_small,
        "users_large": size.users_large,
        "window": WINDOW,
        "rounds": size.rounds,
        "seconds": size.seconds,
    }
    if "ispagents" in best:
        small, large = best["ispagents"], best["ispagents_1m"]
        results["p99_ms"] = round(max(small.p99_ms(), large.p99_ms()), 2)
        results["extra_memory_mib_1m"] = round(large.rss_mib - small.rss_mib, 1)
    for key, entrant in best.items():
        results[f"{key}_logins_per_s"] = round(entrant.rate())
    results["servers"] = {
        str(entrant): entrant.medians() | {"best": "yes" if best[entrant.key] is entrant else ""}
        for entrant in entrants
    }
    return results


def _ratio(best: Mapping[str, Entrant], ours: str, theirs: str) -> float | None:
    if ours not in best or theirs not in best:
        return None
    pairs = zip(best[ours].rounds, best[theirs].rounds, strict=True)
    return round(median(one.logins_per_s / other.logins_per_s for one, other in pairs), 3)
