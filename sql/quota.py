"""States of usage: what logins, previews and enforcement must know of it, written only where a decision would change.

edge looks in the transaction that counted (`look`); the worker also settles what spans that have ended took of top-ups.
Both may write the same state at once: each writes only over what it has read, and looks again otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import tuple_row

from policy.documents import read_plan
from policy.errors import PolicyError
from policy.facts import AtLimit, PlanFacts
from policy.fair_use import SpanUse
from policy.quota import (
    FOREVER,
    NO_USAGE,
    SeenSession,
    UsageState,
    allowance,
    carried,
    limits,
    matters_from,
    reached,
    read_state,
    refreshed,
    spans,
    state_document,
    taken,
    warning,
)
from policy.usage import SpanKind

# Whoever loses against another writer looks again; more often than this in a row nobody writes the same service.
TRIES = 5
# A state is no list of a whole village behind one name.
SESSIONS_MOST = 32
# A session that missed two interims has gone quiet.
MISSED = 2

_LIMITED = """
SELECT service.id, service.operator_id, service.created_at, version.id, state.document, clock_timestamp()
FROM services AS service
JOIN plan_versions AS version ON version.id = CAST(service.authorised ->> 'plan_version_id' AS bigint)
LEFT JOIN usage_states AS state ON state.service_id = service.id
WHERE service.id = ANY(%s)
    AND (version.facts ?| ARRAY['tiers', 'quota_bytes', 'simultaneous_use'] OR state.document <> '{}')
ORDER BY service.id
"""
# In the order in which edge comes by: it counts in spans before it writes states.
_LOCK_SPANS = "SELECT FROM usage_spans WHERE service_id = ANY(%s) ORDER BY service_id, span, starts_at FOR UPDATE"
_LOCK_STATES = "SELECT FROM usage_states WHERE service_id = ANY(%s) ORDER BY service_id FOR UPDATE"
_PLANS = "SELECT id, name, facts FROM plan_versions WHERE id = ANY(%s)"
# The newest two of each kind: the one that runs, and what it may have inherited from.
_SPANS = """
SELECT known.service_id, known.span, known.starts_at, known.ends_at, known.counted_bytes, known.carried_bytes,
    known.reached, known.warned_percent
FROM unnest(%s::bigint[], %s::text[]) AS asked (service_id, span)
CROSS JOIN LATERAL (SELECT * FROM usage_spans AS one WHERE one.service_id = asked.service_id AND one.span = asked.span
    AND one.starts_at <= %s ORDER BY one.starts_at DESC LIMIT 2) AS known
"""
_ENDED = """
SELECT known.service_id, known.span, known.ends_at, known.counted_bytes, known.carried_bytes
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS asked (service_id, span, ends_at)
JOIN usage_spans AS known USING (service_id, span, ends_at)
"""
_TOPUPS = """
SELECT topup.service_id, topup.span, topup.id, topup.bytes - topup.used_bytes, topup.until
FROM unnest(%s::bigint[], %s::bigint[]) AS asked (operator_id, service_id)
JOIN usage_topups AS topup USING (operator_id, service_id)
WHERE topup.ended_at IS NULL ORDER BY topup.id
"""
_SESSIONS = """
SELECT service_id, mac, last_seen_at, interim_interval_s FROM sessions
WHERE service_id = ANY(%s) AND ended_at IS NULL ORDER BY started_at DESC
"""
_STORE = """
INSERT INTO usage_states AS known (service_id, operator_id, document, valid_until)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::jsonb[], %s::timestamptz[]) AS row (service_id) ORDER BY service_id
ON CONFLICT (service_id) DO UPDATE SET document = excluded.document, valid_until = excluded.valid_until
WHERE known.document = (SELECT before FROM unnest(%s::bigint[], %s::jsonb[]) AS was (service_id, before)
    WHERE was.service_id = known.service_id)
