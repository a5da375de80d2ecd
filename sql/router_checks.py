"""What was seen of each way to a router: checks claimed by one worker, their state and hours, and rows for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from policy.changes.breaker import Heard
from policy.health import Known, Path, Seen, State, Told, after, answers_coa, facts_document, heard_lately, notes
from sql.abilities import learnt_by_router, sentence
from sql.among import among
from sql.models import Router, RouterCheck, RouterCheckHour, RouterHealth
from sql.router_health import API, note
from sql.sessions import database_time

HISTORY = timedelta(days=90)
PRUNED_AT_ONCE = 5000


class Due(NamedTuple):
    """A router whose API is to be looked at, and the node at whose address that is done ("": anywhere)."""

    operator_id: int
    router_id: int
    node: str


class Looked(NamedTuple):
    """What one look at a router's API saw; `told` is None where it did not answer, and then `error` says why."""

    router_id: int
    seen: Seen
    latency_ms: float | None = None
    error: str = ""
    told: Told | None = None


class _Row(NamedTuple):
    """A check as it is stored. Without `facts` those of before stay; `succeeded_at` None: it did not succeed now."""

    router_id: int
    path: Path
    known: Known
    seen: Seen
    succeeded_at: datetime | None
    latency_ms: float | None
    error: str
    facts: dict[str, Any] | None


# Two workers may find the same router due; the row says who was first.
_CLAIM = text("""
INSERT INTO router_checks AS seen (operator_id, router_id, path, checked_at)
SELECT operator_id, id, :path, clock_timestamp() FROM routers
WHERE operator_id = :operator AND removed_at IS NULL
    AND CASE WHEN :path = 'api' THEN id = ANY(CAST(:ids AS bigint[])) ELSE secret IS NOT NULL END
ORDER BY id
ON CONFLICT (router_id, path) DO UPDATE SET checked_at = excluded.checked_at
    WHERE seen.checked_at IS NULL OR seen.checked_at < clock_timestamp() - make_interval(secs => :older_than_s)
RETURNING router_id
""")
# Nothing of these is asked of a router: it is what came from it anyway.
_SIGNS = text("""
WITH open AS MATERIALIZED (
    SELECT router_id, count(*) AS sessions, max(last_seen_at) AS last FROM sessions
    WHERE operator_id = :operator AND ended_at IS NULL GROUP BY router_id)
SELECT router.id, router.dynamic_authorization, coalesce(open.sessions, 0) AS sessions,
    greatest(open.last, refused.last) AS heard_at, coalesce(health.misses, 0) AS misses, health.answered_at
FROM routers AS router
LEFT JOIN open ON open.router_id = router.id
LEFT JOIN LATERAL (
    SELECT max(last_at) AS last FROM refused_logins WHERE refused_logins.router_id = router.id) AS refused ON true
LEFT JOIN router_health AS health ON health.router_id = router.id AND health.path = 'coa'
WHERE router.operator_id = :operator AND router.id = ANY(CAST(:ids AS bigint[]))
""")
_ROW = """
    router_id bigint, path text, state text, since timestamptz, failures integer, successes integer, failed boolean,
    counts boolean, succeeded_at timestamptz, latency_ms real, error text, facts jsonb, cpu real
"""
_STORE = text(f"""
INSERT INTO router_checks AS seen (operator_id, router_id, path, state, since, failures, successes, checked_at,
    succeeded_at, failed_at, latency_ms, error, facts)
SELECT :operator, router_id, path, state, since, failures, successes, clock_timestamp(), succeeded_at,
    CASE WHEN failed THEN clock_timestamp() END, latency_ms, error, coalesce(facts, '{{}}')
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row ({_ROW})
ON CONFLICT (router_id, path) DO UPDATE SET state = excluded.state, since = excluded.since,
    failures = excluded.failures, successes = excluded.successes, checked_at = excluded.checked_at,
    succeeded_at = coalesce(excluded.succeeded_at, seen.succeeded_at),
    failed_at = coalesce(excluded.failed_at, seen.failed_at),
    latency_ms = coalesce(excluded.latency_ms, seen.latency_ms), error = excluded.error,
    facts = CASE WHEN excluded.facts = '{{}}' THEN seen.facts ELSE excluded.facts END
""")  # noqa: S608 - the columns stand above
_STORE_HOURS = text(f"""
INSERT INTO router_check_hours AS known (operator_id, router_id, path, hour, checks, failures, latency_sum_ms,
    latency_max_ms, cpu_sum_percent, cpu_max_percent)
SELECT :operator, router_id, path, date_trunc('hour', clock_timestamp(), 'UTC'), 1, CASE WHEN failed THEN 1 ELSE 0 END,
    coalesce(latency_ms, 0), coalesce(latency_ms, 0), coalesce(cpu, 0), coalesce(cpu, 0)
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS row ({_ROW}) WHERE counts
ORDER BY router_id, path
ON CONFLICT (router_id, path, hour) DO UPDATE SET checks = known.checks + 1,
    failures = known.failures + excluded.failures, latency_sum_ms = known.latency_sum_ms + excluded.latency_sum_ms,
    latency_max_ms = greatest(known.latency_max_ms, excluded.latency_max_ms),
    cpu_sum_percent = known.cpu_sum_percent + excluded.cpu_sum_percent,
    cpu_max_percent = greatest(known.cpu_max_percent, excluded.cpu_max_percent)
""")  # noqa: S608 - the columns stand above
# By the key of the table, so that what is kept is not read.
_PRUNE = text("""
DELETE FROM router_check_hours WHERE ctid = ANY(ARRAY(
    SELECT hours.ctid FROM router_check_hours AS hours
    WHERE hours.router_id = ANY(ARRAY(SELECT id FROM routers WHERE operator_id = :operator))
        AND hours.path = ANY(ARRAY['radius', 'coa', 'api']) AND hours.hour < :until LIMIT :most))
""")


