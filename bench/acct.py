"""`ispagents bench acct`: accounting packets until their rows are in PostgreSQL, against rlm_sql and `detail` alone.

All servers run at once and are loaded in turn. rlm_sql has the distribution's schema and queries, the best of three
thread pools counts, and its database does not wait for the disk; ours is the embedded one as it is shipped, which does,
and the clock stops when every record's rows are committed. Then ours alone: a backlog, a minute's interims of many open
sessions, and what pages ask of usage.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from bench import report
from bench.acct_own import BACKLOG_RECORD, Own, load
from bench.servers import process
from bench.servers.accounting import Standard
from bench.servers.contract import DISTRIBUTION_POOL, Endpoint
from bench.servers.postgres import ThrowAwayPostgres

POOLS: Final = (4, 8, DISTRIBUTION_POOL)
DETAIL_POOL: Final = 4
WINDOW: Final = 64


class AcctBenchError(Exception):
    """Something was lost or came twice, so that the time means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it."""

    sessions: int
    packets: int
    rounds: int
    backlog: int
    open_sessions: int
    live_s: float


FULL: Final = Size(5_000, 60_000, 5, 500_000, 100_000, 60.0)
QUICK: Final = Size(1_000, 8_000, 1, 20_000, 10_000, 5.0)
BACKLOG: Final = 10_000_000
OPEN_SESSIONS: Final = 100_000


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises AcctBenchError, LoadError or ServerError."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    with process.orderly_end() as stack:
        results = _compared(stack, size, say)
        with _own(size.open_sessions, say) as own:
            results |= _live(own, size, say)
            results |= _backlog(own, size, say)
            results |= own.queries()
            results["peak_mib"] = own.peak_mib()
    results["load_average"] = round(os.getloadavg()[0], 1)
    return results


def _compared(stack: Any, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    database = ThrowAwayPostgres()
    stack.callback(database.stop)
    database.start()
    baselines = [Standard("detail", DETAIL_POOL), *(Standard("rlm_sql", pool, database) for pool in POOLS)]
    rates: dict[str, list[float]] = {}
    with _own(size.sessions, say) as own:
        endpoints: list[tuple[str, Standard | None, Endpoint]] = [("ispagents", None, own.endpoint)]
        for one, pool in zip(baselines, (DETAIL_POOL, *POOLS), strict=True):
            stack.callback(one.stop)
            endpoints.append((f"{one.name}/{pool or '5-32'}", one, one.start()))
        for _, standard, endpoint in endpoints:
            load(endpoint, size.sessions, size.sessions, 0, WINDOW, starts=True)
            own.drained()
            say(f"{size.sessions} sessions begun at {standard.name if standard else 'ispagents'}")
        for number in range(size.rounds):
            for name, standard, endpoint in endpoints:
                first = number * -(-size.packets // size.sessions)
                sent = load(endpoint, size.sessions, size.packets, first, WINDOW)
                if sent.lost:
                    raise AcctBenchError(f"{name}: {sent.lost} packets were never acknowledged")
                seconds = (own.drained() if standard is None else sent.ended) - sent.began
                rates.setdefault(name, []).append(size.packets / seconds)
                if standard is None:
                    rates.setdefault("acknowledged", []).append(size.packets / sent.seconds)
            say(f"round {number + 1}: " + ", ".join(f"{name} {found[-1]:,.0f}/s" for name, found in rates.items()))
        own.check(size.sessions * 1 + size.packets * size.rounds)
    for one in baselines:
        if one.name == "rlm_sql" and one.rows() != size.sessions:
            raise AcctBenchError(f"rlm_sql has {one.rows()} sessions instead of {size.sessions}")
        one.stop()
    medians = {name: median(found) for name, found in rates.items()}
    best = max(rate for name, rate in medians.items() if name.startswith("rlm_sql"))
    ours, detail = medians["ispagents"], medians[f"detail/{DETAIL_POOL}"]
    return {
        "throughput_vs_rlm_sql": round(ours / best, 2),
        "throughput_vs_detail": round(ours / detail, 2),
        "durable_per_s": round(ours),
        "acknowledged_per_s": round(medians["acknowledged"]),
        "rlm_sql_per_s": round(best),
        "detail_per_s": round(detail),
        "window": WINDOW,
        "sessions": size.sessions,
        "servers": {name: {"packets_per_s": round(rate)} for name, rate in sorted(medians.items())},
    }


def _live(own: Own, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    """So many open sessions that report every minute: how far behind the rows are, and what it costs."""
    own.backlog(size.open_sessions, "Start")
    own.drained()
    lag = own.live(size.open_sessions / 60, size.live_s)
    say(f"{size.open_sessions:,} open sessions, interims every minute: {lag}")
    return {"open_sessions": size.open_sessions, **lag}


def _backlog(own: Own, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    """A backlog as an outage leaves it: from the first look until the last byte is counted."""
    own.pause()
    own.backlog(size.backlog, "Interim-Update")
    began = time.monotonic()
    own.resume()
    own.drained()
    took_s = time.monotonic() - began
    rate = size.backlog / took_s
    say(f"backlog of {size.backlog:,} records ({BACKLOG_RECORD} bytes each): {took_s:.1f} s, {rate:,.0f}/s")
    return {
        "drain_per_s": round(rate),
        "drain_10m_s": round(BACKLOG / rate),
        "backlog": size.backlog,
        "scaled": f"seconds times {BACKLOG / size.backlog:g}, from {size.backlog:,} records",
    }


@contextmanager
def _own(services: int, say: Callable[[str], None]) -> Iterator[Own]:
    with Own.started(services) as own:
        say(f"ours runs with {services:,} services")
        yield own