RETURNING service_id
"""
_MARK = """
UPDATE usage_spans SET reached = row.reached, carried_bytes = row.carried_bytes
FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::integer[], %s::bigint[])
    AS row (service_id, span, starts_at, reached, carried_bytes)
WHERE usage_spans.service_id = row.service_id AND usage_spans.span = row.span AND usage_spans.starts_at = row.starts_at
"""
_TAKE = """
UPDATE usage_topups SET used_bytes = used_bytes + row.share,
    ended_at = CASE WHEN used_bytes + row.share >= bytes OR until <= %s THEN clock_timestamp() END
FROM unnest(%s::bigint[], %s::bigint[]) AS row (id, share) WHERE usage_topups.id = row.id
"""


class Look(NamedTuple):
    """What a look found. `moved`: services whose access may be another one now, or whose customer is to be told.

    `limited`: services whose plan has limits of bytes.
    """

    moved: tuple[tuple[int, int], ...] = ()
    limited: tuple[int, ...] = ()


class Running(NamedTuple):
    """A span that runs, as it is counted: with what was carried into it and topped up."""

    use: SpanUse
    starts_at: datetime
    carried_bytes: int
    reached: int
    warned_percent: int
    inherits: bool = False


@dataclass(slots=True)
class Account:
    """A service with limits, and all that is known of its usage: its state as it is stored, and as it is to be."""

    service_id: int
    operator_id: int
    created_at: datetime
    plan: PlanFacts
    document: dict[str, Any]
    stored: UsageState
    state: UsageState
    running: list[Running] = field(default_factory=list)
    before: dict[SpanKind, tuple[Any, ...]] = field(default_factory=dict)
    topups: dict[SpanKind, list[tuple[int, int, datetime | None]]] = field(default_factory=dict)
    sessions: list[tuple[str, datetime, int]] = field(default_factory=list)

    def topped_up(self, span: SpanKind, now: datetime) -> int:
        """What top-ups give to a span that runs."""
        return sum(left for _, left, until in self.topups.get(span, ()) if until is None or until > now)

    def fresh(self, now: datetime) -> list[SeenSession]:
        """The sessions that still report, the newest first."""
        seen = [SeenSession(mac, last + timedelta(seconds=MISSED * every)) for mac, last, every in self.sessions]
        return [one for one in seen if one.fresh_until > now]

    def carried_into(self, span: SpanKind, starts_at: datetime, ends_at: datetime) -> int:
        """What the span before leaves for this one."""
        ended = self.before.get(span)
        if ended is not None and ended[0] == starts_at:
            return carried(self.plan, span, ended[1], ended[2])
        # Nothing was counted in the span before; a customer of then has all of it left.
        was_there = self.created_at <= starts_at - (ends_at - starts_at)
        return carried(self.plan, span, 0, 0) if was_there else 0

    def has_too_many(self, now: datetime) -> bool:
        """Whether more devices are online than the plan allows, where that ends the oldest session."""
        if not self.plan.simultaneous_use or self.plan.at_limit != AtLimit.END_OLDEST:
            return False
        # Where a router tells no device, each session is one, as for the worker.
        devices = {one.mac or number for number, one in enumerate(self.fresh(now))}
        return len(devices) > self.plan.simultaneous_use


def look(
    connection: Connection[Any], service_ids: Iterable[int], now: datetime | None = None, *, settle: bool = False
) -> Look:
    """Bring the states of these services up to what is counted; in the caller's transaction, a fixed number of queries.

    `now` is the database's time where none is given. `settle` (the worker's) also ends what spans that are over leave.
    """
    moved: set[tuple[int, int]] = set()
    asked, limited = sorted(set(service_ids)), set()
    if settle:
        # Whoever else writes these waits for us, so that nothing is taken of a top-up twice.
        connection.execute(_LOCK_SPANS, (asked,))
        connection.execute(_LOCK_STATES, (asked,))
    for _ in range(TRIES):
        if not asked:
            break
        known = accounts(connection, asked, now)
        if settle:
            _settle(connection, known)
        limited |= {one.service_id for one in known.found if limits(one.plan)}
        moved |= {(one.operator_id, one.service_id) for one in known.found if _is_due(one, known.now)}
        changed = {one.service_id: one for one in known.found if _bring_up(one, known.now)}
        _mark(connection, known)
        stored = _store(connection, list(changed.values()), known.now)
        moved |= {(one.operator_id, one.service_id) for one in stored if one.state.spans != one.stored.spans}
        asked = sorted(changed.keys() - {one.service_id for one in stored})
    return Look(tuple(sorted(moved)), tuple(sorted(limited)))


class Known(NamedTuple):
    """Accounts at one moment."""

    found: list[Account]
    now: datetime


def accounts(connection: Connection[Any], service_ids: list[int], now: datetime | None = None) -> Known:
    """Those of these services whose plans have limits, with their usage at `now`."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(_LIMITED, (service_ids,)).fetchall()
        if not rows:
            return Known([], now or FOREVER)
        now = now or rows[0][5]
        versions = sorted({row[3] for row in rows})
        plans = {one: _plan(one, name, facts) for one, name, facts in cursor.execute(_PLANS, (versions,))}
        found = []
        for service_id, operator_id, created_at, version, document, _ in rows:
            plan, state = plans[version], _state(document)
            if plan is not None:
                found.append(Account(service_id, operator_id, created_at, plan, document or {}, state, state))
        by_id = {one.service_id: one for one in found}
        metered = [(one.service_id, span.value) for one in found for span in sorted(spans(one.plan))]
        if metered:
            operators = [one.operator_id for one in found]
            for service_id, span, *topup in cursor.execute(_TOPUPS, (operators, list(by_id))):
                by_id[service_id].topups.setdefault(SpanKind(span), []).append((topup[0], topup[1], topup[2]))
            columns = tuple(list(column) for column in zip(*metered, strict=True))
            for row in cursor.execute(_SPANS, (*columns, now)):
                _add_span(by_id[row[0]], row, now)
        shared = [one.service_id for one in found if one.plan.simultaneous_use]
        if shared:
            for service_id, *session in cursor.execute(_SESSIONS, (shared,)):
                by_id[service_id].sessions.append((session[0], session[1], session[2]))
    for one in found:
        one.running = [_inherited(one, span) for span in one.running]
    return Known(found, now)