def routers_to_check(session: Session, older_than_s: float, most: int) -> list[Due]:
    """Routers with an API that were not looked at for so long, over all operators, the longest ago first."""
    rows = session.execute(
        text("SELECT operator_id, router_id, node FROM routers_to_check(:older, :most)"),
        {"older": older_than_s, "most": most},
    )
    return [Due(row.operator_id, row.router_id, row.node) for row in rows]


def claim_checks(session: Session, operator_id: int, router_ids: Sequence[int], older_than_s: float) -> list[Router]:
    """Those of these routers whose API this caller looks at now; another worker's are left out."""
    ids = _claimed(session, operator_id, Path.API, router_ids, older_than_s)
    return list(session.scalars(select(Router).where(Router.operator_id == operator_id, among(Router.id, ids))))


def store_looks(
    session: Session, operator_id: int, looks: Sequence[Looked], at: datetime
) -> list[tuple[int, State, State]]:
    """Store what looks at APIs saw at `at`, by the database's clock. Returns (router, state before, state now)."""
    stored = _stored(session, [look.router_id for look in looks])
    rows, moved = [], []
    for look in looks:
        row = stored.get((look.router_id, Path.API))
        before = row.facts if row is not None else {}
        was = _known(row, at)
        known = after(was, look.seen, at)
        facts = None if look.told is None else facts_document(before, look.told, at) | {"poor_in_a_row": known.poor}
        good_at = None if look.told is None else at
        rows.append(_Row(look.router_id, Path.API, known, look.seen, good_at, look.latency_ms, look.error, facts))
        if known.state != was.state:
            moved.append((look.router_id, was.state, known.state))
    _store(session, operator_id, rows)
    _close_breakers(session, operator_id, [look.router_id for look in looks if look.told is not None], at)
    return moved


