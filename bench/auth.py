"""`ispagents bench auth`: logins with a billing decision, against rlm_sql and the `files` floor, side by side.

All servers run at once and are asked in turn (A B C, A B C, ...), so that whatever else the machine does falls on all
of them alike. Each ratio is the median of the ratios of the rounds; other figures are medians of the rounds.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import bench
from bench.load import Load, LoadError, Outcome
from bench.servers import process
from bench.servers.constant import Constant
from bench.servers.contract import DISTRIBUTION_POOL, Endpoint, LoginServer
from bench.servers.echo import Echo
from bench.servers.files import Files
from bench.servers.own import POOLS as OWN_POOLS
from bench.servers.own import own_server
from bench.servers.postgres import ThrowAwayPostgres
from bench.servers.rlm_sql import RlmSql

WINDOW: Final = 64
FASTEST_EXPECTED_PER_S: Final = 60_000  # how many requests to encode before the clock starts
LOAD_PATIENCE_S: Final = 60.0  # for encoding and the last answers, beside the run itself

# Thread pools tried for each server before the rounds, on two cores: fewer threads help what never waits, more help
# what waits for a database. The distribution's own is always among them.
FILES_POOLS: Final = (2, 4, DISTRIBUTION_POOL)
CONSTANT_POOLS: Final = (2, 4, DISTRIBUTION_POOL)
RLM_SQL_POOLS: Final = (4, 8, DISTRIBUTION_POOL, 16)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    users_small: int
    users_large: int
    rounds: int
    seconds: float
    trials: int
    trial_seconds: float
    warm_up_seconds: float


FULL: Final = Size(10_000, 1_000_000, rounds=9, seconds=2.0, trials=2, trial_seconds=2.0, warm_up_seconds=0.5)
QUICK: Final = Size(2_000, 50_000, rounds=3, seconds=0.6, trials=1, trial_seconds=0.4, warm_up_seconds=0.15)


class BenchError(Exception):
    """A server answered wrongly or not at all, so that its speed means nothing."""


@dataclass(slots=True)
class Entrant:
    """One server with one number of users, and what its rounds gave."""

    key: str
    server: LoginServer
    users: int
    pools: tuple[int, ...] = ()
    like: str = ""
    """Instead of pools of its own: the entrant whose best pool it takes."""
    threads: int = DISTRIBUTION_POOL
    endpoint: Endpoint | None = None
    rounds: list[Outcome] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    database_cpu_us: list[float] = field(default_factory=list)
    rss_mib: float = 0.0
    pss_mib: float = 0.0

    def medians(self) -> dict[str, Any]:
        return {
            "server": self.server.name,
            "users": self.users,
            "threads": self.threads or "5-32",
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
    """The `results` of one run; raises BenchError, LoadError or ServerError with what to do. Needs about 4 minutes, or
    under 45 s when `quick`. While our own server is not built, its keys hold None.
    """
    size, say = (QUICK if quick else FULL), say or _to_stderr
    process.sweep()
    with process.orderly_end() as stack:
        alone = _generator_alone(stack, size)
        say(f"generator alone: {alone.logins_per_s:,.0f} logins/s, {alone.generator_us:.1f} us each")
        entrants = _entrants(stack, size)
        for entrant in entrants.values():
            _choose_pool(entrant, entrants, size, say)
        for number in range(size.rounds):
            say(f"round {number + 1} of {size.rounds}")
            for entrant in entrants.values():
                _measure(entrant, size, seed=100 + number)
        for entrant in entrants.values():
            if entrant.endpoint is not None:
                usage = process.usage(entrant.endpoint)
                entrant.rss_mib, entrant.pss_mib = usage.rss_mib, usage.pss_mib
        return _results(entrants, alone, size)


def _entrants(stack: ExitStack, size: Size) -> dict[str, Entrant]:
    database = ThrowAwayPostgres()
    stack.callback(database.stop)
    database.start()
    small, large = size.users_small, size.users_large
    entrants = [
        Entrant("files", Files(), small, FILES_POOLS),
        Entrant("python_constant", Constant(), small, CONSTANT_POOLS),
        Entrant("rlm_sql", RlmSql(database), small, RLM_SQL_POOLS),
        Entrant("rlm_sql_1m", RlmSql(database), large, like="rlm_sql"),
    ]
    if (own := own_server()) is not None and (own_large := own_server()) is not None:
        entrants += [
            Entrant("ispagents", own, small, OWN_POOLS),
            Entrant("ispagents_1m", own_large, large, like="ispagents"),
        ]
    for entrant in entrants:
        stack.callback(entrant.server.stop)
    return {entrant.key: entrant for entrant in entrants}


def _generator_alone(stack: ExitStack, size: Size) -> Outcome:
    echo = Echo()
    stack.callback(echo.stop)
    entrant = Entrant("generator", echo, size.users_small)
    entrant.endpoint = echo.start(size.users_small, 1)
    outcome = _put_on(entrant, size, seconds=size.trial_seconds, seed=1)
    echo.stop()
    return outcome


def _choose_pool(entrant: Entrant, entrants: Mapping[str, Entrant], size: Size, say: Callable[[str], None]) -> None:
    """Leaves the entrant running with the thread pool that was the fastest in its best short trial."""
    if entrant.like:
        entrant.threads = entrants[entrant.like].threads
    elif len(entrant.pools) == 1:
        entrant.threads = entrant.pools[0]
    else:
        rates: dict[int, float] = {}
        for threads in entrant.pools * size.trials:
            entrant.endpoint = entrant.server.start(entrant.users, threads)
            trial = _put_on(entrant, size, seconds=size.trial_seconds, seed=1)
            rates[threads] = max(rates.get(threads, 0.0), trial.logins_per_s)
            entrant.server.stop()
        entrant.threads = max(rates, key=lambda threads: rates[threads])
        tried = ", ".join(f"{threads or '5-32'}: {rate:,.0f}" for threads, rate in rates.items())
        say(f"{entrant.key}: logins/s by threads {tried}")
    entrant.endpoint = entrant.server.start(entrant.users, entrant.threads)
    say(f"{entrant.key}: {entrant.users:,} users, {entrant.threads or '5-32'} threads, running")


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


def _results(entrants: Mapping[str, Entrant], alone: Outcome, size: Size) -> dict[str, Any]:
    results: dict[str, Any] = {
        "throughput_vs_rlm_sql": _ratio(entrants, "ispagents", "rlm_sql"),
        "throughput_vs_files": _ratio(entrants, "ispagents", "files"),
        "p99_ms": None,
        "rate_1m_vs_10k": _ratio(entrants, "ispagents_1m", "ispagents"),
        "extra_memory_mib_1m": None,
        "throughput_1m_vs_rlm_sql_1m": _ratio(entrants, "ispagents_1m", "rlm_sql_1m"),
        "rlm_sql_vs_files": _ratio(entrants, "rlm_sql", "files"),
        "generator_logins_per_s": round(alone.logins_per_s),
        "generator_cpu_us_per_login": round(alone.generator_us, 1),
        "users_small": size.users_small,
        "users_large": size.users_large,
        "window": WINDOW,
        "rounds": size.rounds,
        "seconds": size.seconds,
    }
    if "ispagents" in entrants:
        small, large = entrants["ispagents"], entrants["ispagents_1m"]
        results["p99_ms"] = round(max(small.p99_ms(), large.p99_ms()), 2)
        results["extra_memory_mib_1m"] = round(large.rss_mib - small.rss_mib, 1)
    for key, entrant in entrants.items():
        results[f"{key}_logins_per_s"] = round(entrant.rate())
    results["servers"] = {key: entrant.medians() for key, entrant in entrants.items()}
    return results


def _ratio(entrants: Mapping[str, Entrant], ours: str, theirs: str) -> float | None:
    if ours not in entrants or theirs not in entrants:
        return None
    pairs = zip(entrants[ours].rounds, entrants[theirs].rounds, strict=True)
    return round(median(one.logins_per_s / other.logins_per_s for one, other in pairs), 3)


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