def _plan(plan_version_id: int, name: str, facts: dict[str, Any]) -> PlanFacts | None:
    try:
        return read_plan(facts, plan_version_id, name)
    except PolicyError:
        return None  # a newer release wrote it: its bytes are counted, and nothing stops here


def _state(document: dict[str, Any] | None) -> UsageState:
    try:
        return read_state(document) if document else NO_USAGE
    except PolicyError:
        return NO_USAGE  # it is written anew


def _add_span(one: Account, row: tuple[Any, ...], now: datetime) -> None:
    span, starts_at, ends_at, counted, carried_bytes, marked, warned = SpanKind(row[1]), *row[2:]
    if ends_at <= now:
        one.before.setdefault(span, (ends_at, counted, carried_bytes))
        return
    if all(other.use.span != span for other in one.running):
        use = SpanUse(span, ends_at, counted, carried_bytes + one.topped_up(span, now))
        one.running.append(Running(use, starts_at, carried_bytes, marked, warned))


def _inherited(one: Account, span: Running) -> Running:
    """With what is carried over, which is kept once it matters: late reports may still tell of the span before."""
    use = span.use
    if not one.plan.carry_over_bytes or span.carried_bytes or use.used_bytes < matters_from(one.plan, use.span):
        return span
    more = one.carried_into(use.span, span.starts_at, use.ends_at)
    return span._replace(carried_bytes=more, use=use._replace(extra_bytes=use.extra_bytes + more), inherits=more > 0)