def check_signs(session: Session, operator_id: int, older_than_s: float) -> int:
    """Judge RADIUS and CoA of the operator's routers by what came from them anyway. Returns how many were due."""
    due = _claimed(session, operator_id, Path.RADIUS, [], older_than_s)
    if not due:
        return 0
    now = database_time(session)
    stored = _stored(session, due)
    learnt = learnt_by_router(session, due)
    rows = []
    for sign in session.execute(_SIGNS, {"operator": operator_id, "ids": due}):
        seen, error = heard_lately(sign.sessions, sign.heard_at, now)
        known = after(_known(stored.get((sign.id, Path.RADIUS)), now), seen, now)
        facts = {"open_sessions": sign.sessions, "heard_at": _text(sign.heard_at)}
        rows.append(_Row(sign.id, Path.RADIUS, known, seen, sign.heard_at, None, error, facts))
        tests = [sentence(one) for one in learnt.get(sign.id, [])]
        rows.append(_coa(sign, _known(stored.get((sign.id, Path.COA)), now), now, tests))
    _store(session, operator_id, rows)
    return len(due)


def prune_hours(session: Session, operator_id: int) -> int:
    """Forget a portion of the hours that are too long ago. Returns how many; call again while it is the whole portion.

    `PRUNED_AT_ONCE` is a portion.
    """
    values = {"operator": operator_id, "until": database_time(session) - HISTORY, "most": PRUNED_AT_ONCE}
    return int(session.execute(_PRUNE, values).rowcount)  # type: ignore[attr-defined] # a DELETE's result


def health_rows(session: Session, routers: Sequence[Router]) -> list[dict[str, Any]]:
    """What is known of these routers and each way to them, in a few queries for all."""
    ids = [router.id for router in routers]
    now = database_time(session)
    stored = _stored(session, ids)
    breakers = {
        (row.router_id, row.path): row
        for row in session.scalars(select(RouterHealth).where(among(RouterHealth.router_id, ids)))
    }
    learnt = learnt_by_router(session, ids)
    found = []
    for router in routers:
        ways = _ways(router)
        paths = {
            path.value: _path_row(stored.get((router.id, path)), breakers.get((router.id, path.value)), now)
            for path in ways
        }
        check = stored.get((router.id, Path.API))
        facts = check.facts if check is not None else {}
        found.append(
            {
                "name": router.name,
                "state": _worst(State(row["state"]) for row in paths.values()).value,
                "paths": paths,
                "facts": {name: value for name, value in facts.items() if name != "poor_in_a_row"},
                "notes": notes(facts, now),
                "self_test": [sentence(one) for one in learnt.get(router.id, [])],
            }
        )
    return found


def hours(session: Session, router: Router, since: datetime) -> list[dict[str, Any]]:
    """The hours of a router's checks, the newest first; averages are of the checks that were answered."""
    rows = session.scalars(
        select(RouterCheckHour)
        .where(RouterCheckHour.router_id == router.id, RouterCheckHour.hour >= since)
        .order_by(RouterCheckHour.hour.desc(), RouterCheckHour.path)
    )
    return [_hour_row(row) for row in rows]


def _ways(router: Router) -> list[Path]:
    radius = [Path.RADIUS, Path.COA] if router.secret is not None else []
    return [*radius, *([Path.API] if router.api_username is not None else [])]


def _claimed(
    session: Session, operator_id: int, path: Path, router_ids: Sequence[int], older_than_s: float
) -> list[int]:
    values = {"operator": operator_id, "path": path.value, "ids": list(router_ids), "older_than_s": older_than_s}
    return list(session.execute(_CLAIM, values).scalars())


def _stored(session: Session, router_ids: Sequence[int]) -> dict[tuple[int, str], RouterCheck]:
    rows = session.scalars(
        select(RouterCheck).where(among(RouterCheck.router_id, router_ids)).execution_options(populate_existing=True)
    )
    return {(row.router_id, row.path): row for row in rows}


def _known(row: RouterCheck | None, now: datetime) -> Known:
    if row is None:
        return Known(since=now)
    poor = int(row.facts.get("poor_in_a_row", 0))
    return Known(State(row.state), row.since, row.failures, row.successes, poor)


