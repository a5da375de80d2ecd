"""`ispagents bench routeros`: changes and readings of routers by API, against a plain librouteros loop.

Theirs is what its manual shows: connect, then one call after the other. Ours is `network.routeros`, as the worker calls
it: each change is a plan of its own with evidence and a reverse, every outcome is looked at, and the routers are asked
afterwards what they have. Where a thousand commands would take librouteros minutes it is timed on fewer
(`librouteros_sample` in each round), since each costs it the same, and its seconds are reckoned from that. What it
takes to connect is in neither figure, but in that of the hundred routers.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import librouteros

from bench import drift, report, subscribers
from bench.api_routers import PASSWORD, USER, ApiRouters, Fleet
from bench.servers import process
from network.contract import Outcome, Secret
from network.routeros.connection import connect
from network.routeros.keeper import Keeper
from network.routeros.target import RouterTarget, Security
from network.routeros.undoing import undo_all
from network.routeros.verbs import Applied, Query, apply_all, observe
from policy.routeros.objects import Change, Command, Plan, Verb, tagged

LIST: Final = "/ip/firewall/address-list"
SECRETS: Final = "/ppp/secret"
QUEUES: Final = "/queue/simple"
ROUND_TRIPS_S: Final = (0.0, 0.02, 0.1)
ROUTERS: Final = 100
FLEET_ROUND_TRIP_S: Final = 0.02
ITEMS: Final = 10_000
SECRET_FIELDS: Final = ("name", "profile", "service", "disabled", "comment")
QUEUE_FIELDS: Final = ("name", "target", "max-limit", "disabled", "comment")


class RouterosBenchError(Exception):
    """A change was not carried out or not found on the router, so that its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much of it. `theirs_s` is about how long librouteros is given at each round trip and kind of change."""

    rounds: int
    theirs_s: float
    changes: int
    changes_each: int


FULL: Final = Size(rounds=5, theirs_s=20.0, changes=1_000, changes_each=100)
QUICK: Final = Size(rounds=1, theirs_s=0.4, changes=300, changes_each=20)


def run(quick: bool, say: Callable[[str], None] | None = None) -> dict[str, Any]:
    """The `results` of one run; raises one of ERRORS. About 5 minutes, under 45 s when `quick`."""
    size, say = (QUICK if quick else FULL), say or report.to_stderr
    process.sweep()
    results: dict[str, Any] = {"speedup_20ms": None}
    with process.orderly_end() as stack:
        results |= _one_router(stack, size, say)
        results |= _many_routers(stack, size, say)
        results |= _observation(stack, size, say)
    return results | {"changes": size.changes, "rounds": size.rounds} | drift.run(quick, say)


# One router, near and far.


def _one_router(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    rows: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for round_trip_s in ROUND_TRIPS_S:
        routers = ApiRouters(Fleet(secrets=size.changes, round_trip_s=round_trip_s))
        stack.callback(routers.stop)
        (endpoint,) = routers.ready()
        for kind, what in (("list", "address list"), ("secret", "secret")):
            row = _rounds(routers, endpoint, kind, round_trip_s, size)
            name = f"{what}, {round_trip_s * 1000:.0f} ms"
            rows[name] = row
            say(f"{name}: {row}")
            suffix = f"{round_trip_s * 1000:.0f}ms"
            key = f"speedup_{suffix}" if kind == "list" else f"speedup_secrets_{suffix}"
            found[key] = row["speedup"]
        routers.stop()
    return found | {"servers": rows}


def _rounds(
    routers: ApiRouters, endpoint: tuple[str, int], kind: str, round_trip_s: float, size: Size
) -> dict[str, float]:
    sample = int(min(size.changes, max(10, size.theirs_s / size.rounds / max(round_trip_s, 0.001))))
    ours_s, undo_s, theirs_s, speedups = [], [], [], []
    for _ in range(size.rounds):
        theirs_s.append(
            _librouteros_list(endpoint, sample) if kind == "list" else _librouteros_secrets(endpoint, sample)
        )
        took_s, back_s = asyncio.run(_ours(routers, endpoint, kind, size.changes))
        ours_s.append(took_s / size.changes)
        undo_s.append(back_s)
        speedups.append(theirs_s[-1] / ours_s[-1])
    return {
        "speedup": round(median(speedups), 1),
        "ours_seconds": round(median(ours_s) * size.changes, 3),
        "librouteros_seconds": round(median(theirs_s) * size.changes, 2),
        "undo_seconds": round(median(undo_s), 3),
        "slowest_seconds": round(max(ours_s) * size.changes, 3),
        "librouteros_sample": sample,
    }


def _librouteros_list(endpoint: tuple[str, int], count: int) -> float:
    """Seconds for each add; they are taken away again, out of the time."""
    api = librouteros.connect(endpoint[0], USER, PASSWORD, port=endpoint[1], encoding="utf-8")
    began = time.perf_counter()
    made = [
        next(api(f"{LIST}/add", list="paid", address=subscribers.address(one), comment=f"service {one}"))["ret"]
        for one in range(count)
    ]
    took_s = (time.perf_counter() - began) / count
    tuple(api(f"{LIST}/remove", **{".id": ",".join(map(str, made))}))
    api.close()
    return took_s


def _librouteros_secrets(endpoint: tuple[str, int], count: int) -> float:
    """Seconds for each set; they are set to what they were."""
    api = librouteros.connect(endpoint[0], USER, PASSWORD, port=endpoint[1], encoding="utf-8")
    ids = [str(row[".id"]) for row in api(f"{SECRETS}/print", **{".proplist": ".id"})][:count]
    began = time.perf_counter()
    for one in ids:
        tuple(api(f"{SECRETS}/set", **{".id": one, "profile": "before"}))
    took_s = (time.perf_counter() - began) / count
    api.close()
    return took_s


async def _ours(routers: ApiRouters, endpoint: tuple[str, int], kind: str, changes: int) -> tuple[float, float]:
    """Seconds for all of them, and to take them back. What the router then has is asked of the router itself."""
    loop = asyncio.get_running_loop()

    def have() -> int:
        return routers.count(LIST, list="paid") if kind == "list" else routers.count(SECRETS, profile="after")

    connection = await connect(_target(endpoint))
    try:
        plans = _list_plans(changes) if kind == "list" else await _secret_plans(connection)
        began = time.perf_counter()
        done = await apply_all(connection, plans)
        took_s = time.perf_counter() - began
        _check(done, await loop.run_in_executor(None, have), changes)
        began = time.perf_counter()
        undone = await undo_all(connection, done)
        back_s = time.perf_counter() - began
        _check(undone, await loop.run_in_executor(None, have) + changes, changes)
    finally:
        await connection.close()
    return took_s, back_s


def _list_plans(count: int) -> list[Plan]:
    plans = []
    for one in range(count):
        key = (("list", "paid"), ("address", subscribers.address(one)))
        add = Command(Verb.ADD, LIST, key, (*key, ("comment", tagged(f"service-{one}"))))
        plans.append(Plan((Change(add, Command(Verb.REMOVE, LIST, key), "paid"),)))
    return plans


async def _secret_plans(connection: Any) -> list[Plan]:
    found = await observe(connection, [Query(menu=SECRETS, fields=("name",))])
    plans = []
    for item in found[SECRETS] or ():
        key = (("name", item.fields["name"]),)
        there, back = (
            Command(Verb.SET, SECRETS, key, (("profile", profile),), id=item.id) for profile in ("after", "before")
        )
        plans.append(Plan((Change(there, back, "another plan"),)))
    return plans


def _check(done: Sequence[Applied], have: int, wanted: int) -> None:
    outcomes = Counter(
        f"{one.outcome}: {one.steps[0].result.cause}" for one in done if one.outcome is not Outcome.APPLIED
    )
    if outcomes or have != wanted or len(done) != wanted:
        raise RouterosBenchError(f"{len(done)} changes, {have} of {wanted} on the router; not done: {dict(outcomes)}")


# A hundred routers at once.


def _many_routers(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    routers = ApiRouters(Fleet(routers=ROUTERS, round_trip_s=FLEET_ROUND_TRIP_S))
    stack.callback(routers.stop)
    endpoints = routers.ready()
    seconds = [asyncio.run(_all_routers(routers, endpoints, size.changes_each)) for _ in range(size.rounds)]
    routers.stop()
    say(f"{ROUTERS} routers with {size.changes_each} changes each, with connecting: {median(seconds):.2f} s")
    return {f"seconds_{ROUTERS}_routers": round(median(seconds), 2), "changes_on_each_router": size.changes_each}


async def _all_routers(routers: ApiRouters, endpoints: Sequence[tuple[str, int]], changes_each: int) -> float:
    """Seconds from the first connect to the last outcome."""
    done: list[Applied] = []

    async def one(keeper: Keeper, endpoint: tuple[str, int]) -> None:
        async with keeper.connection(_target(endpoint)) as connection:
            done.extend(await apply_all(connection, _list_plans(changes_each)))

    async def back(keeper: Keeper, endpoint: tuple[str, int], mine: Sequence[Applied]) -> None:
        async with keeper.connection(_target(endpoint)) as connection:
            await undo_all(connection, mine)

    async with Keeper() as keeper:
        began = time.perf_counter()
        await asyncio.gather(*[one(keeper, endpoint) for endpoint in endpoints])
        took_s = time.perf_counter() - began
        count = ROUTERS * changes_each
        have = await asyncio.get_running_loop().run_in_executor(None, lambda: routers.count(LIST, list="paid"))
        _check(done, have, count)
        parts = [done[place : place + changes_each] for place in range(0, count, changes_each)]
        await asyncio.gather(*[back(keeper, endpoint, part) for endpoint, part in zip(endpoints, parts, strict=True)])
    return took_s


# Reading.


def _observation(stack: ExitStack, size: Size, say: Callable[[str], None]) -> dict[str, Any]:
    routers = ApiRouters(Fleet(secrets=ITEMS, queues=ITEMS, round_trip_s=FLEET_ROUND_TRIP_S))
    stack.callback(routers.stop)
    (endpoint,) = routers.ready()
    ours, theirs = [], []
    for _ in range(size.rounds):
        ours.append(asyncio.run(_observe(endpoint)))
        theirs.append(_librouteros_print(endpoint))
    routers.stop()
    say(f"{ITEMS} secrets and queues read: ours {median(ours):.2f} s, librouteros {median(theirs):.2f} s")
    return {
        "observe_10k_seconds": round(median(ours), 2),
        "librouteros_observe_10k_seconds": round(median(theirs), 2),
        "observe_speedup": round(median(his / mine for mine, his in zip(ours, theirs, strict=True)), 2),
    }


async def _observe(endpoint: tuple[str, int]) -> float:
    connection = await connect(_target(endpoint))
    try:
        began = time.perf_counter()
        found = await observe(
            connection, [Query(menu=SECRETS, fields=SECRET_FIELDS), Query(menu=QUEUES, fields=QUEUE_FIELDS)]
        )
        took_s = time.perf_counter() - began
    finally:
        await connection.close()
    counts = {menu: len(items or ()) for menu, items in found.items()}
    if counts != {SECRETS: ITEMS, QUEUES: ITEMS}:
        raise RouterosBenchError(f"read {counts} instead of {ITEMS} each")
    return took_s


def _librouteros_print(endpoint: tuple[str, int]) -> float:
    api = librouteros.connect(endpoint[0], USER, PASSWORD, port=endpoint[1], encoding="utf-8")
    began = time.perf_counter()
    count = sum(
        len(tuple(api(f"{menu}/print", **{".proplist": ",".join((".id", *names))})))
        for menu, names in ((SECRETS, SECRET_FIELDS), (QUEUES, QUEUE_FIELDS))
    )
    took_s = time.perf_counter() - began
    api.close()
    if count != 2 * ITEMS:
        raise RouterosBenchError(f"librouteros read {count} items instead of {2 * ITEMS}")
    return took_s


def _target(endpoint: tuple[str, int]) -> RouterTarget:
    return RouterTarget(
        address=endpoint[0], port=endpoint[1], username=USER, password=Secret(PASSWORD), security=Security.PLAIN
    )


ERRORS: Final = (RouterosBenchError, *drift.ERRORS)