def _bring_up(one: Account, now: datetime) -> bool:
    """The state by what is known now. Whether it differs from what is stored."""
    known = refreshed(one.plan, one.state.spans, [span.use for span in one.running])
    sessions: tuple[SeenSession, ...] = ()
    if one.plan.at_limit == AtLimit.REFUSE and one.plan.simultaneous_use:
        sessions = _seen(one.state.sessions, one.fresh(now)[:SESSIONS_MOST], now)
    one.state = UsageState(known, sessions)
    return state_document(one.state) != one.document


def _seen(known: tuple[SeenSession, ...], fresh: list[SeenSession], now: datetime) -> tuple[SeenSession, ...]:
    """The sessions by what is known now; as they were where no login could tell them apart before the next report."""
    if [one.mac for one in known] != [one.mac for one in fresh]:
        return tuple(fresh)
    late = any((old.fresh_until - now) * MISSED < new.fresh_until - now for old, new in zip(known, fresh, strict=True))
    return tuple(fresh) if late else known


def _is_due(one: Account, now: datetime) -> bool:
    warns = any(warning(one.plan, span.use, span.warned_percent) for span in one.running)
    return warns or one.has_too_many(now)


def _mark(connection: Connection[Any], known: Known) -> None:
    """What is reached and carried, for people and for the next look."""
    rows = [
        (one.service_id, span.use.span.value, span.starts_at, reached(one.plan, span.use), span.carried_bytes)
        for one in known.found
        for span in one.running
        if span.inherits or span.reached != reached(one.plan, span.use)
    ]
    if rows:
        connection.execute(_MARK, tuple(list(column) for column in zip(*rows, strict=True)))


def _store(connection: Connection[Any], changed: list[Account], now: datetime) -> list[Account]:
    """Store states over those that were read. Returns those for which that was so."""
    if not changed:
        return []
    services = [one.service_id for one in changed]
    documents = [json.dumps(state_document(one.state)) for one in changed]
    before = [json.dumps(one.document) for one in changed]
    values = (services, [one.operator_id for one in changed], documents, [_valid_until(one, now) for one in changed])
    stored = {row[0] for row in connection.execute(_STORE, (*values, services, before)).fetchall()}
    return [one for one in changed if one.service_id in stored]


def _valid_until(one: Account, now: datetime) -> datetime | None:
    """When the clock must look: at the end of a span, also of one that nobody has settled yet, or of a top-up."""
    ends = [use.ends_at for use in one.state.spans]
    ends += [until for topups in one.topups.values() for _, _, until in topups if until is not None and until > now]
    return min(ends, default=None)


def _settle(connection: Connection[Any], known: Known) -> None:
    """Spans that are over leave the state, and top-ups what they took of them; the rest counts for the next span."""
    ended = [(one, use) for one in known.found for use in one.state.spans if use.ends_at <= known.now]
    shares = _shares(connection, ended)
    late = [
        topup[0]
        for one in known.found
        for topups in one.topups.values()
        for topup in topups
        if topup[2] is not None and topup[2] <= known.now
    ]
    shares |= {one: shares.get(one, 0) for one in late}
    if shares:
        connection.execute(_TAKE, (known.now, list(shares), list(shares.values())))
    for one in known.found:
        one.state = one.state._replace(spans=tuple(use for use in one.state.spans if use.ends_at > known.now))


def _shares(connection: Connection[Any], ended: list[tuple[Account, SpanUse]]) -> dict[int, int]:
    if not ended:
        return {}
    rows = [(one.service_id, use.span.value, use.ends_at) for one, use in ended]
    found = connection.execute(_ENDED, tuple(list(column) for column in zip(*rows, strict=True))).fetchall()
    counts = {(row[0], SpanKind(row[1]), row[2]): row[3] - row[4] for row in found}
    shares: dict[int, int] = {}
    for one, use in ended:
        topups = one.topups.get(use.span, [])
        beyond = counts.get((one.service_id, use.span, use.ends_at), 0) - allowance(one.plan, use.span)
        for topup, share in zip(topups, taken([left for _, left, _ in topups], beyond), strict=True):
            shares[topup[0]] = shares.get(topup[0], 0) + share
    return shares