def _coa(sign: Any, was: Known, now: datetime, tests: list[str]) -> _Row:
    """CoA has its count already: the breaker's."""
    state, error = answers_coa(sign.misses, sign.answered_at, takes_coa=sign.dynamic_authorization)
    since = was.since if was.state == state else now
    known = Known(state, since, failures=sign.misses, successes=was.successes + 1 if state == State.ONLINE else 0)
    seen = Seen.FAILED if sign.misses else Seen.NOTHING if state == State.UNKNOWN else Seen.GOOD
    return _Row(sign.id, Path.COA, known, seen, sign.answered_at, None, error, {"self_test": tests})


def _store(session: Session, operator_id: int, rows: Iterable[_Row]) -> None:
    written = [
        {
            "router_id": row.router_id,
            "path": row.path.value,
            "state": row.known.state.value,
            "since": _text(row.known.since),
            "failures": row.known.failures,
            "successes": row.known.successes,
            "failed": row.seen == Seen.FAILED,
            "counts": row.seen != Seen.NOTHING,
            "succeeded_at": _text(row.succeeded_at) or None,
            "latency_ms": row.latency_ms,
            "error": row.error[:1000],
            "facts": row.facts,
            "cpu": (row.facts or {}).get("cpu_percent"),
        }
        for row in sorted(rows, key=lambda row: (row.router_id, row.path))
    ]
    if written:
        values = {"operator": operator_id, "rows": json.dumps(written)}
        session.execute(_STORE, values)
        session.execute(_STORE_HOURS, values)


def _close_breakers(session: Session, operator_id: int, router_ids: Sequence[int], at: datetime) -> None:
    """A router that answers here gets at once what waits for it; only its own attempts open a breaker."""
    left_alone = session.scalars(
        select(RouterHealth.router_id).where(
            among(RouterHealth.router_id, router_ids), RouterHealth.path == API, RouterHealth.misses > 0
        )
    ).all()
    for router_id in left_alone:
        note(session, operator_id, router_id, [(Heard.ANSWER, at, False)], API)


def _path_row(check: RouterCheck | None, breaker: RouterHealth | None, now: datetime) -> dict[str, Any]:
    alone_until = breaker.left_alone_until if breaker is not None else None
    circuit = "closed"
    if alone_until is not None:
        circuit = "left alone" if alone_until > now else "probing"
    row = {
        "state": check.state if check is not None else State.UNKNOWN.value,
        "since": check.since if check is not None else None,
        "checked_at": check.checked_at if check is not None else None,
        "succeeded_at": check.succeeded_at if check is not None else None,
        "failed_at": check.failed_at if check is not None else None,
        "failures_in_a_row": check.failures if check is not None else 0,
        "latency_ms": None if check is None or check.latency_ms is None else round(check.latency_ms, 1),
        "error": check.error if check is not None else "",
        "circuit": circuit,
        "left_alone_until": alone_until,
    }
    return row | {name: check.facts[name] for name in ("open_sessions",) if check is not None and name in check.facts}


def _worst(states: Iterable[State]) -> State:
    order = (State.OFFLINE, State.DEGRADED, State.ONLINE, State.UNKNOWN)
    return min(states, key=order.index, default=State.UNKNOWN)


def _hour_row(row: RouterCheckHour) -> dict[str, Any]:
    answered = row.checks - row.failures
    timed = row.path == Path.API and answered
    return {
        "hour": row.hour,
        "path": row.path,
        "checks": row.checks,
        "failures": row.failures,
        "latency_ms": round(row.latency_sum_ms / answered, 1) if timed else None,
        "latency_max_ms": round(row.latency_max_ms, 1) if timed else None,
        "cpu_percent": round(row.cpu_sum_percent / answered, 1) if timed else None,
        "cpu_max_percent": round(row.cpu_max_percent, 1) if timed else None,
    }


def _text(at: datetime | None) -> str:
    return "" if at is None else at.isoformat()
